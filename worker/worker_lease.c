/* worker_lease: see worker_lease.h. */
#include "worker_lease.h"

#include <unistd.h>

#include "claims.h"
#include "follow.h"
#include "identity.h"
#include "log.h"
#include "mem.h"
#include "settings.h"
#include "task.h"
#include "teller.h"
#include "views.h"
#include "worker.h"
#include "worker_lane.h"
#include "worker_take.h"

#define TRIM_EVERY_BEATS 30

/* ---- the lease ---- */

static void unblock_tasks(struct worker *w)
{
    struct task *next;

    for (struct task *t = w->tasks; t; t = next) {
        next = t->next;
        task_unblock(t);
    }
}

static void on_beat(void *arg, const struct queue_beat *b, const struct err *e)
{
    struct worker *w = arg;
    bool first = !w->registered;

    w->beating = false;
    if (e->class != ERR_NONE) {
        log_msg(worker_redis_level(e), "beat", "%s", e->text);
        return;
    }
    worker_set_clock(w, b->now_ms);
    w->lease_until_ms = w->beat_sent_ms + w->settings->lease_ms;
    if (b->known == 0 && w->registered) {
        w->counts.leases_lost++;
        log_msg(LOG_WARN, "lease_lost", "this worker's jobs were taken back by others");
    }
    w->registered = true;
    if (!w->started_ms)
        w->started_ms = b->now_ms;
    w->paused = b->paused;
    if (b->moved_ms != w->moved_ms)
        w->moved_heard_ms = worker_loop_ms(w);
    w->moved_ms = b->moved_ms;
    worker_lane_heard(w, b);
    unblock_tasks(w);
    claims_check(w, b->held);
    views_refresh(w);
    follow_beat(w->follow);
    teller_beat(w->teller, first,
                b->follow_due_ms >= 0 && b->follow_due_ms <= b->now_ms);
    if (b->follow_due_ms >= 0)
        follow_due(w->follow, b->follow_due_ms - w->redis_offset_ms);
    if (!w->taking && b->due_ms >= 0)
        worker_take_due(w, b->due_ms);
    if (b->ready > 0 || worker_take_is_deaf(w))
        worker_take_jobs(
            w); /* else the waits and the due timer do when there is something */
}

static void trim(struct worker *w);

/* A batch at a time, so that Redis serves others in between. */
/* NOLINTNEXTLINE(misc-no-recursion): with the next answer, or once */
static void on_trimmed(void *arg, bool some, const struct err *e)
{
    struct worker *w = arg;

    if (e->class != ERR_NONE && e->class != ERR_CANCELLED)
        log_msg(LOG_WARN, "trim", "%s", e->text);
    else if (some && !w->closing)
        trim(w);
}

/* NOLINTNEXTLINE(misc-no-recursion): as above */
static void trim(struct worker *w)
{
    struct err e;

    if (queue_trim(w->queue, on_trimmed, w, &e))
        on_trimmed(w, false, &e);
}

static void beat(struct worker *w)
{
    static const char *const states[] = {"running", "quiet", "draining"};
    struct queue_info info = {.host = w->host_name,
                              .pid = getpid(),
                              .busy = (int64_t)w->task_count,
                              .lag_ms = worker_lag_ms(&w->lag),
                              .started_ms = w->started_ms,
                              .state = states[w->mode],
                              .server = redis_server(w->redis)};
    struct err e;

    if (w->beating)
        return; /* the lease counts from the beat that is answered */
    w->beat_sent_ms = worker_loop_ms(w);
    w->beating = queue_beat(w->queue, &info, on_beat, w, &e) == 0;
    if (!w->beating)
        return; /* not connected: on_up beats */
    if (w->beats++ % TRIM_EVERY_BEATS == 0)
        trim(w);
}

static void on_beat_timer(uv_timer_t *timer)
{
    beat(timer->data);
}

/* ---- predecessors on this host ---- */

static void on_reaped(void *arg, bool yes, const struct err *e)
{
    (void)yes;
    if (e->class == ERR_NONE)
        worker_take_jobs(arg);
}

static void on_workers(void *arg, const struct redisReply *r, const struct err *e)
{
    struct worker *w = arg;
    struct err down;

    w->looking = false;
    if (e->class != ERR_NONE) {
        worker_take_jobs(w); /* their leases will run out */
        return;
    }
    for (size_t i = 0; i < reply_count(r); i++) {
        const char *wid = reply_str(reply_at(r, i));

        if (!identity_is_dead_neighbour(w->wid, wid))
            continue;
        log_msg(LOG_INFO, "predecessor", "%s is gone: its jobs are taken back", wid);
        if (queue_reap_worker(w->queue, wid, on_reaped, w, &down))
            break; /* by lease, then */
    }
    worker_take_jobs(w); /* behind the reaps, so that their jobs come first */
}

static void look_for_predecessors(struct worker *w)
{
    char key[QUEUE_KEY_MAX];
    const char *const argv[] = {"ZRANGE", key, "0", "-1"};
    struct err e;

    queue_key(w->queue, "workers", "", key);
    w->looking = true;
    if (redis_call(w->redis, on_workers, w, ARRAY_LEN(argv), argv, NULL, &e))
        on_workers(w, NULL, &e);
}

/* ---- the connection ---- */

void worker_lease_up(void *worker)
{
    struct worker *w = worker;

    log_msg(LOG_INFO, "redis_up", "connected");
    w->reap_after_ms = worker_loop_ms(w) + w->settings->lease_ms;
    beat(w);
    look_for_predecessors(w);
}

void worker_lease_down(void *worker, const struct err *e)
{
    struct worker *w = worker;

    w->registered = false;
    w->taking = false;
    w->counts.redis_lost++;
    if (!w->closing)
        log_msg(worker_redis_level(e), "redis_down", "%s", e->text);
}

int worker_lease_start(struct worker *w)
{
    uint64_t every_ms = (uint64_t)(w->settings->lease_ms / 5);

    return uv_timer_start(&w->beat_timer, on_beat_timer, every_ms, every_ms);
}
