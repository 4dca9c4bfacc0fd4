/* test_when: every day from 1970 to 9999, leap days, ends of years, the text forms. The
 * C library's calendar is the witness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "mem.h"
#include "when.h"

#define LAST_DAY INT64_C(2932896) /* 9999-12-31 */

/* A calendar that only counts up, beside the formulas. */
static bool is_leap(int y)
{
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static void test_every_day(void **state)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int y = 1970, m = 1, d = 1;

    (void)state;
    for (int64_t day = 0; day <= LAST_DAY; day++) {
        char text[WHEN_TEXT_MAX], want[WHEN_TEXT_MAX];
        int64_t back = -1;

        (void)snprintf(want, sizeof want, "%04d-%02d-%02d", y, m, d);
        when_format_date(day, text);
        if (strcmp(text, want) != 0 || !when_parse_date(text, &back) || back != day)
            fail_msg("day %lld: %s, wanted %s", (long long)day, text, want);
        if (++d > lengths[m - 1] + (m == 2 && is_leap(y))) {
            d = 1;
            m++;
        }
        if (m > 12) {
            m = 1;
            y++;
        }
    }
    assert_int_equal(y, 10000);
}

/* Instants over the whole range, against strftime in UTC. */
static void test_texts_against_libc(void **state)
{
    (void)state;
    for (int64_t s = 0; s < (LAST_DAY + 1) * 86400; s += 7654321) {
        char text[WHEN_TEXT_MAX], want[64];
        time_t t = (time_t)s;
        struct tm tm;

        assert_non_null(gmtime_r(&t, &tm));
        when_format_mail(s * 1000 + 999, text);
        (void)strftime(want, sizeof want, "%a, %-d %b %Y %H:%M:%S +0000", &tm);
        assert_string_equal(text, want);
        when_format_http(s * 1000 + 999, text);
        (void)strftime(want, sizeof want, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        assert_string_equal(text, want);
        when_format_iso(s * 1000 + 999, text);
        (void)strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%SZ", &tm);
        assert_string_equal(text, want);
        when_format_long_date(s / 86400, text);
        (void)strftime(want, sizeof want, "%A, %-d %B %Y", &tm);
        assert_string_equal(text, want);
    }
}

static void test_dates_refused(void **state)
{
    static const char *const rows[] = {
        "2025-02-29",           "1900-02-29", "2100-02-29", "2026-02-30", "2026-04-31",
        "2026-00-10",           "2026-13-01", "2026-01-00", "2026-01-32", "1969-12-31",
        "0000-01-01",           "2026-1-01",  "2026-01-1",  "2026/01/01", "2026-01-01 ",
        " 2026-01-01",          "20260101",   "",           "2026-01-0x", "+026-01-01",
        "2026-01-01T00:00:00Z", "10000-01-01"};
    int64_t day = 4711;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_false(when_parse_date(rows[i], &day));
    assert_int_equal(day, 4711);
    assert_true(when_parse_date("2000-02-29", &day));
    assert_true(when_parse_date("2024-02-29", &day));
}

static void test_fixed_texts(void **state)
{
    static const struct {
        int64_t ms;
        const char *iso, *iso_ms, *mail;
    } rows[] = {
        {0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z",
         "Thu, 1 Jan 1970 00:00:00 +0000"},
        {INT64_C(1769860800000), "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000Z",
         "Sat, 31 Jan 2026 12:00:00 +0000"},
        {INT64_C(1709164799999), "2024-02-28T23:59:59Z", "2024-02-28T23:59:59.999Z",
         "Wed, 28 Feb 2024 23:59:59 +0000"},
        {INT64_C(1709164800000), "2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z",
         "Thu, 29 Feb 2024 00:00:00 +0000"},
        {INT64_C(1767225599007), "2025-12-31T23:59:59Z", "2025-12-31T23:59:59.007Z",
         "Wed, 31 Dec 2025 23:59:59 +0000"},
        {INT64_C(1767225600000), "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z",
         "Thu, 1 Jan 2026 00:00:00 +0000"},
        {INT64_C(253402300799999), "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999Z",
         "Fri, 31 Dec 9999 23:59:59 +0000"},
        {-1, "1969-12-31T23:59:59Z", "1969-12-31T23:59:59.999Z",
         "Wed, 31 Dec 1969 23:59:59 +0000"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[WHEN_TEXT_MAX];

        when_format_iso(rows[i].ms, text);
        assert_string_equal(text, rows[i].iso);
        when_format_iso_ms(rows[i].ms, text);
        assert_string_equal(text, rows[i].iso_ms);
        when_format_mail(rows[i].ms, text);
        assert_string_equal(text, rows[i].mail);
    }
}

static void test_days(void **state)
{
    (void)state;
    assert_int_equal(when_day(0), 0);
    assert_int_equal(when_day(WHEN_DAY_MS - 1), 0);
    assert_int_equal(when_day(WHEN_DAY_MS), 1);
    assert_int_equal(when_day(-1), -1);
    assert_int_equal(when_day(-WHEN_DAY_MS), -1);
    assert_int_equal(when_day(-WHEN_DAY_MS - 1), -2);
}

static void test_iso_read(void **state)
{
    static const struct {
        const char *text;
        int64_t want; /* -1: refused */
    } rows[] = {
        {"2026-01-31T12:00:00Z", INT64_C(1769860800000)},
        {"2026-01-31T12:00:00+00:00", INT64_C(1769860800000)},
        {"2026-01-31T12:00:00.123456Z", INT64_C(1769860800000)},
        {"2026-01-31T12:00:00.9+00:00", INT64_C(1769860800000)},
        {"2026-01-31T12:00:00.Z", -1},
        {"2026-01-31T12:00:00", -1},
        {"2026-01-31T12:00:00+01:00", -1},
        {"2026-01-31T12:00:00z", -1},
        {"2026-01-31 12:00:00Z", -1},
        {"2026-01-31T24:00:00Z", -1},
        {"2026-01-31T12:60:00Z", -1},
        {"2026-01-31T12:00:60Z", -1},
        {"2026-01-31T12:00:00ZZ", -1},
        {"2026-02-29T12:00:00Z", -1},
        {"2026-01-31T1:00:00Z", -1},
        {"2026-01-31", -1},
        {"", -1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t got = 4711;

        assert_int_equal(when_parse_iso(rows[i].text, &got), rows[i].want >= 0);
        assert_int_equal(got, rows[i].want >= 0 ? rows[i].want : 4711);
    }
}

static void test_iso_round_trip(void **state)
{
    (void)state;
    for (int64_t s = 0; s < (LAST_DAY + 1) * 86400; s += 12345677) {
        char text[WHEN_TEXT_MAX];
        int64_t back = -1;

        when_format_iso_ms(s * 1000, text);
        assert_true(when_parse_iso(text, &back));
        assert_int_equal(back, s * 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_day),
        cmocka_unit_test(test_texts_against_libc),
        cmocka_unit_test(test_dates_refused),
        cmocka_unit_test(test_fixed_texts),
        cmocka_unit_test(test_days),
        cmocka_unit_test(test_iso_read),
        cmocka_unit_test(test_iso_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
