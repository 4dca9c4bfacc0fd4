/* Unit tests of notify: what arrives at a service manager's socket, and what it asks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "mem.h"
#include "notify.h"

/* A socket that listens where NOTIFY_SOCKET then points. */
static int listen_at(struct sockaddr_un *at, socklen_t len, const char *name)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)at, len), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    return fd;
}

static void assert_heard(int fd, const char *text)
{
    char got[200];
    ssize_t n = recv(fd, got, sizeof got - 1, MSG_DONTWAIT);

    assert_true(n >= 0);
    got[n] = '\0';
    assert_string_equal(got, text);
}

static void test_path(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char folder[] = "/tmp/notify-XXXXXX";
    struct err e;
    int fd;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s/socket", folder);
    fd = listen_at(&at, sizeof at, at.sun_path);
    assert_int_equal(notify_send("READY=1", &e), 0);
    assert_int_equal(notify_send("STOPPING=1\nSTATUS=x", &e), 0);
    assert_heard(fd, "READY=1");
    assert_heard(fd, "STOPPING=1\nSTATUS=x");
    (void)close(fd);
    assert_int_equal(notify_send("READY=1", &e), -1); /* nobody there any more */
    assert_int_equal(e.class, ERR_TRANSIENT);
    assert_non_null(strstr(e.text, at.sun_path));
    (void)unlink(at.sun_path);
    assert_int_equal(notify_send("READY=1", &e), -1);
    (void)rmdir(folder);
}

static void test_abstract(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char name[64];
    struct err e;
    size_t len;
    int fd;

    (void)state;
    len = (size_t)snprintf(name, sizeof name, "@stopgap-test-notify-%d", (int)getpid());
    memcpy(at.sun_path + 1, name + 1, len - 1);
    fd =
        listen_at(&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len), name);
    assert_int_equal(notify_send("WATCHDOG=1", &e), 0);
    assert_heard(fd, "WATCHDOG=1");
    (void)close(fd);
}

static void test_nobody_asked(void **state)
{
    struct err e;

    (void)state;
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    assert_int_equal(notify_send("READY=1", &e), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", "", 1), 0);
    assert_int_equal(notify_send("READY=1", &e), 0);
}

static void test_no_address(void **state)
{
    char too_long[200] = "/";
    const char *const bad[] = {"relative", "/", "@", "vsock:2:1", too_long};
    struct err e;

    (void)state;
    memset(too_long + 1, 'x', sizeof too_long - 2);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", bad[i], 1), 0);
        assert_int_equal(notify_send("READY=1", &e), -1);
    }
    assert_int_equal(e.class, ERR_CONFIG);
}

/* A reader that never reads costs a moment, not the loop. */
static void test_full(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char name[64];
    struct err e;
    size_t len;
    int fd, sent = 0;

    (void)state;
    len = (size_t)snprintf(name, sizeof name, "@stopgap-test-full-%d", (int)getpid());
    memcpy(at.sun_path + 1, name + 1, len - 1);
    fd =
        listen_at(&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len), name);
    while (sent < 1000000 && notify_send("WATCHDOG=1", &e) == 0)
        sent++;
    assert_in_range(sent, 1, 999999);
    assert_int_equal(e.class, ERR_TRANSIENT);
    (void)close(fd);
}

static void test_watchdog(void **state)
{
    char mine[24], other[24];

    (void)state;
    (void)snprintf(mine, sizeof mine, "%d", (int)getpid());
    (void)snprintf(other, sizeof other, "%d", (int)getpid() + 1);
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    assert_int_equal(notify_watchdog_ms(), 0);
    (void)setenv("WATCHDOG_USEC", "30000000", 1);
    assert_int_equal(notify_watchdog_ms(), 30000);
    (void)setenv("WATCHDOG_PID", mine, 1);
    assert_int_equal(notify_watchdog_ms(), 30000);
    (void)setenv("WATCHDOG_PID", other, 1);
    assert_int_equal(notify_watchdog_ms(), 0);
    (void)setenv("WATCHDOG_PID", mine, 1);
    (void)setenv("WATCHDOG_USEC", "1", 1);
    assert_int_equal(notify_watchdog_ms(), 1);
    (void)setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(notify_watchdog_ms(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path),         cmocka_unit_test(test_abstract),
        cmocka_unit_test(test_nobody_asked), cmocka_unit_test(test_no_address),
        cmocka_unit_test(test_full),         cmocka_unit_test(test_watchdog),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
