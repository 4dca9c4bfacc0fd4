/* cmd_audit: what operators did, as the scripts that did it wrote it down
 * (common/lua/audit.inc.lua). */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cmd.h"
#include "ctl.h"
#include "job.h"
#include "mem.h"
#include "num.h"
#include "out.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MOST 100000

/* What a line holds after its time, with tabs between; only MORE may hold others. */
enum { WHO, FROM, WHAT, JOB, MORE, FIELDS };

static const char *const names[FIELDS] = {"who", "from", "what", "job_id", "more"};

struct line {
    int64_t at_ms;
    char *text;                /* owned, cut up at its tabs */
    const char *field[FIELDS]; /* "" where there is none */
};

struct trail {
    const char *job, *who; /* NULL: all */
    int64_t since_ms;
    size_t most;
    struct line *v; /* newest first */
    size_t count;
    size_t strange; /* do not read */
};

static void trail_done(struct trail *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->v[i].text);
    free(t->v);
}

/* ---- reading ---- */

static bool cut(char *text, struct line *out)
{
    const char *when = strsep(&text, "\t");

    if (!num_parse(when, 0, INT64_MAX, &out->at_ms))
        return false;
    for (size_t i = 0; i < FIELDS; i++) {
        if (!text)
            return false;
        out->field[i] = i == MORE ? text : strsep(&text, "\t");
    }
    if (strcmp(out->field[JOB], "-") == 0)
        out->field[JOB] = "";
    return true;
}

static bool fits(const struct trail *t, const struct line *l)
{
    return l->at_ms >= t->since_ms && (!t->job || !strcmp(l->field[JOB], t->job)) &&
           (!t->who || !strcmp(l->field[WHO], t->who));
}

static void on_lines(void *arg, const struct redisReply *reply)
{
    struct trail *t = arg;

    t->v = mem_new(reply_count(reply) + 1, sizeof *t->v);
    for (size_t i = reply_count(reply); i-- > 0 && t->count < t->most;) {
        const struct redisReply *item = reply_at(reply, i);
        char *text = mem_dup(reply_str(item), reply_len(item));
        struct line l = {.text = text};
        bool reads = cut(text, &l);

        t->strange += !reads;
        if (reads && fits(t, &l))
            t->v[t->count++] = l;
        else
            free(text);
    }
}

static int read_trail(struct ctl *c, struct trail *t, struct err *e)
{
    char key[QUEUE_KEY_MAX];

    client_key(c->client, "audit", "", key);
    client_send(c->client, on_lines, t, 4, (const char *[]){"LRANGE", key, "0", "-1"},
                NULL);
    return client_wait(c->client, e);
}

/* ---- showing ---- */

static void print_table(const struct trail *t)
{
    static const char *const heads[] = {"WHEN", "WHO", "FROM", "WHAT", "JOB", "MORE"};
    struct out_table table;
    struct buf out;

    buf_init(&out, OUT_MAX);
    out_table_init(&table, heads, ARRAY_LEN(heads));
    for (size_t i = 0; i < t->count; i++) {
        char at[OUT_TIME_MAX];

        out_time(t->v[i].at_ms, at);
        out_table_cell(&table, at);
        for (size_t f = 0; f < FIELDS; f++)
            out_table_cell(&table, t->v[i].field[f]);
    }
    if (t->count)
        out_table_add(&table, &out);
    else
        buf_adds(&out, "nothing was done\n");
    out_print(&out);
    out_table_done(&table);
    buf_done(&out);
}

static json_t *describe(const struct line *l)
{
    json_t *o = json_object();
    char at[OUT_TIME_MAX];

    out_time(l->at_ms, at);
    (void)json_object_set_new(o, "at", json_string(at));
    for (size_t f = 0; f < FIELDS; f++) {
        struct buf plain; /* it may not even be UTF-8 */

        buf_init(&plain, OUT_MAX);
        out_str(&plain, l->field[f]);
        if (plain.len)
            (void)json_object_set_new(o, names[f], json_string(plain.data));
        buf_done(&plain);
    }
    return o;
}

static void print_json(const struct trail *t)
{
    json_t *all = json_array();

    for (size_t i = 0; i < t->count; i++)
        (void)json_array_append_new(all, describe(&t->v[i]));
    out_json(json_dumps(all, JSON_INDENT(2)));
    json_decref(all);
}

/* ---- the command ---- */

static int work(struct ctl *c, struct trail *t, const char *since)
{
    int64_t now_ms = 0;
    struct err e;

    if (client_now(c->client, &now_ms, &e) ||
        (since && args_since(since, now_ms, &t->since_ms, &e)) || read_trail(c, t, &e))
        return ctl_fail(&e);
    (c->json ? print_json : print_table)(t);
    if (t->strange)
        (void)ctl_say("%zu lines do not read", t->strange);
    return EXIT_OK;
}

int cmd_audit(struct ctl *c, int argc, char **argv)
{
    struct trail t = {.job = NULL};
    const char *since = NULL, *limit = NULL;
    const struct arg_option own[] = {{"since", ARG_TEXT, &since},
                                     {"job", ARG_TEXT, &t.job},
                                     {"who", ARG_TEXT, &t.who},
                                     {"limit", ARG_TEXT, &limit},
                                     {NULL, 0, NULL}};
    int64_t most = LIMIT_DEFAULT;
    int code;

    if (ctl_args(c, argc, argv, own, 0, 0) < 0)
        return EXIT_USAGE;
    if (t.job && !job_id_valid(t.job))
        return ctl_usage(c, "--job: \"%s\" is no job id: %d of a-z and 0-9", t.job,
                         JOB_ID_LEN);
    if (limit && !num_parse(limit, 1, LIMIT_MOST, &most))
        return ctl_usage(c, "--limit: \"%s\": allowed: 1 to %d", limit, LIMIT_MOST);
    t.most = (size_t)most;
    code = ctl_connect(c);
    if (!code)
        code = work(c, &t, since);
    trail_done(&t);
    return code;
}
