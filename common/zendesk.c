/* zendesk: see zendesk.h. */
#include "zendesk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "http.h"
#include "mem.h"
#include "verdict.h"
#include "when.h"

#define URL_MAX 8192
#define HEADER_MAX 16384

struct zendesk {
    struct http *http;
    const struct settings *settings;
    int64_t timeout_ms;
    struct secret auth_header;
};

struct question {
    int (*read)(const struct question *q, const struct http_response *r, struct err *e);
    char *invocation_id;
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
    buf_adds(&line, "Authorization: Basic ");
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

static void on_answer(void *arg, const struct http_response *r)
{
    struct question *q = arg;
    struct err e = {.class = ERR_NONE};

    if (r->err.class != ERR_NONE) {
        e = r->err;
        (void)err_wrap(&e, "Zendesk");
    } else if (r->status != 200) {
        explain_refusal(r, &e);
    } else if (q->read(q, r, &e)) {
        (void)err_wrap(&e, "Zendesk");
    }
    q->fn(q->arg, &e);
    free(q->invocation_id);
    free(q);
}

/* ---- questions ---- */

/* The path is appended to this. */
static void begin_url(const struct zendesk *z, struct buf *url)
{
    buf_init(url, URL_MAX);
    buf_adds(url, z->settings->zendesk_url);
}

static void ask(struct zendesk *z, struct buf *url, const struct question *question)
{
    const char *headers[] = {z->auth_header.data, "Accept: application/json", NULL};
    const struct http_request r = {.method = "GET",
                                   .url = url->data,
                                   .headers = headers,
                                   .timeout_ms = z->timeout_ms,
                                   .secret = true};
    struct question *q = mem_new(1, sizeof *q);

    assert(!url->failed);
    *q = *question;
    (void)http_start(z->http, &r, on_answer, q);
    buf_done(url);
}

static int read_log(const struct question *q, const struct http_response *r,
                    struct err *e)
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

static int read_attempts(const struct question *q, const struct http_response *r,
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

static int read_ticket(const struct question *q, const struct http_response *r,
                       struct err *e)
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
