/* Whether text holds somebody's address, and not a longer one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "forget_needle.h"
#include "mem.h"

static bool finds(const char *address, const char *text)
{
    struct forget_needle n;

    assert_true(forget_needle_make(address, &n));
    return forget_needle_in(&n, text, strlen(text));
}

static void test_where_it_stands(void **state)
{
    static const char *const texts[] = {
        "nina@customer.example",
        "NINA@Customer.EXAMPLE",
        "{\"email\":\"nina@customer.example\",\"users\":0}",
        "{\"email\":\"nina\\u0040customer.example\"}",
        "email=nina%40customer.example&users=5",
        "550 5.1.1 <nina@customer.example>: no such user",
        "user 'nina@customer.example' unknown",
        "mailto:nina@customer.example.",
        "for nina@customer.example, please",
        "xnina@customer.example nina@customer.example",
        "\xff\xfe nina@customer.example\xff",
        "=nina@customer.example",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_true(finds("nina@customer.example", texts[i]));
        assert_true(finds("Nina@CUSTOMER.example", texts[i]));
    }
}

static void test_where_another_stands(void **state)
{
    static const char *const texts[] = {
        "",
        "nina",
        "nina@customer.exampl",
        "katnina@customer.example",
        "kat.nina@customer.example",
        "kat_nina@customer.example",
        "kat+nina@customer.example",
        "o'nina@customer.example",
        "nina@customer.example.org",
        "nina@customer.example-co.org",
        "nina@customer.examples",
        "nina@customer-example",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_false(finds("nina@customer.example", texts[i]));
    assert_true(finds("o'nina@customer.example", "<o'nina@customer.example>"));
    assert_false(finds("nina@customer.example", "nina+x@customer.example"));
}

static void test_bytes_end_where_they_end(void **state)
{
    static const char text[] = "nina@customer.example.org";
    struct forget_needle n;

    (void)state;
    assert_true(forget_needle_make("nina@customer.example", &n));
    assert_true(forget_needle_in(&n, text, strlen("nina@customer.example")));
    assert_true(forget_needle_in(&n, "a\0nina@customer.example", 23));
    assert_false(forget_needle_in(&n, text, 5));
    assert_false(forget_needle_in(&n, text, 0));
}

static void test_other_forms_of_a_domain(void **state)
{
    (void)state;
    assert_true(finds("nina@m\xc3\xbcller.example", "nina@xn--mller-kva.example"));
    assert_true(finds("nina@m\xc3\xbcller.example",
                      "{\"email\": \"nina@m\xc3\xbcller.example\"}"));
    assert_true(
        finds("nin\xc3\xa4@x.example", "nin\xc3\xa4@x.example")); /* was refused */
}

static void test_what_is_none(void **state)
{
    static const char *const none[] = {"",      "nina",  "@",    "@x",
                                       "nina@", "a b@x", "a@b\n"};
    struct forget_needle n;
    char long_one[400];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_false(forget_needle_make(none[i], &n));
    memset(long_one, '@', sizeof long_one);
    long_one[sizeof long_one - 1] = '\0';
    assert_false(forget_needle_make(long_one, &n));
    memset(long_one, 'x', sizeof long_one - 1);
    long_one[1] = '@';
    long_one[320] = '\0';
    assert_true(forget_needle_make(long_one, &n));
    assert_true(forget_needle_in(&n, long_one, 320));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_it_stands),
        cmocka_unit_test(test_where_another_stands),
        cmocka_unit_test(test_bytes_end_where_they_end),
        cmocka_unit_test(test_other_forms_of_a_domain),
        cmocka_unit_test(test_what_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
