/* test_identity: whose process is certainly gone, and whose is not. The neighbours are
 * children of this program. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../worker/identity.h" /* tests/unit has a header of that name */
#include "mem.h"

#define NONCE "abcdefghijkl"

static char own[160], host[80], place[96], start[24];

static int setup(void **state)
{
    char *colon;

    (void)state;
    identity_make(own, sizeof own, host, sizeof host);
    colon = strchr(own, ':');
    if (!colon || !strchr(colon + 1, ':'))
        return -1;
    (void)snprintf(place, sizeof place, "%.*s", (int)(strchr(colon + 1, ':') - own),
                   own);
    return sscanf(own + strlen(place), ":%*d:%23[0-9]:", start) == 1 ? 0 : -1;
}

static bool is_dead(const char *at, long pid, const char *ticks)
{
    char wid[256];

    (void)snprintf(wid, sizeof wid, "%s:%ld:%s:%s", at, pid, ticks, NONCE);
    return identity_is_dead_neighbour(own, wid);
}

static pid_t child(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        for (;;)
            (void)pause();
    return pid;
}

static void end(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_form(void **state)
{
    char boot[16], nonce[32], name[80];
    long pid;
    int len = 0;

    (void)state;
    assert_int_equal(sscanf(own, "%79[^: ]:%8[0-9a-f]:%ld:%*23[0-9]:%31[0-9a-z]%n",
                            name, boot, &pid, nonce, &len),
                     4);
    assert_int_equal(own[len], 0);
    assert_string_equal(name, host);
    assert_int_equal(strlen(boot), 8);
    assert_int_equal(strlen(nonce), 12);
    assert_int_equal(pid, getpid());
}

static void test_new_each_time(void **state)
{
    char again[160], name[80];

    (void)state;
    identity_make(again, sizeof again, name, sizeof name);
    assert_string_not_equal(own, again);
    assert_string_equal(host, name);
    assert_false(identity_is_dead_neighbour(own, again)); /* the same process */
}

static void test_own(void **state)
{
    (void)state;
    assert_false(identity_is_dead_neighbour(own, own));
    assert_false(is_dead(place, getpid(), start));
}

static void test_reaped_child(void **state)
{
    pid_t pid = child();

    (void)state;
    assert_false(is_dead(place, pid, "0")); /* lives, and nobody knows since when */
    end(pid);
    assert_true(is_dead(place, pid, "12345"));
    assert_true(is_dead(place, pid, "0"));
}

static void test_zombie_is_not_certain(void **state)
{
    pid_t pid = child();
    siginfo_t info;

    (void)state;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_false(is_dead(place, pid, "0"));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(is_dead(place, pid, "0"));
}

/* The pid was given to another process since. */
static void test_other_start(void **state)
{
    char other[26];

    (void)state;
    (void)snprintf(other, sizeof other, "1%.22s", start);
    assert_true(is_dead(place, getpid(), other));
    assert_false(is_dead(place, getpid(), "0"));
}

static void test_elsewhere(void **state)
{
    char other[160];
    pid_t pid = child();

    (void)state;
    end(pid);
    assert_true(is_dead(place, pid, start));
    (void)snprintf(other, sizeof other, "x%s", place); /* another host */
    assert_false(is_dead(other, pid, start));
    (void)snprintf(other, sizeof other, "%.*s", (int)strlen(host) - 1, host);
    (void)strcat(other, place + strlen(host)); /* a host whose name begins like ours */
    assert_false(is_dead(other, pid, start));
    (void)snprintf(other, sizeof other, "%s", place); /* another boot or namespace */
    other[strlen(other) - 1] = other[strlen(other) - 1] == '0' ? '1' : '0';
    assert_false(is_dead(other, pid, start));
}

static void test_garbage(void **state)
{
    static const char *const rows[] = {
        "",
        ":",
        "::::",
        "%s",
        "%s:",
        "%s::",
        "%s:1",
        "%s:x:1:" NONCE,
        "%s::1:" NONCE,
        "%s:0:1:" NONCE,
        "%s:-1:1:" NONCE,
        "%s:-99999:1:" NONCE,
        "%s:2147483648:1:" NONCE,
        "%s:4294967295:1:" NONCE,
        "%s:4294967296:1:" NONCE,
        "%s:99999999999999999999:1:" NONCE,
        "%s: 99999999:1:" NONCE,
        "%s:99999999:1",
        "%s:99999999:1:",
        "%s:99999999:x:" NONCE,
        "%s:99999999::" NONCE,
        "%s:99999999:1:" NONCE ":",
        "%s:99999999:1:" NONCE " x",
        "%sx:99999999:1:" NONCE,
        "%s:99999999:-1:" NONCE,
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *tail = strncmp(rows[i], "%s", 2) ? rows[i] : rows[i] + 2;
        char wid[256];

        (void)snprintf(wid, sizeof wid, "%s%s", tail == rows[i] ? "" : place, tail);
        if (identity_is_dead_neighbour(own, wid))
            fail_msg("dead: %s", wid);
        assert_false(identity_is_dead_neighbour(wid, wid));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_new_each_time),
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_reaped_child),
        cmocka_unit_test(test_zombie_is_not_certain),
        cmocka_unit_test(test_other_start),
        cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_garbage),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
