/* The inbox against a Redis that says what the test tells it to: which way a request
 * takes, who is told when, and that the spool empties whatever it was that refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "buf.h"
#include "inbox.h"
#include "job.h"
#include "log.h"
#include "mem.h"

#define PUSHES_MAX 64
#define NO_MS 20000 /* a callback that does not come is a failed test */

#define OK "+OK\r\n"
#define READONLY "-READONLY You can't write against a read only replica.\r\n"
#define OOM "-OOM command not allowed when used memory > 'maxmemory'.\r\n"
#define NOPERM "-NOPERM User receiver has no permissions to run the 'set' command\r\n"
#define LOADING "-LOADING Redis is loading the dataset in memory\r\n"
#define SILENCE "" /* the connection stays */
#define HANG_UP NULL

/* --- a scripted Redis on the test's own loop --- */

struct line {
    uv_pipe_t pipe;
    struct buf in;
    struct line *next;
};

struct fixture {
    uv_loop_t loop;
    uv_pipe_t server;
    uv_timer_t alarm;
    struct line *lines;
    int connections;
    const char *to_ping, *to_lpush, *to_set, *to_get;
    int lpushes, sets, probes;
    char pushed[PUSHES_MAX][JOB_ID_LEN + 1]; /* ids that were taken, in order */
    size_t taken;
    char entry[256]; /* the last */

    struct settings settings;
    char folder[64], path[80];
    struct inbox *inbox;
    int told;
    struct err err; /* of the last callback */
    char view[256];
    bool no_view;
};

static void line_closed(uv_handle_t *h)
{
    struct line *l = (struct line *)h;

    buf_done(&l->in);
    free(l);
}

static void line_end(struct fixture *f, struct line *l)
{
    struct line **at = &f->lines;

    while (*at && *at != l)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = l->next;
    uv_close((uv_handle_t *)&l->pipe, line_closed);
}

static void on_written(uv_write_t *w, int status)
{
    (void)status;
    free(w);
}

static void say(struct line *l, const char *text)
{
    uv_write_t *w = mem_new(1, sizeof *w);
    uv_buf_t b = uv_buf_init((char *)(uintptr_t)text, (unsigned)strlen(text));

    if (uv_write(w, (uv_stream_t *)&l->pipe, &b, 1, on_written))
        free(w);
}

static void note_push(struct fixture *f, const char *entry)
{
    assert_true(f->taken < PUSHES_MAX);
    (void)snprintf(f->pushed[f->taken++], JOB_ID_LEN + 1, "%s", entry);
    (void)snprintf(f->entry, sizeof f->entry, "%s", entry);
}

static const char *answer_to(struct fixture *f, char **argv)
{
    if (!strcmp(argv[0], "LPUSH")) {
        f->lpushes++;
        assert_string_equal(argv[1], "stopgap:{q}:inbox");
        if (f->to_lpush && *f->to_lpush == ':')
            note_push(f, argv[2]);
        return f->to_lpush;
    }
    if (!strcmp(argv[0], "SET")) {
        f->probes += !strcmp(argv[1], "stopgap:{q}:view:probe");
        f->sets++;
        return f->to_set;
    }
    if (!strcmp(argv[0], "GET"))
        return f->to_get;
    return !strcmp(argv[0], "PING") ? f->to_ping : OK;
}

/* One whole command off the buffer; its length, 0 while there is none. */
static size_t read_command(const char *in, char **argv, int *argc)
{
    const char *p = in;
    int count = (int)strtol(p + 1, NULL, 10);

    *argc = 0;
    p = strstr(p, "\r\n");
    for (int i = 0; p && i < count; i++) {
        size_t len = (size_t)strtoul(p + 3, NULL, 10);
        const char *from = strstr(p + 2, "\r\n");

        if (!from || strlen(from + 2) < len + 2)
            return 0;
        argv[(*argc)++] = mem_dup(from + 2, len);
        p = from + 2 + len;
    }
    return p ? (size_t)(p + 2 - in) : 0;
}

static bool serve_one(struct fixture *f, struct line *l)
{
    char *argv[8] = {NULL};
    const char *text;
    int argc;
    size_t len = l->in.len ? read_command(l->in.data, argv, &argc) : 0;

    text = len ? answer_to(f, argv) : SILENCE;
    for (size_t i = 0; i < ARRAY_LEN(argv); i++)
        free(argv[i]);
    if (!text) {
        line_end(f, l);
        return false;
    }
    buf_consume(&l->in, len);
    if (*text)
        say(l, text);
    return len > 0;
}

static void on_bytes(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct fixture *f = s->data;
    struct line *l = (struct line *)s;

    if (n > 0)
        buf_add(&l->in, b->base, (size_t)n);
    free(b->base);
    if (n < 0)
        line_end(f, l);
    while (n > 0 && serve_one(f, l))
        ;
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *out)
{
    (void)h;
    *out = uv_buf_init(mem_new(size, 1), (unsigned)size);
}

static void on_connection(uv_stream_t *s, int status)
{
    struct fixture *f = s->data;
    struct line *l = mem_new(1, sizeof *l);

    assert_int_equal(status, 0);
    buf_init(&l->in, 1 << 20);
    (void)uv_pipe_init(&f->loop, &l->pipe, 0);
    l->pipe.data = f;
    l->next = f->lines;
    f->lines = l;
    f->connections++;
    assert_int_equal(uv_accept(s, (uv_stream_t *)&l->pipe), 0);
    (void)uv_read_start((uv_stream_t *)&l->pipe, on_alloc, on_bytes);
}

static void redis_listen(struct fixture *f)
{
    (void)uv_pipe_init(&f->loop, &f->server, 0);
    f->server.data = f;
    assert_int_equal(uv_pipe_bind(&f->server, f->settings.redis.path), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&f->server, 64, on_connection), 0);
}

static void redis_gone(struct fixture *f)
{
    while (f->lines)
        line_end(f, f->lines);
    uv_close((uv_handle_t *)&f->server, NULL);
}

/* --- the test's side --- */

static void on_alarm(uv_timer_t *t)
{
    (void)t;
    fail_msg("nothing came for %d ms", NO_MS);
}

#define UNTIL(f, condition)                                                            \
    do {                                                                               \
        (void)uv_timer_start(&(f)->alarm, on_alarm, NO_MS, 0);                         \
        while (!(condition))                                                           \
            (void)uv_run(&(f)->loop, UV_RUN_ONCE);                                     \
        (void)uv_timer_stop(&(f)->alarm);                                              \
    } while (0)

static void on_put(void *arg, const struct err *e)
{
    struct fixture *f = arg;

    f->told++;
    f->err = *e;
}

static void on_view(void *arg, const char *view, const struct err *e)
{
    struct fixture *f = arg;

    on_put(f, e);
    f->no_view = !view;
    (void)snprintf(f->view, sizeof f->view, "%s", view ? view : "");
}

static const char *id_of(int n)
{
    static char id[JOB_ID_LEN + 1];

    (void)snprintf(id, sizeof id, "%026d", n);
    return id;
}

static void put(struct fixture *f, int n)
{
    int before = f->told;

    inbox_put(f->inbox, id_of(n), "{}", 2, on_put, f);
    assert_int_equal(f->told, before); /* never from inside */
}

static enum err_class put_ends(struct fixture *f, int n)
{
    int before = f->told;

    put(f, n);
    UNTIL(f, f->told > before);
    assert_int_equal(f->told, before + 1);
    return f->err.class;
}

static struct inbox_state state_of(struct fixture *f)
{
    struct inbox_state s;

    inbox_state(f->inbox, &s);
    return s;
}

static void open_inbox(struct fixture *f)
{
    struct err e;

    f->inbox = inbox_new(&f->loop, &f->settings, NULL, &e);
    if (!f->inbox)
        fail_msg("%s", e.text);
}

static void start(struct fixture *f)
{
    open_inbox(f);
    UNTIL(f, state_of(f).redis_up);
}

/* Each file in the spool but its lock. */
static int each_file(struct fixture *f, void (*fn)(int folder, const char *name))
{
    DIR *dir = opendir(f->folder);
    struct dirent *entry;
    int n = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "lock") != 0) {
            n++;
            if (fn)
                fn(dirfd(dir), entry->d_name);
        }
    (void)closedir(dir);
    return n;
}

static int set_up(void **state)
{
    struct fixture *f = mem_new(1, sizeof *f);
    static char queue[] = "q";

    *state = f;
    (void)snprintf(f->folder, sizeof f->folder, "/tmp/test-inbox-XXXXXX");
    if (sodium_init() < 0 || !mkdtemp(f->folder) || uv_loop_init(&f->loop))
        return -1;
    (void)uv_timer_init(&f->loop, &f->alarm);
    (void)snprintf(f->path, sizeof f->path, "%s.sock", f->folder);
    f->settings.redis.path = f->path;
    f->settings.queue = queue;
    f->settings.spool_dir = f->folder;
    f->settings.spool_max = 50;
    f->settings.retention_ms = 1000;
    f->to_ping = f->to_set = OK;
    f->to_lpush = ":1\r\n";
    f->to_get = "$2\r\n{}\r\n";
    redis_listen(f);
    return 0;
}

static void remove_one(int folder, const char *name)
{
    if (unlinkat(folder, name, 0))
        (void)unlinkat(folder, name, AT_REMOVEDIR);
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char lock[80];

    inbox_free(f->inbox);
    while (f->lines)
        line_end(f, f->lines);
    close_handle((uv_handle_t *)&f->alarm, NULL);
    close_handle((uv_handle_t *)&f->server, NULL);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    (void)each_file(f, remove_one);
    (void)snprintf(lock, sizeof lock, "%s/lock", f->folder);
    (void)unlink(lock);
    (void)rmdir(f->folder);
    free(f);
    return 0;
}

/* --- Redis is well --- */

static void redis_takes_it(void **state)
{
    struct fixture *f = *state;

    start(f);
    assert_int_equal(put_ends(f, 1), ERR_NONE);
    assert_string_equal(f->entry, "00000000000000000000000001 {}");
    assert_int_equal(f->sets, 1);
    assert_int_equal(each_file(f, NULL), 0);
}

static void views_that_cannot_be_written_stop_nothing(void **state)
{
    struct fixture *f = *state;

    start(f);
    f->to_set = NOPERM;
    assert_int_equal(put_ends(f, 1), ERR_NONE);
    assert_int_equal(put_ends(f, 2), ERR_NONE);
    assert_int_equal(f->taken, 2);
    assert_true(state_of(f).redis_up);
}

/* --- Redis does not take it --- */

/* Each goes into the spool, says so, and onto the list as soon as it is taken, in
 * order. */
static void goes_by_the_spool(struct fixture *f)
{
    for (int i = 1; i <= 5; i++)
        assert_int_equal(put_ends(f, i), ERR_NONE);
    assert_int_equal(f->taken, 0);
    assert_int_equal(state_of(f).spooled, 5);
    assert_true(inbox_spooled(f->inbox, id_of(3)));
    assert_false(state_of(f).redis_up);
    assert_true(state_of(f).spool_usable);
}

static void all_five_come(struct fixture *f)
{
    UNTIL(f, state_of(f).spooled == 0);
    assert_int_equal(f->taken, 5);
    for (int i = 0; i < 5; i++)
        assert_string_equal(f->pushed[i], id_of(i + 1));
    UNTIL(f, state_of(f).redis_up);
    assert_int_equal(each_file(f, NULL), 0);
    assert_int_equal(put_ends(f, 6), ERR_NONE);
    assert_int_equal(f->taken, 6);
}

static void refused_with(struct fixture *f, const char *line)
{
    start(f);
    f->to_lpush = f->to_set = line;
    goes_by_the_spool(f);
    f->to_lpush = ":1\r\n";
    f->to_set = OK;
    all_five_come(f);
}

static void redis_is_full(void **state)
{
    refused_with(*state, OOM);
}

static void redis_forbids_it(void **state)
{
    refused_with(*state, NOPERM);
}

static void redis_is_read_only(void **state)
{
    struct fixture *f = *state;

    refused_with(f, READONLY);
    assert_true(f->connections < 20); /* it is left after each such answer */
}

static void redis_loads(void **state)
{
    struct fixture *f = *state;

    f->to_ping = LOADING;
    open_inbox(f);
    goes_by_the_spool(f);
    f->to_ping = OK;
    all_five_come(f);
}

static void redis_is_gone(void **state)
{
    struct fixture *f = *state;

    start(f);
    redis_gone(f);
    UNTIL(f, !state_of(f).redis_up);
    goes_by_the_spool(f);
    redis_listen(f);
    all_five_come(f);
}

static void redis_hangs_up_in_the_middle(void **state)
{
    struct fixture *f = *state;

    start(f);
    f->to_lpush = HANG_UP;
    f->to_ping = LOADING;
    goes_by_the_spool(f);
    f->to_lpush = ":1\r\n";
    f->to_ping = OK;
    all_five_come(f);
}

/* Out of step, or no Redis: none of these says that the list has it. */
static void what_is_no_answer_to_lpush(void **state)
{
    static const char *const replies[] = {OK,        "+QUEUED\r\n", "$-1\r\n",
                                          "*-1\r\n", "*0\r\n",      "$1\r\n1\r\n"};
    struct fixture *f = *state;

    start(f);
    for (int i = 0; i < (int)ARRAY_LEN(replies); i++) {
        UNTIL(f, state_of(f).redis_up);
        f->to_lpush = replies[i];
        assert_int_equal(put_ends(f, i + 1), ERR_NONE);
        if (!inbox_spooled(f->inbox, id_of(i + 1)))
            fail_msg("believed: %s", replies[i]);
        f->to_lpush = ":1\r\n";
        UNTIL(f, state_of(f).spooled == 0);
    }
    assert_int_equal(f->taken, ARRAY_LEN(replies));
    assert_true(f->connections > (int)ARRAY_LEN(replies));
}

/* Connected, and no word: neither to a request nor to a greeting. */
static void redis_is_silent(void **state)
{
    struct fixture *f = *state;

    start(f);
    f->to_lpush = f->to_set = f->to_ping = SILENCE;
    goes_by_the_spool(f);
    f->to_lpush = ":1\r\n";
    f->to_ping = f->to_set = OK;
    all_five_come(f);
}

static void what_waited_before_the_start(void **state)
{
    struct fixture *f = *state;

    f->to_ping = LOADING;
    open_inbox(f);
    goes_by_the_spool(f);
    inbox_free(f->inbox);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    f->to_ping = OK;
    open_inbox(f);
    assert_true(inbox_spooled(f->inbox, id_of(1)));
    all_five_come(f);
}

static void a_refused_drain_does_not_spin(void **state)
{
    struct fixture *f = *state;
    uint64_t began;

    start(f);
    began = uv_now(&f->loop);
    f->to_lpush = f->to_set = OOM;
    goes_by_the_spool(f);
    UNTIL(f, f->lpushes >= 5);
    assert_true(uv_now(&f->loop) - began > 20); /* three pauses of up to 4 s */
    f->to_lpush = ":1\r\n";
    all_five_come(f);
}

/* --- neither takes it --- */

static void neither_takes_it(void **state)
{
    struct fixture *f = *state;

    f->settings.spool_max = 1;
    start(f);
    f->to_lpush = f->to_set = OOM;
    assert_int_equal(put_ends(f, 1), ERR_NONE);
    assert_int_equal(put_ends(f, 2), ERR_TRANSIENT);
    assert_non_null(strstr(f->err.text, "OOM")); /* what was asked last */
    assert_false(state_of(f).spool_usable);
    f->to_lpush = ":1\r\n";
    f->to_set = OK;
    UNTIL(f, state_of(f).spooled == 0);
    assert_int_equal(f->taken, 1);
}

static void a_full_spool_and_no_redis(void **state)
{
    struct fixture *f = *state;

    f->settings.spool_max = 1;
    f->to_ping = LOADING;
    open_inbox(f);
    assert_int_equal(put_ends(f, 1), ERR_NONE);
    assert_int_equal(put_ends(f, 2), ERR_LIMIT);
    assert_int_equal(put_ends(f, 1), ERR_NONE); /* it waits already */
}

/* A spool that is full or broken is no reason to refuse while Redis takes requests,
 * though it refused the last. */
static void redis_when_the_spool_is_full(void **state)
{
    struct fixture *f = *state;

    f->settings.spool_max = 1;
    start(f);
    f->to_lpush = f->to_set = OOM;
    assert_int_equal(put_ends(f, 1), ERR_NONE);
    f->to_lpush = ":1\r\n";
    f->to_set = OK;
    assert_int_equal(put_ends(f, 2), ERR_NONE);
    assert_true(state_of(f).redis_up);
}

static void remove_lock_and_folder(struct fixture *f)
{
    char lock[80];

    (void)snprintf(lock, sizeof lock, "%s/lock", f->folder);
    assert_int_equal(unlink(lock), 0);
    assert_int_equal(rmdir(f->folder), 0);
}

/* Nobody sends anything while a monitor says 503: it mends without a request. */
static void ready_again_without_a_request(void **state)
{
    struct fixture *f = *state;

    start(f);
    remove_lock_and_folder(f);
    f->to_lpush = f->to_set = OOM;
    assert_int_not_equal(put_ends(f, 1), ERR_NONE);
    assert_false(state_of(f).redis_up);
    assert_false(state_of(f).spool_usable);
    f->to_lpush = ":1\r\n";
    f->to_set = OK;
    UNTIL(f, state_of(f).redis_up);
    assert_int_equal(f->lpushes, 1);
    assert_true(f->probes > 0);
    assert_false(state_of(f).spool_usable);
    assert_int_equal(mkdir(f->folder, 0700), 0); /* for the end */
}

/* --- the disk refuses --- */

/* Where a file was there is now something that neither reads nor goes away. */
static void replace_by_folder(int folder, const char *name)
{
    assert_int_equal(unlinkat(folder, name, 0), 0);
    assert_int_equal(mkdirat(folder, name, 0700), 0);
}

static void replace_the_first(int folder, const char *name)
{
    if (strstr(name, "00000000000000000000000001-"))
        replace_by_folder(folder, name);
}

static void one_that_does_not_read_holds_nobody_up(void **state)
{
    struct fixture *f = *state;

    f->to_ping = LOADING;
    open_inbox(f);
    goes_by_the_spool(f);
    assert_int_equal(each_file(f, replace_the_first), 5);
    f->to_ping = OK;
    UNTIL(f, state_of(f).spooled == 1);
    assert_int_equal(f->taken, 4);
    assert_true(inbox_spooled(f->inbox, id_of(1)));
    assert_int_equal(put_ends(f, 6), ERR_NONE);
}

struct disk {
    uv_sem_t gate;
    size_t waiting;
};

static void hang(uv_work_t *w)
{
    struct disk *disk = w->data;

    uv_sem_wait(&disk->gate);
}

static void hung(uv_work_t *w, int status)
{
    struct disk *disk = w->data;

    (void)status;
    disk->waiting--;
}

/* A write that does not end keeps nobody from Redis when that is back meanwhile. */
static void the_disk_hangs(void **state)
{
    struct fixture *f = *state;
    uv_work_t threads[16]; /* more than the pool has */
    struct disk disk = {.waiting = ARRAY_LEN(threads)};

    f->to_ping = LOADING;
    open_inbox(f);
    assert_int_equal(uv_sem_init(&disk.gate, 0), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        threads[i].data = &disk;
        (void)uv_queue_work(&f->loop, &threads[i], hang, hung);
    }
    put(f, 1);
    f->to_ping = OK;
    UNTIL(f, f->told == 1);
    assert_int_equal(f->err.class, ERR_NONE);
    assert_int_equal(f->taken, 1);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        uv_sem_post(&disk.gate);
    UNTIL(f, f->taken == 2); /* what the disk had after all */
    UNTIL(f, state_of(f).spooled == 0);
    assert_int_equal(f->told, 1);
    UNTIL(f, disk.waiting == 0);
    uv_sem_destroy(&disk.gate);
}

/* --- views --- */

static void views(void **state)
{
    struct fixture *f = *state;

    start(f);
    inbox_view(f->inbox, id_of(1), on_view, f);
    UNTIL(f, f->told == 1);
    assert_string_equal(f->view, "{}");
    f->to_get = "$-1\r\n";
    inbox_ticket_view(f->inbox, 4711, on_view, f);
    UNTIL(f, f->told == 2);
    assert_true(f->no_view);
    assert_int_equal(f->err.class, ERR_NONE);
    f->to_get = HANG_UP;
    inbox_view(f->inbox, id_of(1), on_view, f);
    UNTIL(f, f->told == 3);
    assert_int_not_equal(f->err.class, ERR_NONE);
    assert_false(state_of(f).redis_up);
    inbox_view(f->inbox, id_of(1), on_view, f);
    assert_int_equal(f->told, 3); /* never from inside */
    UNTIL(f, f->told == 4);
    assert_int_not_equal(f->err.class, ERR_NONE);
}

/* --- the end --- */

static void the_end_tells_who_waits(void **state)
{
    struct fixture *f = *state;

    start(f);
    f->to_lpush = f->to_get = f->to_set = SILENCE;
    put(f, 1);
    inbox_view(f->inbox, id_of(1), on_view, f);
    inbox_free(f->inbox);
    f->inbox = NULL;
    assert_int_equal(f->told, 2);
    assert_int_equal(f->err.class, ERR_CANCELLED);
}

static void the_end_while_the_disk_is_busy(void **state)
{
    struct fixture *f = *state;

    f->to_ping = LOADING;
    open_inbox(f);
    for (int i = 1; i <= 20; i++)
        put(f, i);
    inbox_view(f->inbox, id_of(1), on_view, f);
    inbox_free(f->inbox);
    f->inbox = NULL;
    assert_int_equal(f->told, 21);
    assert_int_equal(f->err.class, ERR_CANCELLED);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(redis_takes_it),
        T(views_that_cannot_be_written_stop_nothing),
        T(redis_is_full),
        T(redis_forbids_it),
        T(redis_is_read_only),
        T(redis_loads),
        T(redis_is_gone),
        T(redis_hangs_up_in_the_middle),
        T(what_is_no_answer_to_lpush),
        T(redis_is_silent),
        T(what_waited_before_the_start),
        T(a_refused_drain_does_not_spin),
        T(neither_takes_it),
        T(a_full_spool_and_no_redis),
        T(redis_when_the_spool_is_full),
        T(ready_again_without_a_request),
        T(one_that_does_not_read_holds_nobody_up),
        T(the_disk_hangs),
        T(views),
        T(the_end_tells_who_waits),
        T(the_end_while_the_disk_is_busy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
