/* scan: see scan.h. */
#include "scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fetch.h"
#include "mem.h"

#define PAGE 200
#define LOOK_MOST 10000 /* jobs of one source */

enum source_kind { INBOX, LIST, SET_BY_END, SET_BY_DUE };

struct source {
    enum source_kind kind;
    const char *name;
    const char *tail;
};

struct scanning {
    struct client *client;
    const struct scan_filter *filter;
    struct scan *out;
    struct job *page; /* PAGE of them */
    bool *good;       /* of the page: the record reads */
    size_t on_page;
    size_t decoded; /* replies come in order */
    size_t matched; /* of this source */
    char (*wids)[160];
    size_t wid_count;
};

/* What a list needs of a record. `raw` is read apart, where there is no `req`: it can
 * be of any size. */
static const char *const wanted[] = {
    "v",        "state",    "accepted_ms", "started_ms", "ended_ms", "due_ms",
    "attempt",  "req",      "issue_url",   "report_url", "dup_of",   "err_class",
    "err_step", "err_code", "err_text",    "discarded",
};

/* ---- one page ---- */

static void on_ids(void *arg, const struct redisReply *reply)
{
    struct scanning *s = arg;

    for (size_t i = 0; i < reply_count(reply) && s->on_page < PAGE; i++) {
        const char *id = reply_str(reply_at(reply, i));
        struct job *j = &s->page[s->on_page++];

        (void)snprintf(j->id, sizeof j->id, "%s", id);
    }
}

/* "ID JSON" or bare JSON, which has no id yet. */
static void on_entries(void *arg, const struct redisReply *reply)
{
    struct scanning *s = arg;

    for (size_t i = 0; i < reply_count(reply) && s->on_page < PAGE; i++) {
        const struct redisReply *entry = reply_at(reply, i);
        struct job *j = &s->page[s->on_page];
        const char *bytes = reply_str(entry);
        size_t len = reply_len(entry), at = 0;

        if (len > JOB_ID_LEN && bytes[JOB_ID_LEN] == ' ') {
            (void)snprintf(j->id, sizeof j->id, "%.*s", JOB_ID_LEN, bytes);
            at = job_id_valid(j->id) ? JOB_ID_LEN + 1 : 0;
        }
        if (!at)
            j->id[0] = '\0';
        j->raw_len = len - at;
        j->raw = mem_dup(bytes + at, j->raw_len);
        s->good[s->on_page++] = true;
    }
}

static void on_record(void *arg, const struct redisReply *reply)
{
    struct scanning *s = arg;
    size_t i = s->decoded++, count = 0;
    struct job_field fields[ARRAY_LEN(wanted)];
    char id[JOB_ID_LEN + 1];
    struct err e;

    for (size_t f = 0; f < reply_count(reply) && f < ARRAY_LEN(wanted); f++) {
        const struct redisReply *value = reply_at(reply, f);

        if (reply_type(value) == REPLY_STRING)
            fields[count++] =
                (struct job_field){wanted[f], reply_str(value), reply_len(value)};
    }
    memcpy(id, s->page[i].id, sizeof id);
    s->good[i] = count && job_decode(&s->page[i], id, fields, count, &e) == 0;
    if (count && !s->good[i])
        s->out->strange++;
}

static void on_raw(void *arg, const struct redisReply *reply)
{
    struct job *j = arg;

    j->raw_len = reply_len(reply);
    j->raw = mem_dup(reply_str(reply), j->raw_len);
}

/* One byte more than a good request has tells that it is too long. */
static void read_raws(struct scanning *s)
{
    char key[QUEUE_KEY_MAX];

    for (size_t i = 0; i < s->on_page; i++) {
        struct job *j = &s->page[i];

        if (!s->good[i] || j->has_request || j->raw_len > REQUEST_MAX_BYTES ||
            !j->raw_len)
            continue;
        client_key(s->client, "job:", j->id, key);
        client_send(s->client, on_raw, j, 3, (const char *[]){"HGET", key, "raw"},
                    NULL);
    }
}

static void on_raw_len(void *arg, const struct redisReply *reply)
{
    struct job *j = arg;

    j->raw_len = (size_t)reply_int(reply);
}

static int read_records(struct scanning *s, struct err *e)
{
    const char *argv[ARRAY_LEN(wanted) + 2] = {"HMGET"};
    char key[QUEUE_KEY_MAX];

    memcpy(argv + 2, wanted, sizeof wanted);
    argv[1] = key;
    s->decoded = 0;
    for (size_t i = 0; i < s->on_page; i++) {
        client_key(s->client, "job:", s->page[i].id, key);
        client_send(s->client, on_record, s, (int)ARRAY_LEN(argv), argv, NULL);
        client_send(s->client, on_raw_len, &s->page[i], 3,
                    (const char *[]){"HSTRLEN", key, "raw"}, NULL);
    }
    if (client_wait(s->client, e))
        return -1;
    read_raws(s);
    return client_wait(s->client, e);
}

static int read_page(struct scanning *s, const struct source *from, size_t at,
                     struct err *e)
{
    char key[QUEUE_KEY_MAX], first[24], last[24], page[24], since[24];

    (void)snprintf(first, sizeof first, "%zu", at);
    (void)snprintf(last, sizeof last, "%zu", at + PAGE - 1);
    (void)snprintf(page, sizeof page, "%d", PAGE);
    (void)snprintf(since, sizeof since, "%lld", (long long)s->filter->since_ms);
    client_key(s->client, from->name, from->tail, key);
    s->on_page = 0;
    if (from->kind == SET_BY_END) /* nothing ends before it is accepted */
        client_send(s->client, on_ids, s, 7,
                    (const char *[]){"ZREVRANGEBYSCORE", key, "+inf", since, "LIMIT",
                                     first, page},
                    NULL);
    else
        client_send(s->client, from->kind == INBOX ? on_entries : on_ids, s, 4,
                    (const char *[]){from->kind == SET_BY_DUE ? "ZRANGE" : "LRANGE",
                                     key, first, last},
                    NULL);
    if (client_wait(s->client, e))
        return -1;
    return from->kind == INBOX ? 0 : read_records(s, e);
}

/* ---- choosing ---- */

static bool fits(const struct scan_filter *f, const struct job *j, bool in_inbox)
{
    if (f->state != JOB_STATE_COUNT && j->state != f->state)
        return false;
    if (f->ticket_id && j->request.ticket_id != f->ticket_id)
        return false;
    if (f->email && strcasecmp(j->request.email, f->email) != 0)
        return false;
    return in_inbox || j->accepted_ms >= f->since_ms;
}

/* Moves what fits into the result; the rest is freed. */
static void keep(struct scanning *s, bool in_inbox)
{
    struct scan *out = s->out;

    out->jobs = mem_grow(out->jobs, (out->count + s->on_page + 1) * sizeof *out->jobs);
    for (size_t i = 0; i < s->on_page; i++) {
        struct job *j = &s->page[i];

        if (s->good[i])
            fetch_guess_request(j);
        if (s->good[i] && s->matched < s->filter->limit &&
            fits(s->filter, j, in_inbox)) {
            out->jobs[out->count++] = *j;
            s->matched++;
        } else {
            job_done(j);
        }
    }
    memset(s->page, 0, PAGE * sizeof *s->page);
    memset(s->good, 0, PAGE * sizeof *s->good);
}

static int scan_source(struct scanning *s, const struct source *from, struct err *e)
{
    s->matched = 0;
    for (size_t at = 0; s->matched < s->filter->limit; at += PAGE) {
        int rc;

        if (at >= LOOK_MOST) {
            s->out->cut = true;
            return 0;
        }
        rc = read_page(s, from, at, e);
        keep(s, from->kind == INBOX);
        if (rc)
            return -1;
        if (s->on_page < PAGE)
            return 0;
    }
    return 0;
}

/* ---- where jobs of a state are ---- */

static const struct {
    enum job_state state;
    struct source source;
} places[] = {
    {JOB_QUEUED, {INBOX, "inbox", ""}},
    {JOB_QUEUED, {LIST, "pending", ""}},
    {JOB_QUEUED, {LIST, "solo", ""}},
    {JOB_DELAYED, {SET_BY_DUE, "delayed", ""}},
    {JOB_FAILED, {SET_BY_END, "failed", ""}},
    {JOB_DONE, {SET_BY_END, "done", ""}},
};

static bool wanted_state(const struct scan_filter *f, enum job_state state)
{
    return f->state == JOB_STATE_COUNT || f->state == state;
}

static void on_wids(void *arg, const struct redisReply *reply)
{
    struct scanning *s = arg;

    s->wids = mem_new(reply_count(reply) + 1, sizeof *s->wids);
    for (; s->wid_count < reply_count(reply); s->wid_count++)
        (void)snprintf(s->wids[s->wid_count], sizeof *s->wids, "%s",
                       reply_str(reply_at(reply, s->wid_count)));
}

static int scan_active(struct scanning *s, struct err *e)
{
    char key[QUEUE_KEY_MAX];

    client_key(s->client, "workers", "", key);
    client_send(s->client, on_wids, s, 4, (const char *[]){"ZRANGE", key, "0", "-1"},
                NULL);
    if (client_wait(s->client, e))
        return -1;
    for (size_t i = 0; i < s->wid_count; i++)
        if (scan_source(s, &(struct source){LIST, "proc:", s->wids[i]}, e))
            return -1;
    return 0;
}

/* Newest first; what is still in the inbox has no time yet and is the newest. */
static int newest_first(const void *a, const void *b)
{
    const struct job *x = a, *y = b;
    int64_t at = x->accepted_ms ? x->accepted_ms : INT64_MAX;
    int64_t bt = y->accepted_ms ? y->accepted_ms : INT64_MAX;

    if (at != bt)
        return at > bt ? -1 : 1;
    return strcmp(x->id, y->id);
}

/* A job that moved while we read stands there twice. */
static void settle(struct scan *s, size_t limit)
{
    size_t kept = 0;

    if (s->count)
        qsort(s->jobs, s->count, sizeof *s->jobs, newest_first);
    for (size_t i = 0; i < s->count; i++) {
        bool twice =
            kept && *s->jobs[i].id && strcmp(s->jobs[kept - 1].id, s->jobs[i].id) == 0;

        if (twice || kept == limit)
            job_done(&s->jobs[i]);
        else
            s->jobs[kept++] = s->jobs[i];
    }
    s->count = kept;
}

int scan_jobs(struct client *c, const struct scan_filter *f, struct scan *out,
              struct err *e)
{
    struct scanning s = {.client = c, .filter = f, .out = out};
    int rc = 0;

    *out = (struct scan){0};
    s.page = mem_new(PAGE, sizeof *s.page);
    s.good = mem_new(PAGE, sizeof *s.good);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(places); i++)
        if (wanted_state(f, places[i].state))
            rc = scan_source(&s, &places[i].source, e);
    if (rc == 0 && wanted_state(f, JOB_ACTIVE))
        rc = scan_active(&s, e);
    settle(out, f->limit);
    free(s.page);
    free(s.good);
    free(s.wids);
    return rc;
}

void scan_done(struct scan *s)
{
    for (size_t i = 0; i < s->count; i++)
        job_done(&s->jobs[i]);
    free(s->jobs);
    *s = (struct scan){0};
}
