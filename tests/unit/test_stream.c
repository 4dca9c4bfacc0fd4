/* Unit tests of stream over plain connections: every way in which one fails, and the
 * promises about callbacks. TLS has its own file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <netdb.h>
#include <semaphore.h>
#include <stdio.h>
#include <unistd.h>
#include <uv.h>

#include "buf.h"
#include "mem.h"
#include "peer.h"
#include "stream.h"

enum when { NEVER, AT_OPEN, AT_DATA, AT_END };

struct client {
    uv_loop_t loop;
    struct stream *stream;
    int opens, datas, ends;
    struct buf got;
    struct err end;
    const char *greeting; /* written at open */
    enum when close_at;
    bool inside; /* of the start call */
};

/* --- names: this program's own resolver, so that no test asks the network ----------
 */

static sem_t resolver_may_go;

static struct addrinfo *address(const char *ip, const char *port, struct addrinfo *next)
{
    struct sockaddr_in *sa = calloc(1, sizeof *sa);
    struct addrinfo *ai = calloc(1, sizeof *ai);

    *sa = (struct sockaddr_in){.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)atoi(port))};
    (void)inet_pton(AF_INET, ip, &sa->sin_addr);
    *ai = (struct addrinfo){.ai_family = AF_INET,
                            .ai_socktype = SOCK_STREAM,
                            .ai_addrlen = sizeof *sa,
                            .ai_addr = (struct sockaddr *)sa,
                            .ai_next = next};
    return ai;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **res)
{
    (void)hints;
    if (strcmp(node, "two.test") == 0) {
        *res = address("127.0.0.2", service, address("127.0.0.1", service, NULL));
        return 0;
    }
    if (strcmp(node, "slow.test") == 0)
        (void)sem_wait(&resolver_may_go);
    else if (strcmp(node, "one.test") != 0)
        return EAI_NONAME;
    *res = address("127.0.0.1", service, NULL);
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    while (list) {
        struct addrinfo *next = list->ai_next;

        free(list->ai_addr);
        free(list);
        list = next;
    }
}

/* --- the client under test ----------------------------------------------------------
 */

static void maybe_close(struct client *c, enum when now)
{
    assert_false(c->inside);
    if (c->close_at != now)
        return;
    stream_close(c->stream);
    c->stream = NULL;
}

static void on_open(void *arg)
{
    struct client *c = arg;

    c->opens++;
    assert_int_equal(c->ends, 0);
    if (c->greeting)
        stream_write(c->stream, c->greeting, strlen(c->greeting));
    maybe_close(c, AT_OPEN);
}

static void on_data(void *arg, const char *bytes, size_t len)
{
    struct client *c = arg;

    assert_true(len >= 1);
    assert_int_equal(c->ends, 0);
    c->datas++;
    buf_add(&c->got, bytes, len);
    maybe_close(c, AT_DATA);
}

static void on_end(void *arg, const struct err *e)
{
    struct client *c = arg;

    assert_int_equal(++c->ends, 1);
    assert_int_equal(e->class, ERR_TRANSIENT);
    assert_int_equal(e->code, 0);
    c->end = *e;
    maybe_close(c, AT_END);
}

static const struct stream_events events = {on_open, on_data, on_end};

static void dial(struct client *c, const struct stream_target *t)
{
    c->inside = true;
    c->stream = stream_open(&c->loop, t, &events, c);
    c->inside = false;
    assert_non_null(c->stream);
}

static void dial_host(struct client *c, const char *host, int port)
{
    dial(c, &(struct stream_target){
                .host = host, .port = port, .connect_timeout_ms = 10000});
}

static void run_to_end(struct client *c)
{
    while (!c->ends)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
}

static void run_to_bytes(struct client *c, size_t len)
{
    while (c->got.len < len && !c->ends)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
}

static int setup(void **state)
{
    struct client *c = mem_new(1, sizeof *c);

    assert_int_equal(uv_loop_init(&c->loop), 0);
    buf_init(&c->got, (size_t)256 << 20);
    *state = c;
    return 0;
}

/* Closing the loop proves that no handle was left and no callback is to come. */
static int teardown(void **state)
{
    struct client *c = *state;
    int rc;

    stream_close(c->stream);
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    rc = uv_loop_close(&c->loop);
    buf_done(&c->got);
    free(c);
    return rc;
}

/* --- scripts ------------------------------------------------------------------------
 */

static void say_and_close(struct peer *p, int fd)
{
    peer_say(fd, p->text);
}

static void reset_at_once(struct peer *p, int fd)
{
    char c;

    (void)p;
    (void)recv(fd, &c, 1, 0);
    peer_reset_on_close(fd);
}

static void echo(struct peer *p, int fd)
{
    char bytes[4096];
    ssize_t n;

    (void)p;
    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
        (void)send(fd, bytes, (size_t)n, MSG_NOSIGNAL);
}

static void silent(struct peer *p, int fd)
{
    (void)p;
    peer_wait_end(fd);
}

/* --- tests --------------------------------------------------------------------------
 */

static void test_echo(void **state)
{
    struct client *c = *state;
    struct peer p;

    peer_start(&p, echo, NULL);
    c->greeting = "hello";
    dial_host(c, "127.0.0.1", p.port);
    stream_write(c->stream, "too early", 9);
    run_to_bytes(c, 5);
    assert_string_equal(c->got.data, "hello");
    assert_int_equal(c->opens, 1);
    assert_int_equal(c->ends, 0);
    assert_int_equal(stream_backlog(c->stream), 0);
    assert_false(stream_is_tls(c->stream));
    stream_close(c->stream);
    c->stream = NULL;
    peer_stop(&p);
}

static void test_closed_by_the_peer(void **state)
{
    struct client *c = *state;
    struct peer p = {.text = "bye"};

    peer_start(&p, say_and_close, NULL);
    dial_host(c, "127.0.0.1", p.port);
    run_to_end(c);
    assert_string_equal(c->got.data, "bye");
    assert_string_equal(c->end.text, "closed by the peer");
    stream_write(c->stream, "late", 4);
    assert_int_equal(stream_backlog(c->stream), 0);
    peer_stop(&p);
}

static void test_refused(void **state)
{
    struct client *c = *state;

    dial_host(c, "127.0.0.1", peer_dead_port());
    run_to_end(c);
    assert_non_null(strstr(c->end.text, "cannot connect to 127.0.0.1:"));
    assert_non_null(strstr(c->end.text, "connection refused"));
    assert_int_equal(c->opens, 0);
}

static void test_reset(void **state)
{
    struct client *c = *state;
    struct peer p;

    peer_start(&p, reset_at_once, NULL);
    c->greeting = "x";
    dial_host(c, "127.0.0.1", p.port);
    run_to_end(c);
    assert_string_equal(c->end.text, "connection reset by peer");
    peer_stop(&p);
}

/* A server that says why and hangs up while we write must still be heard. */
static void test_last_words_are_heard(void **state)
{
    struct client *c = *state;
    struct peer p = {.text = "421 too many connections"};

    peer_start(&p, say_and_close, NULL);
    dial_host(c, "127.0.0.1", p.port);
    while (!c->opens)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    peer_served(&p);
    for (int i = 0; i < 3; i++) {
        stream_write(c->stream, "MAIL", 4);
        (void)uv_run(&c->loop, UV_RUN_NOWAIT);
    }
    run_to_end(c);
    assert_string_equal(c->got.data, "421 too many connections");
    peer_stop(&p);
}

static void test_deadline(void **state)
{
    struct client *c = *state;
    struct peer p;

    peer_start(&p, silent, NULL);
    dial_host(c, "127.0.0.1", p.port);
    stream_deadline(c->stream, 3600000, "an hour");
    stream_deadline(c->stream, 20, "reply to DATA");
    run_to_end(c);
    assert_string_equal(c->end.text, "timed out: reply to DATA");
    stream_close(c->stream);
    c->stream = NULL;
    peer_stop(&p);
}

static void test_deadline_removed(void **state)
{
    struct client *c = *state;
    struct peer p;

    peer_start(&p, echo, NULL);
    c->greeting = "x";
    dial_host(c, "127.0.0.1", p.port);
    stream_deadline(c->stream, 1, "nothing");
    stream_deadline(c->stream, 0, NULL);
    run_to_bytes(c, 1);
    assert_int_equal(c->ends, 0);
    stream_close(c->stream);
    c->stream = NULL;
    peer_stop(&p);
}

/* When our own process stalled past the deadline, what is there counts. */
static void test_stall_of_ours_is_not_the_peers(void **state)
{
    struct client *c = *state;
    struct peer p = {.text = ""};

    peer_start(&p, say_and_close, NULL);
    dial_host(c, "127.0.0.1", p.port);
    while (!c->opens)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    peer_served(&p); /* the end is in our socket now */
    stream_deadline(c->stream, 1, "reply");
    uv_sleep(5); /* the stall itself */
    uv_update_time(&c->loop);
    run_to_end(c);
    assert_string_equal(c->end.text, "closed by the peer");
    peer_stop(&p);
}

static void test_unix_socket(void **state)
{
    struct client *c = *state;
    char dir[] = "/tmp/stopgap-stream-XXXXXX";
    char path[64];
    struct peer p;

    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/s", dir);
    peer_start_path(&p, echo, NULL, path);
    c->greeting = "by path";
    dial(c, &(struct stream_target){.path = path, .connect_timeout_ms = 10000});
    run_to_bytes(c, 7);
    stream_close(c->stream);
    c->stream = NULL;
    peer_stop(&p);
    (void)unlink(path);
    (void)rmdir(dir);
    assert_string_equal(c->got.data, "by path");
}

static void test_unix_socket_missing(void **state)
{
    struct client *c = *state;

    dial(c, &(struct stream_target){.path = "/nonexistent/s",
                                    .connect_timeout_ms = 10000});
    run_to_end(c);
    assert_string_equal(c->end.text,
                        "cannot connect to /nonexistent/s: no such file or directory");
}

static void test_unix_socket_too_long(void **state)
{
    struct client *c = *state;
    char path[200];

    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    dial(c, &(struct stream_target){.path = path, .connect_timeout_ms = 1000});
    run_to_end(c);
    assert_non_null(strstr(c->end.text, "name too long"));
}

static void test_name(void **state)
{
    struct client *c = *state;
    struct peer p = {.text = "one"};

    peer_start(&p, say_and_close, NULL);
    dial_host(c, "one.test", p.port);
    run_to_end(c);
    assert_string_equal(c->got.data, "one");
    peer_stop(&p);
}

static void test_name_unknown(void **state)
{
    struct client *c = *state;

    dial_host(c, "none.test", 25);
    run_to_end(c);
    assert_string_equal(c->end.text,
                        "cannot resolve none.test: unknown node or service");
}

static void test_name_impossible(void **state)
{
    struct client *c = *state;
    char name[600];

    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    dial_host(c, name, 25);
    run_to_end(c);
    assert_int_equal(c->opens, 0);
}

static void test_second_address(void **state)
{
    struct client *c = *state;
    struct peer p = {.text = "second"};

    peer_start(&p, say_and_close, NULL); /* on 127.0.0.1; 127.0.0.2 refuses */
    dial_host(c, "two.test", p.port);
    run_to_end(c);
    assert_string_equal(c->got.data, "second");
    assert_int_equal(c->opens, 1);
    peer_stop(&p);
}

static void test_both_addresses_dead(void **state)
{
    struct client *c = *state;

    dial_host(c, "two.test", peer_dead_port());
    run_to_end(c);
    assert_non_null(strstr(c->end.text, "connection refused"));
}

/* A listener whose queue is full lets further connection attempts hang. */
struct hole {
    int fd;
    int filler[8];
};

static void hole_open(struct hole *h, const char *ip, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t len = sizeof a;

    h->fd = peer_listen(ip, port, &port);
    assert_int_equal(listen(h->fd, 0), 0);
    assert_int_equal(getsockname(h->fd, (struct sockaddr *)&a, &len), 0);
    for (size_t i = 0; i < ARRAY_LEN(h->filler); i++) {
        h->filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(h->filler[i], (struct sockaddr *)&a, sizeof a);
    }
}

static void hole_close(struct hole *h)
{
    for (size_t i = 0; i < ARRAY_LEN(h->filler); i++)
        (void)close(h->filler[i]);
    (void)close(h->fd);
}

static void test_silent_address_leaves_time_for_the_next(void **state)
{
    struct client *c = *state;
    struct hole h;
    struct peer p = {.text = "after silence"};

    peer_start(&p, say_and_close, NULL);
    hole_open(&h, "127.0.0.2", p.port);
    dial(c, &(struct stream_target){
                .host = "two.test", .port = p.port, .connect_timeout_ms = 1000});
    run_to_end(c);
    assert_string_equal(c->got.data, "after silence");
    hole_close(&h);
    peer_stop(&p);
}

static void test_connect_timeout(void **state)
{
    struct client *c = *state;
    int port = peer_dead_port();
    struct hole h;

    hole_open(&h, "127.0.0.1", port);
    dial(c, &(struct stream_target){
                .host = "127.0.0.1", .port = port, .connect_timeout_ms = 30});
    run_to_end(c);
    assert_non_null(strstr(c->end.text, "timed out: connect to 127.0.0.1:"));
    hole_close(&h);
}

static void test_close_while_resolving(void **state)
{
    struct client *c = *state;

    dial_host(c, "slow.test", 25);
    (void)uv_run(&c->loop, UV_RUN_NOWAIT);
    stream_close(c->stream);
    c->stream = NULL;
    (void)sem_post(&resolver_may_go);
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    assert_int_equal(c->opens + c->ends, 0);
    while (sem_trywait(&resolver_may_go) == 0)
        ; /* it was cancelled before it ran */
}

static void test_resolver_times_out(void **state)
{
    struct client *c = *state;

    dial(c, &(struct stream_target){
                .host = "slow.test", .port = 25, .connect_timeout_ms = 10});
    run_to_end(c);
    assert_non_null(strstr(c->end.text, "timed out: connect to slow.test:25"));
    (void)sem_post(&resolver_may_go);
}

static void test_close_at_once(void **state)
{
    struct client *c = *state;

    dial_host(c, "127.0.0.1", peer_dead_port());
    stream_close(c->stream);
    c->stream = NULL;
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    assert_int_equal(c->opens + c->ends, 0);
}

static void close_inside(struct client *c, enum when when, int opens, int datas,
                         int ends)
{
    struct peer p = {.text = "data"};

    peer_start(&p, say_and_close, NULL);
    c->close_at = when;
    dial_host(c, "127.0.0.1", p.port);
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    assert_null(c->stream);
    assert_int_equal(c->opens, opens);
    assert_int_equal(c->datas, datas);
    assert_int_equal(c->ends, ends);
    peer_stop(&p);
}

static void test_close_in_open(void **state)
{
    close_inside(*state, AT_OPEN, 1, 0, 0);
}

static void test_close_in_data(void **state)
{
    close_inside(*state, AT_DATA, 1, 1, 0);
}

static void test_close_in_end(void **state)
{
    close_inside(*state, AT_END, 1, 1, 1);
}

static void test_close_null(void **state)
{
    (void)state;
    stream_close(NULL);
}

/* More than the kernel takes at once, to a peer that sends all of it back. */
static void test_large_and_whole(void **state)
{
    struct client *c = *state;
    size_t len = (size_t)8 << 20;
    char *bytes = mem_new(len, 1);
    struct peer p;

    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 2654435761U >> 24);
    peer_start(&p, echo, NULL);
    dial_host(c, "127.0.0.1", p.port);
    while (!c->opens)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    for (size_t i = 0; i < len; i += 65536)
        stream_write(c->stream, bytes + i, 65536);
    assert_int_equal(stream_backlog(c->stream), len);
    run_to_bytes(c, len);
    assert_int_equal(c->got.len, len);
    assert_memory_equal(c->got.data, bytes, len);
    stream_close(c->stream);
    c->stream = NULL;
    peer_stop(&p);
    free(bytes);
}

static void fill(struct buf *b, char c, size_t len)
{
    while (len--)
        buf_addc(b, c);
}

/* Whole and in their order, whether their memory could be taken over or not. */
static void test_given_bytes(void **state)
{
    struct client *c = *state;
    size_t len = 20000;
    struct buf given;
    struct peer p;

    peer_start(&p, echo, NULL);
    dial_host(c, "127.0.0.1", p.port);
    buf_init(&given, len);
    fill(&given, 'x', len);
    stream_give(c->stream, &given); /* too early */
    assert_int_equal(given.len, 0);
    while (!c->opens)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    for (char letter = 'a'; letter < 'd'; letter++) {
        fill(&given, letter, len);
        assert_false(given.failed); /* its bound is its own as before */
        stream_give(c->stream, &given);
        assert_int_equal(given.len, 0);
    }
    stream_write(c->stream, "end", 3);
    assert_int_equal(stream_backlog(c->stream), 3 * len + 3);
    run_to_bytes(c, 3 * len + 3);
    for (size_t i = 0; i < 3 * len; i++)
        assert_int_equal(c->got.data[i], 'a' + (char)(i / len));
    assert_memory_equal(c->got.data + 3 * len, "end", 3);
    buf_done(&given);
    stream_close(c->stream);
    c->stream = NULL;
    peer_stop(&p);
}

static void test_peer_that_never_reads(void **state)
{
    struct client *c = *state;
    size_t len = (size_t)1 << 20;
    char *bytes = mem_new(len, 1);
    struct hole h;
    int port;

    h.fd = peer_listen("127.0.0.1", 0, &port);
    dial_host(c, "127.0.0.1", port);
    while (!c->opens)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    for (int i = 0; i < 200 && !c->ends; i++) {
        stream_write(c->stream, bytes, len);
        assert_true(stream_backlog(c->stream) <= (size_t)150 << 20);
        (void)uv_run(&c->loop, UV_RUN_NOWAIT);
    }
    assert_non_null(strstr(c->end.text, "64 MiB unread"));
    (void)close(h.fd);
    free(bytes);
}

/* What was written just before the end of our interest still leaves. */
static void keep_words(struct peer *p, int fd)
{
    char *words = p->arg;
    size_t have = 0;
    ssize_t n;

    while ((n = recv(fd, words + have, 63 - have, 0)) > 0)
        have += (size_t)n;
}

static void test_last_word_leaves(void **state)
{
    struct client *c = *state;
    char words[64] = {0};
    struct peer p;

    peer_start(&p, keep_words, words);
    c->greeting = "QUIT\r\n";
    c->close_at = AT_OPEN;
    dial_host(c, "127.0.0.1", p.port);
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    peer_served(&p);
    peer_stop(&p);
    assert_string_equal(words, "QUIT\r\n");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_echo),
        T(test_closed_by_the_peer),
        T(test_refused),
        T(test_reset),
        T(test_last_words_are_heard),
        T(test_deadline),
        T(test_deadline_removed),
        T(test_stall_of_ours_is_not_the_peers),
        T(test_unix_socket),
        T(test_unix_socket_missing),
        T(test_unix_socket_too_long),
        T(test_name),
        T(test_name_unknown),
        T(test_name_impossible),
        T(test_second_address),
        T(test_both_addresses_dead),
        T(test_silent_address_leaves_time_for_the_next),
        T(test_connect_timeout),
        T(test_close_while_resolving),
        T(test_resolver_times_out),
        T(test_close_at_once),
        T(test_close_in_open),
        T(test_close_in_data),
        T(test_close_in_end),
        T(test_close_null),
        T(test_large_and_whole),
        T(test_given_bytes),
        T(test_peer_that_never_reads),
        T(test_last_word_leaves),
    };

    (void)alarm(120); /* a hang is a failure */
    (void)sem_init(&resolver_may_go, 0, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
