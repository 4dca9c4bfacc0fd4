/* The spool: what it says is durable is there after any end, once, in order and whole;
 * what the disk refuses is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "mem.h"
#include "spool.h"
#include "spool_file.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccc"

struct fixture {
    uv_loop_t loop;
    char folder[64];
    struct spool *spool;
    struct err err; /* of the last callback */
    char id[JOB_ID_LEN + 1];
    char raw[256];
    size_t len;
    bool given; /* bytes by the last read */
    int calls;
};

static bool listing_fails;

/* In place of the C library's. */
struct dirent *readdir(DIR *dir)
{
    static struct dirent *(*real)(DIR *);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "readdir");
    if (!listing_fails)
        return real(dir);
    errno = EIO;
    return NULL;
}

static void open_spool(struct fixture *f, size_t max)
{
    struct err e;

    f->spool = spool_open(&f->loop, f->folder, max, &e);
    if (!f->spool)
        fail_msg("%s", e.text);
}

static void close_spool(struct fixture *f)
{
    spool_free(f->spool);
    f->spool = NULL;
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
}

static int set_up(void **state)
{
    struct fixture *f = mem_new(1, sizeof *f);

    *state = f;
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/test-spool-XXXXXX");
    if (sodium_init() < 0 || !mkdtemp(f->folder) || uv_loop_init(&f->loop))
        return -1;
    open_spool(f, 100);
    return 0;
}

/* Calls fn with each file's name; "lock" is none. */
static int each_file(const char *folder, void (*fn)(int folder, const char *name))
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int n = 0;

    if (!dir)
        return -1;
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "lock") != 0) {
            n++;
            if (fn)
                fn(dirfd(dir), entry->d_name);
        }
    (void)closedir(dir);
    return n;
}

static void remove_file(int folder, const char *name)
{
    (void)unlinkat(folder, name, 0);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char lock[80];

    if (f->spool)
        close_spool(f);
    (void)chmod(f->folder, 0700);
    (void)each_file(f->folder, remove_file);
    (void)snprintf(lock, sizeof lock, "%s/lock", f->folder);
    (void)unlink(lock);
    (void)rmdir(f->folder);
    (void)uv_loop_close(&f->loop);
    free(f);
    return 0;
}

static void on_done(void *arg, const struct err *e)
{
    struct fixture *f = arg;

    f->err = *e;
    f->calls++;
}

static void on_read(void *arg, const char *id, const char *raw, size_t len,
                    const struct err *e)
{
    struct fixture *f = arg;

    on_done(f, e);
    f->given = raw != NULL;
    if (e->class != ERR_NONE || !raw)
        return;
    memcpy(f->id, id, sizeof f->id);
    assert_true(len < sizeof f->raw);
    memcpy(f->raw, raw, len);
    f->len = len;
}

static void await(struct fixture *f, int calls)
{
    while (f->calls < calls)
        assert_true(uv_run(&f->loop, UV_RUN_ONCE) || f->calls == calls);
    f->calls = 0;
}

static enum err_class put(struct fixture *f, const char *id, const char *raw)
{
    spool_put(f->spool, id, raw, strlen(raw), on_done, f);
    assert_int_equal(f->calls, 0); /* never from inside */
    await(f, 1);
    return f->err.class;
}

static enum err_class take(struct fixture *f)
{
    spool_read(f->spool, on_read, f);
    await(f, 1);
    return f->err.class;
}

static void drop(struct fixture *f)
{
    spool_drop(f->spool, on_done, f);
    await(f, 1);
    assert_int_equal(f->err.class, ERR_NONE);
}

static void expect(struct fixture *f, const char *id, const char *raw)
{
    assert_int_equal(take(f), ERR_NONE);
    assert_string_equal(f->id, id);
    assert_int_equal(f->len, strlen(raw));
    assert_memory_equal(f->raw, raw, f->len);
}

/* ---- what it promises ---- */

static void oldest_first_also_after_a_restart(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, B, "one"), ERR_NONE);
    assert_int_equal(put(f, A, "two"), ERR_NONE);
    close_spool(f);
    open_spool(f, 100);
    assert_int_equal(put(f, C, "three"), ERR_NONE);
    assert_int_equal(spool_count(f->spool), 3);
    assert_true(spool_has(f->spool, A));
    expect(f, B, "one");
    expect(f, B, "one"); /* until it is dropped */
    drop(f);
    expect(f, A, "two");
    drop(f);
    assert_false(spool_has(f->spool, A));
    expect(f, C, "three");
    drop(f);
    assert_int_equal(spool_count(f->spool), 0);
    assert_int_equal(each_file(f->folder, NULL), 0);
}

static void order_survives_a_clock_set_back(void **state)
{
    struct fixture *f = *state;
    struct spool_name n = {.order = UINT64_C(9000000000000000), .id = A};
    struct err e;
    int folder = open(f->folder, O_RDONLY | O_DIRECTORY);

    spool_digest("future", 6, n.digest);
    assert_int_equal(spool_file_write(folder, &n, "future", 6, &e), 0);
    (void)close(folder);
    close_spool(f);
    open_spool(f, 100);
    assert_int_equal(put(f, B, "now"), ERR_NONE);
    expect(f, A, "future");
    drop(f);
    expect(f, B, "now");
}

static void the_same_is_kept_once(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, A, "one"), ERR_NONE);
    assert_int_equal(put(f, A, "one"), ERR_NONE);
    assert_int_equal(spool_count(f->spool), 1);
    assert_int_equal(put(f, A, "other"), ERR_NONE);
    assert_int_equal(spool_count(f->spool), 2);
    assert_int_equal(each_file(f->folder, NULL), 2);
}

static void any_bytes(void **state)
{
    struct fixture *f = *state;

    spool_put(f->spool, A, "a\0\n\r\xFF", 5, on_done, f);
    await(f, 1);
    assert_int_equal(f->err.class, ERR_NONE);
    assert_int_equal(take(f), ERR_NONE);
    assert_int_equal(f->len, 5);
    assert_memory_equal(f->raw, "a\0\n\r\xFF", 5);
    drop(f);
    assert_int_equal(put(f, A, ""), ERR_NONE);
    expect(f, A, "");
}

static void many_at_once_within_the_bound(void **state)
{
    struct fixture *f = *state;
    char raw[16];

    for (int i = 0; i < 150; i++) {
        (void)snprintf(raw, sizeof raw, "%d", i);
        spool_put(f->spool, A, raw, strlen(raw), on_done, f);
    }
    assert_false(spool_writable(f->spool));
    await(f, 150);
    assert_int_equal(spool_count(f->spool), 100);
    assert_int_equal(put(f, B, "one more"), ERR_LIMIT);
    assert_non_null(strstr(f->err.text, "full"));
    for (int i = 0; i < 100; i++) {
        (void)snprintf(raw, sizeof raw, "%d", i);
        expect(f, A, raw);
        drop(f);
    }
    assert_true(spool_writable(f->spool));
}

static void only_the_owner_reads(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    char path[400];
    DIR *dir;

    assert_int_equal(put(f, A, "one"), ERR_NONE);
    dir = opendir(f->folder);
    for (struct dirent *d = readdir(dir); d; d = readdir(dir)) {
        if (d->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", f->folder, d->d_name);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    (void)closedir(dir);
}

/* ---- what was left by a crash, or by somebody ---- */

static void cut_each(int folder, const char *name)
{
    struct stat st;

    assert_int_equal(fstatat(folder, name, &st, 0), 0);
    for (off_t len = 0; len < st.st_size; len++) {
        struct spool_name n;
        struct err e;
        struct buf raw;
        int fd = openat(folder, name, O_WRONLY);

        buf_init(&raw, 1000);
        assert_true(spool_name_parse(name, &n));
        assert_int_equal(spool_file_read(folder, &n, &raw, &e), 0);
        assert_int_equal(ftruncate(fd, st.st_size - len - 1), 0);
        assert_int_equal(spool_file_read(folder, &n, &raw, &e), -1);
        assert_int_equal(e.class, ERR_INVALID);
        assert_int_equal(spool_file_remove(folder, &n, &e), 0);
        assert_int_equal(spool_file_write(folder, &n, "whole", 5, &e), 0);
        (void)close(fd);
        buf_done(&raw);
    }
}

static void cut_anywhere_it_is_not_taken_for_whole(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, A, "whole"), ERR_NONE);
    assert_int_equal(each_file(f->folder, cut_each), 1);
}

static void spoil(int folder, const char *name)
{
    int fd = openat(folder, name, O_WRONLY);

    assert_int_equal(pwrite(fd, "X", 1, 90), 1);
    (void)close(fd);
}

static void a_spoilt_one_is_set_aside_and_the_rest_goes_on(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, A, "a request that will be spoilt by somebody"), ERR_NONE);
    assert_int_equal(each_file(f->folder, spoil), 1);
    assert_int_equal(put(f, B, "two"), ERR_NONE);
    assert_int_equal(take(f), ERR_INVALID);
    assert_non_null(strstr(f->err.text, A));
    assert_int_equal(spool_count(f->spool), 1);
    expect(f, B, "two");
    close_spool(f);
    open_spool(f, 100);
    assert_int_equal(spool_count(f->spool), 1);
    assert_int_equal(each_file(f->folder, NULL), 2); /* its bytes are still there */
}

static void one_that_somebody_took_away(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, A, "one"), ERR_NONE);
    assert_int_equal(each_file(f->folder, remove_file), 1);
    assert_int_equal(put(f, B, "two"), ERR_NONE);
    assert_int_equal(take(f), ERR_PERMANENT);
    expect(f, B, "two");
}

static void touch(const struct fixture *f, const char *name)
{
    char path[400];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", f->folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
}

static void what_was_not_finished_is_removed(void **state)
{
    struct fixture *f = *state;

    touch(f, "new-00001763776000000000-" A "-0123456789abcdef0123456789abcdef");
    touch(f, "notes.txt");
    touch(f, "00001763776000000000-" A "-0123456789abcdef0123456789abcdef.bad");
    touch(f, "00001763776000000000-A" A "-123456789abcdef0123456789abcdef");
    close_spool(f);
    open_spool(f, 100);
    assert_int_equal(spool_count(f->spool), 0);
    assert_int_equal(each_file(f->folder, NULL), 3);
}

/* ---- what the disk refuses ---- */

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_file_may_not_grow(void **state)
{
    struct fixture *f = *state;

    limit_files(60); /* the first line fits, the request does not */
    assert_int_equal(put(f, A, "0123456789012345678901234567890123456789"),
                     ERR_TRANSIENT);
    assert_false(spool_writable(f->spool));
    limit_files(RLIM_INFINITY);
    assert_int_equal(spool_count(f->spool), 0);
    assert_int_equal(each_file(f->folder, NULL), 0);
    assert_int_equal(put(f, A, "again"), ERR_NONE);
    assert_true(spool_writable(f->spool));
}

static void the_folder_is_gone(void **state)
{
    struct fixture *f = *state;
    char lock[80];

    (void)snprintf(lock, sizeof lock, "%s/lock", f->folder);
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(rmdir(f->folder), 0);
    assert_int_equal(put(f, A, "one"), ERR_TRANSIENT);
    assert_non_null(strstr(f->err.text, "No such file"));
}

/* Where a file was there is now something that neither reads nor goes away. */
static void replace_by_folder(int folder, const char *name)
{
    assert_int_equal(unlinkat(folder, name, 0), 0);
    assert_int_equal(mkdirat(folder, name, 0700), 0);
}

static void remove_folder(int folder, const char *name)
{
    (void)unlinkat(folder, name, AT_REMOVEDIR);
}

static void one_that_does_not_read_goes_behind_the_others(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, A, "one"), ERR_NONE);
    assert_int_equal(each_file(f->folder, replace_by_folder), 1);
    assert_int_equal(put(f, B, "two"), ERR_NONE);
    assert_int_equal(take(f), ERR_TRANSIENT);
    assert_int_equal(spool_count(f->spool), 2);
    expect(f, B, "two");
    drop(f);
    assert_int_equal(take(f), ERR_TRANSIENT);
    assert_int_equal(spool_count(f->spool), 1);
    (void)each_file(f->folder, remove_folder);
}

/* Redis has it: it is not given out again, only its file is to go. */
static void one_that_is_not_removed_goes_behind_the_others(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, A, "one"), ERR_NONE);
    expect(f, A, "one");
    assert_int_equal(each_file(f->folder, replace_by_folder), 1);
    assert_int_equal(put(f, B, "two"), ERR_NONE);
    spool_drop(f->spool, on_done, f);
    await(f, 1);
    assert_int_equal(f->err.class, ERR_TRANSIENT);
    assert_int_equal(spool_count(f->spool), 2);
    expect(f, B, "two");
    drop(f);
    assert_int_equal(take(f), ERR_TRANSIENT); /* still there */
    (void)each_file(f->folder, remove_folder);
    f->given = true;
    assert_int_equal(take(f), ERR_NONE);
    assert_false(f->given);
    assert_int_equal(spool_count(f->spool), 0);
}

static void it_is_tried_again_whether_the_disk_takes_something(void **state)
{
    struct fixture *f = *state;

    spool_probe(f->spool); /* nothing failed: not needed */
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    limit_files(60);
    assert_int_equal(put(f, A, "0123456789012345678901234567890123456789"),
                     ERR_TRANSIENT);
    spool_probe(f->spool);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_false(spool_writable(f->spool));
    limit_files(RLIM_INFINITY);
    spool_probe(f->spool);
    spool_probe(f->spool);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_true(spool_writable(f->spool));
    assert_int_equal(each_file(f->folder, NULL), 0);
}

static void what_is_too_long_is_refused_at_once(void **state)
{
    struct fixture *f = *state;
    char *raw = mem_new(SPOOL_RAW_MAX + 1, 1);

    spool_put(f->spool, A, raw, SPOOL_RAW_MAX + 1, on_done, f);
    await(f, 1);
    assert_int_equal(f->err.class, ERR_LIMIT);
    spool_put(f->spool, A, raw, SPOOL_RAW_MAX, on_done, f);
    await(f, 1);
    assert_int_equal(f->err.class, ERR_NONE);
    free(raw);
}

/* ---- opening ---- */

/* A folder lists its files in no order. */
static void many_that_waited(void **state)
{
    struct fixture *f = *state;
    struct spool_name n = {.id = A};
    int folder = open(f->folder, O_RDONLY | O_DIRECTORY);
    struct err e;

    spool_digest("x", 1, n.digest);
    for (uint64_t i = 0; i < 90; i++) {
        n.order = 1000 + i * 37 % 90;
        (void)snprintf(n.id, sizeof n.id, "%026d", (int)n.order);
        assert_int_equal(spool_file_write(folder, &n, "x", 1, &e), 0);
    }
    (void)close(folder);
    close_spool(f);
    open_spool(f, 10);
    assert_int_equal(spool_count(f->spool), 90);
    assert_int_equal(put(f, B, "no room"), ERR_LIMIT);
    for (int i = 0; i < 90; i++) {
        char id[JOB_ID_LEN + 1];

        (void)snprintf(id, sizeof id, "%026d", 1000 + i);
        expect(f, id, "x");
        drop(f);
    }
}

static void refuse(const char *folder, const char *why)
{
    struct err e;
    uv_loop_t loop;

    assert_int_equal(uv_loop_init(&loop), 0);
    assert_null(spool_open(&loop, folder, 10, &e));
    assert_int_equal(e.class, ERR_CONFIG);
    if (!strstr(e.text, why))
        fail_msg("no \"%s\" in: %s", why, e.text);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* What it does not see would wait until somebody starts it again. */
static void a_folder_that_cannot_be_listed(void **state)
{
    struct fixture *f = *state;

    close_spool(f);
    listing_fails = true;
    refuse(f->folder, strerror(EIO));
    listing_fails = false;
    open_spool(f, 100);
}

static void one_process_at_a_time(void **state)
{
    struct fixture *f = *state;

    refuse(f->folder, "another stopgap-webhook");
}

static void folders_that_are_refused(void **state)
{
    struct fixture *f = *state;
    char path[100];

    close_spool(f);
    assert_int_equal(chmod(f->folder, 0750), 0);
    refuse(f->folder, "chmod 700");
    (void)snprintf(path, sizeof path, "%s/lock", f->folder);
    refuse(path, "Not a directory");
    (void)snprintf(path, sizeof path, "%s/no/where", f->folder);
    refuse(path, "set STOPGAP_SPOOL_DIR");
}

static void the_folder_is_made(void **state)
{
    struct fixture *f = *state;
    char lock[80];

    close_spool(f);
    (void)snprintf(lock, sizeof lock, "%s/lock", f->folder);
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(rmdir(f->folder), 0);
    open_spool(f, 100);
    assert_int_equal(put(f, A, "one"), ERR_NONE);
}

static void the_end_tells_who_waits(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 20; i++)
        spool_put(f->spool, A, &"abcdefghijklmnopqrstuvwxyz"[i], 1, on_done, f);
    spool_free(f->spool);
    f->spool = NULL;
    assert_int_equal(f->calls, 20);
    assert_int_equal(f->err.class, ERR_CANCELLED);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(f->calls, 20);
    open_spool(f, 100); /* its lock is free again */
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(oldest_first_also_after_a_restart),
        T(order_survives_a_clock_set_back),
        T(the_same_is_kept_once),
        T(any_bytes),
        T(many_at_once_within_the_bound),
        T(only_the_owner_reads),
        T(cut_anywhere_it_is_not_taken_for_whole),
        T(a_spoilt_one_is_set_aside_and_the_rest_goes_on),
        T(one_that_somebody_took_away),
        T(what_was_not_finished_is_removed),
        T(a_file_may_not_grow),
        T(the_folder_is_gone),
        T(one_that_does_not_read_goes_behind_the_others),
        T(one_that_is_not_removed_goes_behind_the_others),
        T(it_is_tried_again_whether_the_disk_takes_something),
        T(what_is_too_long_is_refused_at_once),
        T(many_that_waited),
        T(a_folder_that_cannot_be_listed),
        T(one_process_at_a_time),
        T(folders_that_are_refused),
        T(the_folder_is_made),
        T(the_end_tells_who_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
