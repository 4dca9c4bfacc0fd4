/* What harden_process does, each time in a child: the test program itself must stay
 * able to dump core and to be traced. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harden.h"

#ifdef __has_feature
#define CLANG_ASAN __has_feature(address_sanitizer)
#else
#define CLANG_ASAN 0
#endif

/* AddressSanitizer turns mlock into nothing that always succeeds. */
#if defined(__SANITIZE_ADDRESS__) || CLANG_ASAN
#define MLOCK_IS_REAL 0
#else
#define MLOCK_IS_REAL 1
#endif

/* The exit status of a child that does this. */
static int in_child(int (*act)(void))
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        _exit(act());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int harden(void)
{
    struct rlimit core;
    struct err e;

    if (harden_process(&e))
        return 1;
    if (prctl(PR_GET_DUMPABLE, 0UL, 0UL, 0UL, 0UL) != 0)
        return 2;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0UL, 0UL, 0UL, 0UL) != 1)
        return 3;
    if (getrlimit(RLIMIT_CORE, &core) || core.rlim_cur || core.rlim_max)
        return 4;
    return umask(0) == 0077 ? 0 : 5;
}

static void test_harden(void **state)
{
    (void)state;
    assert_int_equal(in_child(harden), 0);
}

static int lose_standard_output(void)
{
    struct stat null, one;
    struct err e;

    (void)close(STDOUT_FILENO);
    (void)close(STDERR_FILENO);
    if (harden_process(&e) || stat("/dev/null", &null))
        return 1;
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
        if (fstat(fd, &one) || one.st_rdev != null.st_rdev)
            return 2;
    return open("/dev/null", O_RDONLY) > STDERR_FILENO ? 0 : 3;
}

static void test_standard_descriptors_are_open(void **state)
{
    (void)state;
    assert_int_equal(in_child(lose_standard_output), 0);
}

static int come_with_names(void)
{
    struct err e;

    (void)setenv("SSLKEYLOGFILE", "/tmp/keys", 1);
    (void)setenv("SSL_CERT_FILE", "/tmp/cert", 1);
    (void)setenv("SSL_CERT_DIR", "/tmp", 1);
    (void)setenv("OPENSSL_CONF", "/tmp/conf", 1);
    if (harden_process(&e) || !getenv("OPENSSL_CONF"))
        return 1;
    return getenv("SSLKEYLOGFILE") || getenv("SSL_CERT_FILE") || getenv("SSL_CERT_DIR")
               ? 2
               : 0;
}

static void test_environment(void **state)
{
    (void)state;
    assert_int_equal(in_child(come_with_names), 0);
}

static int be_unable_to_lock(void)
{
    const struct rlimit none = {0, 0};
    struct err e;

    if (setrlimit(RLIMIT_MEMLOCK, &none) || (harden_is_root() && setuid(4242)))
        return 1;
    if (harden_process(&e)) /* which is well without */
        return 2;
    return harden_check_lock(&e) && strstr(e.text, "RLIMIT_MEMLOCK") ? 0 : 3;
}

static void test_lock(void **state)
{
    struct err e;

    (void)state;
    assert_int_equal(harden_check_lock(&e), 0);
    if (MLOCK_IS_REAL)
        assert_int_equal(in_child(be_unable_to_lock), 0);
}

static int give_up_root(void)
{
    return setuid(4242) || harden_is_root();
}

static void test_root(void **state)
{
    (void)state;
    assert_int_equal(harden_is_root(), geteuid() == 0);
    if (geteuid() == 0)
        assert_int_equal(in_child(give_up_root), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_harden),
        cmocka_unit_test(test_standard_descriptors_are_open),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_root),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
