/* test_secret: memory of secrets, and the rules for the files that hold them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "mem.h"
#include "secret.h"

static char folder[64];
static char path[128];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/test-secret-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

static void put(const char *bytes, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static void expect_refusal(const char *words)
{
    struct secret s = {0};
    struct err e;

    err_clear(&e);
    assert_int_equal(secret_read_file(&s, path, 16, true, &e), -1);
    assert_int_equal(e.class, ERR_CONFIG);
    assert_non_null(strstr(e.text, path));
    if (!strstr(e.text, words))
        fail_msg("\"%s\" does not say \"%s\"", e.text, words);
    assert_null(s.data);
}

static void expect_read(bool strip, const char *bytes, size_t len)
{
    struct secret s = {0};
    struct err e;

    if (secret_read_file(&s, path, 16, strip, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(s.len, len);
    if (len)
        assert_memory_equal(s.data, bytes, len + 1);
    else
        assert_null(s.data);
    secret_done(&s);
}

static void test_set_copies_replaces_and_wipes(void **state)
{
    struct secret s = {0};
    char bytes[] = "first";

    (void)state;
    secret_set(&s, bytes, 5);
    memset(bytes, 'x', 5);
    assert_string_equal(s.data, "first");
    secret_set(&s, s.data + 1, 3); /* its own bytes */
    assert_string_equal(s.data, "irs");
    assert_int_equal(s.len, 3);
    secret_set(&s, "", 0);
    assert_null(s.data);
    secret_done(&s);
    secret_done(&s);
}

static void test_equal(void **state)
{
    struct secret s = {0};

    (void)state;
    assert_true(secret_equal(&s, "", 0));
    assert_false(secret_equal(&s, "a", 1));
    secret_set(&s, "token", 5);
    assert_true(secret_equal(&s, "token", 5));
    assert_false(secret_equal(&s, "tokem", 5));
    assert_false(secret_equal(&s, "toke", 4));
    assert_false(secret_equal(&s, "token1", 6));
    secret_done(&s);
}

/* Runs touch in a child and says whether it survived. */
static bool survives(void (*touch)(char *), char *data)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGSEGV, SIG_DFL); /* cmocka's would go on with the next test */
        touch(data);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void write_first(char *data)
{
    *(volatile char *)data = 'x';
}

static void read_first(char *data)
{
    (void)*(volatile char *)data;
}

static void read_behind(char *data)
{
    (void)*(volatile char *)(data + 6);
}

static void test_memory_is_read_only_and_guarded(void **state)
{
    struct secret s = {0};

    (void)state;
    secret_set(&s, "token", 5);
    assert_true(survives(read_first, s.data));
    assert_false(survives(write_first, s.data));
    assert_false(survives(read_behind, s.data));
    secret_done(&s);
}

static void test_wipe(void **state)
{
    char bytes[8] = "secret!";

    (void)state;
    secret_wipe(bytes, sizeof bytes);
    assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0", 8);
    secret_wipe(NULL, 0);
}

static void test_read_strips_one_newline(void **state)
{
    (void)state;
    put("ab\n\n", 4, 0600);
    expect_read(true, "ab\n", 3);
    expect_read(false, "ab\n\n", 4);
    put("ab\r\n", 4, 0400);
    expect_read(true, "ab", 2);
    put("ab\r", 3, 0600);
    expect_read(true, "ab\r", 3);
    put("a\0b", 3, 0600);
    expect_read(true, "a\0b", 3);
    put("\n", 1, 0600);
    expect_read(true, "", 0);
    put("", 0, 0600);
    expect_read(true, "", 0);
}

static void test_read_is_bounded(void **state)
{
    (void)state;
    put("0123456789abcdef", 16, 0600);
    expect_read(true, "0123456789abcdef", 16);
    put("0123456789abcdefg", 17, 0600);
    expect_refusal("longer than 16 bytes");
}

static void test_read_refuses_open_modes(void **state)
{
    static const mode_t modes[] = {0640, 0604, 0620, 0602, 0610, 0601, 0644, 0666};
    char mend[160];

    (void)state;
    (void)snprintf(mend, sizeof mend, "chmod 600 %s", path);
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        put("x", 1, modes[i]);
        expect_refusal(mend);
    }
}

static void test_read_refuses_what_is_no_file(void **state)
{
    (void)state;
    expect_refusal(strerror(ENOENT));
    assert_int_equal(mkdir(path, 0700), 0);
    expect_refusal("not a regular file");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_refusal("not a regular file"); /* and does not wait for a writer */
}

static void test_read_refuses_a_foreign_owner(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can give a file away */
    put("x", 1, 0600);
    assert_int_equal(chown(path, 4242, 0), 0);
    expect_refusal("belongs to user 4242");
}

static void put_acl(uint16_t tag, uint16_t perm, uint32_t id)
{
    struct {
        struct posix_acl_xattr_header header;
        struct posix_acl_xattr_entry entries[5];
    } acl = {.header = {htole32(POSIX_ACL_XATTR_VERSION)},
             .entries = {{htole16(ACL_USER_OBJ), htole16(ACL_READ), UINT32_MAX},
                         {htole16(tag), htole16(perm), htole32(id)},
                         {htole16(ACL_GROUP_OBJ), 0, UINT32_MAX},
                         {htole16(ACL_MASK), htole16(ACL_READ), UINT32_MAX},
                         {htole16(ACL_OTHER), 0, UINT32_MAX}}};

    if (tag == ACL_GROUP) { /* the kernel wants them in order */
        struct posix_acl_xattr_entry named = acl.entries[1];

        acl.entries[1] = acl.entries[2];
        acl.entries[2] = named;
    }
    if (setxattr(path, "system.posix_acl_access", &acl, sizeof acl, 0) != 0) {
        if (errno == EOPNOTSUPP)
            skip();
        fail_msg("setxattr: %s", strerror(errno));
    }
}

static void test_read_looks_through_an_acl(void **state)
{
    struct stat st;

    (void)state;
    put("x", 1, 0600);
    put_acl(ACL_USER, ACL_READ, geteuid());
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0440); /* the mask, not the group */
    expect_read(true, "x", 1);
    put_acl(ACL_USER, ACL_READ, 4242);
    expect_refusal("open to group or others");
    put_acl(ACL_GROUP, ACL_READ, 4242);
    expect_refusal("open to group or others");
}

static void test_write_is_private_and_never_overwrites(void **state)
{
    struct err e;
    struct stat st;

    (void)state;
    assert_int_equal(secret_write_file(path, "hidden", 6, &e), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    expect_read(false, "hidden", 6);
    assert_int_equal(secret_write_file(path, "other", 5, &e), -1);
    assert_non_null(strstr(e.text, "is there already"));
    expect_read(false, "hidden", 6);
    assert_int_equal(secret_write_file("/nowhere/at/all", "x", 1, &e), -1);
    assert_int_equal(e.class, ERR_CONFIG);
}

static void test_write_public(void **state)
{
    struct err e;
    struct stat st;
    mode_t before = umask(0077);

    (void)state;
    assert_int_equal(secret_write_public_file(path, "shown", 5, &e), 0);
    (void)umask(before);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_copies_replaces_and_wipes),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_memory_is_read_only_and_guarded),
        cmocka_unit_test(test_wipe),
        cmocka_unit_test_setup_teardown(test_read_strips_one_newline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_refuses_open_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_refuses_what_is_no_file, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_read_refuses_a_foreign_owner, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_read_looks_through_an_acl, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_write_is_private_and_never_overwrites,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_public, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
