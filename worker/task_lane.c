/* task_lane: a step that has to use an outside system goes through here. An open lane
 * costs nothing; a closed one is asked about, so that one job of all workers tries. */
#include "task.h"

#include "step.h"
#include "worker_lane.h"

static enum outcome go(struct task *t)
{
    if (!t->worker->ending)
        return t->use(t);
    (void)err_set(&t->err, ERR_CANCELLED, 0, "this worker stops");
    return OUTCOME_FAILED;
}

static void on_asked(void *arg, int64_t wait_ms, const struct err *e)
{
    struct task *t = arg;
    enum outcome outcome = OUTCOME_FAILED;

    if (task_call_again(t, e))
        return;
    t->probes = wait_ms == 0 && t->lane->probing;
    t->snooze_ms = wait_ms;
    if (t->patience_ms && wait_ms > t->patience_ms)
        t->snooze_ms = t->patience_ms;
    if (wait_ms)
        t->err = t->lane->why;
    else
        outcome = go(t);
    if (outcome != OUTCOME_PENDING)
        task_resume(t, outcome);
}

static void ask(struct task *t)
{
    struct err e;

    if (worker_lane_ask(t->worker, t->lane, on_asked, t, &e))
        (void)task_call_again(t, &e);
}

enum outcome task_lane(struct task *t, struct lane *l,
                       enum outcome (*use)(struct task *))
{
    t->lane = l;
    t->use = use;
    t->snooze_ms = 0;
    if (lane_is_open(l))
        return use(t);
    task_call(t, ask);
    return OUTCOME_PENDING;
}
