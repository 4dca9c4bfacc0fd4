/* Tests of common/flatjson.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "flatjson.h"
#include "mem.h"

#define REPL "\xEF\xBF\xBD"

static void test_strings_are_written(void **state)
{
    static const struct {
        const char *text, *json;
    } rows[] = {
        {"", "\"\""},
        {"plain", "\"plain\""},
        {"a\"b\\c\nd", "\"a\\\"b\\\\c\\nd\""},
        {"\r\t\x01\x7f", "\"\\u000d\\u0009\\u0001\\u007f\""},
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80",
         "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""},
        {"x\xFFy", "\"x" REPL "y\""},
        {"\xC3", "\"" REPL "\""},
        {"\xC0\x80", "\"" REPL REPL "\""},          /* overlong */
        {"\xED\xA0\x80", "\"" REPL REPL REPL "\""}, /* surrogate */
        {"\xF4\x90\x80\x80", "\"" REPL REPL REPL REPL "\""},
        {"\xE2\x82", "\"" REPL REPL "\""},
    };
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *parsed;

        buf_reset(&b);
        flatjson_add_string(&b, rows[i].text);
        assert_string_equal(b.data, rows[i].json);
        parsed =
            json_loadb(b.data, b.len, JSON_DECODE_ANY, NULL); /* another's reader */
        assert_non_null(parsed);
        json_decref(parsed);
    }
    buf_done(&b);
}

static bool is_good(const char *text)
{
    struct flatjson j;

    flatjson_init(&j, text, strlen(text));
    flatjson_skip(&j);
    return flatjson_end(&j);
}

static void test_structure(void **state)
{
    static const char *const good[] = {
        "{}",      "[]",           " [ ] ",        "{\"a\":1,\"b\":[true,false,null]}",
        "\"\"",    "-1.5e+3",      "[[[[1]]],{}]", "{\"a\":{\"b\":\"\\\"\"}}\r\n\t ",
        "[\"]\"]", "{\"\":\"}\"}",
    };
    static const char *const bad[] = {
        "",          " ",
        "{",         "}",
        "[1",        "[1,",
        "[1,]",      "[,1]",
        "{\"a\"}",   "{\"a\":",
        "{\"a\":1",  "{\"a\":1,}",
        "{a:1}",     "{\"a\":1 \"b\":2}",
        "[1 2]",     "\"abc",
        "\"ab\\",    "\"a\nb\"",
        "tru",       "nul",
        "[1]x",      "{}{}",
        "{\"a\" 1}", "[}",
        "{]",        "{1:2}",
        "<html>",    "Retry later",
    };
    char deep[400];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (!is_good(good[i]))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (is_good(bad[i]))
            fail_msg("taken: %s", bad[i]);
    memset(deep, '[', 200);
    memset(deep + 200, ']', 200);
    deep[399] = '\0';
    assert_false(is_good(deep));
}

static void test_members(void **state)
{
    static const char text[] = "{\"n\":-42,\"s\":\"a\\u00e9\",\"t\":true,\"f\":false,"
                               "\"l\":[1,{\"x\":2}],\"null\":null,\"big\":1e3}";
    struct flatjson j;
    struct flatjson_span key, s = {0};
    int64_t n = 0, big = 7;
    bool t = false, f = true, none = true;
    size_t items = 0;

    (void)state;
    flatjson_init(&j, text, sizeof text - 1);
    assert_true(flatjson_open(&j, '{'));
    while (flatjson_key(&j, &key)) {
        if (flatjson_is(&key, "n"))
            assert_true(flatjson_int(&j, &n));
        else if (flatjson_is(&key, "s"))
            assert_true(flatjson_string(&j, &s));
        else if (flatjson_is(&key, "t"))
            assert_true(flatjson_bool(&j, &t));
        else if (flatjson_is(&key, "f"))
            assert_true(flatjson_bool(&j, &f));
        else if (flatjson_is(&key, "null"))
            assert_false(flatjson_bool(&j, &none));
        else if (flatjson_is(&key, "big"))
            assert_false(flatjson_int(&j, &big)); /* no whole number as such */
        else
            for (flatjson_open(&j, '['); flatjson_item(&j); items++)
                flatjson_skip(&j);
    }
    assert_true(flatjson_end(&j));
    assert_int_equal(n, -42);
    assert_int_equal(items, 2);
    assert_true(t && !f && none);
    assert_int_equal(big, 7);
    assert_true(flatjson_is(&s, "a\\u00e9"));
}

static void test_wrong_types_are_skipped(void **state)
{
    struct flatjson j;
    struct flatjson_span key, s = {0};
    int64_t n = 5;

    (void)state;
    flatjson_init(&j, "{\"a\":[1],\"b\":\"7\"}", 17);
    assert_true(flatjson_open(&j, '{'));
    assert_true(flatjson_key(&j, &key));
    assert_false(flatjson_string(&j, &s));
    assert_true(flatjson_key(&j, &key));
    assert_false(flatjson_int(&j, &n));
    assert_false(flatjson_key(&j, &key));
    assert_true(flatjson_end(&j));
    assert_int_equal(n, 5);
    assert_null(s.at);
}

static void test_bad_stays_bad(void **state)
{
    struct flatjson j;
    struct flatjson_span s;
    int64_t n;

    (void)state;
    flatjson_init(&j, "{} ", 3);
    assert_false(flatjson_open(&j, '['));
    assert_false(flatjson_open(&j, '{'));
    assert_false(flatjson_key(&j, &s));
    assert_false(flatjson_item(&j));
    assert_false(flatjson_string(&j, &s));
    assert_false(flatjson_int(&j, &n));
    assert_false(flatjson_end(&j));
}

static void test_escapes(void **state)
{
    static const struct {
        const char *raw, *text;
    } rows[] = {
        {"plain", "plain"},
        {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
        {"\\u0041\\u00e9\\u20AC", "A\xC3\xA9\xE2\x82\xAC"},
        {"\\ud83d\\ude00!", "\xF0\x9F\x98\x80!"},
        {"\\u003cb\\u003e", "<b>"},
        {"\\u0000", REPL},
        {"\\ud83d", REPL},
        {"\\ud83dx", REPL "x"},
        {"\\ud83d\\n", REPL "\n"},
        {"\\ud83d\\u0041", REPL "A"},
        {"\\ude00", REPL},
        {"\\u12", REPL "12"},
        {"\\uzzzz", REPL "zzzz"},
        {"\xFF\xC3\xA9", REPL "\xC3\xA9"},
        {"\\", ""},
    };
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct flatjson_span s = {rows[i].raw, strlen(rows[i].raw)};

        buf_reset(&b);
        flatjson_decode(&s, &b);
        assert_string_equal(b.data, rows[i].text);
    }
    buf_done(&b);
}

/* Whatever is written reads back the same. */
static void test_round_trip(void **state)
{
    struct buf in, json, out;

    (void)state;
    buf_init(&in, 4096);
    buf_init(&json, 4096);
    buf_init(&out, 4096);
    for (char c = 1; c < 0x7F; c++)
        buf_addc(&in, c);
    buf_adds(&in, "\x7f\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF4\x8F\xBF\xBF");
    flatjson_add_string(&json, in.data);
    flatjson_decode(&(struct flatjson_span){json.data + 1, json.len - 2}, &out);
    assert_string_equal(in.data, out.data);
    buf_done(&in);
    buf_done(&json);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings_are_written),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_wrong_types_are_skipped),
        cmocka_unit_test(test_bad_stays_bad),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
