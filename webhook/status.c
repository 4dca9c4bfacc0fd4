/* status: see status.h. A view is foreign text by the time it is read here: whoever can
 * write to Redis can write one. So answers are built from known fields in known forms,
 * and what is none of these is left out. */
#include "status.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "inbox.h"
#include "job.h"
#include "mem.h"
#include "num.h"
#include "settings.h"
#include "utf8.h"

#define HOPS_MAX 5 /* from a duplicate to the first */
#define URL_MAX 2048
#define TEXT_MAX ERR_TEXT_MAX
#define TICKET_MAX INT64_C(9007199254740991)

/* --- The fields of a view --- */

typedef json_t *(*field_fn)(const json_t *value);

static json_t *field_id(const json_t *value)
{
    const char *text = json_string_value(value);

    return text && job_id_valid(text) ? json_string(text) : NULL;
}

static json_t *field_state(const json_t *value)
{
    const char *text = json_string_value(value);

    return text && job_state_parse(text) < JOB_STATE_COUNT ? json_string(text) : NULL;
}

static json_t *field_number(const json_t *value)
{
    int64_t n = json_integer_value(value);

    return json_is_integer(value) && n >= 0 && n <= TICKET_MAX ? json_integer(n) : NULL;
}

static json_t *field_steps(const json_t *value)
{
    json_t *steps = json_array(), *item;
    size_t i;

    json_array_foreach(value, i, item)
    {
        const char *name = json_string_value(item);

        if (i < STEP_COUNT && name && job_step_parse(name) < STEP_COUNT)
            (void)json_array_append_new(steps, json_string(name));
    }
    return steps;
}

static json_t *field_url(const json_t *value)
{
    const char *text = json_string_value(value);

    if (!text || strlen(text) > URL_MAX ||
        (strncmp(text, "https://", 8) && strncmp(text, "http://", 7)) ||
        strpbrk(text, " \"'<>\\^`{|}"))
        return NULL;
    for (const char *p = text; *p; p++)
        if (*p < 0x21 || *p > 0x7E)
            return NULL;
    return json_string(text);
}

static json_t *field_error(const json_t *value)
{
    const char *class = json_string_value(json_object_get(value, "class"));
    const char *text = json_string_value(json_object_get(value, "text"));
    struct err e; /* one line, printable, bounded */

    if (!class || err_class_parse(class) == ERR_CLASS_COUNT)
        return NULL;
    (void)err_set(&e, ERR_INVALID, 0, "%s", text ? text : "");
    return json_pack("{s:s,s:s}", "class", class, "text", e.text);
}

static const struct {
    const char *name;
    field_fn read;
} fields[] = {
    {"job_id", field_id},         {"status", field_state},
    {"ticket_id", field_number},  {"steps", field_steps},
    {"error", field_error},       {"issue_url", field_url},
    {"report_url", field_url},    {"duplicate_of", field_id},
    {"expires_ms", field_number}, {"updated_ms", field_number},
};

/* What of a view is shown; NULL if it has no id and no state. The caller owns it. */
static json_t *read_view(const char *view)
{
    json_t *in = json_loads(view, JSON_REJECT_DUPLICATES, NULL);
    json_t *out = json_object();

    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        json_t *value = json_object_get(in, fields[i].name);
        json_t *shown = value ? fields[i].read(value) : NULL;

        if (shown)
            (void)json_object_set_new(out, fields[i].name, shown);
    }
    json_decref(in);
    if (json_object_get(out, "job_id") && json_object_get(out, "status"))
        return out;
    json_decref(out);
    return NULL;
}

/* --- Answers --- */

static void answer(struct visit *v, json_t *body)
{
    char *json;

    if (!json_object_get(body, "steps"))
        (void)json_object_set_new(body, "steps", json_array());
    json = json_dumps(body, JSON_COMPACT);
    visit_answer(v, 200, NULL, json);
    free(json);
}

static void answer_spooled(struct visit *v)
{
    json_t *body = json_pack("{s:s,s:s}", "job_id", v->target, "status", "queued");

    answer(v, body);
    json_decref(body);
}

static void on_view(void *arg, const char *view, const struct err *e);

/* Goes on to the job that this one is a duplicate of; false if that is far enough. */
static bool follow(struct visit *v, const json_t *body)
{
    const char *next = json_string_value(json_object_get(body, "duplicate_of"));

    if (!next || v->hops++ >= HOPS_MAX)
        return false;
    inbox_view(v->receiver->inbox, next, on_view, v);
    return true;
}

/* view: the last that was found. What was asked for is named when it is another's. */
static void show(struct visit *v, const char *view, bool may_follow)
{
    json_t *body = read_view(view);
    const char *id;

    if (!body) {
        visit_refuse(v, 503, "the status in Redis does not read");
        return;
    }
    id = json_string_value(json_object_get(body, "job_id"));
    (void)memcpy(v->job_id, id, JOB_ID_LEN + 1);
    if (may_follow)
        mem_set(&v->text, view);
    if (!may_follow || !follow(v, body)) {
        if (*v->target && strcmp(v->target, id) != 0)
            (void)json_object_set_new(body, "asked_for", json_string(v->target));
        answer(v, body);
    }
    json_decref(body);
}

static void on_view(void *arg, const char *view, const struct err *e)
{
    struct visit *v = arg;

    if (e->class != ERR_NONE)
        visit_refuse(v, 503, "Redis cannot be asked: %s", e->text);
    else if (view)
        show(v, view, true);
    else if (v->text) /* the first job's is gone: the duplicate's own is what is left */
        show(v, v->text, false);
    else if (*v->target && inbox_spooled(v->receiver->inbox, v->target))
        answer_spooled(v);
    else if (*v->target)
        visit_refuse(v, 404, "there is no request %s", v->target);
    else
        visit_refuse(v, 404, "there is no request of that ticket");
}

void status_show(struct visit *v)
{
    if (inbox_spooled(v->receiver->inbox, v->target))
        answer_spooled(v);
    else
        inbox_view(v->receiver->inbox, v->target, on_view, v);
}

void status_of_ticket(struct visit *v)
{
    static const char name[] = "ticket_id=";
    const char *query = v->request->query;
    int64_t ticket;

    if (strncmp(query, name, sizeof name - 1) ||
        !num_parse(query + sizeof name - 1, 1, TICKET_MAX, &ticket))
        visit_refuse(v, 400, "allowed is ?ticket_id=N, a number from 1");
    else
        inbox_ticket_view(v->receiver->inbox, ticket, on_view, v);
}

void status_health(struct visit *v)
{
    visit_answer(v, 200, NULL, "{\"status\":\"ok\"}");
}

void status_ready(struct visit *v)
{
    struct inbox_state state;
    bool ready;
    json_t *body;
    char *json;

    inbox_state(v->receiver->inbox, &state);
    ready = state.redis_up || state.spool_usable;
    body = json_pack("{s:s,s:b,s:b,s:I}", "status", ready ? "ready" : "not ready",
                     "redis", state.redis_up, "spool", state.spool_usable, "spooled",
                     (json_int_t)state.spooled);
    json = json_dumps(body, JSON_COMPACT);
    visit_answer(v, ready ? 200 : 503, NULL, json);
    free(json);
    json_decref(body);
}
