/* metrics_listen: see metrics_listen.h. */
#include "metrics_listen.h"

#include <stdlib.h>
#include <string.h>

#include "httpd.h"
#include "log.h"
#include "mem.h"

/* Few clients, all of them ours. */
#define CONNECTIONS 32
#define GRACE_MS 250
#define BODY_MAX 1024
#define HEAD_MS 3000
#define REQUEST_MS 10000
#define IDLE_MS 120000 /* Prometheus comes again after a minute at most */

#define TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics_listen {
    struct metrics_listen_options o;
    struct httpd *httpd;
};

static void say(struct httpd_call *call, int status, const char *text)
{
    httpd_answer(call, status, "text/plain; charset=utf-8", NULL, text, strlen(text));
}

static void on_metrics(struct metrics_listen *l, struct httpd_call *call)
{
    l->o.on_scrape(l->o.arg, call);
}

static void on_health(struct metrics_listen *l, struct httpd_call *call)
{
    (void)l; /* the loop turns */
    say(call, 200, "ok\n");
}

static void on_ready(struct metrics_listen *l, struct httpd_call *call)
{
    struct err why;
    struct buf text;

    if (l->o.is_ready(l->o.arg, &why)) {
        say(call, 200, "ready\n");
        return;
    }
    buf_init(&text, sizeof why.text + 16);
    buf_addf(&text, "%s\n", why.text);
    say(call, 503, text.data);
    buf_done(&text);
}

static const struct {
    const char *path;
    void (*handle)(struct metrics_listen *l, struct httpd_call *call);
} pages[] = {{"/metrics", on_metrics}, {"/healthz", on_health}, {"/readyz", on_ready}};

static void on_request(void *arg, struct httpd_call *call,
                       const struct httpd_request *request)
{
    static const char *const allow[] = {"Allow: GET, HEAD", NULL};

    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        if (strcmp(request->path, pages[i].path) != 0)
            continue;
        if (strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0)
            pages[i].handle(arg, call);
        else
            httpd_answer(call, 405, "text/plain; charset=utf-8", allow, "", 0);
        return;
    }
    say(call, 404, "/metrics, /healthz and /readyz are here\n");
}

struct metrics_listen *metrics_listen_new(const struct metrics_listen_options *options)
{
    struct metrics_listen *l;
    struct httpd_options h = {.loop = options->loop,
                              .host = options->addr->host,
                              .port = options->addr->port,
                              .max_connections = CONNECTIONS,
                              .grace_ms = GRACE_MS,
                              .max_per_peer = CONNECTIONS,
                              .body_max = BODY_MAX,
                              .head_ms = HEAD_MS,
                              .request_ms = REQUEST_MS,
                              .idle_ms = IDLE_MS,
                              .on_request = on_request};
    struct err e;

    if (!options->addr->host)
        return NULL;
    l = mem_new(1, sizeof *l);
    l->o = *options;
    h.arg = l;
    l->httpd = httpd_new(&h, &e);
    if (!l->httpd) {
        log_msg(LOG_WARN, "metrics", "%s: no metrics are served: %s", options->setting,
                e.text);
        free(l);
        return NULL;
    }
    log_msg(LOG_INFO, "metrics", "on %s port %d", options->addr->host,
            httpd_port(l->httpd));
    return l;
}

void metrics_listen_free(struct metrics_listen *l)
{
    if (!l)
        return;
    httpd_free(l->httpd);
    free(l);
}

void metrics_listen_answer(struct httpd_call *call, const struct metric *table,
                           size_t count, const void *state)
{
    struct buf text;

    buf_init(&text, METRICS_MAX);
    metrics_write(table, count, state, &text);
    httpd_answer(call, 200, TEXT_TYPE, NULL, text.data, text.len);
    buf_done(&text);
}
