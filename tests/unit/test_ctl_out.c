/* What stopgapctl prints: escaped text, spans, tables, and the scripts' answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "answer.h"
#include "mem.h"
#include "out.h"
#include "utf8.h"

static void test_foreign_text_is_escaped(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *shown;
    } cases[] = {
        {"plain ~", 7, "plain ~"},
        {"Zo\xc3\xab \xe2\x82\xac", 8, "Zo\xc3\xab \xe2\x82\xac"},
        {"a\nb\tc\rd", 7, "a\\nb\\tc\\x0dd"},
        {"\033[2J", 4, "\\x1b[2J"},
        {"\0\x7f", 2, "\\x00\\x7f"},
        {"\xc2\x9b", 2, "\\u{9b}"},            /* C1: CSI in one character */
        {"\xe2\x80\xae", 3, "\\u{202e}"},      /* right to left from here */
        {"\xe2\x80\x8b", 3, "\\u{200b}"},      /* no width */
        {"\xf3\xa0\x81\xa1", 4, "\\u{e0061}"}, /* a tag: no width */
        {"\xff\xc3", 2, "\\xff\\xc3"},         /* not UTF-8; cut */
        {"\xc0\x9b", 2, "\\xc0\\x9b"},         /* over-long */
    };
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_reset(&out);
        out_text(&out, cases[i].bytes, cases[i].len);
        assert_string_equal(out.data, cases[i].shown);
    }
    buf_done(&out);
}

/* Whatever the bytes are: what comes out is UTF-8 and only printable. */
static void test_no_bytes_come_through(void **state)
{
    unsigned int seed = 1;
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 16);
    for (int round = 0; round < 20000; round++) {
        char bytes[16];

        for (size_t i = 0; i < sizeof bytes; i++) {
            seed = seed * 1103515245u + 12345u;
            bytes[i] = (char)(seed >> 16);
        }
        buf_reset(&out);
        out_text(&out, bytes, sizeof bytes);
        for (const char *p = out.data, *end = out.data + out.len; p < end;) {
            int32_t c = utf8_next(&p, end);

            assert_true(c >= 0 && utf8_printable(c));
        }
    }
    buf_done(&out);
}

static void test_times_and_spans(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } spans[] = {{-5, "0s"},           {0, "0s"},           {50, "50ms"},
                 {4250, "4.2s"},       {10000, "10s"},      {59999, "59s"},
                 {60000, "1m00s"},     {723000, "12m03s"},  {18120000, "5h02m"},
                 {86399999, "23h59m"}, {273600000, "3d04h"}};
    char text[OUT_TIME_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(spans); i++) {
        out_span(spans[i].ms, text);
        assert_string_equal(text, spans[i].text);
    }
    out_time(0, text);
    assert_string_equal(text, "-");
    out_time(INT64_C(1769860800999), text);
    assert_string_equal(text, "2026-01-31T12:00:00Z");
}

static void test_table(void **state)
{
    static const char *const heads[] = {"A", "LONG", "Z"};
    struct out_table t;
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 16);
    out_table_init(&t, heads, 3);
    out_table_cell(&t, "\xc3\xab\xc3\xab"); /* two characters */
    out_table_cell(&t, NULL);
    out_table_cell(&t, "end");
    out_table_int(&t, -12345);
    out_table_cell(&t, "a\nb");
    out_table_cell(&t, "");
    out_table_add(&t, &out);
    assert_string_equal(out.data, "A       LONG  Z\n"
                                  "\xc3\xab\xc3\xab      -     end\n"
                                  "-12345  a\\nb  -\n");
    out_table_done(&t);
    buf_done(&out);
}

static void test_fields(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 16);
    out_field(&out, "state", "done");
    out_field(&out, "note", "");
    out_field(&out, "note", NULL);
    out_field(&out, "why", "a\nb");
    assert_string_equal(out.data, "state         done\nwhy           a\\nb\n");
    buf_done(&out);
}

static void test_answers(void **state)
{
    static const struct {
        enum answer_verb verb;
        const char *word, *detail, *part;
        bool done;
    } cases[] = {
        {ANSWER_REQUEUE, "OK", "", "ID is queued again", true},
        {ANSWER_REQUEUE, "STATE", "active", "ID is active", false},
        {ANSWER_REQUEUE, "STALE", "", "`stopgapctl requeue ID --redo sign`", false},
        {ANSWER_REQUEUE, "AMBIGUOUS", "", "requeue ID --mail-arrived`", false},
        {ANSWER_REQUEUE, "AMBIGUOUS", "", "requeue ID --redo email`", false},
        {ANSWER_REQUEUE, "NOTAMBIGUOUS", "", "this one did not", false},
        {ANSWER_REQUEUE, "DUPLICATE", "FIRST", "duplicate of FIRST", false},
        {ANSWER_REQUEUE, "NONE", "", "no such job", false},
        {ANSWER_RESEND, "OK", "FIRST", "FIRST: its license", true},
        {ANSWER_RESEND, "EXPIRED", "", "has expired", false},
        {ANSWER_RESEND, "SPENT", "", "three times", false},
        {ANSWER_DISCARD, "OK", "", "ID is discarded", true},
        {ANSWER_DISCARD, "STATE", "\033", "ID is \\x1b: only", false},
        {ANSWER_DISCARD, "WHAT", "", "answered \"WHAT\"", false},
    };
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct client_answer a;

        (void)snprintf(a.word, sizeof a.word, "%s", cases[i].word);
        (void)snprintf(a.detail, sizeof a.detail, "%s", cases[i].detail);
        buf_reset(&out);
        assert_int_equal(answer_text(cases[i].verb, "ID", &a, &out), cases[i].done);
        assert_non_null(strstr(out.data, cases[i].part));
    }
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign_text_is_escaped),
        cmocka_unit_test(test_no_bytes_come_through),
        cmocka_unit_test(test_times_and_spans),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
