/* slack: see slack.h. */
#include "slack.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "flatjson.h"
#include "http.h"
#include "mem.h"
#include "verdict.h"

#define TIMEOUT_MS 15000
#define BODY_MAX ((size_t)128 * 1024)

struct slack {
    struct http *http;
    const struct settings *settings;
};

struct post {
    slack_fn fn;
    void *arg;
};

struct slack *slack_new(struct http *http, const struct settings *settings)
{
    struct slack *s = mem_new(1, sizeof *s);

    s->http = http;
    s->settings = settings;
    return s;
}

void slack_free(struct slack *s)
{
    free(s);
}

/* 403 action_prohibited, 404 no_service, 410 channel_is_archived: it is the webhook, or
 * its channel, whatever is said. So it is with a redirect: it is not followed. */
static void judge(const struct http_response *r, struct err *e)
{
    bool moved = r->status >= 300 && r->status < 400;

    verdict_http("Slack", r->status, r->body, r->body_len, r->retry_after_ms, e);
    if (moved) /* not where to: the path there is perhaps the secret one */
        (void)err_set(e, ERR_AUTH, r->status,
                      "Slack answered %d and points elsewhere: set "
                      "STOPGAP_SLACK_WEBHOOK_URL to what Slack shows for the webhook",
                      r->status);
    else if (r->status == 403 || r->status == 404 || r->status == 410)
        e->class = ERR_AUTH;
}

/* What Slack says when it took it. A page of something in between says 200, too. */
static bool says_ok(const struct http_response *r)
{
    return strncmp(r->body, "ok", 2) == 0 &&
           r->body[2 + strspn(r->body + 2, "\r\n")] == 0;
}

/* good: besides 200. */
static void read_answer(const struct http_response *r, int good, struct err *e)
{
    if (r->err.class != ERR_NONE) {
        *e = r->err;
        (void)err_wrap(e, "Slack");
    } else if (r->status != 200 && r->status != good) {
        judge(r, e);
    } else if (r->status == 200 && !says_ok(r)) {
        verdict_http("Slack", r->status, r->body, r->body_len, 0, e);
        e->class = ERR_PERMANENT; /* again, it would perhaps be there twice */
    }
}

/* Of the URL; a path that ends in / has nothing secret at its end. */
static const char *secret_part(const struct slack *s)
{
    return strrchr(s->settings->slack_webhook_url.data, '/') + 1;
}

static void on_answer(void *arg, const struct http_response *r)
{
    struct post p = *(struct post *)arg;
    struct err e = {.class = ERR_NONE};

    free(arg);
    read_answer(r, 200, &e);
    p.fn(p.arg, &e,
         e.class != ERR_NONE && r->connected && verdict_http_unknown(r->status));
}

/* 400 "no_text": it is there, and misses the text. */
static void on_probed(void *arg, const struct http_response *r)
{
    struct post p = *(struct post *)arg;
    struct err e = {.class = ERR_NONE};

    free(arg);
    read_answer(r, 400, &e);
    p.fn(p.arg, &e, false);
}

void slack_probe(struct slack *s, slack_fn fn, void *arg)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    const struct http_request r = {.method = "POST",
                                   .url = s->settings->slack_webhook_url.data,
                                   .headers = headers,
                                   .body = "{}",
                                   .body_len = 2,
                                   .timeout_ms = TIMEOUT_MS,
                                   .hide = {secret_part(s)},
                                   .secret = true};
    struct post *p = mem_new(1, sizeof *p);

    *p = (struct post){fn, arg};
    (void)http_start(s->http, &r, on_probed, p);
}

void slack_post(struct slack *s, const char *text, slack_fn fn, void *arg)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    struct http_request r = {.method = "POST",
                             .url = s->settings->slack_webhook_url.data,
                             .headers = headers,
                             .timeout_ms = TIMEOUT_MS,
                             .hide = {secret_part(s)},
                             .secret = true};
    struct post *p = mem_new(1, sizeof *p);
    struct buf body;

    *p = (struct post){fn, arg};
    buf_init(&body, BODY_MAX);
    buf_adds(&body, "{\"text\":");
    flatjson_add_string(&body, text);
    buf_adds(&body, ",\"mrkdwn\":true,\"parse\":\"none\",\"link_names\":false,"
                    "\"unfurl_links\":false,\"unfurl_media\":false}");
    assert(!body.failed);
    r.body = body.data;
    r.body_len = body.len;
    (void)http_start(s->http, &r, on_answer, p);
    buf_done(&body);
}
