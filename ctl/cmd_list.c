/* cmd_list: jobs, newest first. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "address.h"
#include "buf.h"
#include "cmd.h"
#include "ctl.h"
#include "mem.h"
#include "num.h"
#include "out.h"
#include "scan.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MOST 1000
#define WHAT_MOST 100 /* bytes of an error's text */

struct options {
    const char *state, *ticket, *email, *since, *limit;
};

/* ---- showing ---- */

/* What is worth knowing of a job in its state. */
static void add_what(const struct job *j, struct buf *out)
{
    char due[OUT_TIME_MAX];

    if (j->dup_of)
        buf_addf(out, "duplicate of %s", j->dup_of);
    else if (j->discarded)
        buf_addf(out, "discarded by %s", j->discarded);
    else if (j->state == JOB_DONE)
        buf_adds(out, j->issue_url ? j->issue_url : "");
    if (j->state == JOB_DELAYED) {
        out_time(j->due_ms, due);
        buf_addf(out, "due %s%s", due, j->has_error ? ", " : "");
    }
    if (j->has_error && (j->state == JOB_FAILED || j->state == JOB_DELAYED))
        buf_addf(out, "%s at %s: %.*s", err_class_name(j->error.class),
                 job_step_name(j->error_step), WHAT_MOST, j->error.text);
}

static void add_row(struct out_table *t, const struct job *j)
{
    char text[OUT_TIME_MAX];
    struct buf what;

    buf_init(&what, OUT_MAX);
    out_table_cell(t, *j->id ? j->id : "(inbox)");
    out_table_cell(t, job_state_name(j->state));
    if (j->request.ticket_id)
        out_table_int(t, j->request.ticket_id);
    else
        out_table_cell(t, NULL);
    out_table_cell(t, j->request.email);
    if (j->request.users)
        out_table_int(t, j->request.users);
    else
        out_table_cell(t, NULL);
    out_time(j->accepted_ms, text);
    out_table_cell(t, text);
    out_table_int(t, j->attempt);
    add_what(j, &what);
    out_table_cell(t, what.data);
    buf_done(&what);
}

static void print_table(const struct scan *s)
{
    static const char *const heads[] = {"ID",    "STATE",    "TICKET",  "EMAIL",
                                        "USERS", "ACCEPTED", "ATTEMPT", "WHAT"};
    struct out_table t;
    struct buf out;

    buf_init(&out, OUT_MAX);
    out_table_init(&t, heads, ARRAY_LEN(heads));
    for (size_t i = 0; i < s->count; i++)
        add_row(&t, &s->jobs[i]);
    if (s->count)
        out_table_add(&t, &out);
    else
        buf_adds(&out, "no jobs\n");
    out_print(&out);
    out_table_done(&t);
    buf_done(&out);
}

static void set_text(json_t *o, const char *name, const char *text)
{
    if (text && *text)
        (void)json_object_set_new(o, name, json_string(text));
}

static void set_int(json_t *o, const char *name, int64_t n)
{
    if (n)
        (void)json_object_set_new(o, name, json_integer(n));
}

static void set_time(json_t *o, const char *name, int64_t ms)
{
    char text[OUT_TIME_MAX];

    out_time(ms, text);
    set_text(o, name, ms > 0 ? text : NULL);
}

static json_t *describe(const struct job *j)
{
    json_t *o = json_pack("{s:s}", "state", job_state_name(j->state));

    set_text(o, "job_id", j->id);
    set_int(o, "ticket_id", j->request.ticket_id);
    set_text(o, "email", j->request.email);
    set_int(o, "users", j->request.users);
    set_text(o, "requested_by", j->request.requested_by);
    set_time(o, "accepted", j->accepted_ms);
    set_time(o, "ended", j->ended_ms);
    set_time(o, "next_try", j->state == JOB_DELAYED ? j->due_ms : 0);
    set_int(o, "attempt", j->attempt);
    set_text(o, "issue_url", j->issue_url);
    set_text(o, "failure_issue_url", j->report_url);
    set_text(o, "duplicate_of", j->dup_of);
    set_text(o, "discarded_by", j->discarded);
    if (j->has_error) {
        set_text(o, "error_class", err_class_name(j->error.class));
        set_text(o, "error_step", job_step_name(j->error_step));
        set_text(o, "error", j->error.text);
    }
    return o;
}

static void print_json(const struct scan *s)
{
    json_t *all = json_array();

    for (size_t i = 0; i < s->count; i++)
        (void)json_array_append_new(all, describe(&s->jobs[i]));
    out_json(json_dumps(all, JSON_INDENT(2)));
    json_decref(all);
}

/* ---- the command ---- */

/* Everything but --since, which needs Redis's clock. */
static int read_filter(const struct ctl *c, const struct options *o,
                       struct scan_filter *f, char email[static ADDRESS_MAX + 1])
{
    int64_t limit = LIMIT_DEFAULT;
    struct err e;

    f->state = o->state ? job_state_parse(o->state) : JOB_STATE_COUNT;
    if (o->state && f->state == JOB_STATE_COUNT)
        return ctl_usage(c,
                         "--state: there is no state \"%s\"; there are queued, active, "
                         "delayed, failed and done",
                         o->state);
    if (o->ticket && !num_parse(o->ticket, 1, INT64_MAX, &f->ticket_id))
        return ctl_usage(c, "--ticket: \"%s\" is no ticket number", o->ticket);
    if (o->email && address_normalise(o->email, email, &e))
        return ctl_usage(c, "--email: %s", e.text);
    if (o->limit && !num_parse(o->limit, 1, LIMIT_MOST, &limit))
        return ctl_usage(c, "--limit: \"%s\": allowed: 1 to %d", o->limit, LIMIT_MOST);
    f->email = o->email ? email : NULL;
    f->limit = (size_t)limit;
    return EXIT_OK;
}

static void print_notes(const struct scan *s)
{
    if (s->cut)
        (void)ctl_say("there are more jobs than were looked at; --state and --since "
                      "narrow it down");
    if (s->strange)
        (void)ctl_say("%zu records do not read, or are newer than this program; "
                      "\"stopgapctl show ID\" says why",
                      s->strange);
}

int cmd_list(struct ctl *c, int argc, char **argv)
{
    struct options o = {.state = NULL};
    const struct arg_option own[] = {
        {"state", ARG_TEXT, &o.state}, {"ticket", ARG_TEXT, &o.ticket},
        {"email", ARG_TEXT, &o.email}, {"since", ARG_TEXT, &o.since},
        {"limit", ARG_TEXT, &o.limit}, {NULL, 0, NULL}};
    char email[ADDRESS_MAX + 1];
    struct scan_filter f = {0};
    struct scan s = {0};
    int64_t now_ms = 0;
    struct err e;
    int code;

    if (ctl_args(c, argc, argv, own, 0, 0) < 0)
        return EXIT_USAGE;
    code = read_filter(c, &o, &f, email);
    if (!code)
        code = ctl_connect(c);
    if (code)
        return code;
    if (client_now(c->client, &now_ms, &e) ||
        (o.since && args_since(o.since, now_ms, &f.since_ms, &e)) ||
        scan_jobs(c->client, &f, &s, &e)) {
        code = ctl_fail(&e);
    } else if (c->json) {
        print_json(&s);
    } else {
        print_table(&s);
    }
    if (!code)
        print_notes(&s);
    scan_done(&s);
    return code;
}
