/* task: one job in flight in this worker: run-time state only. Nothing here is needed
 * after a crash; the record in Redis (common/job.h) names the next step.
 *
 * A step reads the record and its predecessors' results, starts at most one outside
 * operation, writes its own results into the record and into t->dirty, and never calls
 * another step. Order, outcomes and ends are task.c's. */
#ifndef STOPGAP_TASK_H
#define STOPGAP_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "job.h"
#include "queue.h"
#include "worker.h"

struct smtp_op;

enum outcome {
    OUTCOME_DONE,   /* on to the next step */
    OUTCOME_FAILED, /* t->err says why; its class decides what becomes of the job */
    OUTCOME_GONE,   /* the job is not ours any more, or has ended: forget it */
    OUTCOME_PENDING /* task_resume will be called once, later */
};

typedef void (*task_flushed_fn)(struct task *t);

struct task {
    struct worker *worker;
    struct task *next, *prev; /* in worker->tasks */
    struct job job;
    bool solo;
    bool unseen; /* it has moved since people were last shown (views.c) */
    enum job_step at;
    bool pending;          /* a step or the end waits for its completion */
    int64_t step_since_ms; /* loop clock */
    int64_t taken_ms;      /* loop clock */
    struct err err;
    int64_t patience_ms; /* no longer than this for a closed lane; 0: any time */
    int64_t snooze_ms;   /* with OUTCOME_FAILED: wait this long, no attempt counted */

    /* The outside system that the step at hand uses. */
    struct lane *lane; /* NULL: none yet */
    enum outcome (*use)(struct task *t);
    bool probes; /* what comes of it decides whether the lane opens */

    /* Results not yet in Redis. Written with the next intent, or with the end. */
    struct queue_write dirty;
    /* The part of dirty that counts even when the job was taken from us meanwhile. */
    enum job_step late_step; /* STEP_COUNT: none */
    struct queue_write late;

    /* The call to Redis under way, kept so that it can be sent again after a break. */
    void (*call)(struct task *t); /* sends it; NULL: none */
    bool call_blocked;            /* waits for Redis to be back */
    const char *guard;            /* for task_flush */
    struct queue_cap caps[3];
    size_t cap_count;
    task_flushed_fn flushed;
    enum queue_verb end_verb;
    int64_t end_delay_ms;
    struct buf end_event;

    bool signed_here; /* else the license comes from Redis */

    /* The email step's. */
    struct buf mail;
    struct smtp_op *smtp;
    bool cancelling;
    struct err mail_err; /* what the server said, kept while Redis is asked */
    char *mail_reply;
};

/* Takes the job over (leaves *job zeroed) and runs it from its first unfinished step.
 */
void task_start(struct worker *w, struct job *job, bool solo);

/* Ends a job as failed whose record does not read; *job holds id and fence, and is left
 * zeroed. */
void task_refuse(struct worker *w, struct job *job, const struct err *why);

/* Completes a step that returned OUTCOME_PENDING. */
void task_resume(struct task *t, enum outcome outcome);

/* Writes t->dirty (with t->guard and t->caps) under the job's fence; then runs
 * `flushed`. If the job is not ours any more, a cap is reached or the guarded result is
 * there already, the task is resumed with the fitting outcome instead. While Redis is
 * away it waits. */
void task_flush(struct task *t, task_flushed_fn flushed);

/* Runs `use` when the lane is open, or Redis lets this job try: a step's outcome. Else
 * the job is to wait: FAILED, with snooze_ms. */
enum outcome task_lane(struct task *t, struct lane *l,
                       enum outcome (*use)(struct task *t));

/* Redis is back, or may accept writes again: calls that wait are sent again. */
void task_unblock(struct task *t);

/* Sets the call to Redis under way and sends it; `call` may run again after a break. */
void task_call(struct task *t, void (*call)(struct task *t));

/* A call (for task_call): writes t->late once more, as a result that counts even from a
 * former owner; then the task is resumed with OUTCOME_GONE. */
void task_flush_late(struct task *t);

/* To be called first by every answer to a `call`. True: Redis did not answer it, it
 * will be sent again; the caller returns. */
bool task_call_again(struct task *t, const struct err *e);

/* Forgets all tasks, after the loop has ended: their jobs are left to the lease. */
void task_drop_all(struct worker *w);

/* True: the license is at hand, or the step at hand has no need of it. False: t->err,
 * and how long to wait if that is for want of a key. */
bool task_has_license(struct task *t);

/* Marks a step done, now, in the record and in dirty. words: the remote's, or "". */
void task_mark(struct task *t, enum job_step step, const char *words);

/* Log line with the job's identity. */
struct log_line;
void task_log(struct task *t, struct log_line *l, int level, const char *event);

#endif
