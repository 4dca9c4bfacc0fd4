/* Options and operands of stopgapctl, and times as people type them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "args.h"
#include "mem.h"

struct parsed {
    const char *text, *span, *file;
    bool flag, json;
    int operands;
    char *argv[10];
    struct err e;
};

/* words: blank-separated. */
static struct parsed parse(const char *words, bool first_only)
{
    static char copy[256];
    struct parsed p = {0};
    const struct arg_option own[] = {{"text", ARG_TEXT, &p.text},
                                     {"wait", ARG_SPAN, &p.span},
                                     {"flag", ARG_FLAG, &p.flag},
                                     {NULL, 0, NULL}};
    const struct arg_option global[] = {
        {"env-file", ARG_TEXT, &p.file}, {"json", ARG_FLAG, &p.json}, {NULL, 0, NULL}};
    int argc = 0;

    (void)snprintf(copy, sizeof copy, "%s", words);
    for (char *rest = copy, *word; (word = strsep(&rest, " "));)
        if (*word)
            p.argv[argc++] = word;
    p.operands = args_parse(p.argv, argc, first_only, own, global, &p.e);
    return p;
}

static void test_options_stand_anywhere(void **state)
{
    struct parsed p = parse("one --text a two --json --env-file=f --flag three", false);

    (void)state;
    assert_int_equal(p.operands, 3);
    assert_string_equal(p.argv[0], "one");
    assert_string_equal(p.argv[2], "three");
    assert_string_equal(p.text, "a");
    assert_string_equal(p.file, "f");
    assert_true(p.flag && p.json);
}

static void test_operands_that_look_like_options(void **state)
{
    struct parsed p = parse("- --flag -- --text -x", false);

    (void)state;
    assert_int_equal(p.operands, 3);
    assert_string_equal(p.argv[0], "-");
    assert_string_equal(p.argv[1], "--text");
    assert_string_equal(p.argv[2], "-x");
    assert_null(p.text);
}

static void test_first_only_leaves_the_rest(void **state)
{
    struct parsed p = parse("--json list --whatever -x", true);

    (void)state;
    assert_int_equal(p.operands, 3);
    assert_true(p.json);
    assert_string_equal(p.argv[1], "--whatever");
}

static void test_a_span_may_be_left_out(void **state)
{
    (void)state;
    assert_string_equal(parse("--wait 30 file", false).span, "30");
    assert_string_equal(parse("--wait 2m file", false).span, "2m");
    assert_string_equal(parse("--wait file", false).span, "");
    assert_int_equal(parse("--wait file", false).operands, 1);
    assert_string_equal(parse("--wait", false).span, "");
    assert_string_equal(parse("--wait=5", false).span, "5");
}

static void test_the_last_common_option_counts(void **state)
{
    (void)state;
    assert_string_equal(parse("--env-file a --env-file b", false).file, "b");
}

static void test_faults(void **state)
{
    static const struct {
        const char *words, *told;
    } cases[] = {
        {"--nothing", "no option --nothing"},  {"--nothing=1", "no option --nothing"},
        {"--tex a", "no option --tex"},        {"-t", "no option -t"},
        {"--text", "--text needs a value"},    {"--text a --text b", "given twice"},
        {"--flag=1", "--flag takes no value"}, {"--json=", "--json takes no value"},
        {"--wait=soon", "neither seconds"},    {"--wait=-1", "neither seconds"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct parsed p = parse(cases[i].words, false);

        assert_int_equal(p.operands, -1);
        assert_int_equal(p.e.class, ERR_CONFIG);
        assert_non_null(strstr(p.e.text, cases[i].told));
    }
}

static void test_since(void **state)
{
    const int64_t now = INT64_C(1769860800000); /* 2026-01-31T12:00:00Z */
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"2h", INT64_C(1769853600000)},
                {"3d", INT64_C(1769601600000)},
                {"30000d", 0},
                {"2026-01-31", INT64_C(1769817600000)},
                {"2026-01-31T11:59:00Z", INT64_C(1769860740000)}};
    static const char *const bad[] = {
        "", "2", "h", "2026-02-30", "yesterday", "2026-01-31T25:00:00Z", "-2h"};
    int64_t ms = 7;
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(args_since(good[i].text, now, &ms, &e), 0);
        assert_true(ms == good[i].ms);
    }
    ms = 7;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(args_since(bad[i], now, &ms, &e), -1);
        assert_int_equal(e.class, ERR_CONFIG);
        assert_true(ms == 7);
    }
}

static void test_span(void **state)
{
    int64_t ms;

    (void)state;
    assert_true(args_span("30", &ms) && ms == 30000);
    assert_true(args_span("0", &ms) && ms == 0);
    assert_true(args_span("250ms", &ms) && ms == 250);
    assert_false(args_span("86401", &ms));
    assert_false(args_span("", &ms));
    assert_false(args_span("1.5", &ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_stand_anywhere),
        cmocka_unit_test(test_operands_that_look_like_options),
        cmocka_unit_test(test_first_only_leaves_the_rest),
        cmocka_unit_test(test_a_span_may_be_left_out),
        cmocka_unit_test(test_the_last_common_option_counts),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_since),
        cmocka_unit_test(test_span),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
