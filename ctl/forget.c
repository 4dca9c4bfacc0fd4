/* forget: see forget.h. */
#include "forget.h"

#include <stdlib.h>
#include <string.h>

#include "fsck_look.h"
#include "job.h"
#include "mem.h"
#include "num.h"

#define BATCH 100 /* records under way at once: each may have some hundred KiB */
#define PAGE 200  /* of the inbox */

struct finding {
    const struct forget_needle *needle;
    struct forget *out;
    struct forget_job job; /* the one that replies speak of: they come in order */
    struct buf fields;
    size_t room;
    size_t on_page;
};

static void job_free(struct forget_job *j)
{
    free(j->state);
    free(j->ticket);
    free(j->issue);
    free(j->report);
    free(j->points_at);
    free(j->fields);
    *j = (struct forget_job){.state = NULL};
}

/* ---- a record ---- */

/* Fields that are kept as they are. dup_of and resent: an answer to a request that says
 * nothing of whom it is about. */
static const struct {
    const char *name;
    size_t at;
} texts[] = {
    {"state", offsetof(struct forget_job, state)},
    {"ticket", offsetof(struct forget_job, ticket)},
    {"issue_url", offsetof(struct forget_job, issue)},
    {"report_url", offsetof(struct forget_job, report)},
    {"dup_of", offsetof(struct forget_job, points_at)},
    {"resent", offsetof(struct forget_job, points_at)},
};

static const struct {
    const char *name;
    size_t at;
} flags[] = {
    {"s:email", offsetof(struct forget_job, mailed)},
    {"told:slack", offsetof(struct forget_job, told_slack)},
    {"i:slack", offsetof(struct forget_job, told_slack)}, /* perhaps */
    {"told:zendesk", offsetof(struct forget_job, told_zendesk)},
    {"i:zendesk", offsetof(struct forget_job, told_zendesk)},
    {"i:email", offsetof(struct forget_job, mailed)},
};

static void note_place(struct finding *f, const char *name)
{
    buf_addf(&f->fields, "%s%s", f->fields.len ? " " : "", name);
}

static void read_field(struct finding *f, const char *name,
                       const struct redisReply *value)
{
    char *job = (char *)&f->job;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (strcmp(name, texts[i].name) == 0)
            mem_set((char **)(void *)(job + texts[i].at), reply_str(value));
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        if (strcmp(name, flags[i].name) == 0)
            *(bool *)(job + flags[i].at) = true;
    if (strcmp(name, "accepted_ms") == 0 &&
        !num_parse(reply_str(value), 0, INT64_MAX, &f->job.accepted_ms))
        f->job.accepted_ms = 0;
    if (forget_needle_in(f->needle, reply_str(value), reply_len(value)))
        note_place(f, name);
}

static void on_record(void *arg, const struct redisReply *reply)
{
    struct finding *f = arg;

    for (size_t i = 0; i + 1 < reply_count(reply); i += 2)
        read_field(f, reply_str(reply_at(reply, i)), reply_at(reply, i + 1));
}

static void keep(struct finding *f)
{
    struct forget *out = f->out;
    struct forget_job *j = &f->job;

    j->found = f->fields.len > 0;
    j->fields = mem_strdup(f->fields.len ? f->fields.data : "");
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        char **text = (char **)(void *)((char *)j + texts[i].at);

        if (!*text)
            *text = mem_strdup("");
    }
    if (!j->found && !*j->points_at) {
        job_free(j);
        return;
    }
    if (out->count == f->room) {
        f->room = f->room ? 2 * f->room : 16;
        out->jobs = mem_grow(out->jobs, f->room * sizeof *out->jobs);
    }
    out->jobs[out->count++] = *j;
    *j = (struct forget_job){.state = NULL};
}

/* Comes behind the record of the same job. */
static void on_story(void *arg, const struct redisReply *reply)
{
    struct finding *f = arg;
    bool there = false;

    if (!*f->job.id) /* the record was none */
        return;
    for (size_t i = 0; i < reply_count(reply) && !there; i++)
        there = forget_needle_in(f->needle, reply_str(reply_at(reply, i)),
                                 reply_len(reply_at(reply, i)));
    if (there)
        note_place(f, "story");
    keep(f);
}

/* ---- the walk ---- */

struct asked {
    struct finding *finding;
    char id[JOB_ID_LEN + 1];
};

static void on_begin(void *arg, const struct redisReply *reply)
{
    struct asked *a = arg;

    job_free(&a->finding->job);
    memcpy(a->finding->job.id, a->id, sizeof a->id);
    buf_reset(&a->finding->fields);
    on_record(a->finding, reply);
}

static int read_jobs(struct client *c, struct finding *f, const struct fsck_names *keys,
                     struct err *e)
{
    struct asked asked[BATCH];
    char job[QUEUE_KEY_MAX], story[QUEUE_KEY_MAX];
    size_t n = 0;

    for (size_t i = 0; i < keys->count; i++) {
        const char *id = keys->v[i] + 4;

        if (strncmp(keys->v[i], "job:", 4) != 0 || !job_id_valid(id))
            continue;
        asked[n].finding = f;
        memcpy(asked[n].id, id, sizeof asked[n].id);
        client_key(c, "job:", id, job);
        client_key(c, "log:", id, story);
        client_send(c, on_begin, &asked[n], 2, (const char *[]){"HGETALL", job}, NULL);
        client_send(c, on_story, f, 4, (const char *[]){"LRANGE", story, "0", "-1"},
                    NULL);
        if (++n == BATCH) {
            if (client_wait(c, e))
                return -1;
            n = 0;
        }
    }
    return client_wait(c, e);
}

static void on_entries(void *arg, const struct redisReply *reply)
{
    struct finding *f = arg;

    f->on_page = reply_count(reply);
    for (size_t i = 0; i < f->on_page; i++)
        f->out->inbox += forget_needle_in(f->needle, reply_str(reply_at(reply, i)),
                                          reply_len(reply_at(reply, i)));
}

static int read_inbox(struct client *c, struct finding *f, struct err *e)
{
    char key[QUEUE_KEY_MAX], first[24], last[24];
    int64_t at = 0;

    client_key(c, "inbox", "", key);
    do {
        (void)num_format(at, first);
        (void)num_format(at + PAGE - 1, last);
        client_send(c, on_entries, f, 4, (const char *[]){"LRANGE", key, first, last},
                    NULL);
        if (client_wait(c, e))
            return -1;
        at += PAGE;
    } while (f->on_page == PAGE);
    return 0;
}

/* ---- what points at them ---- */

static bool is_found(const struct forget *f, const char *id)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->jobs[i].found && strcmp(f->jobs[i].id, id) == 0)
            return true;
    return false;
}

static void follow_pointers(struct forget *f)
{
    bool more = true;

    while (more) {
        more = false;
        for (size_t i = 0; i < f->count; i++) {
            struct forget_job *j = &f->jobs[i];

            if (j->found || !is_found(f, j->points_at))
                continue;
            mem_set(&j->fields, "points");
            j->found = more = true;
        }
    }
}

static int by_time(const void *a, const void *b)
{
    const struct forget_job *x = a, *y = b;

    if (x->accepted_ms != y->accepted_ms)
        return x->accepted_ms < y->accepted_ms ? -1 : 1;
    return strcmp(x->id, y->id);
}

static void settle(struct forget *f)
{
    size_t kept = 0;

    follow_pointers(f);
    for (size_t i = 0; i < f->count; i++) {
        if (f->jobs[i].found)
            f->jobs[kept++] = f->jobs[i];
        else
            job_free(&f->jobs[i]);
    }
    f->count = kept;
    if (kept)
        qsort(f->jobs, kept, sizeof *f->jobs, by_time);
}

int forget_find(struct client *c, const struct forget_needle *needle,
                struct forget *out, struct err *e)
{
    struct finding f = {.needle = needle, .out = out};
    struct fsck_look look = {0};
    int rc = -1;

    *out = (struct forget){0};
    buf_init(&f.fields, 65536);
    /* The inbox first: what is taken from it meanwhile is seen as a job. */
    if (read_inbox(c, &f, e) || fsck_look_keys(c, &look, e) ||
        read_jobs(c, &f, &look.keys, e))
        goto out;
    settle(out);
    rc = 0;
out:
    job_free(&f.job);
    buf_done(&f.fields);
    fsck_look_done(&look);
    return rc;
}

void forget_done(struct forget *f)
{
    for (size_t i = 0; i < f->count; i++)
        job_free(&f->jobs[i]);
    free(f->jobs);
    *f = (struct forget){0};
}
