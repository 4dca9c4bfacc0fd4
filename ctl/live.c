/* live: see live.h. */
#include "live.h"

#include <stdio.h>
#include <string.h>

#include "mem.h"

static void copy(char *out, size_t size, const struct redisReply *reply, size_t i)
{
    const char *text = i < reply_count(reply) ? reply_str(reply_at(reply, i)) : "";

    (void)snprintf(out, size, "%s", text);
}

/* ---- workers ---- */

static void on_workers(void *arg, const struct redisReply *reply)
{
    struct live *l = arg;
    size_t count = reply_count(reply) / 2;

    for (size_t i = 0; i < count && i < LIVE_WORKERS; i++) {
        struct live_worker *w = &l->workers[l->worker_count++];

        copy(w->wid, sizeof w->wid, reply, 2 * i);
        w->lease_ms = reply_int(reply_at(reply, 2 * i + 1));
    }
}

static void on_info(void *arg, const struct redisReply *reply)
{
    struct live_worker *w = arg;

    copy(w->host, sizeof w->host, reply, 0);
    copy(w->pid, sizeof w->pid, reply, 1);
    copy(w->state, sizeof w->state, reply, 2);
    copy(w->lag, sizeof w->lag, reply, 3);
}

static void on_busy(void *arg, const struct redisReply *reply)
{
    ((struct live_worker *)arg)->busy = reply_int(reply);
}

static void on_held(void *arg, const struct redisReply *reply)
{
    struct live_worker *w = arg;

    for (size_t i = 0; i < reply_count(reply) && w->job_count < LIVE_JOBS; i++)
        if (job_id_valid(reply_str(reply_at(reply, i))))
            copy(w->jobs[w->job_count++].id, JOB_ID_LEN + 1, reply, i);
}

/* ticket, started_ms, a mark for each step */
static void on_job(void *arg, const struct redisReply *reply)
{
    struct live_job *j = arg;
    size_t step = 0, marks = reply_count(reply) > 2 ? reply_count(reply) - 2 : 0;

    copy(j->ticket, sizeof j->ticket, reply, 0);
    if (reply_count(reply) > 1)
        j->started_ms = reply_int(reply_at(reply, 1));
    while (step < marks && reply_type(reply_at(reply, 2 + step)) == REPLY_STRING)
        step++;
    j->step = job_step_name((enum job_step)step);
}

static void ask_jobs(struct live *l)
{
    char key[QUEUE_KEY_MAX];

    for (size_t w = 0; w < l->worker_count; w++)
        for (size_t i = 0; i < l->workers[w].job_count; i++) {
            struct live_job *j = &l->workers[w].jobs[i];
            const char *const argv[] = {"HMGET",      key,          "ticket",
                                        "started_ms", "s:validate", "s:sign",
                                        "s:email",    "s:record",   "s:close"};

            client_key(l->client, "job:", j->id, key);
            client_send(l->client, on_job, j, ARRAY_LEN(argv), argv, NULL);
        }
}

static int read_workers(struct live *l, struct err *e)
{
    char key[QUEUE_KEY_MAX], last[24];

    (void)snprintf(last, sizeof last, "%d", LIVE_WORKERS - 1);
    client_key(l->client, "workers", "", key);
    client_send(l->client, on_workers, l, 5,
                (const char *[]){"ZREVRANGE", key, "0", last, "WITHSCORES"}, NULL);
    if (client_wait(l->client, e))
        return -1;
    (void)snprintf(last, sizeof last, "%d", LIVE_JOBS - 1);
    for (size_t i = 0; i < l->worker_count; i++) {
        struct live_worker *w = &l->workers[i];

        client_key(l->client, "winfo:", w->wid, key);
        client_send(l->client, on_info, w, 6,
                    (const char *[]){"HMGET", key, "host", "pid", "state", "lag_ms"},
                    NULL);
        client_key(l->client, "proc:", w->wid, key);
        client_send(l->client, on_busy, w, 2, (const char *[]){"LLEN", key}, NULL);
        client_send(l->client, on_held, w, 4,
                    (const char *[]){"LRANGE", key, "0", last}, NULL);
    }
    if (client_wait(l->client, e))
        return -1;
    ask_jobs(l);
    return client_wait(l->client, e);
}

/* ---- failures ---- */

static void on_failures(void *arg, const struct redisReply *reply)
{
    struct live *l = arg;

    for (size_t i = 0; i + 1 < reply_count(reply); i += 2) {
        struct live_failure *f = &l->failures[l->failure_count];

        if (l->failure_count == LIVE_FAILURES ||
            !job_id_valid(reply_str(reply_at(reply, i))))
            continue;
        copy(f->id, sizeof f->id, reply, i);
        f->at_ms = reply_int(reply_at(reply, i + 1));
        l->failure_count++;
    }
}

static void on_failure(void *arg, const struct redisReply *reply)
{
    struct live_failure *f = arg;

    copy(f->ticket, sizeof f->ticket, reply, 0);
    copy(f->class, sizeof f->class, reply, 1);
    copy(f->step, sizeof f->step, reply, 2);
    copy(f->why, sizeof f->why, reply, 3);
}

static int read_failures(struct live *l, struct err *e)
{
    char key[QUEUE_KEY_MAX], last[24];

    (void)snprintf(last, sizeof last, "%d", LIVE_FAILURES - 1);
    client_key(l->client, "failed", "", key);
    client_send(l->client, on_failures, l, 5,
                (const char *[]){"ZREVRANGE", key, "0", last, "WITHSCORES"}, NULL);
    if (client_wait(l->client, e))
        return -1;
    for (size_t i = 0; i < l->failure_count; i++) {
        client_key(l->client, "job:", l->failures[i].id, key);
        client_send(l->client, on_failure, &l->failures[i], 6,
                    (const char *[]){"HMGET", key, "ticket", "err_class", "err_step",
                                     "err_text"},
                    NULL);
    }
    return client_wait(l->client, e);
}

int live_read(struct client *client, int64_t now_ms, struct live *out, struct err *e)
{
    *out = (struct live){.client = client, .now_ms = now_ms};
    return read_workers(out, e) || read_failures(out, e) ? -1 : 0;
}
