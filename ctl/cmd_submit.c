/* cmd_submit: a request from the command line onto the public list. The receiver and
 * every other program do the same: nothing here is a way past a rule. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cmd.h"
#include "ctl.h"
#include "fetch.h"
#include "out.h"
#include "request.h"
#include "settings.h"

#define WAIT_DEFAULT_MS 60000
#define WAIT_STEP_MS 250

/* A field of a request and its option. */
enum {
    TICKET,
    EMAIL,
    USERS,
    REQUESTED_BY,
    PLAN,
    EXPIRED_ON,
    NOTE,
    TICKET_URL,
    KEY,
    FIELD_COUNT
};

static const struct {
    const char *option, *field;
} fields[FIELD_COUNT] = {
    [TICKET] = {"ticket", "ticket_id"},
    [EMAIL] = {"email", "email"},
    [USERS] = {"users", "users"},
    [REQUESTED_BY] = {"requested-by", "requested_by"},
    [PLAN] = {"plan", "plan"},
    [EXPIRED_ON] = {"license-expired-on", "license_expired_on"},
    [NOTE] = {"note", "note"},
    [TICKET_URL] = {"ticket-url", "ticket_url"},
    [KEY] = {"idempotency-key", "idempotency_key"},
};

static bool any_field(const char *const *values)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (values[i])
            return true;
    return false;
}

/* Numbers stay as they were typed: the parser takes them as text and tells what is
 * wrong with them. */
static int build(struct ctl *c, const char **values, struct buf *out)
{
    json_t *object = json_object();
    char *text;

    if (!values[REQUESTED_BY])
        values[REQUESTED_BY] = c->by.who;
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (values[i] &&
            json_object_set_new(object, fields[i].field, json_string(values[i]))) {
            json_decref(object);
            return ctl_usage(c, "--%s is not UTF-8", fields[i].option);
        }
    text = json_dumps(object, JSON_COMPACT);
    if (!text)
        abort(); /* out of memory */
    buf_adds(out, text);
    free(text);
    json_decref(object);
    return EXIT_OK;
}

static int read_request(struct ctl *c, const char *path, struct buf *out)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char part[4096];
    size_t n;
    bool bad;

    if (!f)
        return ctl_usage(c, "%s: %s", path, strerror(errno));
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        buf_add(out, part, n);
    bad = ferror(f) != 0;
    if (f != stdin)
        (void)fclose(f); /* only read from */
    if (bad)
        return ctl_usage(c, "%s cannot be read", path);
    if (out->failed)
        return ctl_usage(c, "%s: a request has at most %d bytes", path,
                         REQUEST_MAX_BYTES);
    return EXIT_OK;
}

/* The rules that the worker will check, so that a slip is told at once. */
static int check(const struct ctl *c, const struct buf *raw)
{
    const struct request_rules rules = {.zendesk_url = c->settings->zendesk_url,
                                        .scope_required = c->settings->scope_required,
                                        .max_users = c->settings->max_users};
    struct request request;
    struct buf faults, text;
    int rc;

    buf_init(&faults, OUT_MAX);
    buf_init(&text, OUT_MAX);
    rc = request_parse(raw->data, raw->len, &rules, &request, &faults);
    if (rc) {
        for (char *rest = faults.data, *line; (line = strsep(&rest, "\n"));) {
            out_field(&text, " ", line);
        }
        (void)fprintf(stderr, "stopgapctl: the request has faults:\n%s", text.data);
    }
    buf_done(&text);
    buf_done(&faults);
    return rc ? EXIT_USAGE : EXIT_OK;
}

static int push(struct ctl *c, const char *id, const struct buf *raw, struct err *e)
{
    const struct queue_submit request = {id, raw->data, raw->len, "submit", &c->by};
    int rc = client_submit(c->client, &request, e);

    if (rc && e->code == REDIS_LOST)
        return err_wrap(e,
                        "it is not known whether the request was queued; \"stopgapctl "
                        "show %s\" tells, and submitting again makes no second license",
                        id);
    if (rc)
        return err_wrap(e, "not queued");
    rc = client_confirm(c->client, e);
    return rc ? err_wrap(e,
                         "queued as %s, but a failover might lose it: submit it again, "
                         "which makes no second license",
                         id)
              : 0;
}

/* ---- --wait ---- */

static bool has_ended(const struct fetch_story *s)
{
    return s->job.state == JOB_DONE || s->job.state == JOB_FAILED;
}

/* Reads the job, or the one that it is a duplicate of. 1 when it has ended. */
static int look(struct client *client, char id[static JOB_ID_LEN + 1],
                struct fetch_story *s, struct err *e)
{
    int rc = fetch_story(client, id, s, e);

    if (rc <= 0)
        return rc;
    if (!s->job.dup_of || !job_id_valid(s->job.dup_of))
        return has_ended(s);
    (void)snprintf(id, JOB_ID_LEN + 1, "%s", s->job.dup_of);
    return 0;
}

static int print_end(const struct ctl *c, const struct job *j)
{
    const char *url = j->state == JOB_DONE ? j->issue_url : j->report_url;
    struct buf out;

    buf_init(&out, OUT_MAX);
    if (c->json) {
        buf_addf(&out, "{\"job_id\": \"%s\", \"state\": \"%s\"}\n", j->id,
                 job_state_name(j->state));
    } else if (j->state == JOB_DONE) {
        buf_addf(&out, "%s is done%s", j->id, url ? ": " : "");
        out_str(&out, url);
        buf_addc(&out, '\n');
    } else {
        buf_addf(&out, "%s failed at %s, %s: ", j->id, job_step_name(j->error_step),
                 err_class_name(j->error.class));
        out_str(&out, j->error.text);
        buf_addf(&out, "\n`stopgapctl show %s` says what to do next.\n", j->id);
    }
    out_print(&out);
    buf_done(&out);
    return j->state == JOB_DONE ? EXIT_OK : EXIT_FAILED;
}

static int await_end(struct ctl *c, const char *submitted, int64_t wait_ms)
{
    char id[JOB_ID_LEN + 1];
    struct err e;

    (void)snprintf(id, sizeof id, "%s", submitted);
    for (int64_t left = wait_ms;; left -= WAIT_STEP_MS) {
        struct fetch_story s = {0};
        int rc = look(c->client, id, &s, &e);
        int code = rc > 0 ? print_end(c, &s.job) : EXIT_FAILED;

        fetch_story_done(&s);
        if (rc < 0)
            return ctl_fail(&e);
        if (rc > 0)
            return code;
        if (left <= 0) {
            if (c->json)
                (void)printf("{\"job_id\": \"%s\"}\n", id);
            return ctl_say("%s has not ended yet; `stopgapctl show %s` tells more", id,
                           id);
        }
        client_pause(c->client, WAIT_STEP_MS);
    }
}

/* ---- the command ---- */

static int submit(struct ctl *c, const struct buf *raw, const char *wait)
{
    char id[JOB_ID_LEN + 1];
    int64_t wait_ms = WAIT_DEFAULT_MS;
    struct err e;
    int code = ctl_connect(c);

    if (code)
        return code;
    job_id_make(id);
    if (push(c, id, raw, &e)) {
        (void)ctl_fail(&e);
        return EXIT_FAILED;
    }
    if (!wait || !c->json)
        (void)printf(c->json ? "{\"job_id\": \"%s\"}\n" : "%s\n", id);
    if (!wait)
        return EXIT_OK;
    (void)fflush(stdout);
    if (*wait && !args_span(wait, &wait_ms))
        return EXIT_USAGE; /* args_parse has let no other through */
    return await_end(c, id, wait_ms);
}

int cmd_submit(struct ctl *c, int argc, char **argv)
{
    const char *values[FIELD_COUNT] = {NULL}, *wait = NULL;
    struct arg_option own[FIELD_COUNT + 2] = {{"wait", ARG_SPAN, &wait}};
    struct buf raw;
    int n, code;

    for (size_t i = 0; i < FIELD_COUNT; i++)
        own[i + 1] = (struct arg_option){fields[i].option, ARG_TEXT, &values[i]};
    n = ctl_args(c, argc, argv, own, 0, 1);
    if (n < 0)
        return EXIT_USAGE;
    if (n && any_field(values))
        return ctl_usage(c, "either options or a file, not both");
    if (!n && !any_field(values))
        return ctl_usage(c, "--ticket, --email and --users are wanted, or a file");
    code = ctl_settings(c);
    if (code)
        return code;
    buf_init(&raw, REQUEST_MAX_BYTES);
    code = n ? read_request(c, argv[0], &raw) : build(c, values, &raw);
    if (!code)
        code = check(c, &raw);
    if (!code)
        code = submit(c, &raw, wait);
    buf_done(&raw);
    return code;
}
