/* zendesk: see zendesk.h. */
#include "zendesk.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "http.h"
#include "mem.h"
#include "verdict.h"
#include "when.h"

#define URL_MAX 8192
#define HEADER_MAX 16384
#define AUTH_NAME "Authorization: Basic "
#define NOTE_PAGE 100      /* comments; ten, then one, where an answer is too long */
#define NOTE_LOOK_MAX 1000 /* comments */
#define NOTE_PAGES_MAX 50

struct zendesk {
    struct http *http;
    const struct settings *settings;
    int64_t timeout_ms;
    struct secret auth_header;
};

struct question {
    int (*read)(struct question *q, const struct http_response *r, struct err *e);
    struct zendesk *z;
    const char *method; /* NULL: GET */
    char *body;         /* of a writing one; json_dumps made it */
    char *invocation_id;
    char *marker;
    char *after; /* cursor of the page that comes */
    int pages, page_size;
    int looked; /* through so many comments */
    int64_t ticket_id;
    void *out;
    zendesk_fn fn;
    void *arg;
};

/* user/token:TOKEN is what Zendesk wants in place of a password. */
static void set_auth(struct zendesk *z, const struct settings *s)
{
    struct buf plain, line;

    buf_init(&plain, HEADER_MAX);
    buf_init(&line, HEADER_MAX);
    buf_addf(&plain, "%s/token:", s->zendesk_user);
    buf_add(&plain, s->zendesk_token.data, s->zendesk_token.len);
    buf_adds(&line, AUTH_NAME);
    buf_add_base64(&line, plain.data, plain.len);
    assert(!plain.failed && !line.failed);
    secret_set(&z->auth_header, line.data, line.len);
    secret_wipe(plain.data, plain.len);
    secret_wipe(line.data, line.len);
    buf_done(&plain);
    buf_done(&line);
}

struct zendesk *zendesk_new(struct http *http, const struct settings *settings,
                            int64_t timeout_ms)
{
    struct zendesk *z = mem_new(1, sizeof *z);

    z->http = http;
    z->settings = settings;
    z->timeout_ms = timeout_ms;
    set_auth(z, settings);
    return z;
}

void zendesk_free(struct zendesk *z)
{
    if (!z)
        return;
    secret_done(&z->auth_header);
    free(z);
}

/* ---- answers ---- */

static void explain_refusal(const struct http_response *r, struct err *e)
{
    if (r->status >= 300 && r->status < 400)
        (void)err_set(
            e, ERR_AUTH, r->status,
            "Zendesk answered %d and points to %s: set STOPGAP_ZENDESK_URL to "
            "where it is now",
            r->status, *r->location ? r->location : "another place");
    else
        verdict_http("Zendesk", r->status, r->body, r->body_len, r->retry_after_ms, e);
}

/* Of a ticket that others work on, too. Rights differ from ticket to ticket, so one
 * refusal does not speak of our credentials. */
static void judge_write(struct err *e)
{
    if (e->code == 409)
        e->class = ERR_TRANSIENT;
    else if (e->code == 403)
        e->class = ERR_PERMANENT;
}

static void ask_page(struct question *q);

static void on_answer(void *arg, const struct http_response *r)
{
    struct question *q = arg;
    struct err e = {.class = ERR_NONE};

    if (r->too_large && q->page_size > 1) {
        q->page_size /= 10;
        ask_page(q);
        return;
    }
    if (r->err.class != ERR_NONE) {
        e = r->err;
        (void)err_wrap(&e, "Zendesk");
    } else if (r->status != 200) {
        explain_refusal(r, &e);
        if (q->method || q->marker)
            judge_write(&e);
    } else if (q->read && q->read(q, r, &e)) {
        (void)err_wrap(&e, "Zendesk");
    } else if (q->after) {
        ask_page(q);
        return;
    }
    q->fn(q->arg, &e);
    free(q->invocation_id);
    free(q->marker);
    free(q->after);
    free(q->body);
    free(q);
}

/* ---- questions ---- */

/* The path is appended to this. */
static void begin_url(const struct zendesk *z, struct buf *url)
{
    buf_init(url, URL_MAX);
    buf_adds(url, z->settings->zendesk_url);
}

static void start(struct zendesk *z, struct buf *url, struct question *q)
{
    const char *headers[] = {z->auth_header.data, "Accept: application/json",
                             q->body ? "Content-Type: application/json" : NULL, NULL};
    const struct http_request r = {.method = q->method ? q->method : "GET",
                                   .url = url->data,
                                   .headers = headers,
                                   .body = q->body,
                                   .body_len = q->body ? strlen(q->body) : 0,
                                   .timeout_ms = z->timeout_ms,
                                   .once = q->body != NULL,
                                   .hide = {z->auth_header.data + strlen(AUTH_NAME),
                                            z->settings->zendesk_token.data},
                                   .secret = true};

    assert(!url->failed);
    (void)http_start(z->http, &r, on_answer, q);
    buf_done(url);
}

static void ask(struct zendesk *z, struct buf *url, const struct question *question)
{
    struct question *q = mem_new(1, sizeof *q);

    *q = *question;
    start(z, url, q);
}

static int read_log(struct question *q, const struct http_response *r, struct err *e)
{
    return zendesk_reply_log(r->body, r->body_len, q->out, e);
}

/* A cursor is sent, never the link that Zendesk makes of it: the credentials are for
 * our host alone. */
void zendesk_read_log(struct zendesk *z, const char *webhook_id, int64_t since_ms,
                      struct zendesk_log *out, zendesk_fn fn, void *arg)
{
    char since[WHEN_TEXT_MAX];
    struct buf url;

    when_format_iso(since_ms, since);
    begin_url(z, &url);
    buf_adds(&url, "/api/v2/webhooks/");
    buf_add_percent(&url, webhook_id);
    buf_adds(&url, "/invocations?page%5Bsize%5D=100&filter%5Bfrom_ts%5D=");
    buf_add_percent(&url, since);
    if (out->after) {
        buf_adds(&url, "&page%5Bafter%5D=");
        buf_add_percent(&url, out->after);
    }
    ask(z, &url,
        &(struct question){.read = read_log, .out = out, .fn = fn, .arg = arg});
}

static int read_me(struct question *q, const struct http_response *r, struct err *e)
{
    return zendesk_reply_user(r->body, r->body_len, q->out, e);
}

void zendesk_read_me(struct zendesk *z, struct zendesk_user *out, zendesk_fn fn,
                     void *arg)
{
    struct buf url;

    begin_url(z, &url);
    buf_adds(&url, "/api/v2/users/me");
    ask(z, &url, &(struct question){.read = read_me, .out = out, .fn = fn, .arg = arg});
}

static int read_webhook(struct question *q, const struct http_response *r,
                        struct err *e)
{
    return zendesk_reply_webhook(r->body, r->body_len, q->out, e);
}

void zendesk_read_webhook(struct zendesk *z, const char *webhook_id, char *status,
                          zendesk_fn fn, void *arg)
{
    struct buf url;

    begin_url(z, &url);
    buf_adds(&url, "/api/v2/webhooks/");
    buf_add_percent(&url, webhook_id);
    ask(z, &url,
        &(struct question){.read = read_webhook, .out = status, .fn = fn, .arg = arg});
}

static int read_attempts(struct question *q, const struct http_response *r,
                         struct err *e)
{
    return zendesk_reply_attempts(r->body, r->body_len, q->invocation_id, q->out, e);
}

void zendesk_read_attempts(struct zendesk *z, const char *webhook_id,
                           const char *invocation_id, struct zendesk_attempts *out,
                           zendesk_fn fn, void *arg)
{
    struct buf url;

    begin_url(z, &url);
    buf_adds(&url, "/api/v2/webhooks/");
    buf_add_percent(&url, webhook_id);
    buf_adds(&url, "/invocations/");
    buf_add_percent(&url, invocation_id);
    buf_adds(&url, "/attempts");
    ask(z, &url,
        &(struct question){.read = read_attempts,
                           .invocation_id = mem_strdup(invocation_id),
                           .out = out,
                           .fn = fn,
                           .arg = arg});
}

static int read_ticket(struct question *q, const struct http_response *r, struct err *e)
{
    return zendesk_reply_ticket(r->body, r->body_len, q->ticket_id, q->out, e);
}

void zendesk_read_ticket(struct zendesk *z, int64_t ticket_id,
                         struct zendesk_ticket *out, zendesk_fn fn, void *arg)
{
    struct buf url;

    begin_url(z, &url);
    buf_addf(&url, "/api/v2/tickets/%lld.json?include=users", (long long)ticket_id);
    ask(z, &url,
        &(struct question){.read = read_ticket,
                           .ticket_id = ticket_id,
                           .out = out,
                           .fn = fn,
                           .arg = arg});
}

/* ---- notes and tags ---- */

static int read_comments(struct question *q, const struct http_response *r,
                         struct err *e)
{
    struct zendesk_comments page = {.found = false};

    if (zendesk_reply_comments(r->body, r->body_len, q->marker, &page, e))
        return -1;
    *(bool *)q->out = page.found;
    q->looked += q->page_size;
    if (page.found || q->looked >= NOTE_LOOK_MAX || q->pages >= NOTE_PAGES_MAX)
        mem_set(&page.after, NULL);
    mem_set(&q->after, page.after);
    free(page.after);
    return 0;
}

static void ask_page(struct question *q)
{
    struct buf url;

    begin_url(q->z, &url);
    buf_addf(&url,
             "/api/v2/tickets/%lld/comments.json?page%%5Bsize%%5D=%d"
             "&sort=-created_at",
             (long long)q->ticket_id, q->page_size);
    if (q->after) {
        buf_adds(&url, "&page%5Bafter%5D=");
        buf_add_percent(&url, q->after);
    }
    q->pages++;
    start(q->z, &url, q);
}

void zendesk_find_note(struct zendesk *z, int64_t ticket_id, const char *marker,
                       bool *found, zendesk_fn fn, void *arg)
{
    struct question *q = mem_new(1, sizeof *q);

    *q = (struct question){.read = read_comments,
                           .z = z,
                           .marker = mem_strdup(marker),
                           .page_size = NOTE_PAGE,
                           .ticket_id = ticket_id,
                           .out = found,
                           .fn = fn,
                           .arg = arg};
    ask_page(q);
}

static void put(struct zendesk *z, int64_t ticket_id, const char *what, json_t *body,
                zendesk_fn fn, void *arg)
{
    char *text = json_dumps(body, JSON_COMPACT);
    struct buf url;

    assert(text); /* what is foreign in it is UTF-8 by now */
    json_decref(body);
    begin_url(z, &url);
    buf_addf(&url, "/api/v2/tickets/%lld%s", (long long)ticket_id, what);
    ask(z, &url,
        &(struct question){.method = "PUT", .body = text, .fn = fn, .arg = arg});
}

void zendesk_add_note(struct zendesk *z, int64_t ticket_id, const char *text,
                      zendesk_fn fn, void *arg)
{
    /* Without `public` it would be what the ticket's first comment was. */
    put(z, ticket_id, ".json",
        json_pack("{s:{s:{s:s,s:b}}}", "ticket", "comment", "body", text, "public", 0),
        fn, arg);
}

void zendesk_add_tag(struct zendesk *z, int64_t ticket_id, const char *tag,
                     zendesk_fn fn, void *arg)
{
    /* PUT adds; tags in an update of the ticket would replace the others. */
    put(z, ticket_id, "/tags.json", json_pack("{s:[s]}", "tags", tag), fn, arg);
}
