/* task_seal: a job whose license stands sealed in Redis. Without its key a worker
 * leaves it as it is, for itself after a HUP or for another: it is no fault of the job.
 */
#include "settings.h"
#include "task.h"

#define KEY_PAUSE_MS 30000 /* as long as a record newer than a program waits */

static bool needs_license(const struct task *t)
{
    return t->at == STEP_EMAIL || t->at == STEP_RECORD;
}

bool task_has_license(struct task *t)
{
    const struct worker *w = t->worker;

    if (!needs_license(t) ||
        job_open_license(&t->job, w->seal, w->settings->queue, &t->err) == 0)
        return true;
    if (t->err.class == ERR_CONFIG)
        t->snooze_ms = KEY_PAUSE_MS;
    return false;
}
