/* desk: see desk.h. */
#include "desk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"
#include "mem.h"
#include "zendesk.h"

#define TIMEOUT_MS 10000
#define TRIES 3
#define FIRST_WAIT_MS 250
#define WAIT_MOST_MS 120000 /* asked for longer: a person may come back */
#define PAGES_MOST 100

struct desk {
    struct client *client;
    const struct settings *settings;
    struct http *http;
    struct zendesk *zendesk;
    bool answered;
    int tries;
    struct err err;
};

struct desk *desk_open(struct client *client, const struct settings *settings,
                       struct err *e)
{
    struct http *http = http_new(client_loop(client), settings->ca_file, e);
    struct desk *d;

    if (!http)
        return NULL;
    d = mem_new(1, sizeof *d);
    d->client = client;
    d->settings = settings;
    d->http = http;
    d->zendesk = zendesk_new(http, settings, TIMEOUT_MS);
    return d;
}

void desk_close(struct desk *d)
{
    if (!d)
        return;
    http_free(d->http);
    zendesk_free(d->zendesk);
    free(d);
}

/* ---- one question, asked until it helps no more ---- */

static void on_answer(void *arg, const struct err *e)
{
    struct desk *d = arg;

    d->err = *e;
    d->answered = true;
    client_wake(d->client);
}

static void begin(struct desk *d)
{
    d->tries = 0;
}

static int64_t wait_before_next(const struct desk *d)
{
    if (d->err.class == ERR_RATE_LIMITED)
        return d->err.retry_after_ms;
    return (int64_t)FIRST_WAIT_MS << d->tries;
}

/* After a question was sent: waits for its answer. True: send it again. */
static bool again(struct desk *d)
{
    int64_t wait_ms;

    client_await(d->client, &d->answered);
    d->answered = false;
    if (d->err.class != ERR_RATE_LIMITED && d->err.class != ERR_TRANSIENT)
        return false;
    wait_ms = wait_before_next(d);
    if (++d->tries == TRIES || wait_ms > WAIT_MOST_MS)
        return false;
    if (d->err.class == ERR_RATE_LIMITED)
        (void)fprintf(stderr, "stopgapctl: Zendesk asks to wait %lld s\n",
                      (long long)((wait_ms + 999) / 1000));
    client_pause(d->client, wait_ms);
    return true;
}

/* ---- what to mend ---- */

static const struct {
    enum err_class class;
    int code; /* 0: any */
    const char *mend;
} mends[] = {
    {ERR_AUTH, 401,
     "are STOPGAP_ZENDESK_USER and STOPGAP_ZENDESK_TOKEN right, and does Zendesk allow "
     "API tokens?"},
    {ERR_AUTH, 403, "that user has to be an administrator, or may manage webhooks"},
    {ERR_PERMANENT, 404, "is STOPGAP_ZENDESK_WEBHOOK_ID the webhook's id?"},
    {ERR_RATE_LIMITED, 0, "run it again later"},
    {ERR_TRANSIENT, 0, "is STOPGAP_ZENDESK_URL right? If so, run it again"},
};

static int fail(const struct desk *d, struct err *e)
{
    const char *mend = NULL;

    for (size_t i = 0; i < ARRAY_LEN(mends) && !mend; i++)
        if (mends[i].class == d->err.class &&
            (!mends[i].code || mends[i].code == d->err.code))
            mend = mends[i].mend;
    return err_set(e, d->err.class, d->err.code, "%s%s%s; nothing was submitted",
                   d->err.text, mend ? "; " : "", mend ? mend : "");
}

/* ---- the questions ---- */

static int read_page(struct desk *d, int64_t since_ms, struct zendesk_log *log,
                     struct err *e)
{
    begin(d);
    do
        zendesk_read_log(d->zendesk, d->settings->zendesk_webhook_id, since_ms, log,
                         on_answer, d);
    while (again(d));
    return d->err.class == ERR_NONE ? 0 : fail(d, e);
}

int desk_log(struct desk *d, int64_t since_ms, struct zendesk_log *out, struct err *e)
{
    struct zendesk_log log = {0};

    for (int page = 0; page == 0 || log.after; page++) {
        if (page == PAGES_MOST) {
            (void)err_set(e, ERR_LIMIT, 0,
                          "Zendesk's log has more than %d pages: a shorter --since "
                          "makes it less; nothing was submitted",
                          PAGES_MOST);
            goto fail;
        }
        if (read_page(d, since_ms, &log, e))
            goto fail;
    }
    *out = log;
    return 0;
fail:
    zendesk_log_done(&log);
    return -1;
}

int desk_attempts(struct desk *d, const char *invocation_id,
                  struct zendesk_attempts *out, struct err *e)
{
    begin(d);
    do
        zendesk_read_attempts(d->zendesk, d->settings->zendesk_webhook_id,
                              invocation_id, out, on_answer, d);
    while (again(d));
    return d->err.class == ERR_NONE ? 0 : fail(d, e);
}

int desk_ticket(struct desk *d, int64_t ticket_id, struct zendesk_ticket *out,
                struct err *e)
{
    begin(d);
    do
        zendesk_read_ticket(d->zendesk, ticket_id, out, on_answer, d);
    while (again(d));
    if (d->err.class == ERR_NONE)
        return 1;
    return d->err.class == ERR_PERMANENT && d->err.code == 404 ? 0 : fail(d, e);
}
