/* cmd_reconcile: what Zendesk's log says was sent, held against the queue; what never
 * arrived goes onto the inbox under the id that it would have had, so that doing it
 * twice, or a delivery that comes after all, is the same job. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cmd.h"
#include "ctl.h"
#include "desk.h"
#include "mem.h"
#include "out.h"
#include "reconcile.h"
#include "reconcile_gather.h"
#include "settings.h"
#include "when.h"

#define PACE_MS 50 /* 20 requests a second: mail server and GitLab are to keep up */
#define LOG_MS (7 * WHEN_DAY_MS) /* Zendesk keeps no more */

struct report {
    struct reconcile_items items;
    int64_t since_ms;
    bool some; /* only those that are named */
    bool submit;
};

/* ---- counting ---- */

static bool is_shown(const struct report *r, const struct reconcile_item *item)
{
    return r->some || item->finding != RECONCILE_ARRIVED;
}

static size_t count_of(const struct report *r, enum reconcile_finding f)
{
    size_t n = 0;

    for (size_t i = 0; i < r->items.count; i++)
        n += r->items.v[i].finding == f && !r->items.v[i].submitted;
    return n;
}

static size_t count_missing(const struct report *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->items.count; i++) {
        const struct reconcile_item *item = &r->items.v[i];

        n += is_shown(r, item) && reconcile_is_missing(item->finding) &&
             !item->submitted;
    }
    return n;
}

static size_t count_submitted(const struct report *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->items.count; i++)
        n += r->items.v[i].submitted;
    return n;
}

/* ---- for people ---- */

static void add_row(struct out_table *t, const struct reconcile_item *item)
{
    char text[OUT_TIME_MAX];
    int code = item->attempts.code ? item->attempts.code : item->row.code;
    struct buf what;

    buf_init(&what, OUT_MAX);
    out_table_cell(t, item->row.id);
    out_time(item->row.at_ms, text);
    out_table_cell(t, text);
    buf_adds(&what, item->row.status);
    if (code)
        buf_addf(&what, " %d", code);
    out_table_cell(t, what.data);
    out_table_int(t, (int64_t)item->attempts.count);
    if (item->ticket_id)
        out_table_int(t, item->ticket_id);
    else
        out_table_cell(t, NULL);
    buf_reset(&what);
    if (item->submitted)
        buf_addf(&what, "submitted: job %s", item->job_id);
    else if (item->known)
        buf_addf(&what, "arrived: job %s", item->job_id);
    else
        reconcile_describe(item, &what);
    out_table_cell(t, what.data);
    buf_done(&what);
}

static void add_table(const struct report *r, struct buf *out)
{
    static const char *const heads[] = {"INVOCATION", "WHEN",   "STATUS",
                                        "ATTEMPTS",   "TICKET", "WHAT"};
    struct out_table t;
    size_t rows = 0;

    out_table_init(&t, heads, ARRAY_LEN(heads));
    for (size_t i = 0; i < r->items.count; i++)
        if (is_shown(r, &r->items.v[i])) {
            add_row(&t, &r->items.v[i]);
            rows++;
        }
    if (rows)
        out_table_add(&t, out);
    out_table_done(&t);
}

/* What to do about each kind, once. */
static void add_advice(const struct report *r, struct buf *out)
{
    for (int f = 0; f < RECONCILE_COUNT; f++) {
        size_t n = count_of(r, (enum reconcile_finding)f);

        if (n && *reconcile_advice((enum reconcile_finding)f))
            buf_addf(out, "%zu %s: %s\n", n, reconcile_name((enum reconcile_finding)f),
                     reconcile_advice((enum reconcile_finding)f));
    }
}

static void print_text(const struct report *r)
{
    char since[OUT_TIME_MAX];
    struct buf out;

    buf_init(&out, OUT_MAX);
    add_table(r, &out);
    out_time(r->since_ms, since);
    buf_addf(&out, "%zu invocations since %s: %zu arrived, %zu missing", r->items.count,
             since, count_of(r, RECONCILE_ARRIVED), count_missing(r));
    if (r->submit)
        buf_addf(&out, ", %zu submitted", count_submitted(r));
    buf_addc(&out, '\n');
    if (!r->some)
        add_advice(r, &out);
    out_print(&out);
    buf_done(&out);
}

/* ---- for programs ---- */

static void set_time(json_t *o, const char *name, int64_t ms)
{
    char text[OUT_TIME_MAX];

    out_time(ms, text);
    if (ms > 0)
        (void)json_object_set_new(o, name, json_string(text));
}

static json_t *describe(const struct reconcile_item *item)
{
    int code = item->attempts.code ? item->attempts.code : item->row.code;
    struct buf what;
    json_t *o;

    buf_init(&what, OUT_MAX);
    reconcile_describe(item, &what);
    o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:i}", "invocation",
                  item->row.id, "status", item->row.status, "finding",
                  reconcile_name(item->finding), "text", what.data, "job_id",
                  item->job_id, "missing",
                  reconcile_is_missing(item->finding) && !item->submitted, "submitted",
                  item->submitted, "attempts", (int)item->attempts.count);
    buf_done(&what);
    set_time(o, "at", item->row.at_ms);
    if (code)
        (void)json_object_set_new(o, "code", json_integer(code));
    if (item->ticket_id)
        (void)json_object_set_new(o, "ticket_id", json_integer(item->ticket_id));
    if (*item->again)
        (void)json_object_set_new(o, "later_job", json_string(item->again));
    if (item->later)
        (void)json_object_set_new(o, "later_invocation",
                                  json_string(item->later->row.id));
    return o;
}

static void print_json(const struct report *r)
{
    json_t *list = json_array(), *all = json_object();

    for (size_t i = 0; i < r->items.count; i++)
        if (is_shown(r, &r->items.v[i]))
            (void)json_array_append_new(list, describe(&r->items.v[i]));
    set_time(all, "since", r->since_ms);
    (void)json_object_set_new(all, "invocations", list);
    (void)json_object_set_new(all, "looked_at",
                              json_integer((json_int_t)r->items.count));
    (void)json_object_set_new(all, "arrived",
                              json_integer((json_int_t)count_of(r, RECONCILE_ARRIVED)));
    (void)json_object_set_new(all, "missing",
                              json_integer((json_int_t)count_missing(r)));
    (void)json_object_set_new(all, "submitted",
                              json_integer((json_int_t)count_submitted(r)));
    out_json(json_dumps(all, JSON_INDENT(2)));
    json_decref(all);
}

/* ---- submitting ---- */

static int push(struct ctl *c, const struct reconcile_item *item, struct err *e)
{
    const struct queue_submit request = {item->job_id, item->attempts.payload,
                                         item->attempts.payload_len, "reconcile",
                                         &c->by};

    return client_submit(c->client, &request, e) || client_confirm(c->client, e) ? -1
                                                                                 : 0;
}

/* In the order in which they were meant to come. */
static int submit(struct ctl *c, struct report *r, struct err *e)
{
    bool first = true;

    for (size_t i = r->items.count; i-- > 0;) {
        struct reconcile_item *item = &r->items.v[i];

        if (!is_shown(r, item) || !reconcile_may_submit(item))
            continue;
        if (!first)
            client_pause(c->client, PACE_MS);
        first = false;
        if (push(c, item, e))
            return err_wrap(e,
                            "%zu submitted, then it failed at %s; run it again: what "
                            "is there already is not submitted twice",
                            count_submitted(r), item->row.id);
        item->submitted = true;
    }
    return 0;
}

/* ---- the command ---- */

struct options {
    const char *since;
    bool submit;
};

static int work(struct ctl *c, const struct options *o, struct desk *desk, char **names,
                int count)
{
    struct report r = {.some = count > 0, .submit = o->submit};
    struct reconcile_rules rules = {.retention_ms = c->settings->retention_ms,
                                    .old_ms = o->since ? 0 : WHEN_DAY_MS};
    struct reconcile_sources from = {.client = c->client,
                                     .desk = desk,
                                     .queue = c->settings->queue,
                                     .rules = &rules,
                                     .names = names,
                                     .count = count};
    struct err e = {.class = ERR_NONE};
    int code = EXIT_OK;

    if (client_now(c->client, &rules.now_ms, &e))
        return ctl_fail(&e);
    from.since_ms = rules.now_ms - LOG_MS;
    if (o->since && args_since(o->since, rules.now_ms, &from.since_ms, &e))
        return ctl_fail(&e);
    r.since_ms = from.since_ms;
    if (reconcile_gather(&from, &r.items, &e))
        return ctl_fail(&e);
    if (o->submit && submit(c, &r, &e))
        code = ctl_fail(&e);
    (c->json ? print_json : print_text)(&r);
    if (!code && count_missing(&r))
        code = EXIT_FAILED;
    reconcile_done(&r.items);
    return code;
}

int cmd_reconcile(struct ctl *c, int argc, char **argv)
{
    struct options o = {.since = NULL};
    const struct arg_option own[] = {{"since", ARG_TEXT, &o.since},
                                     {"submit", ARG_FLAG, &o.submit},
                                     {NULL, 0, NULL}};
    int code, n = ctl_args(c, argc, argv, own, 0, argc);
    struct desk *desk;
    struct err e;

    if (n < 0)
        return EXIT_USAGE;
    c->programs |= PROGRAM_RECONCILE;
    code = ctl_connect(c);
    if (code)
        return code;
    desk = desk_open(c->client, c->settings, &e);
    if (!desk)
        return ctl_fail(&e);
    code = work(c, &o, desk, argv, n);
    desk_close(desk);
    return code;
}
