/* Unit tests of network: what is an address or a network, and what it holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "mem.h"
#include "network.h"

static struct network_addr addr(const char *text)
{
    struct network_addr a;

    assert_true(network_parse_addr(text, strlen(text), &a));
    return a;
}

static void test_addresses(void **state)
{
    static const char *const good[][2] = {
        {"127.0.0.1", "127.0.0.1"},         {"::1", "::1"},
        {"2001:DB8:0:0::1", "2001:db8::1"}, {"::ffff:10.1.2.3", "10.1.2.3"},
        {"::ffff:0a01:0203", "10.1.2.3"},
    };
    static const char *const bad[] = {
        "",          "a",         "1.2.3",
        "1.2.3.4.5", "256.1.1.1", "[::1]",
        "::1%lo",    "1.2.3.4 ",  " 1.2.3.4",
        "1.2.3.4:5", ":::1",      "1.2.3.400000000000000000000000000000000000000000"};
    char text[NETWORK_TEXT_MAX];
    struct network_addr a;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        a = addr(good[i][0]);
        network_format(&a, text);
        assert_string_equal(text, good[i][1]);
    }
    memset(&a, 7, sizeof a);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(network_parse_addr(bad[i], strlen(bad[i]), &a));
        assert_int_equal(a.bytes[0], 7);
    }
    assert_false(network_parse_addr("1.2.3.4\0", 8, &a));
}

static void test_lists(void **state)
{
    static const struct {
        const char *list;
        const char *addr;
        bool in;
    } rows[] = {
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.1", false},
        {"10.9.9.9/8", "10.0.0.1", true},
        {"10.0.0.0/9", "10.127.255.255", true},
        {"10.0.0.0/9", "10.128.0.0", false},
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"0.0.0.0/0", "8.8.8.8", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "2001:db8::1", true},
        {"::/0", "8.8.8.8", false},
        {"::ffff:10.0.0.0/104", "10.1.1.1", true},
        {"10.0.0.0/8", "::ffff:10.1.1.1", true},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"10.0.0.0/8,2001:db8::1", "2001:db8::1", true},
        {"10.0.0.0/8,2001:db8::1", "2001:db8::2", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct network_list list;
        struct network_addr a = addr(rows[i].addr);

        assert_true(network_list_parse(rows[i].list, &list));
        if (network_list_has(&list, &a) != rows[i].in)
            fail_msg("%s in %s", rows[i].addr, rows[i].list);
        network_list_done(&list);
        assert_false(network_list_has(&list, &a));
    }
}

static void test_lists_that_are_none(void **state)
{
    static const char *const bad[] = {"",
                                      ",",
                                      "10.0.0.0/8,",
                                      ",::1",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "::ffff:10.0.0.0/8", /* all of ::/8 by its bits */
                                      "::ffff:10.0.0.0/95",
                                      "::1/129",
                                      "10.0.0.0/-1",
                                      "10.0.0.0/8/8",
                                      "10.0.0.0 /8",
                                      "10.0.0.1, ::1",
                                      "host.test",
                                      "10.0.0.0/008x",
                                      "/8"};
    struct network_list list = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (network_list_parse(bad[i], &list))
            fail_msg("taken: %s", bad[i]);
        assert_null(list.items);
    }
}

static void test_same_client(void **state)
{
    const struct network_addr a = addr("10.0.0.1"), b = addr("10.0.0.2");
    const struct network_addr c = addr("2001:db8::1"), d = addr("2001:db8::2:0:0:3");
    const struct network_addr e = addr("2001:db8:0:1::1");

    (void)state;
    assert_true(network_same_client(&a, &a));
    assert_false(network_same_client(&a, &b));
    assert_true(network_same_client(&c, &d));
    assert_false(network_same_client(&c, &e));
    assert_false(network_same_client(&a, &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_lists_that_are_none),
        cmocka_unit_test(test_same_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
