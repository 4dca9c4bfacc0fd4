/* Who is at the keyboard, from what the environment claims. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "actor.h"
#include "mem.h"

static void assert_who(const char *user, const char *sudo_user, const char *who)
{
    const struct actor_claims claims = {.user = user, .sudo_user = sudo_user};
    struct actor a;

    actor_init(&a, &claims);
    if (who)
        assert_string_equal(a.who, who);
    else
        assert_true(*a.who && !strpbrk(a.who, " \t\n\033"));
    actor_done(&a);
}

static void test_the_first_name_counts(void **state)
{
    char longest[257];

    (void)state;
    assert_who("nina", NULL, "nina");
    assert_who("root", "nina", "nina");
    assert_who("nina", "", "nina");
    assert_who("nina", "a b", "nina");
    assert_who("M\xc3\xbcller", NULL, "M\xc3\xbcller");
    memset(longest, 'x', sizeof longest);
    longest[255] = '\0';
    assert_who(longest, NULL, longest);
}

static void test_what_is_no_name(void **state)
{
    static const char *const none[] = {NULL,   "",         " ",           "a b",
                                       "a\tb", "a\nb",     "\xff",        "\033[2J",
                                       "\x7f", "\xc2\x85", "\xe2\x80\xae"};
    char long_one[257];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_who(none[i], none[i], NULL);
    memset(long_one, 'x', sizeof long_one);
    long_one[256] = '\0';
    assert_who(long_one, NULL, NULL);
}

static void assert_ssh(const char *connection, const char *address)
{
    const struct actor_claims claims = {.ssh_connection = connection};
    struct actor a;
    char *ssh;

    actor_init(&a, &claims);
    assert_non_null(strchr(a.from, '@'));
    assert_null(strpbrk(a.from, "\t\n\033"));
    ssh = strstr(a.from, " ssh ");
    if (address)
        assert_string_equal(ssh + 5, address);
    else
        assert_null(ssh);
    actor_done(&a);
}

static void test_from_where(void **state)
{
    char long_one[80];

    (void)state;
    assert_ssh("203.0.113.7 1 198.51.100.1 22", "203.0.113.7");
    assert_ssh("2001:db8::1 1 2001:db8::2 22", "2001:db8::1");
    assert_ssh("203.0.113.7", "203.0.113.7");
    assert_ssh(NULL, NULL);
    assert_ssh("", NULL);
    assert_ssh(" 1 2 3", NULL);
    assert_ssh("a\tb 1 2 3", NULL);
    assert_ssh("\033[2J 1 2 3", NULL);
    memset(long_one, '1', sizeof long_one);
    long_one[65] = '\0';
    assert_ssh(long_one, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_name_counts),
        cmocka_unit_test(test_what_is_no_name),
        cmocka_unit_test(test_from_where),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
