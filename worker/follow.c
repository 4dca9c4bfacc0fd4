/* follow: see follow.h. An item stays in Redis, put off, while it is worked on: a
 * worker that dies with it loses nothing, and the next one looks before it creates. */
#include "follow.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "mem.h"
#include "report.h"
#include "worker.h"

#define FOLLOW_MOST 8         /* under way at once */
#define FOLLOW_HOLD_MS 180000 /* longer than the slowest chain of GitLab calls */

struct follow {
    struct worker *worker;
    uv_timer_t timer;
    struct report *untold; /* made an issue that Redis did not hear of */
    size_t under_way;
    bool taking;
    bool stopped;
};

static void take(struct follow *f);

void follow_report_ended(struct report *it)
{
    struct worker *w = it->worker;
    struct follow *f = w->follow;

    if (it->probes)
        w->gitlab_lane.probing = false; /* whatever came of it was told */
    job_done(&it->job);
    queue_write_done(&it->write);
    free(it->kind);
    free(it->id);
    free(it->fixed_url);
    free(it->last_ids);
    free(it);
    f->under_way--;
    take(f);
    worker_side_ended(w);
}

void follow_report_untold(struct report *it)
{
    struct follow *f = it->worker->follow;

    if (f->stopped) {
        follow_report_ended(it); /* whoever comes next looks for the issue */
        return;
    }
    it->next = f->untold;
    f->untold = it;
}

static void for_untold(struct follow *f, void (*fn)(struct report *it))
{
    struct report *it = f->untold, *next;

    for (f->untold = NULL; it; it = next) {
        next = it->next;
        fn(it);
    }
}

void follow_beat(struct follow *f)
{
    for_untold(f, report_tell);
}

static int64_t closed_for_ms(const struct worker *w)
{
    int64_t left = w->gitlab_lane.closed_until_ms - worker_loop_ms(w);

    return left > 0 ? left : 0;
}

/* A record that does not read: all that can be told is that, and its id. */
static void tell_unreadable(struct report *it, const struct err *e)
{
    log_msg(LOG_ERROR, "unreadable_record", "%s: %s", it->what.id, e->text);
    (void)snprintf(it->job.id, sizeof it->job.id, "%s", it->what.id);
    it->job.state = JOB_FAILED;
    it->job.has_error = true;
    it->job.error = *e;
}

static void begin(struct follow *f, const struct queue_follows *batch, size_t i)
{
    struct report *it = mem_new(1, sizeof *it);
    struct err e;

    it->worker = f->worker;
    f->under_way++;
    queue_write_init(&it->write);
    if (queue_follow_item(batch, i, &it->what, &it->job, &e)) {
        if (e.class == ERR_CANCELLED || !it->what.id) {
            follow_report_ended(it); /* of a newer worker: left to it */
            return;
        }
        tell_unreadable(it, &e);
    }
    /* If it does not open, the issue says so. */
    (void)job_open_license(&it->job, f->worker->seal, f->worker->settings->queue, &e);
    it->kind = mem_strdup(it->what.kind);
    it->id = mem_strdup(it->what.id);
    it->fixed_url = mem_strdup(it->what.fixed_url);
    it->last_ids = mem_strdup(it->what.last_ids);
    report_start(it);
}

static void on_taken(void *arg, const struct queue_follows *batch, const struct err *e)
{
    struct follow *f = arg;
    const struct worker *w = f->worker;

    f->taking = false;
    if (e->class != ERR_NONE || f->stopped) {
        /* The next beat, or the end of their hold, says when something is due. */
        worker_side_ended(f->worker);
        return;
    }
    for (size_t i = 0; i < batch->count; i++)
        begin(f, batch, i);
    if (batch->due_ms >= 0)
        follow_due(f, batch->due_ms - w->redis_offset_ms);
    worker_side_ended(f->worker);
}

static void take(struct follow *f)
{
    struct worker *w = f->worker;
    bool leaving = w->mode == WORKER_DRAINING && w->task_count == 0;
    struct err e;

    if (f->stopped || leaving || f->taking || f->under_way >= FOLLOW_MOST ||
        !w->registered || closed_for_ms(w))
        return;
    f->taking = queue_follow_take(w->queue, FOLLOW_MOST - f->under_way, FOLLOW_HOLD_MS,
                                  on_taken, f, &e) == 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct follow *f = timer->data;
    int64_t wait_ms = closed_for_ms(f->worker);

    if (wait_ms)
        follow_due(f, worker_loop_ms(f->worker) + wait_ms);
    else
        take(f);
}

void follow_poke(struct follow *f)
{
    follow_due(f, worker_loop_ms(f->worker));
}

void follow_due(struct follow *f, int64_t at_ms)
{
    int64_t wait = at_ms - worker_loop_ms(f->worker);

    if (f->stopped)
        return;
    if (uv_is_active((uv_handle_t *)&f->timer) &&
        (int64_t)uv_timer_get_due_in(&f->timer) <= wait)
        return;
    (void)uv_timer_start(&f->timer, on_timer, wait > 0 ? (uint64_t)wait : 0, 0);
}

static void on_timer_closed(uv_handle_t *handle)
{
    (void)handle; /* lives in struct follow, which outlives the loop */
}

struct follow *follow_new(struct worker *w)
{
    struct follow *f = mem_new(1, sizeof *f);

    f->worker = w;
    (void)uv_timer_init(w->loop, &f->timer); /* always 0 */
    f->timer.data = f;
    return f;
}

bool follow_busy(const struct follow *f)
{
    return f->taking || f->under_way > 0;
}

void follow_stop(struct follow *f)
{
    if (f->stopped)
        return;
    f->stopped = true;
    for_untold(f, follow_report_ended);
    uv_close((uv_handle_t *)&f->timer, on_timer_closed);
}

void follow_free(struct follow *f)
{
    assert(!f || f->stopped);
    free(f);
}
