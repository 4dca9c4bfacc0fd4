/* Tests of common/zendesk.c and zendesk_reply.c: the bytes that they send and read, on
 * answers of the form that real accounts give, and against a scripted server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http.h"
#include "scripted_server.h"
#include "zendesk.h"

#define ID "01HANA2B5D5W9XSJS3NE5SQA1J"
#define HOOK "01HAN96XNH1J7DY8D7RZ22QMT9"

/* --- the log --- */

static const char page[] =
    "{\"meta\":{\"has_more\":true,\"after_cursor\":\"MDFI==\"},\"links\":{\"next\":"
    "\"https://elsewhere.example:443/api/v2/webhooks/" HOOK
    "/invocations?page[after]=MDFI==\"},\"invocations\":[{\"id\":\"" ID
    "\",\"status_code\":403,\"status\":\"terminated\",\"latest_completed_at\":"
    "\"2023-09-18T23:38:14Z\"},{\"id\":\"01HANAGC1\",\"status\":\"throttled\","
    "\"latest_completed_at\":\"2023-09-18T23:37:44Z\"}]}";

static int read_log(const char *text, struct zendesk_log *log, struct err *e)
{
    return zendesk_reply_log(text, strlen(text), log, e);
}

static void test_pages_add_up(void **state)
{
    struct zendesk_log log = {0};
    struct err e;

    (void)state;
    assert_int_equal(read_log(page, &log, &e), 0);
    assert_int_equal(log.count, 2);
    assert_string_equal(log.v[0].id, ID);
    assert_string_equal(log.v[0].status, "terminated");
    assert_int_equal(log.v[0].code, 403);
    assert_int_equal(log.v[0].at_ms, INT64_C(1695080294000));
    assert_string_equal(log.v[1].status, "throttled");
    assert_int_equal(log.v[1].code, 0);
    assert_string_equal(log.after, "MDFI==");
    assert_int_equal(
        read_log("{\"meta\":{\"has_more\":false},\"invocations\":[]}", &log, &e), 0);
    assert_int_equal(log.count, 2);
    assert_null(log.after);
    assert_int_equal(read_log("{\"meta\":{\"has_more\":false,\"after_cursor\":\"x\"},"
                              "\"invocations\":[{\"id\":\"a\",\"status\":\"success\","
                              "\"latest_completed_at\":null,\"new\":[{}]}]}",
                              &log, &e),
                     0);
    assert_int_equal(log.count, 3);
    assert_int_equal(log.v[2].at_ms, 0);
    assert_null(log.after);
    zendesk_log_done(&log);
    assert_null(log.v);
}

static void test_every_cut_page_is_refused(void **state)
{
    struct zendesk_log log = {0};
    struct err e;

    (void)state;
    for (size_t len = 0; len < strlen(page); len++) {
        assert_int_equal(zendesk_reply_log(page, len, &log, &e), -1);
        assert_int_equal(e.class, ERR_TRANSIENT);
        assert_null(log.v); /* untouched */
    }
}

static void test_useless_pages_are_refused(void **state)
{
#define MORE "\"meta\":{\"has_more\":false}"
    static const char *const texts[] = {
        "null",
        "[]",
        "<html>",
        "{\"invocations\":[]}",
        "{\"meta\":{},\"invocations\":[]}",
        "{\"meta\":{\"has_more\":\"no\"},\"invocations\":[]}",
        "{\"meta\":{\"has_more\":true},\"invocations\":[]}",
        "{\"meta\":{\"has_more\":true,\"after_cursor\":\"\"},\"invocations\":[]}",
        "{\"meta\":{\"has_more\":true,\"after_cursor\":7},\"invocations\":[]}",
        "{" MORE "}",
        "{" MORE ",\"invocations\":{}}",
        "{" MORE ",\"invocations\":[\"a\"]}",
        "{" MORE ",\"invocations\":[{\"status\":\"success\"}]}",
        "{" MORE ",\"invocations\":[{\"id\":\"\",\"status\":\"success\"}]}",
        "{" MORE ",\"invocations\":[{\"id\":\"a\\u0000b\",\"status\":\"success\"}]}",
        "{" MORE ",\"invocations\":[{\"id\":\"a\"}]}",
        "{" MORE ",\"invocations\":[{\"id\":\"a\",\"status\":\"a status of more than "
        "thirty-one bytes\"}]}",
        "{" MORE ",\"invocations\":[{\"id\":\"a\",\"status\":\"s\",\"status_code\":"
        "\"200\"}]}",
        "{" MORE ",\"invocations\":[{\"id\":\"a\",\"status\":\"s\",\"status_code\":"
        "20000}]}",
        "{" MORE ",\"invocations\":[{\"id\":\"a\",\"status\":\"s\","
        "\"latest_completed_at\":\"yesterday\"}]}",
        "{" MORE ",\"invocations\":[{\"id\":\"a\",\"status\":\"s\",\"id\":\"b\"}]}",
    };
    struct zendesk_log log = {0};
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(read_log(texts[i], &log, &e), -1);
        assert_non_null(strstr(e.text, "a list of invocations"));
        assert_null(log.v);
    }
}

/* --- attempts --- */

static const char attempts[] =
    "{\"attempts\":[{\"id\":\"" HOOK "\",\"invocation_id\":\"" ID
    "\",\"status_code\":403,\"status\":\"terminated\",\"request\":{\"headers\":[{"
    "\"key\":\"Authorization\",\"value\":\"[SCRUBBED]\"}],\"payload\":\"{\\n "
    "\\\"a\\\": "
    "\\\"\\u00e9\\u0000\\\"}\"},\"response\":{\"headers\":[],\"payload\":\"<html>\"},"
    "\"completed_at\":\"2023-09-18T23:38:14Z\"},{\"id\":\"" HOOK
    "\",\"invocation_id\":\"" ID "\",\"status\":\"throttled\",\"completed_at\":"
    "\"2023-09-18T23:30:04Z\"}]}";

static void test_attempts_keep_the_bytes(void **state)
{
    static const char sent[] = "{\n \"a\": \"\xC3\xA9\0\"}";
    struct zendesk_attempts a = {0};
    struct err e;

    (void)state;
    assert_int_equal(zendesk_reply_attempts(attempts, strlen(attempts), ID, &a, &e), 0);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.code, 403);
    assert_false(a.accepted);
    assert_int_equal(a.payload_len, sizeof sent - 1);
    assert_memory_equal(a.payload, sent, sizeof sent);
    zendesk_attempts_done(&a);
    for (size_t len = 0; len < strlen(attempts); len++)
        assert_int_equal(zendesk_reply_attempts(attempts, len, ID, &a, &e), -1);
    assert_int_equal(
        zendesk_reply_attempts(attempts, strlen(attempts), "other", &a, &e), -1);
    assert_null(a.payload);
}

static void read_attempts(const char *text, struct zendesk_attempts *a, int rc)
{
    struct err e;

    assert_int_equal(zendesk_reply_attempts(text, strlen(text), "i", a, &e), rc);
}

static void test_attempts_of_any_outcome(void **state)
{
    struct zendesk_attempts a = {0};

    (void)state;
    read_attempts("{\"attempts\":[]}", &a, 0);
    assert_int_equal(a.count, 0);
    read_attempts("{\"attempts\":[{\"invocation_id\":\"i\",\"request\":null}]}", &a, 0);
    assert_null(a.payload);
    read_attempts("{\"attempts\":[{\"invocation_id\":\"i\",\"request\":{\"payload\":"
                  "\"x\"}},{\"invocation_id\":\"i\",\"status_code\":202,\"request\":{"
                  "\"payload\":\"y\"}}]}",
                  &a, 0);
    assert_true(a.accepted);
    assert_int_equal(a.code, 202);
    assert_string_equal(a.payload, "x");
    zendesk_attempts_done(&a);
    read_attempts("{}", &a, -1);
    read_attempts("{\"attempts\":[7]}", &a, -1);
    read_attempts("{\"attempts\":[{\"invocation_id\":\"i\",\"request\":{}}]}", &a, -1);
    read_attempts("{\"attempts\":[{\"invocation_id\":\"i\",\"request\":\"x\"}]}", &a,
                  -1);
    read_attempts("{\"attempts\":[{\"invocation_id\":\"i\",\"request\":{\"payload\":"
                  "\"x\"}},{\"invocation_id\":\"i\",\"status_code\":\"x\"}]}",
                  &a, -1);
    assert_null(a.payload);
}

/* --- a ticket --- */

static int read_ticket(const char *text, struct zendesk_ticket *t)
{
    struct err e;

    return zendesk_reply_ticket(text, strlen(text), 42, t, &e);
}

static void test_tickets(void **state)
{
    struct zendesk_ticket t = {.status = "old"};

    (void)state;
    assert_int_equal(read_ticket("{\"ticket\":{\"id\":42,\"status\":\"open\","
                                 "\"requester_id\":7},\"users\":[{\"id\":6,\"email\":"
                                 "\"a@b.example\"},{\"id\":7,\"email\":\"c@d.example\"}"
                                 "]}",
                                 &t),
                     0);
    assert_string_equal(t.status, "open");
    assert_string_equal(t.requester_email, "c@d.example");
    assert_int_equal(read_ticket("{\"ticket\":{\"id\":42,\"status\":\"new\","
                                 "\"requester_id\":7},\"users\":[{\"id\":7,\"email\":"
                                 "null}]}",
                                 &t),
                     0);
    assert_string_equal(t.requester_email, "");
    assert_int_equal(read_ticket("{\"ticket\":{\"id\":43,\"status\":\"open\","
                                 "\"requester_id\":7},\"users\":[{\"id\":7}]}",
                                 &t),
                     -1);
    assert_int_equal(
        read_ticket(
            "{\"ticket\":{\"id\":42,\"requester_id\":7},\"users\":[{\"id\":7}]}", &t),
        -1);
    assert_int_equal(
        read_ticket("{\"ticket\":{\"id\":42,\"status\":\"open\",\"requester_id\":7}}",
                    &t),
        -1);
    /* whoever has no id is not the requester of a ticket that names none */
    assert_int_equal(read_ticket("{\"ticket\":{\"id\":42,\"status\":\"open\"},"
                                 "\"users\":[{\"email\":\"a@b.example\"}]}",
                                 &t),
                     -1);
    assert_int_equal(read_ticket("{}", &t), -1);
    assert_string_equal(t.status, "new");
}

/* --- on the wire --- */

struct rig {
    uv_loop_t loop;
    struct server server;
    struct http *http;
    struct zendesk *zendesk;
    struct settings settings;
    char url[64];
    const char *status, *headers, *body; /* of every answer; status NULL: none */
    struct err err;
    bool answered;
};

static void on_request(struct server_conn *c, const char *request)
{
    struct rig *rig = c->server->data;

    (void)request;
    if (rig->status)
        server_reply(c, rig->status, rig->headers, rig->body);
}

static void on_answer(void *arg, const struct err *e)
{
    struct rig *rig = arg;

    assert_false(rig->answered); /* once */
    rig->answered = true;
    rig->err = *e;
}

static int set_up(void **state)
{
    static char user[] = "bot@example.com";
    struct rig *rig = mem_new(1, sizeof *rig);
    struct err e;

    assert_int_equal(uv_loop_init(&rig->loop), 0);
    server_start(&rig->server, &rig->loop, on_request);
    rig->server.data = rig;
    (void)snprintf(rig->url, sizeof rig->url, "http://127.0.0.1:%d", rig->server.port);
    rig->settings.zendesk_url = rig->url;
    rig->settings.zendesk_user = user;
    secret_set(&rig->settings.zendesk_token, "hunter2", 7);
    rig->http = http_new(&rig->loop, NULL, &e);
    assert_non_null(rig->http);
    rig->zendesk = zendesk_new(rig->http, &rig->settings, 300);
    rig->headers = rig->body = "";
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;

    http_free(rig->http);
    zendesk_free(rig->zendesk);
    server_stop(&rig->server);
    (void)uv_run(&rig->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
    server_done(&rig->server);
    secret_done(&rig->settings.zendesk_token);
    free(rig);
    return 0;
}

static void await_answer(struct rig *rig)
{
    while (!rig->answered)
        (void)uv_run(&rig->loop, UV_RUN_ONCE);
    rig->answered = false;
}

static void expect_line(const struct rig *rig, const char *line)
{
    const char *request = rig->server.requests[rig->server.count - 1];

    if (!strstr(request, line))
        fail_msg("no %s in %s", line, request);
}

static void test_questions(void **state)
{
    struct rig *rig = *state;
    struct zendesk_log log = {0};
    struct zendesk_attempts a = {0};
    struct zendesk_ticket t;

    rig->status = "200 OK";
    rig->body = page;
    zendesk_read_log(rig->zendesk, "h/?1", 1695080294000, &log, on_answer, rig);
    await_answer(rig);
    assert_int_equal(rig->err.class, ERR_NONE);
    expect_line(rig, "GET /api/v2/webhooks/h%2F%3F1/invocations?page%5Bsize%5D=100"
                     "&filter%5Bfrom_ts%5D=2023-09-18T23%3A38%3A14Z HTTP/1.1\r\n");
    /* bot@example.com/token:hunter2 */
    expect_line(rig, "Authorization: Basic "
                     "Ym90QGV4YW1wbGUuY29tL3Rva2VuOmh1bnRlcjI=\r\n");
    zendesk_read_log(rig->zendesk, "h", 1695080294000, &log, on_answer, rig);
    await_answer(rig);
    expect_line(rig, "Z&page%5Bafter%5D=MDFI%3D%3D HTTP/1.1\r\n");
    assert_int_equal(log.count, 4);
    zendesk_log_done(&log);

    rig->body = attempts;
    zendesk_read_attempts(rig->zendesk, HOOK, ID, &a, on_answer, rig);
    await_answer(rig);
    assert_int_equal(rig->err.class, ERR_NONE);
    expect_line(rig, "GET /api/v2/webhooks/" HOOK "/invocations/" ID
                     "/attempts HTTP/1.1\r\n");
    assert_int_equal(a.count, 2);
    zendesk_attempts_done(&a);

    rig->body = "{\"ticket\":{\"id\":42,\"status\":\"open\",\"requester_id\":7},"
                "\"users\":[{\"id\":7}]}";
    zendesk_read_ticket(rig->zendesk, 42, &t, on_answer, rig);
    await_answer(rig);
    assert_int_equal(rig->err.class, ERR_NONE);
    expect_line(rig, "GET /api/v2/tickets/42.json?include=users HTTP/1.1\r\n");
    assert_string_equal(t.status, "open");
}

#define MORE_COMMENTS                                                                  \
    "{\"comments\":[{\"body\":\"a\\nMARK "                                             \
    "(done)\",\"public\":true},{\"public\":false},"                                    \
    "{\"body\":\"MARK (done 2)\",\"public\":false}],\"meta\":{\"has_more\":true,"      \
    "\"after_cursor\":\"a=\"}}"

static int read_comments(const char *body, struct zendesk_comments *out)
{
    struct err e;
    int rc = zendesk_reply_comments(body, strlen(body), "MARK (done)", out, &e);

    if (rc)
        assert_int_equal(e.class, ERR_TRANSIENT);
    return rc;
}

/* Only what staff wrote counts, and the marker whole. */
static void test_comments(void **state)
{
    static const char *const useless[] = {
        "",
        "[]",
        "{\"comments\":[]}",
        "{\"comments\":{},\"meta\":{\"has_more\":false}}",
        "{\"comments\":[],\"meta\":{\"has_more\":true}}",
    };
    struct zendesk_comments c = {.found = false};

    (void)state;
    assert_int_equal(read_comments(MORE_COMMENTS, &c), 0);
    assert_false(c.found);
    assert_string_equal(c.after, "a=");
    assert_int_equal(read_comments("{\"comments\":[{\"body\":\"x\\nMARK (done)\\n\","
                                   "\"public\":false}],\"meta\":{\"has_more\":false}}",
                                   &c),
                     0);
    assert_true(c.found);
    assert_null(c.after);
    for (size_t i = 0; i < sizeof useless / sizeof *useless; i++)
        assert_int_equal(read_comments(useless[i], &c), -1);
    assert_true(c.found); /* untouched */
}

static void test_looks_through_the_pages(void **state)
{
    struct rig *rig = *state;
    bool found = true;

    rig->status = "200 OK";
    rig->body = MORE_COMMENTS;
    zendesk_find_note(rig->zendesk, 42, "MARK (done)", &found, on_answer, rig);
    await_answer(rig);
    assert_int_equal(rig->err.class, ERR_NONE);
    assert_false(found);
    assert_int_equal(rig->server.count, 10); /* and no further */
    expect_line(rig, "GET /api/v2/tickets/42/comments.json?page%5Bsize%5D=100"
                     "&sort=-created_at&page%5Bafter%5D=a%3D HTTP/1.1\r\n");
    zendesk_find_note(rig->zendesk, 42, "MARK (done 2)", &found, on_answer, rig);
    await_answer(rig);
    assert_true(found);
    assert_int_equal(rig->server.count, 11);
}

static void test_writes(void **state)
{
    static const struct {
        const char *status;
        enum err_class class;
    } rows[] = {{"403 Forbidden", ERR_PERMANENT},
                {"409 Conflict", ERR_TRANSIENT},
                {"422 Unprocessable Entity", ERR_PERMANENT},
                {"401 Unauthorized", ERR_AUTH},
                {"500 Internal Server Error", ERR_TRANSIENT}};
    struct rig *rig = *state;

    rig->status = "200 OK";
    zendesk_add_note(rig->zendesk, 42, "a \"note\"\n", on_answer, rig);
    await_answer(rig);
    assert_int_equal(rig->err.class, ERR_NONE);
    expect_line(rig, "PUT /api/v2/tickets/42.json HTTP/1.1\r\n");
    expect_line(rig, "Content-Type: application/json\r\n");
    expect_line(rig, "\r\n\r\n{\"ticket\":{\"comment\":{\"body\":\"a \\\"note\\\"\\n\","
                     "\"public\":false}}}");
    zendesk_add_tag(rig->zendesk, 42, "license_sent", on_answer, rig);
    await_answer(rig);
    expect_line(rig, "PUT /api/v2/tickets/42/tags.json HTTP/1.1\r\n");
    expect_line(rig, "\r\n\r\n{\"tags\":[\"license_sent\"]}");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rig->status = rows[i].status;
        rig->body = "{\"error\":\"No\"}";
        zendesk_add_note(rig->zendesk, 42, "x", on_answer, rig);
        await_answer(rig);
        assert_int_equal(rig->err.class, rows[i].class);
    }
}

static void test_refusals(void **state)
{
    static const struct {
        const char *status, *headers, *body;
        enum err_class class;
        int code;
        int64_t wait_ms;
        const char *words;
    } rows[] = {
        {"401 Unauthorized", "", "{\"error\":\"Couldn't authenticate you\"}", ERR_AUTH,
         401, 0, "Zendesk answered 401: Couldn't authenticate you"},
        {"403 Forbidden", "",
         "{\"error\":{\"title\":\"Forbidden\",\"message\":\"You do not have access\"}}",
         ERR_AUTH, 403, 0, "You do not have access"},
        {"404 Not Found", "",
         "{\"error\":\"RecordNotFound\",\"description\":\"Not found\"}", ERR_PERMANENT,
         404, 0, "RecordNotFound"},
        {"429 Too Many Requests", "Retry-After: 17\r\n",
         "{\"error\":\"APIRateLimitExceeded\"}", ERR_RATE_LIMITED, 429, 17000,
         "APIRateLimitExceeded"},
        {"503 Service Unavailable", "", "<html>down</html>", ERR_TRANSIENT, 503, 0,
         "down"},
        {"301 Moved Permanently", "Location: https://new.example/\r\n", "", ERR_AUTH,
         301, 0, "https://new.example/"},
        {"204 No Content", "", "", ERR_TRANSIENT, 204, 0, "204"},
        {"200 OK", "", "<html>a page</html>", ERR_TRANSIENT, 0, 0,
         "Zendesk: the answer is not"},
    };
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct zendesk_log log = {0};

        rig->status = rows[i].status;
        rig->headers = rows[i].headers;
        rig->body = rows[i].body;
        zendesk_read_log(rig->zendesk, HOOK, 0, &log, on_answer, rig);
        await_answer(rig);
        assert_int_equal(rig->err.class, rows[i].class);
        assert_int_equal(rig->err.code, rows[i].code);
        assert_int_equal(rig->err.retry_after_ms, rows[i].wait_ms);
        assert_non_null(strstr(rig->err.text, rows[i].words));
        assert_null(log.v);
    }
    assert_int_equal(rig->server.count,
                     sizeof rows / sizeof *rows); /* none redirected */
}

static void test_silence_ends(void **state)
{
    struct rig *rig = *state;
    struct zendesk_log log = {0};

    zendesk_read_log(rig->zendesk, HOOK, 0, &log, on_answer, rig);
    await_answer(rig);
    assert_int_equal(rig->err.class, ERR_TRANSIENT);
    assert_null(log.v);
}

static void test_closing_ends_a_question(void **state)
{
    struct rig *rig = *state;
    struct zendesk_attempts a = {0};

    zendesk_read_attempts(rig->zendesk, HOOK, ID, &a, on_answer, rig);
    http_free(rig->http);
    rig->http = NULL;
    assert_true(rig->answered);
    assert_int_equal(rig->err.class, ERR_CANCELLED);
}

/* --- whom the credentials speak for, and the webhook --- */

static void test_users(void **state)
{
    static const struct {
        const char *text, *role; /* role NULL: cannot be read */
        bool suspended;
    } cases[] = {
        {"{\"user\":{\"id\":7,\"role\":\"agent\",\"suspended\":false}}", "agent",
         false},
        {"{\"user\":{\"id\":7,\"role\":\"admin\",\"suspended\":true}}", "admin", true},
        {"{\"user\":{\"id\":null,\"role\":\"end-user\"}}", "", false},
        {"{\"user\":{\"id\":7}}", NULL, false},
        {"{\"user\":{\"id\":7,\"role\":5}}", NULL, false},
        {"{\"user\":[]}", NULL, false},
        {"{}", NULL, false},
        {"<html>", NULL, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct zendesk_user user = {.role = "untouched"};
        struct err e;
        int rc = zendesk_reply_user(cases[i].text, strlen(cases[i].text), &user, &e);

        assert_int_equal(rc, cases[i].role ? 0 : -1);
        assert_string_equal(user.role, cases[i].role ? cases[i].role : "untouched");
        assert_int_equal(user.suspended, cases[i].suspended);
    }
}

static void test_webhook_states(void **state)
{
    static const char good[] = "{\"webhook\":{\"status\":\"active\"}}";
    static const char *const bad[] = {
        "{\"webhook\":{}}", "{\"webhook\":null}", "[]", "",
        ("{\"webhook\":{\"status\":"
         "\"a status that is longer than any of them\"}}")};
    char status[ZENDESK_WORD_MAX] = "untouched";
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(zendesk_reply_webhook(bad[i], strlen(bad[i]), status, &e), -1);
        assert_int_equal(e.class, ERR_TRANSIENT);
        assert_string_equal(status, "untouched");
    }
    assert_int_equal(zendesk_reply_webhook(good, strlen(good), status, &e), 0);
    assert_string_equal(status, "active");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_webhook_states),
        cmocka_unit_test(test_pages_add_up),
        cmocka_unit_test(test_every_cut_page_is_refused),
        cmocka_unit_test(test_useless_pages_are_refused),
        cmocka_unit_test(test_attempts_keep_the_bytes),
        cmocka_unit_test(test_attempts_of_any_outcome),
        cmocka_unit_test(test_tickets),
        cmocka_unit_test(test_comments),
        cmocka_unit_test_setup_teardown(test_looks_through_the_pages, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_questions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_silence_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_closing_ends_a_question, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
