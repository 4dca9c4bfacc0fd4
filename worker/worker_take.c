/* worker_take: see worker_take.h. How many jobs there is room for, and what wakes a
 * worker that has room and nothing to do. */
#include "worker_take.h"

#include <stdlib.h>

#include "log.h"
#include "mem.h"
#include "settings.h"
#include "task.h"
#include "worker.h"

#define WAIT_MS 30000 /* of one blocking wait; its end costs one command */

/* ---- waiting for something to do ---- */

enum { WAIT_INBOX, WAIT_PENDING };

static const char *const wait_lists[] = {"inbox", "pending"};

/* What a blocking wait's answer has to find again. */
struct wait_call {
    struct worker *worker;
    int which;
};

/* Jobs still come in with each beat, only later: worth one line. */
static void say_wait_refused(struct worker *w, int which, const struct err *e)
{
    if (worker_redis_level(e) != LOG_ERROR || w->told_wait[which])
        return;
    w->told_wait[which] = true;
    log_msg(LOG_ERROR, "wait_refused",
            "new jobs in %s are seen with each beat only: %s", wait_lists[which],
            e->text);
}

static void on_wait_over(void *arg, const struct redisReply *r, const struct err *e)
{
    struct wait_call c = *(struct wait_call *)arg;
    struct worker *w = c.worker;

    (void)r; /* somebody else may have been quicker */
    free(arg);
    w->waiting[c.which] = false;
    if (e->class != ERR_NONE) {
        say_wait_refused(w, c.which, e);
        return; /* on_up of that client, or the next beat, waits anew */
    }
    w->told_wait[c.which] = false;
    worker_take_jobs(w);
}

/* BLMOVE of a list's last element onto its own end: wakes when there is one, changes
 * nothing. */
static void wait_on(struct worker *w, int which)
{
    struct redis *r = which == WAIT_INBOX ? w->wait_inbox : w->wait_pending;
    struct wait_call *c;
    char key[QUEUE_KEY_MAX];
    const char *const argv[] = {"BLMOVE", key, key, "RIGHT", "RIGHT", "30"};
    struct err e;

    if (w->waiting[which] || !redis_is_up(r))
        return;
    queue_key(w->queue, wait_lists[which], "", key);
    c = mem_new(1, sizeof *c);
    *c = (struct wait_call){w, which};
    w->waiting[which] = true;
    if (redis_call_blocking(r, on_wait_over, c, ARRAY_LEN(argv), argv, WAIT_MS, &e)) {
        w->waiting[which] = false;
        free(c);
    }
}

bool worker_take_is_deaf(const struct worker *w)
{
    return !w->waiting[WAIT_INBOX] || !w->waiting[WAIT_PENDING];
}

static void on_due(uv_timer_t *timer)
{
    worker_take_jobs(timer->data);
}

void worker_take_due(struct worker *w, int64_t at_ms)
{
    int64_t wait = at_ms - worker_now_ms(w);

    if (at_ms < 0)
        (void)uv_timer_stop(&w->due_timer);
    else /* a millisecond late, so that it is due indeed */
        (void)uv_timer_start(&w->due_timer, on_due, wait > 0 ? (uint64_t)wait + 1 : 1,
                             0);
}

/* ---- taking jobs ---- */

static size_t room(const struct worker *w)
{
    size_t most = (size_t)w->settings->concurrency;

    if (w->mode != WORKER_RUNNING || !w->registered || w->looking || w->paused ||
        w->solo)
        return 0;
    if (w->solo_waiting && w->task_count > 0)
        return 0; /* become idle first */
    return most > w->task_count ? most - w->task_count : 0;
}

static void begin_job(struct worker *w, const struct queue_batch *b, size_t i)
{
    struct job job = {0};
    struct err e;
    bool solo;

    if (queue_batch_job(b, i, &job, &solo, &e) == 0) {
        task_start(w, &job, solo);
        return;
    }
    log_msg(LOG_ERROR, "unreadable_record", "%s: %s", job.id, e.text);
    task_refuse(w, &job, &e);
}

static void on_taken(void *arg, const struct queue_batch *b, const struct err *e)
{
    struct worker *w = arg;

    w->taking = false;
    if (worker_is_drained(w) && b->count == 0) {
        worker_stop(w);
        return;
    }
    if (e->class != ERR_NONE)
        return; /* the next beat pumps again */
    worker_set_clock(w, b->now_ms);
    w->solo_waiting = b->solo_waiting;
    w->paused = b->status == QUEUE_TAKE_PAUSED;
    if (b->status == QUEUE_TAKE_EXPIRED) {
        w->registered = false; /* the next beat revives it */
        return;
    }
    worker_take_due(w, b->due_ms);
    for (size_t i = 0; i < b->count; i++)
        begin_job(w, b, i);
    if (b->count > 0) {
        worker_take_jobs(w);
        return;
    }
    if (room(w) > 0) {
        wait_on(w, WAIT_INBOX);
        wait_on(w, WAIT_PENDING);
    }
}

void worker_take_jobs(struct worker *w)
{
    struct queue_want want = {.jobs = room(w),
                              .reap = worker_loop_ms(w) >= w->reap_after_ms,
                              .idle = w->task_count == 0};
    struct err e;

    if (w->taking || want.jobs == 0)
        return;
    w->taking = queue_take(w->queue, &want, on_taken, w, &e) == 0;
}
