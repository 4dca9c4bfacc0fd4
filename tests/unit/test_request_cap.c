/* Which spellings count as one address and one agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "mem.h"
#include "request.h"

typedef void (*key_fn)(const char *text, char out[static REQUEST_DIGEST_LEN + 1]);

static bool same(key_fn key, const char *a, const char *b)
{
    char x[REQUEST_DIGEST_LEN + 1], y[REQUEST_DIGEST_LEN + 1];

    key(a, x);
    key(b, y);
    return strcmp(x, y) == 0;
}

static void test_agents(void **state)
{
    static const char *const one[] = {
        "Nina Weber",
        "nina weber",
        "NINA  WEBER",
        " Nina Weber ",
        "ninaweber",
        "Nina\tWeber",
        "Nina\xc2\xa0Weber" /* no-break space */,
        "Nina\xe2\x80\x8bWeber" /* zero width */,
        "\xef\xbc\xaeina Weber" /* wide N */,
        "\xef\xbd\x8eina Weber" /* wide n */,
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(one); i++)
        assert_true(same(request_cap_agent, one[0], one[i]));
    assert_true(same(request_cap_agent, "M\xc3\x9cLLER", "m\xc3\xbcller"));
    assert_true(same(request_cap_agent, "\xd0\x98\xd0\xb2\xd0\xb0\xd0\xbd",
                     "\xd0\xb8\xd0\x92\xd0\x90\xd0\x9d"));
    assert_false(same(request_cap_agent, "nina weber", "nina webe"));
    assert_false(same(request_cap_agent, "nina", "nino"));
    /* Not defended: a Cyrillic letter that looks like a Latin one. */
    assert_false(same(request_cap_agent, "nina", "nin\xd0\xb0"));
}

static void test_long_and_broken_names(void **state)
{
    char name[255 * 4 + 1], digest[REQUEST_DIGEST_LEN + 1];

    (void)state;
    for (size_t i = 0; i + 4 < sizeof name; i += 4)
        memcpy(name + i, "\xf0\x9f\x98\x80", 4);
    name[sizeof name - 1] = '\0';
    request_cap_agent(name, digest);
    assert_int_equal(strlen(digest), REQUEST_DIGEST_LEN);
    assert_true(same(request_cap_agent, "a\xff", "a"));
    assert_true(same(request_cap_agent, "", " "));
}

static void test_addresses(void **state)
{
    static const char *const one[] = {
        "nina@customer.example", "Nina@customer.example", "nina+2@customer.example",
        "NINA+a+b@customer.example", "nina+@customer.example"};
    char plain[REQUEST_DIGEST_LEN + 1], capped[REQUEST_DIGEST_LEN + 1];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(one); i++)
        assert_true(same(request_cap_address, one[0], one[i]));
    assert_false(same(request_cap_address, one[0], "nina2@customer.example"));
    assert_false(same(request_cap_address, one[0], "n.ina@customer.example"));
    assert_false(same(request_cap_address, "+a@customer.example", "@customer.example"));
    assert_true(same(request_cap_address, "a@b+c.example", "A@b+c.example"));
    /* What was counted before an upgrade goes on counting. */
    request_text_key(one[0], plain);
    request_cap_address(one[0], capped);
    assert_string_equal(plain, capped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agents),
        cmocka_unit_test(test_long_and_broken_names),
        cmocka_unit_test(test_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
