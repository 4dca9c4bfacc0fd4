/* test_num: strict integers and durations, to the ends of their ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "num.h"

static void test_integers(void **state)
{
    static const struct {
        const char *text;
        int64_t min, max, want;
        bool good;
    } rows[] = {
        {"0", 0, 10, 0, true},
        {"10", 0, 10, 10, true},
        {"-3", -3, 3, -3, true},
        {"9007199254740991", 1, INT64_C(9007199254740991), INT64_C(9007199254740991),
         true},
        {"9223372036854775807", INT64_MIN, INT64_MAX, INT64_MAX, true},
        {"9223372036854775808", INT64_MIN, INT64_MAX, 0, false},
        {"99999999999999999999999999", INT64_MIN, INT64_MAX, 0, false},
        {"11", 0, 10, 0, false},
        {"-1", 0, 10, 0, false},
        {"", 0, 10, 0, false},
        {"-", -5, 10, 0, false},
        {"--1", -5, 10, 0, false},
        {"+1", 0, 10, 0, false},
        {" 1", 0, 10, 0, false},
        {"1 ", 0, 10, 0, false},
        {"1\n", 0, 10, 0, false},
        {"1.0", 0, 10, 0, false},
        {"1e1", 0, 10, 0, false},
        {"0x1", 0, 10, 0, false},
        {"\xd9\xa1", 0, 10, 0, false}, /* ARABIC-INDIC DIGIT ONE */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t got = 4711;

        assert_int_equal(num_parse(rows[i].text, rows[i].min, rows[i].max, &got),
                         rows[i].good);
        assert_int_equal(got, rows[i].good ? rows[i].want : 4711);
    }
}

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        int64_t want; /* -1: refused */
    } rows[] = {
        {"0", 0},
        {"0s", 0},
        {"250ms", 250},
        {"30s", 30000},
        {"5m", 300000},
        {"6h", 21600000},
        {"30d", 2592000000},
        {"1", -1},
        {"", -1},
        {"s", -1},
        {"-1s", -1},
        {"1 s", -1},
        {"1S", -1},
        {"1sec", -1},
        {"1.5s", -1},
        {"5m30s", -1},
        {"5w", -1},
        {"106751991168d", -1},
        {"9223372036854775807ms", INT64_MAX},
        {"9223372036854775807s", -1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t got = 4711;

        assert_int_equal(num_parse_duration(rows[i].text, &got), rows[i].want >= 0);
        assert_int_equal(got, rows[i].want >= 0 ? rows[i].want : 4711);
    }
}

static void test_duration_texts(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {{0, "0ms"},       {1, "1ms"},       {1000, "1s"},
                {1500, "1500ms"}, {60000, "1m"},    {90000, "90s"},
                {3600000, "1h"},  {86400000, "1d"}, {INT64_C(2592000000), "30d"},
                {90000000, "25h"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t back = -1;
        char text[24];

        num_format_duration(rows[i].ms, text);
        assert_string_equal(text, rows[i].text);
        assert_true(num_parse_duration(text, &back));
        assert_int_equal(back, rows[i].ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_duration_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
