/* test_err: the error value: classes by name, text that stays one line of UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "err.h"
#include "mem.h"
#include "utf8.h"

static void test_set(void **state)
{
    struct err e = {.retry_after_ms = 5};

    (void)state;
    assert_int_equal(err_set(&e, ERR_AUTH, 535, "no %s", "entry"), -1);
    assert_int_equal(e.class, ERR_AUTH);
    assert_int_equal(e.code, 535);
    assert_int_equal(e.retry_after_ms, 0);
    assert_string_equal(e.text, "no entry");
    err_clear(&e);
    assert_int_equal(e.class, ERR_NONE);
    assert_int_equal(e.code, 0);
    assert_string_equal(e.text, "");
}

static void test_own_text_as_argument(void **state)
{
    struct err e;

    (void)state;
    (void)err_set(&e, ERR_TRANSIENT, 1, "inner");
    (void)err_set(&e, ERR_TRANSIENT, 1, "outer %s", e.text);
    assert_string_equal(e.text, "outer inner");
    (void)err_wrap(&e, "%s", e.text);
    assert_string_equal(e.text, "outer inner: outer inner");
}

static void test_tidy(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"two\r\nlines", "two  lines"},
        {"tab\tbell\a del\x7f.", "tab bell  del ."},
        {"blank at the end \n", "blank at the end"},
        {"\n", ""},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"Latin-1: gr\xfc\xdf", "Latin-1: gr??"},
        {"half \xe2\x82", "half ??"},
        {"C1 \xc2\x9b[31m", "C1  [31m"},
        {"turned \xe2\x80\xaeround", "turned  round"},
        {"line\xe2\x80\xa8separator", "line separator"},
        {"over-long \xc0\xaf", "over-long ??"},
    };
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        (void)err_set(&e, ERR_BUG, 0, "%s", rows[i].in);
        assert_string_equal(e.text, rows[i].out);
    }
}

/* Every length around the limit, every alignment of a three-byte character. */
static void test_cut_at_a_character(void **state)
{
    struct err e;
    char text[2 * ERR_TEXT_MAX];

    (void)state;
    for (size_t shift = 0; shift < 3; shift++) {
        size_t len = shift;

        memset(text, 'x', shift);
        for (; len + 3 < sizeof text; len += 3)
            memcpy(text + len, "\xe2\x82\xac", 3);
        text[len] = '\0';
        (void)err_set(&e, ERR_BUG, 0, "%s", text);
        len = strlen(e.text);
        assert_int_equal(utf8_valid_len(e.text, len), len);
        assert_true(len > ERR_TEXT_MAX - 4);
        assert_int_equal(strncmp(e.text, text, len), 0);
    }
}

static void test_full_is_not_cut(void **state)
{
    char text[ERR_TEXT_MAX];
    struct err e;

    (void)state;
    memset(text, 'x', sizeof text);
    memcpy(text + sizeof text - 4, "\xe2\x82\xac", 4);
    (void)err_set(&e, ERR_BUG, 0, "%s", text);
    assert_string_equal(e.text, text);
}

static void test_wrap(void **state)
{
    struct err e;

    (void)state;
    (void)err_set(&e, ERR_PERMANENT, 550, "no such user");
    e.retry_after_ms = 7;
    assert_int_equal(err_wrap(&e, "mail for job %d", 3), -1);
    assert_string_equal(e.text, "mail for job 3: no such user");
    assert_int_equal(e.class, ERR_PERMANENT);
    assert_int_equal(e.code, 550);
    assert_int_equal(e.retry_after_ms, 7);
}

static void test_wrap_of_long_texts(void **state)
{
    char prefix[ERR_TEXT_MAX], text[ERR_TEXT_MAX];
    struct err e;

    (void)state;
    for (size_t shift = 0; shift < 3; shift++) {
        size_t len;

        memset(prefix, 'p', sizeof prefix);
        for (len = shift; len + 3 < sizeof prefix; len += 3)
            memcpy(prefix + len, "\xe2\x82\xac", 3);
        prefix[len] = '\0';
        memset(text, 't', sizeof text);
        text[sizeof text - 1] = '\0';
        (void)err_set(&e, ERR_BUG, 0, "%s", text);
        (void)err_wrap(&e, "%s", prefix);
        len = strlen(e.text);
        assert_int_equal(utf8_valid_len(e.text, len), len);
        assert_null(strchr(e.text, '?'));
        assert_non_null(strstr(e.text, ": tttt"));
        assert_int_equal(len, ERR_TEXT_MAX - 1);
    }
}

static void test_names(void **state)
{
    static const char *const names[] = {
        "none",         "invalid",   "out_of_scope", "permanent", "auth",
        "rate_limited", "transient", "ambiguous",    "limit",     "poison",
        "cancelled",    "config",    "bug"};

    (void)state;
    assert_int_equal(ARRAY_LEN(names), ERR_CLASS_COUNT);
    for (unsigned i = 0; i < ERR_CLASS_COUNT; i++) {
        assert_string_equal(err_class_name((enum err_class)i), names[i]);
        assert_int_equal(err_class_parse(names[i]), i);
    }
    assert_int_equal(err_class_parse("Invalid"), ERR_CLASS_COUNT);
    assert_int_equal(err_class_parse(""), ERR_CLASS_COUNT);
    assert_string_equal(err_class_name(ERR_CLASS_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_own_text_as_argument),
        cmocka_unit_test(test_tidy),
        cmocka_unit_test(test_cut_at_a_character),
        cmocka_unit_test(test_full_is_not_cut),
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_wrap_of_long_texts),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
