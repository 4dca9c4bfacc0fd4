/* Tests of worker/gitlab.c, gitlab_body.c and gitlab_reply.c: the bytes they send and
 * read, and the operations against a scripted server on the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gitlab.h"
#include "gitlab_body.h"
#include "gitlab_reply.h"
#include "http.h"
#include "scripted_server.h"

#define CALLS_MAX 100
#define JOB "0123456789abcdefghijklmnop"
#define ISSUE_URL "https://gitlab.example.com/g/p/-/issues/14"

static const char *const records[] = {"[Success]", "[Pending]", NULL};

/* --- bodies --- */

static void expect_body(struct buf *b, const char *want)
{
    assert_false(b->failed);
    assert_string_equal(b->data, want);
    buf_reset(b);
}

static void test_bodies(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    gitlab_body_create("t\"", "l1\nl2", "emergency-license, x ,,y", &b);
    expect_body(&b, "{\"title\":\"t\\\"\",\"confidential\":true,\"labels\":"
                    "[\"emergency-license\",\"x\",\"y\"],\"description\":\"l1\\nl2\"}");
    gitlab_body_create("t", "d", " , ", &b);
    expect_body(&b, "{\"title\":\"t\",\"confidential\":true,\"description\":\"d\"}");
    gitlab_body_create("t", "d", NULL, &b);
    expect_body(&b, "{\"title\":\"t\",\"confidential\":true,\"description\":\"d\"}");
    gitlab_body_update("t", "d", "close", &b);
    expect_body(&b,
                "{\"title\":\"t\",\"state_event\":\"close\",\"description\":\"d\"}");
    gitlab_body_update(NULL, NULL, "reopen", &b);
    expect_body(&b, "{\"state_event\":\"reopen\"}");
    gitlab_body_note("a \\ note", &b);
    expect_body(&b, "{\"body\":\"a \\\\ note\"}");
    buf_done(&b);
}

static void test_query(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    gitlab_body_own_issues_query(1767225600123, 2, 100, &b);
    expect_body(&b, "scope=created_by_me&state=all&order_by=created_at&sort=asc"
                    "&per_page=100&page=2&created_after=2026-01-01T00:00:00Z");
    gitlab_body_own_issues_query(-5, 1, 1, &b);
    assert_non_null(strstr(b.data, "created_after=1970-01-01T00:00:00Z"));
    buf_done(&b);
}

static void test_label_count(void **state)
{
    (void)state;
    assert_int_equal(gitlab_body_label_count(NULL), 0);
    assert_int_equal(gitlab_body_label_count(""), 0);
    assert_int_equal(gitlab_body_label_count("a"), 1);
    assert_int_equal(gitlab_body_label_count(" a, b c ,"), 2);
}

/* --- replies --- */

static const char good_issue[] =
    "{\"id\":84,\"iid\":14,\"title\":\"[Pending] - "
    "\\u003cx\\u003e\",\"description\":null,"
    "\"state\":\"opened\",\"author\":{\"id\":1,\"iid\":99,\"state\":\"active\"},"
    "\"labels\":[\"a\",\"b\"],\"confidential\":true,\"closed_at\":null,"
    "\"web_url\":\"" ISSUE_URL "\",\"task_completion_status\":{\"count\":0}}";

static void test_issue_is_read(void **state)
{
    struct gitlab_issue i = {0};
    struct err e;

    (void)state;
    assert_int_equal(gitlab_reply_issue(good_issue, strlen(good_issue), &i, &e), 0);
    assert_int_equal(i.iid, 14);
    assert_string_equal(i.title, "[Pending] - <x>");
    assert_string_equal(i.url, ISSUE_URL);
    assert_false(i.closed);
    assert_true(i.confidential);
    assert_int_equal(i.labels, 2);
    gitlab_issue_done(&i);
    assert_null(i.title);
}

static void test_every_cut_issue_is_refused(void **state)
{
    struct gitlab_issue i = {0};
    struct err e;

    (void)state;
    for (size_t len = 0; len < strlen(good_issue); len++) {
        assert_int_equal(gitlab_reply_issue(good_issue, len, &i, &e), -1);
        assert_int_equal(e.class, ERR_TRANSIENT);
        assert_int_equal(i.iid, 0); /* untouched */
    }
}

static void test_useless_issues_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "null",
        "[]",
        "{}",
        "<html>502</html>",
        "{\"iid\":14}",
        "{\"state\":\"opened\"}",
        "{\"iid\":0,\"state\":\"opened\"}",
        "{\"iid\":-1,\"state\":\"opened\"}",
        "{\"iid\":\"14\",\"state\":\"opened\"}",
        "{\"iid\":14.5,\"state\":\"opened\"}",
        "{\"iid\":99999999999999999999,\"state\":\"opened\"}",
        "{\"iid\":14,\"state\":\"locked\"}",
        "{\"iid\":14,\"state\":null}",
        "{\"iid\":14,\"state\":\"opened\"}{}",
    };
    struct gitlab_issue i = {0};
    struct err e;

    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(texts); k++)
        if (!gitlab_reply_issue(texts[k], strlen(texts[k]), &i, &e))
            fail_msg("taken: %s", texts[k]);
}

static void test_odd_issues_are_read(void **state)
{
    static const char text[] = "{\"iid\":3,\"state\":\"closed\",\"title\":7,"
                               "\"labels\":\"x\",\"confidential\":\"true\"}";
    struct gitlab_issue i = {0};
    struct err e;

    (void)state;
    assert_int_equal(gitlab_reply_issue(text, strlen(text), &i, &e), 0);
    assert_true(i.closed);
    assert_false(i.confidential);
    assert_int_equal(i.labels, 0);
    assert_string_equal(i.title, "");
    assert_string_equal(i.url, "");
    gitlab_issue_done(&i);
}

static int note(const char *text)
{
    struct err e;

    return gitlab_reply_note(text, strlen(text), &e);
}

static int visibility(const char *text, char out[static 32])
{
    struct err e;

    out[0] = '\0';
    return gitlab_reply_visibility(text, strlen(text), out, &e);
}

static void test_note_and_project(void **state)
{
    char v[32];

    (void)state;
    assert_int_equal(note("{\"id\":5,\"body\":\"x\"}"), 0);
    assert_int_equal(note("{\"id\":5"), -1);
    assert_int_equal(note("{\"body\":\"x\"}"), -1);
    assert_int_equal(note("{\"commands_changes\":{}}"), -1);
    assert_int_equal(visibility("{\"id\":5,\"visibility\":\"private\"}", v), 0);
    assert_string_equal(v, "private");
    assert_int_equal(visibility("{\"id\":5}", v), 0);
    assert_string_equal(v, "");
    assert_int_equal(visibility("{\"visibility\":\"private\"", v), -1);
    assert_int_equal(
        visibility("{\"visibility\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", v),
        -1);
}

static void add_listed(struct buf *b, int iid, const char *title, const char *text)
{
    buf_addf(b,
             "%s{\"iid\":%d,\"state\":\"opened\",\"title\":\"%s\",\"description\":"
             "\"%s\",\"confidential\":true,\"web_url\":\"https://g/u%d\"}",
             b->len > 1 ? "," : "", iid, title, text, iid);
}

static void test_find_in_a_list(void **state)
{
    struct buf b;
    struct gitlab_issue i = {0};
    struct err e;
    size_t count = 0;

    (void)state;
    buf_init(&b, 65536);
    buf_adds(&b, "[");
    add_listed(&b, 1, "[Failed] - x", "Job: " JOB);
    add_listed(&b, 2, "[Pending] - x", "Job: another");
    add_listed(&b, 3, "[Pending] - x", "```\\nJob: " JOB "\\n```");
    add_listed(&b, 4, "\\u005bSuccess] - x",
               "text\\n\\nJob: \\u0030" /* JOB's 0 */
               "123456789abcdefghijklmnop\\n");
    add_listed(&b, 5, "[Pending] - x", "Job: " JOB);
    buf_adds(&b, "]");
    assert_int_equal(gitlab_reply_find(b.data, b.len, JOB, records, &i, &count, &e), 0);
    assert_int_equal(count, 5);
    assert_int_equal(i.iid, 4);
    assert_string_equal(i.title, "[Success] - x");
    gitlab_issue_done(&i);
    assert_int_equal(
        gitlab_reply_find(b.data, b.len, "nobody", records, &i, &count, &e), 0);
    assert_int_equal(i.iid, 0);
    for (size_t len = 0; len < b.len; len++) /* a cut list proves nothing */
        assert_int_equal(gitlab_reply_find(b.data, len, JOB, records, &i, &count, &e),
                         -1);
    buf_done(&b);
}

/* --- operations --- */

struct call {
    int times;
    struct gitlab_result r;
    char title[300], url[300];
};

struct world {
    uv_loop_t loop;
    struct server server;
    struct http *http;
    struct settings settings;
    struct gitlab *gitlab;
    struct call calls[CALLS_MAX];
    size_t started;
    bool in_start;
    char url[64];
    /* the server's side */
    const char *visibility;
    const char *status, *headers, *body; /* of the next answers; NULL body: hang up */
    bool silent;
    int in_flight, most;
    struct server_conn *held[CALLS_MAX];
    size_t held_count;
};

static struct world *w;

static bool starts(const char *text, const char *prefix)
{
    return !strncmp(text, prefix, strlen(prefix));
}

static void serve(struct server_conn *c, const char *request)
{
    char body[100];

    if (starts(request, "GET /gl/api/v4/projects/g%2Fp HTTP")) {
        (void)snprintf(body, sizeof body, "{\"id\":1%s%s%s}",
                       *w->visibility ? ",\"visibility\":\"" : "", w->visibility,
                       *w->visibility ? "\"" : "");
        server_reply(c, "200 OK", "", body);
    } else if (w->silent) {
        w->held[w->held_count++] = c;
    } else if (w->body) {
        server_reply(c, w->status, w->headers, w->body);
    } else {
        server_hang_up(c);
    }
}

static void answer(const char *status, const char *headers, const char *body)
{
    w->status = status;
    w->headers = headers;
    w->body = body;
}

static void on_done(void *arg, const struct gitlab_result *r)
{
    struct call *c = arg;

    assert_false(w->in_start);
    c->times++;
    c->r = *r;
    (void)snprintf(c->title, sizeof c->title, "%s", r->title);
    (void)snprintf(c->url, sizeof c->url, "%s", r->url);
}

static struct call *call(void)
{
    return &w->calls[w->started++];
}

static struct call *create_as(enum gitlab_priority p, const char *title)
{
    struct call *c = call();

    w->in_start = true;
    gitlab_create(w->gitlab, p, title, "text", on_done, c);
    w->in_start = false;
    return c;
}

static struct call *create(void)
{
    return create_as(GITLAB_RECORD, "[Pending] - x");
}

static struct call *update(const char *event)
{
    struct call *c = call();

    gitlab_update(w->gitlab, GITLAB_RECORD, 14, "[Success] - x", NULL, event, on_done,
                  c);
    return c;
}

static struct call *find(void)
{
    struct call *c = call();

    gitlab_find(w->gitlab, GITLAB_RECORD, JOB, 1767225600000, records, on_done, c);
    return c;
}

static struct call *comment(void)
{
    struct call *c = call();

    gitlab_comment(w->gitlab, GITLAB_REPORT, 14, "solved", on_done, c);
    return c;
}

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

/* The request after the project's. */
static const char *request(size_t i)
{
    assert_true(i < w->server.count);
    return w->server.requests[i];
}

static void open_client(void)
{
    w->gitlab = gitlab_new(w->http, &w->settings);
}

static int set_up(void **state)
{
    struct err e;

    (void)state;
    w = mem_new(1, sizeof *w);
    (void)uv_loop_init(&w->loop);
    server_start(&w->server, &w->loop, serve);
    w->http = http_new(&w->loop, NULL, &e);
    assert_non_null(w->http);
    (void)snprintf(w->url, sizeof w->url, "http://127.0.0.1:%d/gl", w->server.port);
    w->visibility = "private";
    w->settings.gitlab_url = w->url;
    w->settings.gitlab_project = (char *)(uintptr_t) "g/p";
    w->settings.gitlab_labels = (char *)(uintptr_t) "a,b";
    w->settings.gitlab_require_private = true;
    secret_set(&w->settings.gitlab_token, "t0ken", 5);
    answer("201 Created", "", good_issue);
    open_client();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gitlab_free(w->gitlab);
    http_free(w->http);
    server_done(&w->server);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    for (size_t i = 0; i < w->started; i++)
        assert_int_equal(w->calls[i].times, 1);
    secret_done(&w->settings.gitlab_token);
    free(w);
    return 0;
}

static void expect(const struct call *c, enum err_class class, int code, bool unknown,
                   const char *words)
{
    assert_string_equal(err_class_name(c->r.err.class), err_class_name(class));
    assert_int_equal(c->r.err.code, code);
    assert_int_equal(c->r.unknown, unknown);
    if (!strstr(c->r.err.text, words))
        fail_msg("\"%s\" is not in \"%s\"", words, c->r.err.text);
}

static void test_create(void **state)
{
    struct call *c = create();

    (void)state;
    assert_int_equal(c->times, 0);
    run();
    expect(c, ERR_NONE, 0, false, "");
    assert_int_equal(c->r.iid, 14);
    assert_string_equal(c->url, ISSUE_URL);
    assert_string_equal(c->title, "[Pending] - <x>");
    assert_false(c->r.closed);
    assert_true(c->r.confidential);
    assert_false(c->r.labels_missing);
    assert_int_equal(w->server.count, 2);
    assert_true(starts(request(1), "POST /gl/api/v4/projects/g%2Fp/issues HTTP/1.1"));
    for (size_t i = 0; i < 2; i++)
        assert_non_null(strstr(request(i), "\r\nPRIVATE-TOKEN: t0ken\r\n"));
    assert_non_null(strstr(request(1), "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(request(1),
                           "\r\n\r\n{\"title\":\"[Pending] - x\",\"confidential\":true,"
                           "\"labels\":[\"a\",\"b\"],\"description\":\"text\"}"));
}

static void test_labels_that_are_dropped_show(void **state)
{
    struct call *c = create();

    (void)state;
    answer("201 Created", "",
           "{\"iid\":5,\"state\":\"opened\",\"confidential\":true,\"labels\":[\"a\"]}");
    run();
    expect(c, ERR_NONE, 0, false, "");
    assert_true(c->r.labels_missing);
}

static void test_an_issue_that_is_not_confidential(void **state)
{
    struct call *c = create();

    (void)state;
    answer("201 Created", "",
           "{\"iid\":5,\"state\":\"opened\",\"confidential\":false}");
    run();
    expect(c, ERR_NONE, 0, false, ""); /* it is there: never made again */
    assert_int_equal(c->r.iid, 5);
    assert_false(c->r.confidential);
}

/* What comes back for a POST, and what is known then. */
static void test_create_refused(void **state)
{
    static const struct {
        const char *status, *headers, *body;
        enum err_class class;
        int code;
        bool unknown;
        const char *words;
    } rows[] = {
        {"400 Bad Request", "", "{\"error\":\"title is missing\"}", ERR_PERMANENT, 400,
         false, "title is missing"},
        {"400 Bad Request", "", "{\"message\":{\"title\":[\"is too long\"]}}",
         ERR_PERMANENT, 400, false, "is too long"},
        {"401 Unauthorized", "", "{\"message\":\"401 Unauthorized\"}", ERR_AUTH, 401,
         false, "401 Unauthorized"},
        {"403 Forbidden", "", "{\"error\":\"insufficient_scope\"}", ERR_AUTH, 403,
         false, "insufficient_scope"},
        {"404 Not Found", "", "{\"message\":\"404 Project Not Found\"}", ERR_AUTH, 404,
         false, "Project Not Found"},
        {"404 Not Found", "", "<html>nginx</html>", ERR_AUTH, 404, false, "nginx"},
        {"409 Conflict", "", "{\"message\":\"409 Conflict: Resource lock\"}",
         ERR_TRANSIENT, 409, false, "Resource lock"},
        {"409 Conflict", "",
         "{\"needs_captcha_response\":true,\"message\":{\"error\":"
         "\"solve the reCAPTCHA\"}}",
         ERR_PERMANENT, 409, false, "reCAPTCHA"},
        {"422 Unprocessable", "", "{\"message\":\"no\"}", ERR_PERMANENT, 422, false,
         "no"},
        {"429 Too Many", "Retry-After: 7\r\n", "Retry later", ERR_RATE_LIMITED, 429,
         false, "Retry later"},
        {"500 Error", "", "{\"message\":\"500 Internal Server Error\"}", ERR_TRANSIENT,
         500, true, "500 Internal"},
        {"502 Bad Gateway", "", "<html>GitLab is not responding</html>", ERR_TRANSIENT,
         502, true, "not responding"},
        {"301 Moved",
         "Location: https://gitlab.example.com/api/v4/projects/9/issues\r\n", "moved",
         ERR_AUTH, 301, false, "projects/9"},
        {"302 Found", "", "", ERR_AUTH, 302, false, "another place"},
        {"201 Created", "", "{\"iid\":14,\"state\":\"ope", ERR_TRANSIENT, 0, true,
         "not an issue"},
        {"201 Created", "", "{\"id\":14,\"state\":\"opened\"}", ERR_TRANSIENT, 0, true,
         "not an issue"},
        {"202 Accepted", "", "{}", ERR_TRANSIENT, 202, true, "202"},
        {"", "", NULL, ERR_TRANSIENT, 0, true, "GitLab: "}, /* hung up */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct call *c = create();

        answer(rows[i].status, rows[i].headers, rows[i].body);
        run();
        expect(c, rows[i].class, rows[i].code, rows[i].unknown, rows[i].words);
        assert_int_equal(c->r.iid, 0);
        assert_string_equal(c->url, "");
        assert_string_equal(c->title, "");
        if (rows[i].code == 429)
            assert_int_equal(c->r.err.retry_after_ms, 7000);
    }
    assert_int_equal(w->server.count, ARRAY_LEN(rows) + 1); /* nothing was repeated */
}

static void test_never_left(void **state)
{
    struct call *first = create(), *second;

    (void)state;
    run(); /* the project is known now */
    server_stop(&w->server);
    (void)uv_run(&w->loop, UV_RUN_NOWAIT);
    second = create();
    run();
    expect(first, ERR_NONE, 0, false, "");
    expect(second, ERR_TRANSIENT, 0, false, "GitLab: ");
}

static void test_update(void **state)
{
    struct call *c = update("close");

    (void)state;
    answer("200 OK", "",
           "{\"iid\":14,\"state\":\"closed\",\"title\":\"[Success] - x\"}");
    run();
    expect(c, ERR_NONE, 0, false, "");
    assert_true(c->r.closed);
    assert_string_equal(c->title, "[Success] - x");
    assert_true(starts(request(1), "PUT /gl/api/v4/projects/g%2Fp/issues/14 HTTP"));
    assert_non_null(strstr(
        request(1), "\r\n\r\n{\"title\":\"[Success] - x\",\"state_event\":\"close\"}"));
    c = update("reopen");
    run();
    expect(c, ERR_TRANSIENT, 200, false, "issue 14 is closed");
    answer("200 OK", "", "{\"iid\":14,\"state\":\"opened\"}");
    c = update("close");
    run();
    expect(c, ERR_TRANSIENT, 200, false, "issue 14 is open");
    c = update(NULL);
    run();
    expect(c, ERR_NONE, 0, false, "");
    answer("200 OK", "", "{\"iid\":15,\"state\":\"closed\"}");
    c = update("close");
    run();
    expect(c, ERR_TRANSIENT, 200, false, "issue 15");
    answer("200 OK", "", "<html>");
    c = update("close");
    run();
    expect(c, ERR_TRANSIENT, 0, true, "not an issue");
    answer("404 Not Found", "", "{\"message\":\"404 Not found\"}");
    c = update("close");
    run();
    expect(c, ERR_PERMANENT, 404, false, "404 Not found"); /* someone deleted it */
}

static void test_comment(void **state)
{
    struct call *c = comment();

    (void)state;
    answer("201 Created", "", "{\"id\":302,\"body\":\"solved\"}");
    run();
    expect(c, ERR_NONE, 0, false, "");
    assert_int_equal(c->r.iid, 14);
    assert_true(
        starts(request(1), "POST /gl/api/v4/projects/g%2Fp/issues/14/notes HTTP"));
    assert_non_null(strstr(request(1), "\r\n\r\n{\"body\":\"solved\"}"));
    answer("201 Created", "", "{");
    c = comment();
    run();
    expect(c, ERR_TRANSIENT, 0, true, "not a note");
}

/* --- looking --- */

static int page_of(const char *request_text)
{
    const char *page = strstr(request_text, "&page=");

    return page ? atoi(page + 6) : 0;
}

static int per_page_of(const char *request_text)
{
    return atoi(strstr(request_text, "per_page=") + 9);
}

/* 250 issues; the job's is number `target`; issues `fat` to `fat`+3 have 400 KB each.
 */
static int target, fat;
static bool without_next_page;

static void serve_list(struct server_conn *c, const char *text)
{
    struct buf b;
    char header[50] = "";
    char *blob;
    int page = page_of(text), per_page, first;

    if (!page) {
        server_reply(c, "200 OK", "", "{\"visibility\":\"private\"}");
        return;
    }
    per_page = per_page_of(text);
    first = (page - 1) * per_page + 1;
    blob = mem_new(400001, 1);
    memset(blob, 'x', 400000);
    buf_init(&b, 1 << 22);
    buf_adds(&b, "[");
    for (int i = first; i < first + per_page && i <= 250; i++)
        add_listed(&b, i, "[Pending] - x",
                   i == target               ? "Job: " JOB
                   : i >= fat && i < fat + 4 ? blob
                                             : "-");
    buf_adds(&b, "]");
    if (!without_next_page && first + per_page <= 250)
        (void)snprintf(header, sizeof header, "X-Next-Page: %d\r\n", page + 1);
    server_reply(c, "200 OK", header, b.data);
    buf_done(&b);
    free(blob);
}

static void test_find(void **state)
{
    struct call *c;

    (void)state;
    w->server.handle = serve_list;
    target = 230;
    fat = 1000;
    c = find();
    run();
    expect(c, ERR_NONE, 0, false, "");
    assert_int_equal(c->r.iid, 230);
    assert_string_equal(c->url, "https://g/u230");
    assert_int_equal(w->server.count, 4); /* the project and three pages */
    assert_true(starts(request(1),
                       "GET /gl/api/v4/projects/g%2Fp/issues?scope=created_by_me&"));
    assert_non_null(strstr(request(1), "created_after=2025-12-30T23:00:00Z "));
    target = 1000;
    c = find();
    run();
    expect(c, ERR_NONE, 0, false, "");
    assert_int_equal(c->r.iid, 0);
}

static void test_find_without_the_page_header(void **state)
{
    struct call *c;

    (void)state;
    w->server.handle = serve_list;
    without_next_page = true;
    target = 230;
    fat = 1000;
    c = find();
    run();
    without_next_page = false;
    assert_int_equal(c->r.iid, 230);
}

static void test_find_among_long_issues(void **state)
{
    struct call *c;

    (void)state;
    w->server.handle = serve_list;
    target = 15;
    fat = 11; /* 1.6 MB in the first hundred, and in the second ten */
    c = find();
    run();
    expect(c, ERR_NONE, 0, false, "");
    assert_int_equal(c->r.iid, 15);
    assert_int_equal(per_page_of(request(w->server.count - 1)), 1);
}

static void serve_endless(struct server_conn *c, const char *text)
{
    char header[50];
    int page = page_of(text);

    (void)snprintf(header, sizeof header, "X-Next-Page: %d\r\n",
                   w->silent ? page : page + 1);
    server_reply(c, "200 OK", header, page ? "[]" : "{\"visibility\":\"private\"}");
}

static void serve_too_much(struct server_conn *c, const char *text)
{
    char *blob = mem_new(HTTP_BODY_MAX + 2, 1);

    memset(blob, '[', HTTP_BODY_MAX + 1);
    server_reply(c, "200 OK", "",
                 page_of(text) ? blob : "{\"visibility\":\"private\"}");
    free(blob);
}

static void test_find_in_what_is_no_list(void **state)
{
    struct call *c;

    (void)state;
    w->server.handle = serve_too_much;
    c = find();
    run();
    expect(c, ERR_TRANSIENT, 0, false, "longer than");
    assert_in_range(w->server.count, 10, 30); /* not a gigabyte of it */
}

static void test_find_gives_up_rather_than_say_no(void **state)
{
    struct call *c;

    (void)state;
    w->server.handle = serve_endless;
    w->silent = true; /* a next page that is the same page */
    c = find();
    run();
    expect(c, ERR_TRANSIENT, 0, false, "looked no further");
    w->server.handle = serve;
    w->silent = false;
    answer("200 OK", "", "[{\"iid\":1");
    c = find();
    run();
    expect(c, ERR_TRANSIENT, 0, false, "not a list");
    answer("502 Bad Gateway", "", "");
    c = find();
    run();
    expect(c, ERR_TRANSIENT, 502, false, "502");
}

/* --- may it hold secrets --- */

static void test_project_has_to_be_private(void **state)
{
    static const char *const open[] = {"public", "internal", ""};
    struct call *c, *d;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(open); i++) {
        w->visibility = open[i];
        c = create();
        d = find();
        run();
        expect(c, ERR_AUTH, 0, false, "STOPGAP_GITLAB_REQUIRE_PRIVATE=0");
        expect(d, ERR_AUTH, 0, false, "GitLab project g/p: ");
        assert_int_equal(w->server.count, i + 1); /* one question for both, no issue */
    }
    w->visibility = "private";
    c = create();
    run();
    expect(c, ERR_NONE, 0, false, "");
    c = create();
    run();
    assert_int_equal(w->server.count, ARRAY_LEN(open) + 3); /* asked once */
}

static void test_project_may_be_open_if_told(void **state)
{
    struct call *c;

    (void)state;
    gitlab_free(w->gitlab);
    w->settings.gitlab_require_private = false;
    open_client();
    c = create();
    run();
    expect(c, ERR_NONE, 0, false, "");
    assert_int_equal(w->server.count, 1);
}

static void refuse_all(struct server_conn *c, const char *text)
{
    (void)text;
    server_reply(c, w->status, w->headers, w->body);
}

static void test_project_cannot_be_asked(void **state)
{
    struct call *c;

    (void)state;
    w->server.handle = refuse_all;
    answer("404 Not Found", "", "{\"error\":\"404 Not Found\"}");
    c = create();
    run();
    expect(c, ERR_AUTH, 404, false, "GitLab project g/p: ");
    answer("400 Bad Request", "", "{\"error\":\"id is invalid\"}");
    c = create();
    run(); /* no job can help it, and none is to fail for it */
    expect(c, ERR_AUTH, 400, false, "id is invalid");
    answer("429 Too Many", "Retry-After: 3\r\n", "Retry later");
    c = create();
    run();
    expect(c, ERR_RATE_LIMITED, 429, false, "Retry later");
    assert_int_equal(c->r.err.retry_after_ms, 3000);
    answer("502 Bad Gateway", "", "x");
    c = create();
    run();
    expect(c, ERR_TRANSIENT, 502, false, ""); /* known: no issue was made */
    answer("200 OK", "", "<html>");
    c = create();
    run();
    expect(c, ERR_TRANSIENT, 0, false, "not a project");
    server_stop(&w->server);
    c = create();
    run();
    expect(c, ERR_TRANSIENT, 0, false, "GitLab: ");
}

/* --- many --- */

#define BOUND 32 /* requests at a time */

static void hold(void)
{
    w->silent = true;
    w->held_count = 0;
}

static void until_held(size_t n)
{
    while (w->held_count < n)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
}

static void test_bound_and_priority(void **state)
{
    char title[20];

    (void)state;
    hold();
    for (int i = 0; i < BOUND + 4; i++) {
        (void)snprintf(title, sizeof title, "report %d", i);
        (void)create_as(GITLAB_REPORT, title);
    }
    until_held(BOUND);
    (void)create_as(GITLAB_RECORD, "a record");
    for (int i = 0; i < 20; i++) /* no more of them leave */
        (void)uv_run(&w->loop, UV_RUN_NOWAIT);
    assert_int_equal(w->held_count, BOUND);
    assert_int_equal(w->server.count, BOUND + 1);
    assert_true(w->server.connections <= BOUND + 1);
    server_reply(w->held[0], "201 Created", "", good_issue);
    until_held(BOUND + 1);
    assert_non_null(strstr(request(BOUND + 1), "a record")); /* before 4 reports */
    w->silent = false;
    for (size_t i = 1; i < BOUND + 1; i++)
        server_reply(w->held[i], "201 Created", "", good_issue);
    run();
    for (int i = 0; i < BOUND + 5; i++)
        expect(&w->calls[i], ERR_NONE, 0, false, "");
}

static void test_free_ends_everything(void **state)
{
    (void)state;
    hold();
    for (int i = 0; i < BOUND + 4; i++)
        (void)create();
    (void)find();
    until_held(BOUND);
    gitlab_free(w->gitlab);
    w->gitlab = NULL;
    for (size_t i = 0; i < BOUND + 5; i++) {
        assert_int_equal(w->calls[i].times, 1);
        expect(&w->calls[i], ERR_CANCELLED, 0, i < BOUND, "cancelled");
    }
}

static void test_free_while_the_project_is_asked(void **state)
{
    struct call *c = create();

    (void)state;
    gitlab_free(w->gitlab);
    w->gitlab = NULL;
    expect(c, ERR_CANCELLED, 0, false, "cancelled");
}

static void on_done_free(void *arg, const struct gitlab_result *r)
{
    on_done(arg, r);
    if (w->gitlab)
        gitlab_free(w->gitlab);
    w->gitlab = NULL;
}

static void test_free_inside_callbacks(void **state)
{
    (void)state;
    gitlab_create(w->gitlab, GITLAB_RECORD, "t", "d", on_done_free, call());
    for (int i = 0; i < 30; i++)
        (void)create();
    run();
    assert_null(w->gitlab);
    open_client();
    w->visibility = "public"; /* now while all that wait are refused */
    gitlab_create(w->gitlab, GITLAB_RECORD, "t", "d", on_done_free, call());
    for (int i = 0; i < 30; i++)
        (void)create();
    run();
    assert_null(w->gitlab);
}

static void on_done_again(void *arg, const struct gitlab_result *r)
{
    on_done(arg, r);
    if (w->started < 5)
        gitlab_create(w->gitlab, GITLAB_RECORD, "t", "d", on_done_again, call());
}

static void test_start_inside_callbacks(void **state)
{
    (void)state;
    w->visibility = "public";
    gitlab_create(w->gitlab, GITLAB_RECORD, "t", "d", on_done_again, call());
    run();
    assert_int_equal(w->started, 5);
    assert_int_equal(w->server.count, 5); /* each asked anew */
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_label_count),
        cmocka_unit_test(test_issue_is_read),
        cmocka_unit_test(test_every_cut_issue_is_refused),
        cmocka_unit_test(test_useless_issues_are_refused),
        cmocka_unit_test(test_odd_issues_are_read),
        cmocka_unit_test(test_note_and_project),
        cmocka_unit_test(test_find_in_a_list),
        T(test_create),
        T(test_labels_that_are_dropped_show),
        T(test_an_issue_that_is_not_confidential),
        T(test_create_refused),
        T(test_never_left),
        T(test_update),
        T(test_comment),
        T(test_find),
        T(test_find_without_the_page_header),
        T(test_find_among_long_issues),
        T(test_find_in_what_is_no_list),
        T(test_find_gives_up_rather_than_say_no),
        T(test_project_has_to_be_private),
        T(test_project_may_be_open_if_told),
        T(test_project_cannot_be_asked),
        T(test_bound_and_priority),
        T(test_free_ends_everything),
        T(test_free_while_the_project_is_asked),
        T(test_free_inside_callbacks),
        T(test_start_inside_callbacks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
