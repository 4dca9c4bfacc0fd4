/* cmd_forget: what is held on a person is shown and, if asked, removed; and what this
 * program cannot reach is said. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "buf.h"
#include "cmd.h"
#include "ctl.h"
#include "forget.h"
#include "mem.h"
#include "num.h"
#include "out.h"

struct report {
    struct forget_needle needle;
    struct forget found;
    struct client_answer *answers; /* one a job */
    int64_t words;                 /* of the audit and the like */
    bool yes;
};

/* ---- doing it, or asking what would be done ---- */

static void aim(const struct ctl *c, const struct report *r, struct queue_forget *out,
                char cap[static 80])
{
    char digest[REQUEST_DIGEST_LEN + 1];

    *cap = '\0';
    if (*r->needle.normal) {
        request_cap_address(r->needle.normal, digest);
        (void)snprintf(cap, 80, "addr:%s", digest);
    }
    *out = (struct queue_forget){.id = "", .doing = r->yes, .cap = cap, .by = &c->by};
    for (size_t i = 0; i < r->needle.count; i++)
        out->addresses[i] = r->needle.v[i];
}

static int forget_each(struct ctl *c, struct report *r, struct err *e)
{
    struct client_answer words;
    struct queue_forget what;
    char cap[80];

    aim(c, r, &what, cap);
    r->answers = mem_new(r->found.count + 1, sizeof *r->answers);
    for (size_t i = 0; i < r->found.count; i++) {
        what.id = r->found.jobs[i].id;
        if (client_forget(c->client, &what, &r->answers[i], e))
            return -1;
    }
    what.id = "";
    if (client_forget(c->client, &what, &words, e))
        return -1;
    if (!num_parse(words.detail, 0, INT64_MAX, &r->words))
        r->words = 0;
    return 0;
}

/* ---- what came of it ---- */

/* True: it is gone, or would be. */
static bool outcome(const struct report *r, size_t i, struct buf *text)
{
    bool done = answer_text(ANSWER_FORGET, r->found.jobs[i].id, &r->answers[i], text);

    if (done && !r->yes) {
        buf_reset(text);
        buf_adds(text, "would be forgotten");
    }
    return done;
}

static size_t count_left(const struct report *r)
{
    size_t left = r->found.inbox;
    struct buf text;

    buf_init(&text, OUT_MAX);
    for (size_t i = 0; i < r->found.count; i++)
        left += !outcome(r, i, &text);
    buf_done(&text);
    return left;
}

/* ---- what cannot be reached ---- */

static size_t count_if(const struct report *r, size_t flag)
{
    size_t n = 0;

    for (size_t i = 0; i < r->found.count; i++)
        n += *(const bool *)((const char *)&r->found.jobs[i] + flag);
    return n;
}

/* Where somebody else has it, once there was anything. */
static const struct {
    size_t flag; /* of forget_job, SIZE_MAX: always */
    const char *what;
} elsewhere[] = {
    {offsetof(struct forget_job, mailed), "the mails that were sent"},
    {offsetof(struct forget_job, told_slack), "messages in Slack"},
    {offsetof(struct forget_job, told_zendesk), "notes on tickets in Zendesk"},
    {SIZE_MAX,
     "Redis's files: AOF and RDB hold it until they are rewritten: `redis-cli "
     "BGREWRITEAOF`, then `redis-cli BGSAVE` where RDB is on; the same on "
     "each replica"},
    {SIZE_MAX, "backups of these files: a restore brings it back"},
    {SIZE_MAX, "receivers' spools (STOPGAP_SPOOL_DIR), while Redis was away"},
    {SIZE_MAX, "logs: of these programs (addresses are masked above debug), of mail "
               "servers, of proxies; and Zendesk's own"},
};

typedef void (*unreached_fn)(void *arg, const char *what);

static void each_unreached(const struct report *r, unreached_fn fn, void *arg)
{
    char text[512];

    for (size_t i = 0; i < r->found.count; i++) {
        const char *const urls[] = {r->found.jobs[i].issue, r->found.jobs[i].report};

        for (size_t u = 0; u < ARRAY_LEN(urls); u++) {
            (void)snprintf(text, sizeof text, "the issue %s", urls[u]);
            if (*urls[u])
                fn(arg, text);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
        if (elsewhere[i].flag == SIZE_MAX || count_if(r, elsewhere[i].flag))
            fn(arg, elsewhere[i].what);
}

/* ---- for people ---- */

static void add_row(struct out_table *t, const struct report *r, size_t i)
{
    const struct forget_job *j = &r->found.jobs[i];
    char at[OUT_TIME_MAX];
    struct buf text;

    buf_init(&text, OUT_MAX);
    out_time(j->accepted_ms, at);
    (void)outcome(r, i, &text);
    out_table_cell(t, j->id);
    out_table_cell(t, j->state);
    out_table_cell(t, j->ticket);
    out_table_cell(t, at);
    out_table_cell(t, j->fields);
    out_table_cell(t, text.data);
    buf_done(&text);
}

static void add_unreached(void *arg, const char *what)
{
    struct buf *out = arg;

    buf_adds(out, "  ");
    out_str(out, what);
    buf_addc(out, '\n');
}

static void add_counts(const struct report *r, size_t left, struct buf *out)
{
    if (r->found.inbox)
        buf_addf(
            out,
            "%zu requests in the inbox: left, since no worker has taken them yet\n",
            r->found.inbox);
    if (r->words)
        buf_addf(out,
                 "%lld lines of the audit, of a pause or of closed lanes name the "
                 "address: %s\n",
                 (long long)r->words, r->yes ? "masked" : "would be masked");
    buf_addf(out, "%zu jobs: %zu %s, %zu left%s\n", r->found.count,
             r->found.count + r->found.inbox - left,
             r->yes ? "forgotten" : "would be forgotten", left - r->found.inbox,
             r->yes ? "" : "; add --yes to do it");
}

static void print_text(const struct report *r, size_t left)
{
    static const char *const heads[] = {"ID",       "STATE",    "TICKET",
                                        "ACCEPTED", "FOUND IN", "WHAT"};
    struct out_table t;
    struct buf out;

    buf_init(&out, OUT_MAX);
    out_table_init(&t, heads, ARRAY_LEN(heads));
    for (size_t i = 0; i < r->found.count; i++)
        add_row(&t, r, i);
    if (r->found.count)
        out_table_add(&t, &out);
    add_counts(r, left, &out);
    buf_adds(&out, "Out of reach, where there was anything:\n");
    each_unreached(r, add_unreached, &out);
    out_print(&out);
    out_table_done(&t);
    buf_done(&out);
}

/* ---- for programs ---- */

static void set_text(json_t *o, const char *name, const char *text)
{
    struct buf plain; /* foreign: perhaps not even UTF-8 */

    buf_init(&plain, OUT_MAX);
    out_str(&plain, text);
    if (plain.len)
        (void)json_object_set_new(o, name, json_string(plain.data));
    buf_done(&plain);
}

static json_t *describe(const struct report *r, size_t i)
{
    const struct forget_job *j = &r->found.jobs[i];
    json_t *o = json_object();
    struct buf text;
    bool done;

    buf_init(&text, OUT_MAX);
    done = outcome(r, i, &text);
    set_text(o, "job_id", j->id);
    set_text(o, "state", j->state);
    set_text(o, "ticket_id", j->ticket);
    set_text(o, "found_in", j->fields);
    set_text(o, "answer", r->answers[i].word);
    set_text(o, "text", text.data);
    (void)json_object_set_new(o, "forgotten", json_boolean(done && r->yes));
    buf_done(&text);
    return o;
}

static void append_unreached(void *arg, const char *what)
{
    struct buf plain;

    buf_init(&plain, OUT_MAX);
    out_str(&plain, what);
    (void)json_array_append_new(arg, json_string(plain.data));
    buf_done(&plain);
}

static void print_json(const struct report *r, size_t left)
{
    json_t *jobs = json_array(), *unreached = json_array(), *o;

    for (size_t i = 0; i < r->found.count; i++)
        (void)json_array_append_new(jobs, describe(r, i));
    each_unreached(r, append_unreached, unreached);
    o = json_pack("{s:b, s:o, s:I, s:I, s:I, s:o}", "done", r->yes, "jobs", jobs,
                  "inbox", (json_int_t)r->found.inbox, "words", (json_int_t)r->words,
                  "left", (json_int_t)left, "out_of_reach", unreached);
    out_json(json_dumps(o, JSON_INDENT(2)));
    json_decref(o);
}

/* ---- the command ---- */

static int work(struct ctl *c, struct report *r)
{
    struct err e;
    size_t left;

    if (forget_find(c->client, &r->needle, &r->found, &e) || forget_each(c, r, &e))
        return ctl_fail(&e);
    left = count_left(r);
    (c->json ? print_json : print_text)(r, left);
    return r->yes && left ? EXIT_FAILED : EXIT_OK;
}

int cmd_forget(struct ctl *c, int argc, char **argv)
{
    struct report r = {.yes = false};
    const struct arg_option own[] = {{"yes", ARG_FLAG, &r.yes}, {NULL, 0, NULL}};
    int code;

    if (ctl_args(c, argc, argv, own, 1, 1) < 0)
        return EXIT_USAGE;
    if (!forget_needle_make(argv[0], &r.needle))
        return ctl_usage(c, "\"%s\" is no address", argv[0]);
    code = ctl_connect(c);
    if (!code)
        code = work(c, &r);
    forget_done(&r.found);
    free(r.answers);
    return code;
}
