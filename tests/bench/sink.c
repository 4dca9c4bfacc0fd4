/* sink: see sink.h. One libuv loop. Prints its two ports, then "all" when --expect jobs
 * have been closed, and at its end (stdin closed) a line for each job: its number, how
 * many mails, issues and closings, and when the first mail and the first closing came
 * (microseconds since 1970). */
#include "sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>

#include "mem.h"
#include "num.h"

#define IN_MAX ((size_t)1 << 24)
#define READ_MAX 65536
#define RING_FIRST 1024
#define JOBS_FIRST 1024

struct waiting { /* an answer whose time has not come */
    int64_t due_ns;
    struct conn *conn;
    size_t len;
    char *bytes;
};

struct job {
    unsigned int count[SINK_EVENTS];
    int64_t first_us[SINK_EVENTS];
};

static uv_loop_t loop;
static int64_t latency_ns;
static struct waiting *ring;
static size_t ring_size, ring_head, ring_count;
static int clock_fd;
static uv_poll_t clock_poll;
static struct conn *dirty;
static struct job *jobs;
static size_t job_room;
static size_t closed, expected;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t clock_ns(clockid_t which)
{
    struct timespec t;

    (void)clock_gettime(which, &t); /* cannot fail for these clocks */
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- what arrived ---- */

size_t sink_job_number(const char *text, size_t len, const char *mark)
{
    const char *end = text + len, *at = memmem(text, len, mark, strlen(mark));
    size_t n = 0;

    at = at ? memmem(at, (size_t)(end - at), "job-", 4) : NULL;
    for (at = at ? at + 4 : end; at < end && *at >= '0' && *at <= '9'; at++)
        n = n * 10 + (size_t)(*at - '0');
    return n;
}

void sink_count(size_t number, enum sink_event event)
{
    struct job *j;

    if (number >= job_room) {
        size_t room = (number + JOBS_FIRST) * 2;

        jobs = mem_grow(jobs, room * sizeof *jobs);
        memset(jobs + job_room, 0, (room - job_room) * sizeof *jobs);
        job_room = room;
    }
    j = &jobs[number];
    if (j->count[event]++ == 0) {
        j->first_us[event] = clock_ns(CLOCK_REALTIME) / 1000;
        if (event == SINK_CLOSE && ++closed == expected)
            (void)puts("all");
    }
}

static void print_jobs(void)
{
    for (size_t i = 0; i < job_room; i++) {
        const struct job *j = &jobs[i];

        if (j->count[SINK_MAIL] || j->count[SINK_ISSUE])
            (void)printf("%zu %u %u %u %lld %lld\n", i, j->count[SINK_MAIL],
                         j->count[SINK_ISSUE], j->count[SINK_CLOSE],
                         (long long)j->first_us[SINK_MAIL],
                         (long long)j->first_us[SINK_CLOSE]);
    }
}

/* ---- answers ---- */

static void flush_dirty(void)
{
    while (dirty) {
        struct conn *c = dirty;
        uv_buf_t out = uv_buf_init(c->out.data, (unsigned int)c->out.len);

        dirty = c->next_dirty;
        c->dirty = false;
        if (!c->gone &&
            uv_try_write((uv_stream_t *)&c->tcp, &out, 1) != (int)c->out.len)
            (void)fputs("sink: a client does not read its answers\n", stderr);
        buf_reset(&c->out);
    }
}

static void add(struct conn *c, const char *bytes, size_t len)
{
    buf_add(&c->out, bytes, len);
    if (c->dirty)
        return;
    c->dirty = true;
    c->next_dirty = dirty;
    dirty = c;
}

static void set_clock(void)
{
    int64_t due = ring[ring_head].due_ns;
    struct itimerspec at = {
        .it_value = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000}};

    (void)timerfd_settime(clock_fd, TFD_TIMER_ABSTIME, &at, NULL); /* a good time */
}

static void on_clock(uv_poll_t *poll, int status, int events)
{
    int64_t now = clock_ns(CLOCK_MONOTONIC);
    uint64_t fired;

    (void)poll;
    (void)status;
    (void)events;
    if (read(clock_fd, &fired, sizeof fired) < 0)
        return;
    while (ring_count && ring[ring_head].due_ns <= now) {
        struct waiting *w = &ring[ring_head];

        add(w->conn, w->bytes, w->len);
        free(w->bytes);
        ring_head = (ring_head + 1) % ring_size;
        ring_count--;
    }
    if (ring_count)
        set_clock();
    flush_dirty();
}

static void grow_ring(void)
{
    size_t size = ring_size ? ring_size * 2 : RING_FIRST;
    struct waiting *larger = mem_new(size, sizeof *larger);

    for (size_t i = 0; i < ring_count; i++)
        larger[i] = ring[(ring_head + i) % ring_size];
    free(ring);
    ring = larger;
    ring_size = size;
    ring_head = 0;
}

void sink_answer(struct conn *c, const char *bytes, size_t len)
{
    if (!latency_ns) {
        add(c, bytes, len);
        return;
    }
    if (ring_count == ring_size)
        grow_ring();
    ring[(ring_head + ring_count++) % ring_size] = (struct waiting){
        clock_ns(CLOCK_MONOTONIC) + latency_ns, c, len, mem_dup(bytes, len)};
    if (ring_count == 1)
        set_clock();
}

void sink_say(struct conn *c, const char *text)
{
    sink_answer(c, text, strlen(text));
}

/* ---- connections: their memory stays, since an answer may still wait for one ---- */

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *out)
{
    static char bytes[READ_MAX];

    (void)h;
    (void)hint;
    *out = uv_buf_init(bytes, READ_MAX);
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *bytes)
{
    struct conn *c = h->data;
    size_t used;

    if (n < 0) {
        c->gone = true;
        uv_close((uv_handle_t *)h, NULL);
        return;
    }
    buf_add(&c->in, bytes->base, (size_t)n);
    used = c->read(c, c->in.data, c->in.len);
    buf_consume(&c->in, used);
    flush_dirty();
}

static void on_client(uv_stream_t *server, int status)
{
    struct conn *c = mem_new(1, sizeof *c);

    memcpy(&c->read, &server->data, sizeof c->read);
    buf_init(&c->in, IN_MAX);
    buf_init(&c->out, IN_MAX);
    (void)uv_tcp_init(&loop, &c->tcp);
    c->tcp.data = c;
    if (status || uv_accept(server, (uv_stream_t *)&c->tcp))
        fail("accept");
    (void)uv_tcp_nodelay(&c->tcp, 1);
    (void)uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    if (c->read == smtp_sink_read)
        sink_say(c, "220 sink.bench ESMTP\r\n");
    flush_dirty();
}

static int listen_on(uv_tcp_t *server, sink_read_fn read)
{
    struct sockaddr_storage at;
    int len = sizeof at;

    (void)uv_tcp_init(&loop, server);
    memcpy(&server->data, &read, sizeof read);
    (void)uv_ip4_addr("127.0.0.1", 0, (struct sockaddr_in *)&at);
    if (uv_tcp_bind(server, (struct sockaddr *)&at, 0) ||
        uv_listen((uv_stream_t *)server, 512, on_client) ||
        uv_tcp_getsockname(server, (struct sockaddr *)&at, &len))
        fail("listen");
    return ntohs(((struct sockaddr_in *)&at)->sin_port);
}

static void on_stdin(uv_stream_t *h, ssize_t n, const uv_buf_t *bytes)
{
    (void)h;
    (void)bytes;
    if (n < 0)
        uv_stop(&loop);
}

int main(int argc, char **argv)
{
    static uv_tcp_t smtp, http;
    static uv_pipe_t end;
    int64_t latency_ms, jobs_expected;

    if (argc != 3 || !num_parse(argv[1], 0, 10000, &latency_ms) ||
        !num_parse(argv[2], 0, INT32_MAX, &jobs_expected)) {
        (void)fputs("Usage: sink LATENCY_MS JOBS_EXPECTED\n", stderr);
        return 2;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    latency_ns = latency_ms * 1000000;
    expected = (size_t)jobs_expected;
    clock_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (uv_loop_init(&loop) || clock_fd < 0 ||
        uv_poll_init(&loop, &clock_poll, clock_fd))
        fail("sink");
    (void)uv_poll_start(&clock_poll, UV_READABLE, on_clock);
    (void)printf("%d", listen_on(&smtp, smtp_sink_read));
    (void)printf(" %d\n", listen_on(&http, http_sink_read));
    (void)uv_pipe_init(&loop, &end, 0);
    if (uv_pipe_open(&end, 0) || uv_read_start((uv_stream_t *)&end, on_alloc, on_stdin))
        fail("stdin");
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    print_jobs();
    return 0;
}
