/* visit: see visit.h. */
#include "visit.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

#include "crash.h"
#include "log.h"
#include "mem.h"

#define FAULTS_MAX 32768 /* holds all that request_parse can say */
#define REFUSALS_TOLD 20 /* lines in */
#define REFUSALS_MS 10000

struct visit *visit_new(struct receiver *r, struct httpd_call *call,
                        const struct httpd_request *request)
{
    struct visit *v = mem_new(1, sizeof *v);

    CRASH_POINT("request.heard");
    v->receiver = r;
    v->call = call;
    v->request = request;
    v->route = "-";
    v->began_ms = uv_now(r->loop);
    buf_init(&v->faults, FAULTS_MAX);
    return v;
}

static void visit_free(struct visit *v)
{
    buf_done(&v->faults);
    free(v->text);
    free(v);
}

/* --- The log --- */

/* True if there may be one more line about what was refused. */
static bool may_tell(struct receiver *r)
{
    struct refusals *f = &r->refusals;
    uint64_t now = uv_now(r->loop);

    if (now - f->since_ms >= REFUSALS_MS) {
        if (f->untold)
            log_msg(LOG_WARN, "refused", "%u more requests in %llu s", f->untold,
                    (unsigned long long)((now - f->since_ms) / 1000));
        *f = (struct refusals){.since_ms = now};
    }
    if (f->told >= REFUSALS_TOLD) {
        f->untold++;
        return false;
    }
    f->told++;
    return true;
}

void visit_refused(struct receiver *r, const char *peer, int status, const char *why)
{
    struct log_line l;

    r->tally.refused[tally_place(status)]++;
    if (!may_tell(r))
        return;
    log_begin(&l, LOG_WARN, "refused");
    log_int(&l, "status", status);
    log_str(&l, "peer", peer);
    log_str(&l, "err", why);
    log_end(&l);
}

/* Whoever was let in gets a line each; the rest share a quota. */
static void tell(const struct visit *v, int status, const char *why)
{
    bool stranger = status == 401 || status == 404 || status == 405;
    struct log_line l;

    if (stranger && !may_tell(v->receiver))
        return;
    log_begin(&l, v->quiet && status == 200 ? LOG_DEBUG : LOG_INFO, "answer");
    log_str(&l, "route", v->route);
    log_str(&l, "method", v->request->method);
    log_int(&l, "status", status);
    log_str(&l, "job", *v->job_id ? v->job_id : *v->target ? v->target : NULL);
    log_int(&l, "took_ms", (int64_t)(uv_now(v->receiver->loop) - v->began_ms));
    log_int(&l, "bytes", (int64_t)v->request->body_len);
    log_str(&l, "peer", v->request->peer);
    log_str(&l, "err", why);
    log_end(&l);
}

/* --- Answers --- */

static void count(struct visit *v, int status)
{
    struct tally *t = &v->receiver->tally;

    t->answers[v->counted_as][tally_place(status)]++;
    if (!v->quiet)
        metrics_note(&t->took, (int64_t)(uv_now(v->receiver->loop) - v->began_ms));
}

static void finish(struct visit *v, int status, const char *const *extra,
                   const char *json, const char *why)
{
    struct buf body;

    buf_init(&body, strlen(json) + 1);
    buf_adds(&body, json);
    buf_addc(&body, '\n');
    count(v, status);
    tell(v, status, why);
    CRASH_POINT("answer.before");
    httpd_answer(v->call, status, NULL, extra, body.data, body.len);
    CRASH_POINT("answer.sent"); /* one this short leaves at once */
    buf_done(&body);
    visit_free(v);
}

void visit_answer(struct visit *v, int status, const char *const *extra,
                  const char *json)
{
    finish(v, status, extra, json, NULL);
}

static const char *const *headers_of(int status)
{
    static const char *const later[] = {"Retry-After: 30", NULL};
    static const char *const token[] = {"WWW-Authenticate: Bearer", NULL};

    return status == 503 ? later : status == 401 ? token : NULL;
}

void visit_refuse(struct visit *v, int status, const char *fmt, ...)
{
    struct err text; /* one line, printable */
    char raw[ERR_TEXT_MAX];
    json_t *body;
    char *json;
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(raw, sizeof raw, fmt, ap);
    va_end(ap);
    (void)err_set(&text, ERR_INVALID, status, "%s", raw);
    if (status != 503) /* which may be there all the same */
        *v->job_id = '\0';
    body = json_pack("{s:s}", "error", text.text);
    json = json_dumps(body, JSON_COMPACT);
    finish(v, status, headers_of(status), json, text.text);
    free(json);
    json_decref(body);
}

bool visit_is_json(const struct visit *v)
{
    static const char type[] = "application/json";
    size_t count, len = sizeof type - 1;
    const char *value = httpd_field(v->request, "content-type", &count);

    if (count != 1 || strncasecmp(value, type, len) != 0)
        return false;
    value += len;
    value += strspn(value, " \t");
    if (*value != ';')
        return !*value;
    value++;
    value += strspn(value, " \t");
    return !strcasecmp(value, "charset=utf-8") ||
           !strcasecmp(value, "charset=\"utf-8\"");
}
