/* intake: see intake.h. Signature first, form second, content last; then the inbox. */
#include "intake.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "inbox.h"
#include "job.h"
#include "replay.h"
#include "settings.h"
#include "signature.h"

#define WANTED_TYPE "Content-Type: allowed is application/json, in UTF-8"
#define KEY_MAX 16384 /* longer than any header */

/* --- Answers --- */

/* "FIELD: text" lines as [{"field", "text"}]; the caller owns it. */
static json_t *list_faults(const char *lines)
{
    json_t *list = json_array();
    size_t len;

    for (; *lines; lines += len + 1) {
        const char *colon = strstr(lines, ": ");
        size_t field;

        len = strcspn(lines, "\n");
        field = colon && colon < lines + len ? (size_t)(colon - lines) : 0;
        (void)json_array_append_new(list,
                                    json_pack("{s:s%,s:s%}", "field", lines, field,
                                              "text", lines + field + (field ? 2 : 0),
                                              len - field - (field ? 2 : 0)));
        if (!lines[len])
            break;
    }
    return list;
}

/* Most answers have nothing in them that JSON would escape. */
static void answer_queued(struct visit *v)
{
    char json[64];

    (void)snprintf(json, sizeof json, "{\"job_id\":\"%s\",\"status\":\"queued\"}",
                   v->job_id);
    visit_answer(v, 202, NULL, json);
}

static void answer_kept(struct visit *v)
{
    json_t *body;
    char *json;

    if (!*v->target && !v->faulty) {
        answer_queued(v);
        return;
    }
    body = json_pack("{s:s,s:s}", "job_id", v->job_id, "status", "queued");

    if (*v->target)
        (void)json_object_set_new(body, "resend_of", json_string(v->target));
    if (v->faulty)
        (void)json_object_set_new(body, "faults", list_faults(v->faults.data));
    json = json_dumps(body, JSON_COMPACT);
    visit_answer(v, v->faulty ? 400 : 202, NULL, json);
    free(json);
    json_decref(body);
}

/* Of what is not kept, since its sender reads answers: there will be no such job. */
static void refuse_faults(struct visit *v)
{
    json_t *body = json_object();
    char *json;

    *v->job_id = '\0';
    (void)json_object_set_new(body, "faults", list_faults(v->faults.data));
    json = json_dumps(body, JSON_COMPACT);
    visit_answer(v, 400, NULL, json);
    free(json);
    json_decref(body);
}

static void on_put(void *arg, const struct err *e)
{
    struct visit *v = arg;

    if (e->class == ERR_NONE)
        answer_kept(v);
    else
        visit_refuse(v, 503, "the request cannot be kept at this time: %s", e->text);
}

static void keep(struct visit *v, const void *raw, size_t len)
{
    inbox_put(v->receiver->inbox, v->job_id, raw, len, on_put, v);
}

/* --- Ids --- */

/* The header's value if there is one such header, otherwise NULL. */
static const char *single(const struct visit *v, const char *name)
{
    size_t count;
    const char *value = httpd_field(v->request, name, &count);

    return count == 1 && *value ? value : NULL;
}

/* kind: keys of one kind name one job each. The keys of requests have none: Zendesk's
 * delivery and the same request given by hand under its key are one job. */
static void choose_id(struct visit *v, const char *kind, const char *key)
{
    struct buf text;

    if (!key) {
        job_id_make(v->job_id);
        return;
    }
    buf_init(&text, KEY_MAX);
    buf_adds(&text, kind);
    buf_adds(&text, key);
    job_id_of_key(v->receiver->settings->queue, text.data, v->job_id);
    buf_done(&text);
}

/* --- Requests --- */

/* More than a request may have is not read anyway: enough of it is kept to show that.
 */
static size_t kept_len(const struct httpd_request *r)
{
    return r->body_len > REQUEST_MAX_BYTES ? REQUEST_MAX_BYTES + 1 : r->body_len;
}

/* key: names the request when it has none of its own; NULL: nothing does. signature: of
 * a delivery, else NULL. */
static void take(struct visit *v, const char *key, const char *signature)
{
    const struct settings *s = v->receiver->settings;
    const struct request_rules rules = {.zendesk_url = s->zendesk_url,
                                        .scope_required = s->scope_required,
                                        .max_users = s->max_users};
    const struct httpd_request *r = v->request;
    struct request request;

    if (!visit_is_json(v)) {
        visit_refuse(v, 415, WANTED_TYPE);
        return;
    }
    v->faulty = request_parse(r->body, r->body_len, &rules, &request, &v->faults) != 0;
    choose_id(v, "", *request.idempotency_key ? request.idempotency_key : key);
    if (signature)
        replay_settle(&v->receiver->replay, signature, v->job_id);
    keep(v, r->body, kept_len(r));
}

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static int check_webhook_id(const struct visit *v, struct err *e)
{
    const char *ours = v->receiver->settings->zendesk_webhook_id;
    const char *theirs = single(v, "x-zendesk-webhook-id");

    if (!ours || (theirs && !strcmp(ours, theirs)))
        return 0;
    return err_set(e, ERR_AUTH, 0,
                   "x-zendesk-webhook-id: not STOPGAP_ZENDESK_WEBHOOK_ID");
}

void intake_zendesk(struct visit *v)
{
    const struct settings *s = v->receiver->secrets;
    const struct secret *const secrets[] = {&s->webhook_secret, &s->webhook_secret_2};
    struct err e;

    if (signature_check(v->request, secrets, s->webhook_max_skew_ms, now_ms(), &e) ||
        check_webhook_id(v, &e))
        visit_refuse(v, 401, "%s", e.text);
    else
        take(v, single(v, "x-zendesk-webhook-invocation-id"),
             single(v, SIGNATURE_HEADER));
}

void intake_api(struct visit *v)
{
    take(v, single(v, "idempotency-key"), NULL);
}

/* --- Resends --- */

/* The body, which may say who asks and under which key; NULL if it is no object. */
static json_t *load_body(const struct visit *v)
{
    const struct httpd_request *r = v->request;
    json_t *body = r->body_len
                       ? json_loadb(r->body, r->body_len, JSON_REJECT_DUPLICATES, NULL)
                       : json_object();

    if (json_is_object(body))
        return body;
    json_decref(body);
    return NULL;
}

/* Makes the request that goes into the inbox, checked like any other. */
static int compose(struct visit *v, json_t *body)
{
    const struct request_rules rules = {.zendesk_url = NULL};
    struct request request;

    if (!json_object_get(body, "requested_by"))
        (void)json_object_set_new(body, "requested_by", json_string("api"));
    (void)json_object_set_new(body, "resend", json_string(v->target));
    v->text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
    return request_parse(v->text, strlen(v->text), &rules, &request, &v->faults);
}

/* A key makes pressing twice one resend; without one each is a resend of its own. */
static void choose_resend_id(struct visit *v, json_t *body)
{
    const char *in_body = json_string_value(json_object_get(body, "idempotency_key"));
    const char *key = in_body && *in_body ? in_body : single(v, "idempotency-key");
    char kind[JOB_ID_LEN + 16];

    (void)snprintf(kind, sizeof kind, "\x01resend %s ", v->target);
    choose_id(v, kind, key);
    if (in_body)
        (void)json_object_del(body, "idempotency_key");
}

static void on_resend_view(void *arg, const char *view, const struct err *e)
{
    struct visit *v = arg;

    if (e->class != ERR_NONE)
        visit_refuse(v, 503, "Redis cannot be asked: %s", e->text);
    else if (!view && !inbox_spooled(v->receiver->inbox, v->target))
        visit_refuse(v, 404, "there is no request %s", v->target);
    else
        keep(v, v->text, strlen(v->text));
}

void intake_resend(struct visit *v)
{
    json_t *body;

    if (v->request->body_len && !visit_is_json(v)) {
        visit_refuse(v, 415, WANTED_TYPE);
        return;
    }
    body = load_body(v);
    if (!body) {
        visit_refuse(v, 400, "the body is not one JSON object");
        return;
    }
    choose_resend_id(v, body);
    if (compose(v, body))
        refuse_faults(v);
    else
        inbox_view(v->receiver->inbox, v->target, on_resend_view, v);
    json_decref(body);
}
