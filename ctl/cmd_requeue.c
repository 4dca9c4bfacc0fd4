/* cmd_requeue: failed jobs run again: some by id, or all that fit, which is shown
 * before it is done. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "cmd_job.h"
#include "mem.h"
#include "num.h"
#include "out.h"

#define PACE 20 /* jobs a second: mail server and GitLab are to keep up */
#define PACE_MOST 1000
#define PAGE 500

struct options {
    struct queue_requeue what;
    const char *redo, *where, *since, *pace, *limit;
    bool all, yes;
    int64_t pace_ms; /* between two; 0: at once */
    int64_t most;    /* 0: all */
    int64_t taken;
};

/* ---- which jobs ---- */

struct failed {
    char id[JOB_ID_LEN + 1];
    char *ticket, *class, *step, *why; /* owned */
};

struct failures {
    struct failed *v;
    size_t count;
    size_t described; /* replies come in order */
    size_t page;      /* ids in the last page */
    const char *class;
};

static void failures_done(struct failures *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->v[i].ticket);
        free(f->v[i].class);
        free(f->v[i].step);
        free(f->v[i].why);
    }
    free(f->v);
}

static void on_page(void *arg, const struct redisReply *reply)
{
    struct failures *f = arg;

    f->page = reply_count(reply);
    f->v = mem_grow(f->v, (f->count + f->page + 1) * sizeof *f->v);
    for (size_t i = 0; i < f->page; i++) {
        const char *id = reply_str(reply_at(reply, i));

        f->v[f->count] = (struct failed){.ticket = NULL};
        if (job_id_valid(id))
            memcpy(f->v[f->count++].id, id, JOB_ID_LEN + 1);
    }
}

static char *copy_at(const struct redisReply *reply, size_t i)
{
    return mem_strdup(i < reply_count(reply) ? reply_str(reply_at(reply, i)) : "");
}

static void on_described(void *arg, const struct redisReply *reply)
{
    struct failures *f = arg;
    struct failed *job = &f->v[f->described++];

    job->ticket = copy_at(reply, 0);
    job->class = copy_at(reply, 1);
    job->step = copy_at(reply, 2);
    job->why = copy_at(reply, 3);
}

/* From the newest on, up to the moment of asking: what fails meanwhile does not shift
 * the pages. */
static int read_failures(struct ctl *c, int64_t since_ms, int64_t now_ms,
                         struct failures *f, struct err *e)
{
    char set[QUEUE_KEY_MAX], from[24], to[24], offset[24], page[24];

    client_key(c->client, "failed", "", set);
    (void)snprintf(from, sizeof from, "%lld", (long long)since_ms);
    (void)snprintf(to, sizeof to, "%lld", (long long)now_ms);
    (void)snprintf(page, sizeof page, "%d", PAGE);
    for (size_t at = 0;; at += PAGE) {
        (void)snprintf(offset, sizeof offset, "%zu", at);
        client_send(
            c->client, on_page, f, 7,
            (const char *[]){"ZREVRANGEBYSCORE", set, to, from, "LIMIT", offset, page},
            NULL);
        if (client_wait(c->client, e))
            return -1;
        for (size_t i = f->described; i < f->count; i++) {
            char key[QUEUE_KEY_MAX];

            client_key(c->client, "job:", f->v[i].id, key);
            client_send(c->client, on_described, f, 6,
                        (const char *[]){"HMGET", key, "ticket", "err_class",
                                         "err_step", "err_text"},
                        NULL);
        }
        if (client_wait(c->client, e))
            return -1;
        if (f->page < PAGE)
            return 0;
    }
}

/* Keeps those of the class, the newest `most` of them (0: all), as ids for the calls.
 */
static char **choose(struct failures *f, int64_t most, int *count)
{
    char **ids = mem_new(f->count + 1, sizeof *ids);

    *count = 0;
    for (size_t i = 0; i < f->count && (!most || *count < most); i++)
        if (!f->class || strcmp(f->v[i].class, f->class) == 0)
            ids[(*count)++] = f->v[i].id;
    return ids;
}

static void add_intent(const struct options *o, int count, struct buf *out)
{
    char span[OUT_TIME_MAX];

    out_span(count * o->pace_ms, span);
    buf_addf(out, "%d job%s would be requeued", count, count == 1 ? "" : "s");
    if (count)
        buf_addf(out, ", within %s; add --yes to do it", span);
    buf_addc(out, '\n');
}

static void print_dry(const struct ctl *c, const struct options *o,
                      const struct failures *f, int count)
{
    static const char *const heads[] = {"ID", "TICKET", "CLASS", "STEP", "WHY"};
    struct out_table t;
    struct buf out;

    buf_init(&out, OUT_MAX);
    out_table_init(&t, heads, ARRAY_LEN(heads));
    for (size_t i = 0, left = (size_t)count; left; i++) {
        const struct failed *job = &f->v[i];

        if (f->class && strcmp(job->class, f->class) != 0)
            continue;
        left--;
        if (c->json)
            buf_addf(&out, "{\"job_id\":\"%s\",\"done\":false,\"answer\":\"DRY\"}\n",
                     job->id);
        out_table_cell(&t, job->id);
        out_table_cell(&t, job->ticket);
        out_table_cell(&t, job->class);
        out_table_cell(&t, job->step);
        out_table_cell(&t, job->why);
    }
    if (!c->json && count)
        out_table_add(&t, &out);
    if (!c->json)
        add_intent(o, count, &out);
    out_print(&out);
    out_table_done(&t);
    buf_done(&out);
}

/* ---- doing it ---- */

static int ask(struct client *client, const char *id, struct client_answer *a,
               void *arg, struct err *e)
{
    struct options *o = arg;

    if (o->pace_ms)
        client_pause(client, o->pace_ms);
    o->what.id = id;
    if (client_requeue(client, &o->what, a, e))
        return -1;
    o->taken += strcmp(a->word, "OK") == 0;
    return 0;
}

/* And how many of them it took. */
static int requeue_each(struct ctl *c, struct options *o, char **ids, int count)
{
    int code = cmd_job_each(c, ANSWER_REQUEUE, ids, count, ask, o);

    if (!c->json)
        (void)printf("%lld of %d jobs requeued\n", (long long)o->taken, count);
    return code;
}

static int requeue_many(struct ctl *c, struct options *o, const char *class)
{
    struct failures f = {.class = class};
    int64_t now_ms = 0, since_ms = 0;
    char **ids = NULL;
    struct err e;
    int count, code = EXIT_FAILED;

    if (client_now(c->client, &now_ms, &e) ||
        (o->since && args_since(o->since, now_ms, &since_ms, &e)) ||
        read_failures(c, since_ms, now_ms, &f, &e)) {
        code = ctl_fail(&e);
        goto out;
    }
    ids = choose(&f, o->most, &count);
    if (o->yes)
        code = requeue_each(c, o, ids, count);
    else
        print_dry(c, o, &f, count);
    if (!o->yes)
        code = EXIT_OK;
out:
    free(ids);
    failures_done(&f);
    return code;
}

/* ---- the command line ---- */

/* "class=transient" */
static int read_where(const struct ctl *c, const char *where, const char **class)
{
    static const char name[] = "class=";

    if (strncmp(where, name, sizeof name - 1) != 0)
        return ctl_usage(c, "--where: \"%s\": allowed: class=CLASS", where);
    *class = where + sizeof name - 1;
    if (err_class_parse(*class) == ERR_CLASS_COUNT)
        return ctl_usage(c,
                         "--where: there is no class \"%s\"; there are invalid, "
                         "out_of_scope, permanent, auth, rate_limited, transient, "
                         "ambiguous, limit, poison",
                         *class);
    return EXIT_OK;
}

static int check(const struct ctl *c, const struct options *o, int ids)
{
    bool many = o->all || o->where;

    if (many == (ids > 0))
        return ctl_usage(c, "either ids, or --all, or --where class=CLASS");
    if (o->all && o->where)
        return ctl_usage(c, "--all and --where do not go together");
    if (!many && (o->since || o->yes || o->pace || o->limit))
        return ctl_usage(c, "--since, --limit, --pace and --yes go with --all or "
                            "--where only");
    if (o->redo && job_step_parse(o->redo) >= STEP_ACK)
        return ctl_usage(c,
                         "--redo: there is no step \"%s\"; there are validate, sign, "
                         "email, record and close",
                         o->redo);
    if (o->redo && o->what.mail_arrived)
        return ctl_usage(c, "--redo and --mail-arrived do not go together");
    return EXIT_OK;
}

static int read_numbers(const struct ctl *c, struct options *o)
{
    int64_t pace = PACE;

    if (o->pace && !num_parse(o->pace, 1, PACE_MOST, &pace))
        return ctl_usage(c, "--pace \"%s\": allowed: 1 to %d jobs a second", o->pace,
                         PACE_MOST);
    if (o->limit && !num_parse(o->limit, 1, INT32_MAX, &o->most))
        return ctl_usage(c, "--limit \"%s\": no number of jobs", o->limit);
    if (o->all || o->where)
        o->pace_ms = 1000 / pace;
    return EXIT_OK;
}

int cmd_requeue(struct ctl *c, int argc, char **argv)
{
    struct options o = {.redo = NULL};
    const struct arg_option own[] = {{"redo", ARG_TEXT, &o.redo},
                                     {"mail-arrived", ARG_FLAG, &o.what.mail_arrived},
                                     {"lift-limit", ARG_FLAG, &o.what.lift_limit},
                                     {"all", ARG_FLAG, &o.all},
                                     {"where", ARG_TEXT, &o.where},
                                     {"since", ARG_TEXT, &o.since},
                                     {"limit", ARG_TEXT, &o.limit},
                                     {"pace", ARG_TEXT, &o.pace},
                                     {"yes", ARG_FLAG, &o.yes},
                                     {NULL, 0, NULL}};
    const char *class = NULL;
    int code, n = ctl_args(c, argc, argv, own, 0, argc);

    if (n < 0)
        return EXIT_USAGE;
    code = check(c, &o, n);
    if (!code)
        code = read_numbers(c, &o);
    if (!code && o.where)
        code = read_where(c, o.where, &class);
    if (!code)
        code = cmd_job_start(c, argv, n);
    if (code)
        return code;
    o.what.by = &c->by;
    o.what.redo = o.redo ? o.redo : "";
    if (o.all || o.where)
        return requeue_many(c, &o, class);
    return cmd_job_each(c, ANSWER_REQUEUE, argv, n, ask, &o);
}
