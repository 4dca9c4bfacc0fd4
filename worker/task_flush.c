/* task_flush: what a task writes to Redis while it runs: results and intents under the
 * job's fence, and calls that survive Redis's absence. What an answer does to the job
 * is an outcome, which task.c carries out. */
#include "task.h"

#include <assert.h>
#include <string.h>

#include "log.h"
#include "mem.h"
#include "num.h"
#include "settings.h"
#include "step.h"
#include "stray.h"

/* ---- calls to Redis that survive its absence ---- */

void task_call(struct task *t, void (*call)(struct task *t))
{
    assert(!t->call);
    t->call = call;
    t->call_blocked = false;
    call(t);
}

bool task_call_again(struct task *t, const struct err *e)
{
    if (e->class == ERR_NONE) {
        t->call = NULL;
        return false;
    }
    t->call_blocked = true; /* sent again by task_unblock, on the next beat */
    if (e->class != ERR_CANCELLED && e->class != ERR_TRANSIENT) {
        struct log_line l;

        task_log(t, &l, LOG_ERROR, "redis_refused");
        log_err(&l, e);
        log_end(&l);
    }
    return true;
}

void task_unblock(struct task *t)
{
    if (!t->call || !t->call_blocked)
        return;
    t->call_blocked = false;
    t->call(t);
}

/* ---- flush: results and intents, under the fence ---- */

static void flush_failed(struct task *t, enum outcome outcome)
{
    step_email_abandon(t);
    task_resume(t, outcome);
}

/* The next owner looked, found the issue that we had made, and goes on with it. */
static bool is_the_jobs_issue(const struct task *t, const char *issue)
{
    int64_t iid;

    return num_parse(issue, 1, INT64_MAX, &iid) && iid == t->job.issue_iid;
}

static void on_late_flushed(void *arg, enum queue_saved saved, const char *issue,
                            const struct err *e)
{
    struct task *t = arg;
    struct log_line l;

    if (task_call_again(t, e))
        return;
    task_log(t, &l, LOG_WARN, "lost");
    log_str(&l, "step", job_step_name(t->late_step));
    log_str(&l, "result", saved == QUEUE_LATE ? "accepted late" : "refused");
    log_end(&l);
    if (saved != QUEUE_LATE && t->late_step == STEP_RECORD &&
        !is_the_jobs_issue(t, issue))
        stray_close(t->worker, GITLAB_RECORD, &t->job, t->job.issue_iid);
    flush_failed(t, OUTCOME_GONE);
}

void task_flush_late(struct task *t)
{
    struct queue_save save = {.job = &t->job, .late = t->late_step, .write = &t->late};
    struct err e;

    if (queue_save(t->worker->queue, &save, on_late_flushed, t, &e))
        (void)task_call_again(t, &e);
}

static void flush_capped(struct task *t, const char *cap)
{
    static const struct {
        const char *prefix, *setting;
    } names[] = {{"addr:", "STOPGAP_MAX_PER_ADDRESS"},
                 {"agent:", "STOPGAP_MAX_PER_AGENT"},
                 {"day", "STOPGAP_MAX_PER_DAY"}};
    static const char *const never_given_out[] = {"s:sign", "lic",        "lic_id",
                                                  "kid",    "lic_format", "iat_ms",
                                                  "exp_ms", "frozen",     "i:email"};
    const char *setting = "";

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (!strncmp(cap, names[i].prefix, strlen(names[i].prefix)))
            setting = names[i].setting;
    (void)err_set(
        &t->err, ERR_LIMIT, 0,
        "the limit of licenses in 24 hours is reached (%s); an operator can let "
        "this one through with --lift-limit",
        setting);
    t->job.steps[STEP_SIGN].at_ms = 0;
    t->at = STEP_SIGN; /* the mail server had no part in it */
    for (size_t i = 0; i < ARRAY_LEN(never_given_out); i++)
        queue_write_del(&t->dirty, never_given_out[i]);
    flush_failed(t, OUTCOME_FAILED);
}

/* Saved, but what the intent speaks of will not be begun here. */
static void give_back(struct task *t)
{
    queue_write_del(&t->dirty, "i:email");
    queue_write_del(&t->dirty, "i:record");
    (void)err_set(&t->err, ERR_CANCELLED, 0, "this worker stops");
    flush_failed(t, OUTCOME_FAILED);
}

static void on_flushed(void *arg, enum queue_saved saved, const char *cap,
                       const struct err *e)
{
    struct task *t = arg;

    if (task_call_again(t, e))
        return;
    switch (saved) {
    case QUEUE_SAVED:
    case QUEUE_LATE:
        queue_write_reset(&t->dirty);
        queue_write_reset(&t->late);
        t->late_step = STEP_COUNT;
        t->cap_count = 0;
        if (t->worker->ending)
            give_back(t);
        else
            t->flushed(t);
        break;
    case QUEUE_NOT_YOURS:
        if (t->late_step < STEP_COUNT)
            task_call(t, task_flush_late);
        else
            flush_failed(t, OUTCOME_GONE);
        break;
    case QUEUE_GUARDED: /* a former owner's result came late: read the record anew */
        queue_write_reset(&t->dirty);
        (void)err_set(&t->err, ERR_CANCELLED, 0,
                      "a former owner has finished this step");
        flush_failed(t, OUTCOME_FAILED);
        break;
    case QUEUE_CAPPED:
        flush_capped(t, cap);
        break;
    }
}

static void flush_send(struct task *t)
{
    struct queue_save save = {.job = &t->job,
                              .late = STEP_COUNT,
                              .guard = t->guard,
                              .caps = t->caps,
                              .cap_count = t->cap_count,
                              .write = &t->dirty};
    struct err e;

    if (queue_save(t->worker->queue, &save, on_flushed, t, &e))
        (void)task_call_again(t, &e);
}

void task_flush(struct task *t, task_flushed_fn flushed)
{
    t->flushed = flushed;
    task_call(t, flush_send);
}
