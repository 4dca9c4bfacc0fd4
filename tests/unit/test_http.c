/* Tests of worker/http.c against a scripted server on the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>

#include "http.h"
#include "http_hide.h"
#include "scripted_server.h"

#define CALLS_MAX 200

/* One answer as the callback saw it. */
struct call {
    int times;
    struct http_response r;
    char *body;
    char location[256];
};

struct world {
    uv_loop_t loop;
    struct server server;
    struct http *http;
    struct call calls[CALLS_MAX];
    size_t started;
    bool in_start;
    char url[64];
    int mode; /* of the handler */
};

static struct world *w; /* the running test's */

static void on_answer(void *arg, const struct http_response *r)
{
    struct call *c = arg;

    assert_false(w->in_start);
    c->times++;
    c->r = *r;
    c->body = mem_dup(r->body, r->body_len);
    (void)snprintf(c->location, sizeof c->location, "%s", r->location);
}

static struct http_op *send_with(struct http_request *r)
{
    struct call *c = &w->calls[w->started++];
    struct http_op *op;

    if (!r->url)
        r->url = w->url;
    if (!r->timeout_ms)
        r->timeout_ms = 30000;
    w->in_start = true;
    op = http_start(w->http, r, on_answer, c);
    w->in_start = false;
    return op;
}

static struct http_op *get(void)
{
    return send_with(&(struct http_request){.method = "GET"});
}

static struct http_op *post(const char *body)
{
    return send_with(&(struct http_request){
        .method = "POST", .body = body, .body_len = strlen(body)});
}

/* Runs the loop until every started request has had its callback. */
static void run(void)
{
    for (;;) {
        bool all = true;

        for (size_t i = 0; i < w->started; i++)
            all = all && w->calls[i].times;
        if (all)
            return;
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    }
}

static void echo(struct server_conn *c, const char *request)
{
    (void)request;
    server_reply(c, "200 OK", "", "hello");
}

static int set_up(void **state)
{
    struct err e;

    (void)state;
    w = mem_new(1, sizeof *w);
    (void)uv_loop_init(&w->loop);
    server_start(&w->server, &w->loop, echo);
    w->http = http_new(&w->loop, NULL, &e);
    assert_non_null(w->http);
    (void)snprintf(w->url, sizeof w->url, "http://127.0.0.1:%d/x", w->server.port);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_free(w->http);
    server_done(&w->server);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0); /* no handle is left */
    for (size_t i = 0; i < w->started; i++) {
        assert_int_equal(w->calls[i].times, 1);
        free(w->calls[i].body);
    }
    free(w);
    return 0;
}

static void test_get(void **state)
{
    static const char *const headers[] = {"PRIVATE-TOKEN: t0ken", "X-Other: 1", NULL};
    struct http_request r = {.method = "GET", .headers = headers};

    (void)state;
    (void)send_with(&r);
    assert_int_equal(w->calls[0].times, 0);
    run();
    assert_int_equal(w->calls[0].r.err.class, ERR_NONE);
    assert_int_equal(w->calls[0].r.status, 200);
    assert_string_equal(w->calls[0].body, "hello");
    assert_true(w->calls[0].r.connected);
    assert_int_equal(w->calls[0].r.retry_after_ms, 0);
    assert_int_equal(w->calls[0].r.next_page, 0);
    assert_string_equal(w->calls[0].location, "");
    assert_ptr_equal(strstr(w->server.requests[0], "GET /x HTTP/1.1\r\n"),
                     w->server.requests[0]);
    assert_non_null(strstr(w->server.requests[0], "\r\nPRIVATE-TOKEN: t0ken\r\n"));
    assert_non_null(strstr(w->server.requests[0], "\r\nX-Other: 1\r\n"));
    assert_non_null(strstr(w->server.requests[0], "\r\nUser-Agent: stopgap/"));
    assert_non_null(strstr(w->server.requests[0], "\r\nAccept-Encoding: identity\r\n"));
}

static void test_methods_with_bodies(void **state)
{
    struct http_request put = {.method = "PUT", .body = "{}", .body_len = 2};
    char *big = mem_new((size_t)(2 << 20) + 1, 1);

    (void)state;
    memset(big, 'x', 2 << 20);
    (void)post("a body");
    run();
    (void)send_with(&put);
    run();
    (void)post(big); /* curl likes to ask "Expect: 100-continue" for these */
    run();
    (void)get(); /* nothing of the method before sticks to a reused handle */
    run();
    assert_ptr_equal(strstr(w->server.requests[0], "POST /x "), w->server.requests[0]);
    assert_non_null(strstr(w->server.requests[0], "\r\n\r\na body"));
    assert_ptr_equal(strstr(w->server.requests[1], "PUT /x "), w->server.requests[1]);
    assert_non_null(strstr(w->server.requests[1], "\r\n\r\n{}"));
    assert_null(strstr(w->server.requests[2], "Expect"));
    assert_ptr_equal(strstr(w->server.requests[3], "GET /x "), w->server.requests[3]);
    assert_null(strstr(w->server.requests[3], "Content-Length"));
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(w->calls[i].r.status, 200);
    free(big);
}

static void test_connections_are_kept(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        (void)post("x");
        run();
    }
    assert_int_equal(w->server.connections, 1);
    assert_int_equal(w->server.count, 20);
}

static void test_many_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 150; i++)
        (void)post("x");
    run();
    for (int i = 0; i < 150; i++)
        assert_int_equal(w->calls[i].r.status, 200);
    assert_int_equal(w->server.count, 150);
}

static void test_refused_never_left(void **state)
{
    (void)state;
    server_stop(&w->server);
    (void)post("x");
    run();
    assert_int_equal(w->calls[0].r.err.class, ERR_TRANSIENT);
    assert_int_equal(w->calls[0].r.err.code, 0);
    assert_int_equal(w->calls[0].r.status, 0);
    assert_false(w->calls[0].r.connected);
    assert_non_null(strstr(w->calls[0].r.err.text, "onnect"));
    assert_string_equal(w->calls[0].body, "");
}

static void test_odd_urls(void **state)
{
    static const char *const urls[] = {"file:///etc/passwd", "http://", "gopher://x/"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(urls); i++)
        (void)send_with(&(struct http_request){.method = "GET", .url = urls[i]});
    run();
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        assert_int_equal(w->calls[i].r.err.class, ERR_TRANSIENT);
        assert_false(w->calls[i].r.connected);
    }
}

enum { HANG_UP, CUT_BODY, NO_HTTP, ENDLESS_HEADER, NO_STATUS, SILENCE };

static void misbehave(struct server_conn *c, const char *request)
{
    static char junk[1000];

    (void)request;
    memset(junk, 'j', sizeof junk);
    if (w->mode == CUT_BODY)
        server_raw(c, "HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\nhalf", 49);
    if (w->mode == NO_HTTP)
        server_raw(c, "220 mail.example.com ESMTP\r\n", 28);
    if (w->mode == NO_STATUS) /* which curl takes for an answer */
        server_raw(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/200 OK\r\n\r\n", 40);
    if (w->mode == ENDLESS_HEADER) {
        server_raw(c, "HTTP/1.1 200 OK\r\n", 17);
        for (int i = 0; i < 100; i++) {
            server_raw(c, "X: ", 3);
            server_raw(c, junk, 1000);
            server_raw(c, "\r\n", 2);
        }
    }
    if (w->mode != SILENCE)
        server_hang_up(c);
}

static void test_bad_answers(void **state)
{
    (void)state;
    w->server.handle = misbehave;
    for (w->mode = HANG_UP; w->mode <= NO_STATUS; w->mode++) {
        (void)post("x");
        run();
    }
    for (size_t i = 0; i < w->started; i++) {
        assert_int_equal(w->calls[i].r.err.class, ERR_TRANSIENT);
        assert_int_equal(w->calls[i].r.status, 0);
        assert_true(w->calls[i].r.connected); /* it may have taken effect */
        assert_false(w->calls[i].r.too_large);
        assert_true(strlen(w->calls[i].r.err.text) > 10);
    }
    assert_non_null(strstr(w->calls[ENDLESS_HEADER].r.err.text, "header is too long"));
}

/* Ends the connection with RST. */
static void reset(struct server_conn *c)
{
    struct linger now = {1, 0};
    uv_os_fd_t fd;

    assert_int_equal(uv_fileno((uv_handle_t *)&c->tcp, &fd), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    server_hang_up(c);
}

static void answer_and_reset(struct server_conn *c, const char *request)
{
    (void)request;
    server_reply(c, "201 Created", "", "made");
    reset(c);
}

/* The answer counts, whatever becomes of the connection after it. */
static void test_reset_behind_an_answer(void **state)
{
    (void)state;
    w->server.handle = answer_and_reset;
    (void)post("x");
    run();
    assert_int_equal(w->calls[0].r.err.class, ERR_NONE);
    assert_int_equal(w->calls[0].r.status, 201);
    assert_string_equal(w->calls[0].body, "made");
}

static void reset_later_ones(struct server_conn *c, const char *request)
{
    if (c->served == 1)
        echo(c, request);
    else
        reset(c);
}

/* A kept connection that is reset under a request: what is safe to repeat is. */
static void test_reset_of_a_kept_connection(void **state)
{
    (void)state;
    w->server.handle = reset_later_ones;
    (void)get();
    run();
    (void)get();
    run();
    assert_int_equal(w->calls[1].r.status, 200);
    (void)post("x");
    run();
    assert_int_equal(w->calls[2].r.err.class, ERR_TRANSIENT);
    assert_true(w->calls[2].r.connected);
    assert_int_equal(w->server.count, 4); /* the second GET twice, the POST once */
}

static void long_body(struct server_conn *c, const char *request)
{
    char *body = mem_new((size_t)w->mode + 1, 1);

    (void)request;
    memset(body, 'x', (size_t)w->mode);
    server_reply(c, "201 Created", "", body);
    free(body);
}

static void test_body_cap(void **state)
{
    (void)state;
    w->server.handle = long_body;
    w->mode = (int)HTTP_BODY_MAX;
    (void)get();
    run();
    assert_int_equal(w->calls[0].r.status, 201);
    assert_int_equal(w->calls[0].r.body_len, HTTP_BODY_MAX);
    w->mode = (int)HTTP_BODY_MAX + 1;
    (void)get();
    run();
    assert_int_equal(w->calls[1].r.err.class, ERR_TRANSIENT);
    assert_true(w->calls[1].r.too_large);
    assert_int_equal(w->calls[1].r.status, 0);
    w->server.handle = echo; /* and the handle is as good as new */
    (void)get();
    run();
    assert_int_equal(w->calls[2].r.status, 200);
    assert_false(w->calls[2].r.too_large);
    assert_string_equal(w->calls[2].body, "hello");
}

static void test_timeout(void **state)
{
    struct http_request r = {
        .method = "POST", .body = "x", .body_len = 1, .timeout_ms = 30};

    (void)state;
    w->server.handle = misbehave;
    w->mode = SILENCE;
    (void)send_with(&r); /* alone: no other transfer helps to collect it */
    run();
    assert_int_equal(w->calls[0].r.err.class, ERR_TRANSIENT);
    assert_true(w->calls[0].r.connected);
    assert_non_null(strstr(w->calls[0].r.err.text, "timed out"));
}

/* Answers the first request of each connection, hangs up on the second. */
static void die_on_second(struct server_conn *c, const char *request)
{
    (void)request;
    if (c->served == 1)
        server_reply(c, "200 OK", "", "first");
    else
        server_hang_up(c);
}

static void test_post_is_never_sent_twice(void **state)
{
    (void)state;
    w->server.handle = die_on_second;
    (void)get();
    run();
    (void)post("create");
    run();
    assert_int_equal(w->server.count, 2); /* curl alone would have made it 3 */
    assert_int_equal(w->calls[1].r.err.class, ERR_TRANSIENT);
    assert_true(w->calls[1].r.connected);
    assert_non_null(strstr(w->calls[1].r.err.text, "without an answer"));
}

static void test_get_is_sent_again(void **state)
{
    (void)state;
    w->server.handle = die_on_second;
    (void)get();
    run();
    (void)get();
    run();
    assert_int_equal(w->server.count, 3);
    assert_int_equal(w->calls[1].r.status, 200);
}

static void redirect(struct server_conn *c, const char *request)
{
    (void)request;
    server_reply(c, "301 Moved Permanently", "Location: /elsewhere/9\r\n", "moved");
}

static void test_redirects_are_not_followed(void **state)
{
    char want[100];

    (void)state;
    w->server.handle = redirect;
    (void)get();
    run();
    (void)snprintf(want, sizeof want, "http://127.0.0.1:%d/elsewhere/9",
                   w->server.port);
    assert_int_equal(w->calls[0].r.status, 301);
    assert_string_equal(w->calls[0].location, want);
    assert_int_equal(w->server.count, 1);
}

static void with_headers(struct server_conn *c, const char *request)
{
    (void)request;
    server_reply(c, "429 Too Many Requests", w->server.data, "later");
}

static struct http_response answer_with(const char *headers)
{
    char copy[300];

    (void)snprintf(copy, sizeof copy, "%s", headers);
    w->server.handle = with_headers;
    w->server.data = copy;
    (void)get();
    run();
    return w->calls[w->started - 1].r;
}

static void test_waits(void **state)
{
    char header[300], date[80];
    time_t now = time(NULL), then = now + 500;
    int64_t ms;

    (void)state;
    assert_int_equal(answer_with("Retry-After: 17\r\n").retry_after_ms, 17000);
    assert_int_equal(answer_with("Retry-After: 9999999\r\n").retry_after_ms, 86400000);
    assert_int_equal(answer_with("Retry-After: soon\r\n").retry_after_ms, 0);
    assert_int_equal(answer_with("Retry-After: -5\r\n").retry_after_ms, 0);
    assert_int_equal(answer_with("Retry-After: 0\r\n").retry_after_ms, 0);
    assert_int_equal(answer_with("").retry_after_ms, 0);
    (void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&then));
    (void)snprintf(header, sizeof header, "Retry-After: %s\r\n", date);
    ms = answer_with(header).retry_after_ms;
    assert_in_range(ms, 1000, 500000);
    (void)snprintf(header, sizeof header, "RateLimit-Reset: %lld\r\n", (long long)then);
    ms = answer_with(header).retry_after_ms;
    assert_in_range(ms, 1000, 500000);
    (void)snprintf(header, sizeof header, "RateLimit-Reset: %lld\r\nRetry-After: 3\r\n",
                   (long long)then);
    assert_int_equal(answer_with(header).retry_after_ms, 3000);
    assert_int_equal(answer_with("RateLimit-Reset: 12\r\n").retry_after_ms, 0);
    assert_int_equal(answer_with("Date: Thu, 01 Jan 1970 00:00:02 GMT\r\n"
                                 "RateLimit-Reset: 12\r\n")
                         .retry_after_ms,
                     10000); /* by the server's clock, whatever ours says */
}

static void test_next_page(void **state)
{
    (void)state;
    assert_int_equal(answer_with("X-Next-Page: 3\r\n").next_page, 3);
    assert_int_equal(answer_with("x-next-page: 12\r\n").next_page, 12);
    assert_int_equal(answer_with("X-Next-Page: \r\n").next_page, 0);
    assert_int_equal(answer_with("X-Next-Page: -1\r\n").next_page, 0);
    assert_int_equal(answer_with("X-Next-Page: 99999999999\r\n").next_page, 0);
}

static void test_secret_over_plain_http(void **state)
{
    char url[100];
    struct http_request r = {.method = "GET", .secret = true};

    (void)state;
    (void)send_with(&r); /* to 127.0.0.1: allowed */
    run();
    assert_int_equal(w->calls[0].r.status, 200);
    /* The same machine by an address that is not plainly a loopback one. */
    (void)snprintf(url, sizeof url, "http://[::ffff:127.0.0.1]:%d/", w->server.port);
    r.url = url;
    (void)send_with(&r);
    run();
    if (w->calls[1].r.err.class == ERR_TRANSIENT)
        skip(); /* no IPv6 here */
    assert_int_equal(w->calls[1].r.err.class, ERR_AUTH);
    assert_false(w->calls[1].r.connected);
    assert_non_null(strstr(w->calls[1].r.err.text, "use https"));
    assert_int_equal(w->server.count, 1);
    r.secret = false;
    (void)send_with(&r);
    run();
    assert_int_equal(w->calls[2].r.status, 200);
}

static void test_environment_proxy_is_ignored(void **state)
{
    (void)state;
    (void)setenv("http_proxy", "http://127.0.0.1:1", 1);
    (void)get();
    run();
    (void)unsetenv("http_proxy");
    assert_int_equal(w->calls[0].r.status, 200);
}

static void test_cancel(void **state)
{
    struct http_op *op;

    (void)state;
    w->server.handle = misbehave;
    w->mode = SILENCE;
    op = post("x");
    while (!w->server.count)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    http_cancel(op);
    assert_int_equal(w->calls[0].times, 1);
    assert_int_equal(w->calls[0].r.err.class, ERR_CANCELLED);
    assert_true(w->calls[0].r.connected);
    op = post("y"); /* at once: it never left */
    http_cancel(op);
    assert_int_equal(w->calls[1].r.err.class, ERR_CANCELLED);
    assert_false(w->calls[1].r.connected);
}

static void test_free_ends_what_runs(void **state)
{
    struct err e;

    (void)state;
    w->server.handle = misbehave;
    w->mode = SILENCE;
    for (int i = 0; i < 5; i++)
        (void)post("x");
    while (w->server.count < 5)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    (void)get(); /* one that has not begun */
    http_free(w->http);
    for (int i = 0; i < 6; i++)
        assert_int_equal(w->calls[i].r.err.class, ERR_CANCELLED);
    w->http = http_new(&w->loop, NULL, &e);
}

static void on_answer_free(void *arg, const struct http_response *r)
{
    on_answer(arg, r);
    http_free(w->http);
    w->http = NULL;
}

static void test_free_inside_a_callback(void **state)
{
    struct http_request r = {.method = "GET", .url = w->url, .timeout_ms = 30000};

    (void)state;
    (void)get();
    (void)http_start(w->http, &r, on_answer_free, &w->calls[w->started++]);
    (void)get();
    run();
}

static void on_answer_again(void *arg, const struct http_response *r)
{
    on_answer(arg, r);
    if (r->err.class == ERR_NONE)
        (void)post("next");
}

static void test_start_inside_a_callback(void **state)
{
    struct http_request r = {.method = "GET", .url = w->url, .timeout_ms = 30000};

    (void)state;
    (void)http_start(w->http, &r, on_answer_again, &w->calls[w->started++]);
    run();
    assert_int_equal(w->started, 2);
    assert_int_equal(w->calls[1].r.status, 200);
    assert_int_equal(w->server.connections, 1);
}

static void on_answer_start_always(void *arg, const struct http_response *r)
{
    on_answer(arg, r);
    (void)post("too late");
}

static void test_start_while_it_is_freed(void **state)
{
    struct http_request r = {.method = "GET", .url = w->url, .timeout_ms = 30000};

    (void)state;
    (void)http_start(w->http, &r, on_answer_start_always, &w->calls[w->started++]);
    http_free(w->http);
    w->http = NULL;
    assert_int_equal(w->started, 2);
    assert_int_equal(w->calls[1].r.err.class, ERR_CANCELLED);
}

static void test_hidden(void **state)
{
    static const struct {
        const char *text, *secret, *heard;
    } cases[] = {
        {"no: s3cret-s3cret!s3cret-s3cret", "s3cret-s3cret",
         "no: *************!*************"},
        {"s3cret-", "s3cret-s3cret", "s3cret-"},
        {"a short one", "short", "a short one"}, /* is a word */
        {"nothing", "", "nothing"},
        {"nothing", NULL, "nothing"},
        {"", "s3cret-s3cret", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *text = mem_strdup(cases[i].text);

        http_hide(text, strlen(text), cases[i].secret);
        assert_string_equal(text, cases[i].heard);
        free(text);
    }
}

static void test_ca_file_must_be_readable(void **state)
{
    struct err e;

    (void)state;
    assert_null(http_new(&w->loop, "/nonexistent/ca.pem", &e));
    assert_int_equal(e.class, ERR_CONFIG);
    assert_non_null(strstr(e.text, "/nonexistent/ca.pem"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_get),
        T(test_methods_with_bodies),
        T(test_connections_are_kept),
        T(test_many_at_once),
        T(test_refused_never_left),
        T(test_odd_urls),
        T(test_bad_answers),
        T(test_reset_behind_an_answer),
        T(test_reset_of_a_kept_connection),
        T(test_body_cap),
        T(test_timeout),
        T(test_post_is_never_sent_twice),
        T(test_get_is_sent_again),
        T(test_redirects_are_not_followed),
        T(test_waits),
        T(test_next_page),
        T(test_secret_over_plain_http),
        T(test_environment_proxy_is_ignored),
        T(test_cancel),
        T(test_free_ends_what_runs),
        T(test_free_inside_a_callback),
        T(test_start_inside_a_callback),
        T(test_start_while_it_is_freed),
        T(test_hidden),
        T(test_ca_file_must_be_readable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
