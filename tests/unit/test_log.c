/* test_log: lines as they leave through stderr, which is a pipe here. Each must be one
 * line, and what foreign text holds must not change that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include <cmocka.h>

#include "log.h"
#include "mem.h"
#include "utf8.h"
#include "when.h"

static char line[16384];
static size_t line_len;
static int saved_stderr, ends[2];

static void catch_stderr(void)
{
    (void)fflush(stderr);
    saved_stderr = dup(STDERR_FILENO);
    assert_true(saved_stderr >= 0);
    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    assert_int_equal(close(ends[1]), 0);
}

/* A line is smaller than a pipe holds, so writing it did not block. */
static void release_stderr(void)
{
    ssize_t n;

    assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
    assert_int_equal(close(saved_stderr), 0);
    line_len = 0;
    while ((n = read(ends[0], line + line_len, sizeof line - 1 - line_len)) > 0)
        line_len += (size_t)n;
    line[line_len] = '\0';
    assert_int_equal(close(ends[0]), 0);
}

/* One line with one field, into `line`. */
static void write_field(bool json, const char *key, const char *value)
{
    struct log_line l;

    log_setup(LOG_INFO, json);
    catch_stderr();
    log_begin(&l, LOG_INFO, "test");
    log_str(&l, key, value);
    log_end(&l);
    release_stderr();
}

static void assert_one_clean_line(void)
{
    assert_true(line_len > 0);
    assert_ptr_equal(strchr(line, '\n'), line + line_len - 1);
    assert_int_equal(strlen(line), line_len);
    assert_int_equal(utf8_valid_len(line, line_len), line_len);
    for (const char *p = line, *end = line + line_len - 1; p < end;)
        assert_true(utf8_printable(utf8_next(&p, end)));
}

static const struct {
    const char *value, *logfmt, *json;
} rows[] = {
    {"plain", "plain", "\"plain\""},
    {"", "\"\"", "\"\""},
    {"two words", "\"two words\"", "\"two words\""},
    {"a=b", "\"a=b\"", "\"a=b\""},
    {"say \"hi\"", "\"say \\\"hi\\\"\"", "\"say \\\"hi\\\"\""},
    {"back\\slash", "\"back\\\\slash\"", "\"back\\\\slash\""},
    {"x\nlevel=error", "\"x\\nlevel=error\"", "\"x\\nlevel=error\""},
    {"\r\t\x1b[31m", "\"\\u000d\\u0009\\u001b[31m\"", "\"\\u000d\\u0009\\u001b[31m\""},
    {"\x7f", "\"\\u007f\"", "\"\\u007f\""},
    {"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"", "\"gr\xc3\xbc\xc3\x9f\""},
    {"\xf0\x9f\x94\x91", "\"\xf0\x9f\x94\x91\"", "\"\xf0\x9f\x94\x91\""},
    {"\xc2\x9b"
     "31m",
     "\"\\u009b31m\"", "\"\\u009b31m\""},
    {"\xe2\x80\xae", "\"\\u202e\"", "\"\\u202e\""},
    {"gr\xfc.", "\"gr\\ufffd.\"", "\"gr\\ufffd.\""},
    {"cut \xe2\x82", "\"cut \\ufffd\\ufffd\"", "\"cut \\ufffd\\ufffd\""},
};

static void test_logfmt(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char want[128];

        write_field(false, "k", rows[i].value);
        assert_one_clean_line();
        (void)snprintf(want, sizeof want, " level=info event=test k=%s\n",
                       rows[i].logfmt);
        assert_non_null(strstr(line, want));
        assert_int_equal(strncmp(line, "ts=", 3), 0);
    }
}

static void test_json(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char want[128];
        json_t *root;

        write_field(true, "k", rows[i].value);
        assert_one_clean_line();
        (void)snprintf(want, sizeof want, ",\"k\":%s}\n", rows[i].json);
        assert_non_null(strstr(line, want));
        root = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(root);
        assert_string_equal(json_string_value(json_object_get(root, "level")), "info");
        assert_string_equal(json_string_value(json_object_get(root, "event")), "test");
        if (utf8_valid_len(rows[i].value, strlen(rows[i].value)) ==
            strlen(rows[i].value))
            assert_string_equal(json_string_value(json_object_get(root, "k")),
                                rows[i].value);
        json_decref(root);
    }
}

/* Values of every kind that are too long for a line, alone and with others after. */
static void test_over_long(void **state)
{
    static const char *const units[] = {"x", "\n", "\"", "\xe2\x82\xac", "\x01", "a b"};

    (void)state;
    for (size_t u = 0; u < ARRAY_LEN(units); u++) {
        for (int json = 0; json < 2; json++) {
            struct log_line l;
            struct buf big;
            json_t *root;

            buf_init(&big, 100000);
            for (int i = 0; i < 9000; i++)
                buf_adds(&big, units[u]);
            log_setup(LOG_INFO, json);
            catch_stderr();
            log_begin(&l, LOG_INFO, "test");
            log_str(&l, "big", big.data);
            log_str(&l, "more", big.data);
            for (int i = 0; i < 100; i++)
                log_int(&l, "n", INT64_MIN);
            log_end(&l);
            release_stderr();
            assert_one_clean_line();
            assert_in_range(line_len, 1024, 8192);
            if (json) {
                root = json_loads(line, 0, NULL);
                assert_non_null(root);
                assert_non_null(json_object_get(root, "big"));
                json_decref(root);
            } else {
                assert_non_null(strstr(line, "...\""));
            }
            buf_done(&big);
        }
    }
}

/* Fields until the line is full: each length at which it may end. */
static void test_full_line(void **state)
{
    (void)state;
    for (int len = 1; len < 64; len++) {
        struct log_line l;
        char value[65];

        (void)snprintf(value, sizeof value, "%*s", len, "\n");
        log_setup(LOG_INFO, true);
        catch_stderr();
        log_begin(&l, LOG_INFO, "test");
        for (int i = 0; i < 2000; i++)
            log_str(&l, "k", value);
        log_end(&l);
        release_stderr();
        assert_one_clean_line();
        json_decref(json_loads(line, 0, NULL));
        assert_int_equal(line[line_len - 2], '}');
        assert_in_range(line_len, 7000, 8192);
    }
}

static void test_fields(void **state)
{
    struct log_line l;
    struct err e;

    (void)state;
    (void)err_set(&e, ERR_PERMANENT, 550, "no such user");
    log_setup(LOG_INFO, false);
    catch_stderr();
    log_begin(&l, LOG_WARN, "step");
    log_str(&l, "left_out", NULL);
    log_int(&l, "n", -5);
    log_err(&l, &e);
    log_end(&l);
    release_stderr();
    assert_non_null(strstr(line, " level=warn event=step n=-5 class=permanent code=550 "
                                 "err=\"no such user\"\n"));
}

static void test_stamp(void **state)
{
    int64_t ms;
    char stamp[WHEN_TEXT_MAX];

    (void)state;
    write_field(false, "k", "v");
    assert_int_equal(sscanf(line, "ts=%39s", stamp), 1);
    assert_true(when_parse_iso(stamp, &ms));
    assert_int_equal(strlen(stamp), strlen("2026-01-31T12:00:00.000Z"));
}

static void test_levels(void **state)
{
    static const enum log_level levels[] = {LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG};

    (void)state;
    for (size_t set = 0; set < ARRAY_LEN(levels); set++) {
        for (size_t at = 0; at < ARRAY_LEN(levels); at++) {
            struct log_line l;

            log_setup(levels[set], false);
            catch_stderr();
            log_begin(&l, levels[at], "test");
            log_str(&l, "k", "v");
            log_int(&l, "n", 1);
            log_end(&l);
            log_msg(levels[at], "test", "%s", "words");
            release_stderr();
            assert_int_equal(log_enabled(levels[at]), at <= set);
            assert_int_equal(line_len > 0, at <= set);
        }
    }
}

static void test_msg(void **state)
{
    char big[5000];

    (void)state;
    log_setup(LOG_INFO, false);
    catch_stderr();
    log_msg(LOG_INFO, "hello", "%d jobs\nlevel=error", 3);
    release_stderr();
    assert_one_clean_line();
    assert_non_null(strstr(line, " event=hello msg=\"3 jobs\\nlevel=error\"\n"));
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = '\0';
    catch_stderr();
    log_msg(LOG_INFO, "hello", "%s", big);
    release_stderr();
    assert_one_clean_line();
    assert_in_range(line_len, 1024, 8192);
}

static void say(enum log_level level, const char *words)
{
    log_msg(level, "test", "%s", words);
}

static void test_held_lines_leave_together(void **state)
{
    (void)state;
    log_setup(LOG_INFO, false);
    catch_stderr();
    log_hold(true);
    say(LOG_INFO, "one");
    say(LOG_INFO, "two");
    release_stderr();
    assert_int_equal(line_len, 0);
    catch_stderr();
    log_flush();
    log_flush();
    release_stderr();
    assert_non_null(strstr(strstr(line, "msg=one\n"), "msg=two\n"));
    catch_stderr();
    say(LOG_INFO, "three");
    say(LOG_WARN, "four"); /* is not held, nor what came before it */
    release_stderr();
    assert_non_null(strstr(strstr(line, "msg=three\n"), "msg=four\n"));
    catch_stderr();
    say(LOG_INFO, "five");
    log_hold(false);
    say(LOG_INFO, "six");
    release_stderr();
    assert_non_null(strstr(strstr(line, "msg=five\n"), "msg=six\n"));
}

/* A line that is longer than what is held leaves by itself, and takes none along. */
static void test_a_long_line_is_not_lost(void **state)
{
    char big[6000];
    struct log_line l;

    (void)state;
    memset(big, 'b', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    log_setup(LOG_INFO, false);
    catch_stderr();
    log_hold(true);
    say(LOG_INFO, "one");
    log_begin(&l, LOG_INFO, "test");
    log_str(&l, "msg", big);
    log_end(&l);
    say(LOG_INFO, "two");
    say(LOG_ERROR, "three");
    log_hold(false);
    release_stderr();
    assert_non_null(strstr(line, "msg=one\n"));
    assert_non_null(strstr(strstr(line, "msg=one\n"), "msg=bbb"));
    assert_non_null(strstr(strstr(line, "msg=bbb"), "msg=two\n"));
    assert_non_null(strstr(strstr(line, "msg=two\n"), "msg=three\n"));
}

static void test_held_lines_are_bounded(void **state)
{
    size_t lines = 0;

    (void)state;
    log_setup(LOG_INFO, false);
    log_hold(true);
    catch_stderr();
    for (int i = 0; i < 100; i++)
        say(LOG_INFO, "a line that does not wait for a flush that never comes");
    release_stderr();
    assert_in_range(line_len, 6000, sizeof line - 1);
    catch_stderr();
    log_hold(false);
    release_stderr();
    assert_in_range(line_len, 1, 4096);
    for (const char *p = line; (p = strchr(p, '\n')); p++)
        lines++;
    assert_in_range(lines, 1, 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logfmt),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_over_long),
        cmocka_unit_test(test_full_line),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_stamp),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_msg),
        cmocka_unit_test(test_held_lines_leave_together),
        cmocka_unit_test(test_a_long_line_is_not_lost),
        cmocka_unit_test(test_held_lines_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
