/* Unit tests of httpd over loopback sockets: the server's loop runs in a thread of its
 * own, the clients are blocking ones in the test. What heads are refused is
 * test_httpd_reader's; here it is what becomes of the connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "buf.h"
#include "httpd.h"
#include "mem.h"
#include "peer.h"

#define PATIENCE_S 30
#define FAR_MS 60000
#define BIG ((size_t)16 << 20)
#define HOST "Host: a.test\r\n"

struct server {
    uv_loop_t loop;
    uv_async_t wake;
    pthread_t thread;
    struct httpd *httpd;
    int port;
    sem_t done;  /* what was asked of the loop is done */
    sem_t asked; /* a request was held */
    void (*job)(struct server *s);
    struct httpd_call *held[8];
    const struct httpd_request *request; /* the last one held */
    size_t held_count;
    size_t requests;
    size_t connections; /* as the loop saw them */
    int idles;
    sem_t idle;
    int refused; /* the last status, */
    size_t refusals;
    char refused_peer[64];
};

/* --- the owner ----------------------------------------------------------------------
 */

static void on_request(void *arg, struct httpd_call *call,
                       const struct httpd_request *r)
{
    struct server *s = arg;
    struct buf out = {.max = BIG * 2};

    s->requests++;
    if (strcmp(r->path, "/hold") == 0) {
        s->request = r;
        s->held[s->held_count++] = call;
        (void)sem_post(&s->asked);
        return;
    }
    if (strcmp(r->path, "/big") == 0) {
        char *big = mem_new(BIG, 1);

        memset(big, 'x', BIG);
        httpd_answer(call, 200, "text/plain", NULL, big, BIG);
        free(big);
        return;
    }
    buf_addf(&out, "%s %s ?%s from %s: %zu: %s\n", r->method, r->path, r->query,
             r->peer, r->body_len, r->body_len < 64 ? r->body : "long");
    httpd_answer(call, 200, "text/plain", (const char *const[]){"X-Test: 1", NULL},
                 out.data, out.len);
    buf_done(&out);
}

static void on_refused(void *arg, const char *peer, int status, const char *why)
{
    struct server *s = arg;

    assert_true(why[0] != '\0');
    s->refused = status;
    s->refusals++;
    (void)snprintf(s->refused_peer, sizeof s->refused_peer, "%s", peer);
}

static void on_idle(void *arg)
{
    struct server *s = arg;

    s->idles++;
    (void)sem_post(&s->idle);
}

/* --- the server's thread ------------------------------------------------------------
 */

static void on_wake(uv_async_t *wake)
{
    struct server *s = wake->data;

    if (!s->job)
        return;
    s->job(s);
    s->job = NULL;
    (void)sem_post(&s->done);
}

static void patiently(sem_t *sem)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    assert_int_equal(sem_timedwait(sem, &until), 0);
}

static void *run(void *arg)
{
    (void)uv_run(arg, UV_RUN_DEFAULT);
    return NULL;
}

/* Runs a job on the loop and waits for it. */
static void on_loop(struct server *s, void (*job)(struct server *s))
{
    s->job = job;
    (void)uv_async_send(&s->wake);
    patiently(&s->done);
}

static struct httpd_options defaults(void)
{
    return (struct httpd_options){.host = "127.0.0.1",
                                  .max_connections = 100,
                                  .grace_ms = FAR_MS,
                                  .max_per_peer = 100,
                                  .body_max = 256 * 1024,
                                  .head_ms = FAR_MS,
                                  .request_ms = FAR_MS,
                                  .idle_ms = FAR_MS,
                                  .on_request = on_request,
                                  .on_refused = on_refused};
}

static void start(struct server *s, struct httpd_options o)
{
    struct err e = {0};

    *s = (struct server){0};
    (void)sem_init(&s->done, 0, 0);
    (void)sem_init(&s->asked, 0, 0);
    (void)sem_init(&s->idle, 0, 0);
    assert_int_equal(uv_loop_init(&s->loop), 0);
    assert_int_equal(uv_async_init(&s->loop, &s->wake, on_wake), 0);
    s->wake.data = s;
    o.loop = &s->loop;
    o.arg = s;
    s->httpd = httpd_new(&o, &e);
    if (!s->httpd)
        fail_msg("%s", e.text);
    s->port = httpd_port(s->httpd);
    assert_int_equal(pthread_create(&s->thread, NULL, run, &s->loop), 0);
}

static void end_job(struct server *s)
{
    httpd_free(s->httpd);
    s->httpd = NULL;
    for (size_t i = 0; i < s->held_count; i++)
        httpd_answer(s->held[i], 200, NULL, NULL, "", 0);
    uv_close((uv_handle_t *)&s->wake, NULL);
}

static void stop(struct server *s)
{
    on_loop(s, end_job);
    (void)pthread_join(s->thread, NULL);
    assert_int_equal(uv_loop_close(&s->loop), 0); /* no handle is left */
}

static void count_job(struct server *s)
{
    s->connections = httpd_connections(s->httpd);
}

static void wait_connections(struct server *s, size_t n)
{
    for (int i = 0; i < PATIENCE_S * 200; i++) {
        on_loop(s, count_job);
        if (s->connections == n)
            return;
        (void)usleep(5000);
    }
    fail_msg("%zu connections, not %zu", s->connections, n);
}

static void answer_job(struct server *s)
{
    httpd_answer(s->held[--s->held_count], 202, NULL, NULL, "{\"held\":1}", 10);
}

/* --- clients ------------------------------------------------------------------------
 */

static int dial_from(const struct server *s, const char *address)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)s->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in own = {.sin_family = AF_INET};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    assert_int_equal(inet_pton(AF_INET, address, &own.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static int dial(const struct server *s)
{
    return dial_from(s, "127.0.0.1");
}

/* What comes until the server ends the connection; NULL when that is a reset. */
static char *until_end(int fd)
{
    struct buf got = {.max = BIG * 2};
    char bytes[65536];
    ssize_t n;

    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
        buf_add(&got, bytes, (size_t)n);
    (void)close(fd);
    if (n < 0) {
        buf_done(&got);
        return NULL;
    }
    buf_add(&got, "", 0);
    return buf_take(&got);
}

/* An answer of a kept connection: its head, and a body that ends in '\n' or '}'. */
static void read_answer(int fd, char *out, size_t size)
{
    size_t len = 0;
    ssize_t n;

    do {
        n = recv(fd, out + len, size - 1 - len, 0);
        assert_true(n > 0);
        len += (size_t)n;
        out[len] = '\0';
    } while (!strstr(out, "\r\n\r\n") || !strchr("}\n", out[len - 1]) ||
             memcmp(out + len - 4, "\r\n\r\n", 4) == 0);
}

static char *ask_bytes(const struct server *s, const char *bytes, size_t len)
{
    int fd = dial(s);

    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
    return until_end(fd);
}

/* Sends and leaves its own side open: the end is the server's. */
static char *ask(const struct server *s, const char *bytes)
{
    return ask_bytes(s, bytes, strlen(bytes));
}

static size_t count_of(const char *text, const char *what)
{
    size_t n = 0;

    for (const char *p = strstr(text, what); p; p = strstr(p + 1, what))
        n++;
    return n;
}

static void expect(char *got, int status, const char *part)
{
    char line[32];

    assert_non_null(got);
    (void)snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
    if (strncmp(got, line, strlen(line)) != 0)
        fail_msg("wanted %s, got: %s", line, got);
    if (part && !strstr(got, part))
        fail_msg("no %s in: %s", part, got);
    free(got);
}

/* The server ended it without a word. */
static void expect_nothing(char *got)
{
    assert_non_null(got);
    assert_string_equal(got, "");
    free(got);
}

/* --- tests --------------------------------------------------------------------------
 */

static void test_good_request(void **state)
{
    struct server s;
    char *got;

    (void)state;
    start(&s, defaults());
    got = ask(&s, "POST /v1/x?a=b HTTP/1.1\r\n" HOST "Content-Length: 5\r\n"
                  "Connection: close\r\n\r\nhello");
    assert_non_null(strstr(got, "\r\nConnection: close\r\n"));
    assert_non_null(strstr(got, "\r\nContent-Type: text/plain\r\n"));
    assert_non_null(strstr(got, "\r\nX-Test: 1\r\n"));
    assert_non_null(strstr(got, " GMT\r\n"));
    expect(got, 200, "\r\n\r\nPOST /v1/x ?a=b from 127.0.0.1: 5: hello\n");
    stop(&s);
}

static void test_kept_connection(void **state)
{
    struct server s;
    char got[4096];
    int fd;

    (void)state;
    start(&s, defaults());
    fd = dial(&s);
    for (int i = 0; i < 20; i++) {
        peer_say(fd, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nab");
        read_answer(fd, got, sizeof got);
        assert_non_null(strstr(got, "Connection: keep-alive\r\n"));
        assert_non_null(strstr(got, "2: ab\n"));
    }
    (void)close(fd);
    wait_connections(&s, 0);
    assert_int_equal(s.requests, 20);
    stop(&s);
}

static void test_hostile_heads_are_answered_and_closed(void **state)
{
#define POST "POST / HTTP/1.1\r\n" HOST
    static const char nul[] = "GET / HTTP/1.1\r\n" HOST "A: b\0c\r\n\r\n";
    static const struct {
        int status;
        const char *bytes;
    } rows[] = {
        {400, POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                   "GET /smuggled HTTP/1.1\r\n" HOST "\r\n"},
        {400, POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"},
        {400, POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"},
        {400, POST "Content-Length: +5\r\n\r\nhello"},
        {400, POST "Content-Length: 5, 5\r\n\r\nhello"},
        {400, POST "Content-Length: 99999999999999999999\r\n\r\nhello"},
        {400, "GET / HTTP/1.1\nHost: a\n\n"},
        {400, POST "Content-Length: 5\r\nA: b\r\n c\r\n\r\nhello"},
        {400, "GET / HTTP/1.1\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n"},
        {400, POST "Content-Length : 5\r\n\r\nhello"},
        {400, "GET http://a.test/ HTTP/1.1\r\n" HOST "\r\n"},
        {400, "\x16\x03\x01\x02\x05\x01"},
        {501, POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /smuggled "
                   "HTTP/1.1\r\n" HOST "\r\n"},
        {501, POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
        {505, "GET / HTTP/3.0\r\n" HOST "\r\n"},
        {411, POST "\r\n"},
        {413, POST "Content-Length: 262145\r\n\r\n"},
        {417, POST "Content-Length: 5\r\nExpect: tea\r\n\r\n"},
    };
#undef POST
    struct server s;

    (void)state;
    start(&s, defaults());
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *got = ask(&s, rows[i].bytes);

        assert_non_null(got);
        assert_int_equal(count_of(got, "HTTP/1.1 "), 1); /* nothing was smuggled */
        assert_non_null(strstr(got, "\r\nConnection: close\r\n"));
        assert_non_null(strstr(got, "\r\nContent-Type: application/json\r\n"));
        expect(got, rows[i].status, "\r\n\r\n{\"error\":\"");
        assert_int_equal(s.refusals, i + 1);
        assert_int_equal(s.refused, rows[i].status);
    }
    expect(ask_bytes(&s, nul, sizeof nul - 1), 400, NULL);
    assert_string_equal(s.refused_peer, "127.0.0.1");
    assert_int_equal(s.requests, 0);
    wait_connections(&s, 0);
    stop(&s);
}

/* All that the client has is read, so that the answer arrives and no reset. */
static void test_huge_head_and_body_see_their_answer(void **state)
{
    static char bytes[600000];
    struct server s;
    int n;

    (void)state;
    start(&s, defaults());
    memset(bytes, 'a', sizeof bytes);
    memcpy(bytes, "GET / HTTP/1.1\r\nA: ", 19);
    expect(ask_bytes(&s, bytes, sizeof bytes), 431, NULL);
    memset(bytes, 'a', sizeof bytes);
    n = snprintf(bytes, 200,
                 "POST / HTTP/1.1\r\n" HOST "Content-Length: 500000\r\n\r\n");
    bytes[n] = 'a';
    expect(ask_bytes(&s, bytes, (size_t)n + 500000), 413, NULL);
    assert_int_equal(s.requests, 0);
    stop(&s);
}

static void test_body_at_the_limit(void **state)
{
    size_t size = 256 * 1024;
    struct buf b = {.max = BIG};
    struct server s;
    int fd;

    (void)state;
    start(&s, defaults());
    buf_addf(&b,
             "POST / HTTP/1.1\r\n" HOST
             "Connection: close\r\nContent-Length: %zu\r\n\r\n",
             size);
    for (size_t i = 0; i < size; i++)
        buf_addc(&b, 'a');
    fd = dial(&s);
    for (size_t at = 0; at < b.len; at += 5000) /* in parts of no good size */
        (void)send(fd, b.data + at, b.len - at < 5000 ? b.len - at : 5000,
                   MSG_NOSIGNAL);
    expect(until_end(fd), 200, "262144: long\n");
    buf_done(&b);
    stop(&s);
}

static void test_byte_by_byte(void **state)
{
    static const char good[] = "\r\nPOST /x HTTP/1.1\r\n" HOST
                               "Content-Length: 3\r\n\r\nabcGET /y HTTP/1.1\r\n" HOST
                               "Connection: close\r\n\r\n";
    struct server s;
    char *got;
    int fd;

    (void)state;
    start(&s, defaults());
    fd = dial(&s);
    for (size_t i = 0; i < sizeof good - 1; i++)
        assert_int_equal(send(fd, good + i, 1, MSG_NOSIGNAL), 1);
    got = until_end(fd);
    assert_non_null(strstr(got, "POST /x ? from 127.0.0.1: 3: abc\n"));
    expect(got, 200, "GET /y ? from 127.0.0.1: 0: \n");
    stop(&s);
}

static void test_pipelined(void **state)
{
    struct buf b = {.max = BIG};
    struct server s;
    char *got, *at;
    int fd;

    (void)state;
    start(&s, defaults());
    for (int i = 0; i < 2000; i++)
        buf_addf(&b, "POST /%d HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n%02d", i,
                 i % 100);
    buf_adds(&b, "GET /last HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"
                 "GET /never HTTP/1.1\r\n" HOST "\r\n");
    fd = dial(&s);
    assert_int_equal(send(fd, b.data, b.len, MSG_NOSIGNAL), b.len);
    at = got = until_end(fd);
    assert_non_null(got);
    for (int i = 0; i < 2000; i++) {
        char line[64];

        (void)snprintf(line, sizeof line, "POST /%d ? from 127.0.0.1: 2: %02d\n", i,
                       i % 100);
        at = strstr(at, line);
        assert_non_null(at); /* in their order */
    }
    assert_null(strstr(got, "/never"));
    assert_int_equal(s.requests, 2001);
    expect(got, 200, "GET /last");
    buf_done(&b);
    stop(&s);
}

/* The second waits for the answer to the first, which comes late. */
static void test_one_after_the_other(void **state)
{
    struct server s;
    char *got;
    int fd;

    (void)state;
    start(&s, defaults());
    fd = dial(&s);
    peer_say(fd, "GET /hold HTTP/1.1\r\n" HOST "\r\nGET /x HTTP/1.1\r\n" HOST "\r\n");
    patiently(&s.asked);
    peer_say(fd, "GET /y HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    on_loop(&s, count_job);
    assert_int_equal(s.requests, 1);
    on_loop(&s, answer_job);
    got = until_end(fd);
    assert_true(strstr(got, "/x") < strstr(got, "/y"));
    assert_int_equal(count_of(got, "HTTP/1.1 "), 3);
    expect(got, 202, "{\"held\":1}");
    stop(&s);
}

static void test_half_closed(void **state)
{
    struct server s;
    int fd;

    (void)state;
    start(&s, defaults());
    fd = dial(&s);
    peer_say(fd, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    (void)shutdown(fd, SHUT_WR);
    patiently(&s.asked);
    on_loop(&s, answer_job);
    expect(until_end(fd), 202, "{\"held\":1}");

    fd = dial(&s);
    peer_say(fd, "GET /a HTTP/1.1\r\n" HOST "\r\nGET /b HTTP/1.1\r\n" HOST "\r\n");
    (void)shutdown(fd, SHUT_WR);
    expect(until_end(fd), 200, "GET /b");

    fd = dial(&s);
    peer_say(fd, "POST /a HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhel");
    (void)shutdown(fd, SHUT_WR);
    expect(until_end(fd), 400, "cut short");

    fd = dial(&s);
    (void)shutdown(fd, SHUT_WR);
    expect_nothing(until_end(fd));
    wait_connections(&s, 0);
    stop(&s);
}

static void test_100_continue(void **state)
{
    static const char head[] = "POST /x HTTP/1.1\r\n" HOST "Content-Length: 5\r\n"
                               "Expect: 100-continue\r\nConnection: close\r\n\r\n";
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char got[sizeof go_on] = "";
    struct server s;
    char *all;
    int fd;

    (void)state;
    start(&s, defaults());
    fd = dial(&s);
    peer_say(fd, head);
    assert_int_equal(recv(fd, got, sizeof go_on - 1, MSG_WAITALL), sizeof go_on - 1);
    assert_string_equal(got, go_on);
    peer_say(fd, "hello");
    all = until_end(fd);
    assert_null(strstr(all, " 100 "));
    expect(all, 200, "5: hello");

    fd = dial(&s); /* the body is here already: no 100 */
    assert_int_equal(send(fd, head, sizeof head - 1, MSG_MORE), sizeof head - 1);
    peer_say(fd, "hello");
    all = until_end(fd);
    assert_int_equal(count_of(all, "HTTP/1.1 "), 1);
    expect(all, 200, "5: hello");

    /* refused heads get no 100 */
    expect(ask(&s, "POST / HTTP/1.1\r\n" HOST "Content-Length: 999999\r\n"
                   "Expect: 100-continue\r\n\r\n"),
           413, NULL);
    stop(&s);
}

static void test_head_request(void **state)
{
    struct server s;
    char *got;

    (void)state;
    start(&s, defaults());
    got = ask(&s, "HEAD /x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    assert_non_null(strstr(got, "\r\nContent-Length: 30\r\n"));
    assert_string_equal(strstr(got, "\r\n\r\n"), "\r\n\r\n");
    expect(got, 200, NULL);
    expect(ask(&s, "GET /x HTTP/1.0\r\n\r\n"), 200, "Connection: close\r\n");
    stop(&s);
}

/* --- deadlines ----------------------------------------------------------------------
 */

/* A byte now and then, until an answer lies there. */
static char *drip(const struct server *s, const char *first)
{
    int fd = dial(s);
    char got;

    peer_say(fd, first);
    while (recv(fd, &got, 1, MSG_PEEK | MSG_DONTWAIT) < 0) {
        (void)usleep(10000);
        (void)send(fd, "a", 1, MSG_NOSIGNAL);
    }
    return until_end(fd);
}

static void test_slow_head(void **state)
{
    struct httpd_options o = defaults();
    struct server s;

    (void)state;
    o.head_ms = 200;
    start(&s, o);
    expect(drip(&s, "GET / HTTP/1.1\r\nA: "), 408, "{\"error\":\"");
    assert_int_equal(s.refused, 408);
    expect(ask(&s, "GET / HTTP/1.1\r\n"), 408, NULL); /* and none at all */
    assert_int_equal(s.requests, 0);
    wait_connections(&s, 0);
    stop(&s);
}

static void test_slow_body(void **state)
{
    struct httpd_options o = defaults();
    struct server s;

    (void)state;
    o.request_ms = 200;
    start(&s, o);
    expect(drip(&s, "POST / HTTP/1.1\r\n" HOST "Content-Length: 200000\r\n\r\n"), 408,
           NULL);
    assert_int_equal(s.requests, 0);
    wait_connections(&s, 0);
    stop(&s);
}

static void test_good_request_beside_many_slow_ones(void **state)
{
    struct httpd_options o = defaults();
    struct server s;
    int fds[300];

    (void)state;
    o.max_connections = o.max_per_peer = ARRAY_LEN(fds) + 1;
    start(&s, o);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = dial(&s);
        peer_say(fds[i], i % 3 ? "POST / HTTP/1.1\r\n" HOST
                                 "Content-Length: 200000\r\n\r\na"
                               : "GET / HT");
    }
    wait_connections(&s, ARRAY_LEN(fds));
    expect(ask(&s, "GET /x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"), 200, NULL);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        (void)close(fds[i]);
    wait_connections(&s, 0);
    assert_int_equal(s.requests, 1);
    stop(&s);
}

static void test_idle(void **state)
{
    struct httpd_options o = defaults();
    char got[4096];
    struct server s;
    int fd;

    (void)state;
    o.idle_ms = 100;
    start(&s, o);
    fd = dial(&s);
    peer_say(fd, "GET /x HTTP/1.1\r\n" HOST "\r\n");
    read_answer(fd, got, sizeof got);
    expect_nothing(until_end(fd));
    assert_int_equal(s.refusals, 0);
    stop(&s);

    o = defaults();
    o.head_ms = 100;
    start(&s, o);
    expect_nothing(until_end(dial(&s))); /* never a byte */
    stop(&s);
}

/* No deadline runs while the owner has the request. */
static void test_owner_may_take_its_time(void **state)
{
    struct httpd_options o = defaults();
    struct server s;
    int fd;

    (void)state;
    o.head_ms = o.request_ms = o.idle_ms = 1000;
    start(&s, o);
    fd = dial(&s);
    peer_say(fd, "GET /hold HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    patiently(&s.asked);
    expect_nothing(until_end(dial(&s))); /* a deadline that passes meanwhile */
    on_loop(&s, answer_job);
    expect(until_end(fd), 202, NULL);
    stop(&s);
}

/* --- answers ------------------------------------------------------------------------
 */

static void test_slow_reader(void **state)
{
    struct server s;
    char *got;
    int fd;

    (void)state;
    start(&s, defaults());
    fd = dial(&s);
    peer_say(fd, "GET /big HTTP/1.1\r\n" HOST "\r\nGET /x HTTP/1.1\r\n" HOST
                 "Connection: close\r\n\r\n");
    expect(ask(&s, "GET /y HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"), 200, NULL);
    on_loop(&s, count_job);
    assert_int_equal(s.requests, 2); /* the pipelined one waits for the answer */
    got = until_end(fd);
    assert_non_null(got);
    assert_true(strlen(got) > BIG);
    expect(got, 200, "GET /x");
    stop(&s);
}

static void test_answer_that_nobody_reads(void **state)
{
    struct httpd_options o = defaults();
    struct server s;
    int fd;

    (void)state;
    o.request_ms = 300;
    start(&s, o);
    fd = dial(&s);
    peer_say(fd, "GET /big HTTP/1.1\r\n" HOST "\r\n");
    while (s.requests == 0)
        on_loop(&s, count_job);
    wait_connections(&s, 0);
    (void)close(fd);
    stop(&s);
}

static void check_held_job(struct server *s)
{
    assert_string_equal(s->request->body, "hello");
    assert_string_equal(s->request->path, "/hold");
    assert_string_equal(httpd_field(s->request, "x-a", NULL), "b");
    s->connections = httpd_connections(s->httpd);
}

static void test_client_that_vanishes(void **state)
{
    struct server s;
    int fd;

    (void)state;
    start(&s, defaults());
    for (int reset = 0; reset < 2; reset++) {
        fd = dial(&s);
        peer_say(fd,
                 "POST /hold HTTP/1.1\r\n" HOST "X-A: b\r\nContent-Length: 5\r\n\r\n"
                 "hello");
        patiently(&s.asked);
        if (reset)
            peer_reset_on_close(fd);
        (void)close(fd);
        expect(ask(&s, "GET /x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"), 200,
               NULL);
        on_loop(&s, check_held_job);
        assert_true(s.connections >= 1); /* it counts until it is answered */
        on_loop(&s, answer_job);
        wait_connections(&s, 0);
    }
    stop(&s);
}

/* --- caps ---------------------------------------------------------------------------
 */

static void test_cap_of_connections(void **state)
{
    struct httpd_options o = defaults();
    struct server s;
    int idle[3], fd;

    (void)state;
    o.max_connections = 3;
    start(&s, o);
    for (size_t i = 0; i < 3; i++)
        idle[i] = dial(&s);
    wait_connections(&s, 3);
    for (int i = 0; i < 100; i++) {
        fd = dial(&s);
        peer_say(fd, "GET /x HTTP/1.1\r\n" HOST "\r\n");
        expect(until_end(fd), 503, "\r\nRetry-After: 30\r\n");
    }
    assert_int_equal(s.refused, 503);
    assert_int_equal(s.requests, 0);
    (void)close(idle[0]);
    wait_connections(&s, 2);
    expect(ask(&s, "GET /x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"), 200, NULL);
    (void)close(idle[1]);
    (void)close(idle[2]);
    stop(&s);
}

#define GET_X "GET /x HTTP/1.1\r\n" HOST "\r\n"
#define GET_X_ONLY "GET /x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"

/* Who waits longest for a request, with or without an earlier one, is ended for each
 * that comes. */
static void test_longest_wait_gives_its_place(void **state)
{
    struct httpd_options o = defaults();
    struct server s;
    char got[4096];
    int fds[12];

    (void)state;
    o.max_connections = 3;
    o.grace_ms = 0;
    start(&s, o);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = dial(&s);
        if (i % 2) {
            peer_say(fds[i], GET_X);
            read_answer(fds[i], got, sizeof got);
        }
        wait_connections(&s, i < 3 ? i + 1 : 3);
        if (i >= 3)
            expect_nothing(until_end(fds[i - 3]));
    }
    for (size_t i = ARRAY_LEN(fds) - 3; i < ARRAY_LEN(fds); i++) {
        peer_say(fds[i], GET_X_ONLY); /* those left are as good as ever */
        expect(until_end(fds[i]), 200, NULL);
    }
    assert_int_equal(s.refusals, 0);
    wait_connections(&s, 0);
    stop(&s);
}

static void test_work_keeps_its_place(void **state)
{
    struct httpd_options o = defaults();
    struct server s;
    int held, body;

    (void)state;
    o.max_connections = 2;
    o.grace_ms = 0;
    start(&s, o);
    held = dial(&s);
    peer_say(held, "GET /hold HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    patiently(&s.asked);
    body = dial(&s);
    peer_say(body, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 5\r\n"
                   "Expect: 100-continue\r\nConnection: close\r\n\r\n");
    {
        char go_on[26] = "";

        assert_int_equal(recv(body, go_on, 25, MSG_WAITALL), 25);
    }
    for (int i = 0; i < 20; i++)
        expect(ask(&s, GET_X), 503, "\r\nRetry-After: 30\r\n");
    peer_say(body, "hello");
    expect(until_end(body), 200, "5: hello");
    on_loop(&s, answer_job);
    expect(until_end(held), 202, NULL);
    stop(&s);
}

/* A part of a head stands behind all who have sent nothing; its client is told. */
static void test_part_of_a_head_goes_last(void **state)
{
    struct httpd_options o = defaults();
    int part, nothing, held;
    struct server s;

    (void)state;
    o.max_connections = 2;
    o.grace_ms = 0;
    start(&s, o);
    part = dial(&s);
    peer_say(part, "GET / HT");
    expect(ask(&s, GET_X_ONLY), 200, NULL); /* came later, so that was read */
    wait_connections(&s, 1);
    nothing = dial(&s);
    wait_connections(&s, 2);
    held = dial(&s);
    peer_say(held, "GET /hold HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    patiently(&s.asked);
    expect_nothing(until_end(nothing));
    assert_int_equal(s.refusals, 0);
    expect(ask(&s, GET_X_ONLY), 200, NULL);
    expect(until_end(part), 503, "\r\nRetry-After: 30\r\n");
    assert_int_equal(s.refused, 503);
    assert_int_equal(s.refusals, 1);
    on_loop(&s, answer_job);
    expect(until_end(held), 202, NULL);
    wait_connections(&s, 0);
    stop(&s);
}

/* While bytes lie in every socket nobody waits, and the one who asks is refused. */
static void wait_served(const struct server *s)
{
    for (int i = 0; i < PATIENCE_S * 200; i++) {
        char *got = ask(s, GET_X_ONLY);
        bool served = got && strncmp(got, "HTTP/1.1 200 ", 13) == 0;

        free(got);
        if (served)
            return;
        (void)usleep(5000);
    }
    fail_msg("never served");
}

/* However many come from one address, a cap for it or none: they take one another's
 * places, not that of a slow sender. */
static void test_flood_from_one_side(void **state)
{
    static const char *const parts[] = {"", "G"};
    struct httpd_options o = defaults();
    struct server s;
    int fds[60], slow;

    (void)state;
    o.max_connections = 8;
    o.grace_ms = 0;
    o.trusted = "127.0.0.1";
    for (size_t n = 0; n < ARRAY_LEN(parts); n++) {
        start(&s, o);
        slow = dial_from(&s, "127.0.0.9");
        peer_say(slow, parts[n]);
        wait_connections(&s, 1);
        for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
            fds[i] = dial(&s);
            peer_say(fds[i], parts[n]);
        }
        wait_served(&s); /* so all of them were let in */
        peer_say(slow, &GET_X_ONLY[strlen(parts[n])]);
        expect(until_end(slow), 200, NULL);
        for (size_t i = 0; i < ARRAY_LEN(fds); i++)
            (void)close(fds[i]);
        stop(&s);
    }
}

static int late_client, newcomer;

/* Inside the loop's thread, so that both are there when it looks. */
static void come_together_job(struct server *s)
{
    newcomer = dial(s);
    peer_say(newcomer, GET_X_ONLY);
    peer_say(late_client, GET_X_ONLY);
}

/* Its request lies in the socket: it waits for us. */
static void test_whose_bytes_have_come_waits_no_more(void **state)
{
    struct httpd_options o = defaults();
    struct server s;

    (void)state;
    o.max_connections = 1;
    o.grace_ms = 0;
    start(&s, o);
    late_client = dial(&s);
    wait_connections(&s, 1);
    on_loop(&s, come_together_job);
    expect(until_end(late_client), 200, NULL);
    free(until_end(newcomer)); /* 200 or 503, by whom the loop sees first */
    stop(&s);
}

static void end_server(void *arg, const char *peer, int status, const char *why)
{
    struct server *s = arg;

    on_refused(arg, peer, status, why);
    httpd_free(s->httpd);
    s->httpd = NULL;
}

static void test_free_while_a_place_is_given(void **state)
{
    struct httpd_options o = defaults();
    struct server s;
    int part, next;

    (void)state;
    o.max_connections = 1;
    o.grace_ms = 0;
    o.on_refused = end_server;
    start(&s, o);
    part = dial(&s);
    peer_say(part, "GET / HT");
    wait_connections(&s, 1);
    next = dial(&s);
    free(until_end(next));
    free(until_end(part));
    stop(&s);
}

/* Those turned away neither count nor pile up. */
static void test_many_turned_away(void **state)
{
    struct httpd_options o = defaults();
    int fds[200], held;
    struct server s;

    (void)state;
    o.max_connections = 1;
    start(&s, o);
    held = dial(&s);
    wait_connections(&s, 1);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = dial(&s);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        char byte;

        while (recv(fds[i], &byte, 1, 0) > 0)
            ;
        on_loop(&s, count_job);
        assert_true(s.connections <= 1 + 64);
        (void)close(fds[i]);
    }
    wait_connections(&s, 1);
    assert_int_equal(s.refusals, ARRAY_LEN(fds));
    (void)close(held);
    stop(&s);
}

static void test_cap_of_a_peer(void **state)
{
    struct httpd_options o = defaults();
    struct server s;
    int idle[2];

    (void)state;
    o.max_per_peer = 2;
    start(&s, o);
    for (size_t i = 0; i < 2; i++)
        idle[i] = dial(&s);
    wait_connections(&s, 2);
    expect(ask(&s, "GET /x HTTP/1.1\r\n" HOST "\r\n"), 429, "\r\nRetry-After: 30\r\n");
    (void)close(idle[0]);
    (void)close(idle[1]);
    wait_connections(&s, 0);
    stop(&s);

    o.trusted = "192.0.2.0/24,127.0.0.0/8"; /* a proxy: exempt */
    start(&s, o);
    for (size_t i = 0; i < 2; i++)
        idle[i] = dial(&s);
    wait_connections(&s, 2);
    expect(ask(&s, "GET /x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"), 200, NULL);
    (void)close(idle[0]);
    (void)close(idle[1]);
    stop(&s);
}

static void test_forwarded_addresses(void **state)
{
    static const struct {
        const char *fields;
        const char *peer;
    } rows[] = {
        {"", "127.0.0.1"},
        {"X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"},
        {"X-Forwarded-For: 8.8.8.8, 192.0.2.7\r\n", "192.0.2.7"},
        {"X-Forwarded-For: 8.8.8.8,192.0.2.7 , 10.1.1.1\r\n", "192.0.2.7"},
        {"X-Forwarded-For: 8.8.8.8\r\nx-forwarded-for: 192.0.2.7\r\n", "192.0.2.7"},
        {"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 10.1.1.1\r\n", "192.0.2.7"},
        {"X-Forwarded-For: 10.1.1.2, 10.1.1.1\r\n", "10.1.1.2"},
        {"X-Forwarded-For: 2001:DB8::7\r\n", "2001:db8::7"},
        {"X-Forwarded-For: [2001:db8::7]:4711\r\n", "2001:db8::7"},
        {"X-Forwarded-For: 192.0.2.7:4711\r\n", "192.0.2.7"},
        {"X-Forwarded-For: unknown\r\n", "127.0.0.1"},
        {"X-Forwarded-For: 192.0.2.7, <script>\r\n", "127.0.0.1"},
        {"X-Forwarded-For: 192.0.2.7, x, 10.1.1.1\r\n", "10.1.1.1"},
        {"X-Forwarded-For:\r\n", "127.0.0.1"},
        {"X-Forwarded-For: ,\r\n", "127.0.0.1"},
    };
    struct httpd_options o = defaults();

    (void)state;
    for (int trusted = 0; trusted < 2; trusted++) {
        struct server s;

        o.trusted = trusted ? "10.0.0.0/8,127.0.0.1" : "10.0.0.0/8";
        start(&s, o);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            char head[512], want[128];

            (void)snprintf(head, sizeof head,
                           "GET /x HTTP/1.1\r\n" HOST "Connection: close\r\n%s\r\n",
                           rows[i].fields);
            (void)snprintf(want, sizeof want,
                           "from %s: ", trusted ? rows[i].peer : "127.0.0.1");
            expect(ask(&s, head), 200, want);
        }
        stop(&s);
    }
}

/* --- out of descriptors -------------------------------------------------------------
 */

/* Takes every descriptor below the limit; *count of them, which fit fds. */
static void take_descriptors(int *fds, size_t *count)
{
    int fd;

    *count = 0;
    while ((fd = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0)
        fds[(*count)++] = fd;
}

static void test_out_of_descriptors(void **state)
{
    static const char get[] = "GET /x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n";
    struct rlimit before, few = {0};
    int fds[256], log[2], err, fd;
    char text[4096] = "";
    struct server s;
    size_t count;
    ssize_t n;

    (void)state;
#ifdef UNDER_VALGRIND
    skip(); /* which keeps the limit for itself */
#endif
    start(&s, defaults());
    assert_int_equal(pipe(log), 0);
    err = dup(2);
    (void)getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    few.rlim_cur = 200;
    fd = dial(&s); /* a connection beside it, that is served all the time */
    wait_connections(&s, 1);
    {
        int waits = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)s.port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

        (void)setrlimit(RLIMIT_NOFILE, &few);
        take_descriptors(fds, &count);
        (void)dup2(log[1], 2);
        assert_int_equal(connect(waits, (struct sockaddr *)&a, sizeof a), 0);
        peer_say(waits, get);
        n = read(log[0], text, sizeof text - 1); /* waits for the line */
        (void)dup2(err, 2);
        assert_true(n > 0);
        assert_non_null(strstr(text, "accepts no connections for now"));
        peer_say(fd, get);
        expect(until_end(fd), 200, NULL); /* closes it: one descriptor is free again */
        expect(until_end(waits), 200, NULL);
    }
    (void)fcntl(log[0], F_SETFL, O_NONBLOCK);
    assert_int_equal(read(log[0], text, sizeof text), -1); /* told once */
    for (size_t i = 0; i < count; i++)
        (void)close(fds[i]);
    (void)setrlimit(RLIMIT_NOFILE, &before);
    (void)close(log[0]);
    (void)close(log[1]);
    (void)close(err);
    stop(&s);
}

/* --- start and end ------------------------------------------------------------------
 */

static void test_cannot_listen(void **state)
{
    struct httpd_options o = defaults();
    struct err e = {0};
    uv_loop_t loop;
    struct server s;

    (void)state;
    start(&s, defaults());
    assert_int_equal(uv_loop_init(&loop), 0);
    o.loop = &loop;
    o.port = s.port;
    assert_null(httpd_new(&o, &e));
    assert_int_equal(e.class, ERR_CONFIG);
    assert_non_null(strstr(e.text, "127.0.0.1"));
    assert_non_null(strstr(e.text, "address already in use"));
    o.host = "192.0.2.1";
    o.port = 0;
    assert_null(httpd_new(&o, &e));
    assert_non_null(strstr(e.text, "192.0.2.1"));
    o.host = "127.0.0.1";
    o.trusted = "here";
    assert_null(httpd_new(&o, &e));
    assert_int_equal(uv_loop_close(&loop), 0);
    stop(&s);
}

static void test_ipv6(void **state)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6,
                             .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct httpd_options o = defaults();
    struct server s;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a)) {
        (void)close(fd);
        skip();
    }
    (void)close(fd);
    o.host = "::";
    start(&s, o);
    /* IPv4 by the same listener, and under its own name */
    expect(ask(&s, "GET /x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"), 200,
           "from 127.0.0.1: ");
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    a.sin6_port = htons((uint16_t)s.port);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    peer_say(fd, "GET /x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    expect(until_end(fd), 200, "from ::1: ");
    stop(&s);
}

static void drain_job(struct server *s)
{
    httpd_drain(s->httpd, on_idle);
    assert_int_equal(s->idles, 0); /* from the loop, not from inside */
}

static void test_drain(void **state)
{
    struct server s;
    char *end;
    int idle, half, held, late;

    (void)state;
    start(&s, defaults());
    idle = dial(&s);
    half = dial(&s);
    held = dial(&s);
    peer_say(held,
             "GET /hold HTTP/1.1\r\n" HOST "\r\nGET /no HTTP/1.1\r\n" HOST "\r\n");
    patiently(&s.asked);
    peer_say(half, "POST /half HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n");
    wait_connections(&s, 3);
    expect(ask(&s, "GET /x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"), 200, NULL);
    on_loop(&s, drain_job);
    end = until_end(idle);
    assert_true(!end || !end[0]);
    free(end);
    late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    {
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)s.port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

        assert_int_equal(connect(late, (struct sockaddr *)&a, sizeof a), -1);
    }
    (void)close(late);
    peer_say(half, "hello"); /* it had begun */
    expect(until_end(half), 200, "Connection: close\r\n");
    assert_int_equal(s.idles, 0);
    on_loop(&s, answer_job);
    end = until_end(held);
    assert_null(strstr(end, "/no"));
    expect(end, 202, "Connection: close\r\n");
    patiently(&s.idle);
    on_loop(&s, count_job);
    assert_int_equal(s.connections, 0);
    assert_int_equal(s.idles, 1);
    stop(&s);
}

static void test_drain_of_nothing(void **state)
{
    struct server s;

    (void)state;
    start(&s, defaults());
    on_loop(&s, drain_job);
    patiently(&s.idle);
    stop(&s);
    assert_int_equal(s.idles, 1);
}

static void test_free_with_all_kinds_of_connections(void **state)
{
    struct server s;
    int fds[4];

    (void)state;
    start(&s, defaults());
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = dial(&s);
    peer_say(fds[0], "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    peer_say(fds[1], "GET /big HTTP/1.1\r\n" HOST "\r\n");
    peer_say(fds[2], "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhe");
    patiently(&s.asked);
    wait_connections(&s, 4);
    stop(&s); /* and the held one is answered after that */
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        (void)close(fds[i]);
}

static void test_field(void **state)
{
    const struct httpd_field fields[] = {{"Aa", "1"}, {"B", "2"}, {"aA", "3"}};
    const struct httpd_request r = {.fields = fields, .field_count = 3};
    size_t n;

    (void)state;
    assert_string_equal(httpd_field(&r, "aa", &n), "1");
    assert_int_equal(n, 2);
    assert_string_equal(httpd_field(&r, "b", NULL), "2");
    assert_null(httpd_field(&r, "c", &n));
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_request),
        cmocka_unit_test(test_kept_connection),
        cmocka_unit_test(test_hostile_heads_are_answered_and_closed),
        cmocka_unit_test(test_huge_head_and_body_see_their_answer),
        cmocka_unit_test(test_body_at_the_limit),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_pipelined),
        cmocka_unit_test(test_one_after_the_other),
        cmocka_unit_test(test_half_closed),
        cmocka_unit_test(test_100_continue),
        cmocka_unit_test(test_head_request),
        cmocka_unit_test(test_slow_head),
        cmocka_unit_test(test_slow_body),
        cmocka_unit_test(test_good_request_beside_many_slow_ones),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_owner_may_take_its_time),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_answer_that_nobody_reads),
        cmocka_unit_test(test_client_that_vanishes),
        cmocka_unit_test(test_cap_of_connections),
        cmocka_unit_test(test_longest_wait_gives_its_place),
        cmocka_unit_test(test_work_keeps_its_place),
        cmocka_unit_test(test_part_of_a_head_goes_last),
        cmocka_unit_test(test_flood_from_one_side),
        cmocka_unit_test(test_whose_bytes_have_come_waits_no_more),
        cmocka_unit_test(test_free_while_a_place_is_given),
        cmocka_unit_test(test_many_turned_away),
        cmocka_unit_test(test_cap_of_a_peer),
        cmocka_unit_test(test_forwarded_addresses),
        cmocka_unit_test(test_out_of_descriptors),
        cmocka_unit_test(test_cannot_listen),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_drain_of_nothing),
        cmocka_unit_test(test_free_with_all_kinds_of_connections),
        cmocka_unit_test(test_field),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
