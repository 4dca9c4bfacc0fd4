/* claims: see claims.h. Calls on one connection are answered in order, so a beat's
 * count is exact but for a claim that is under way: then the next beat tells. */
#include "claims.h"

#include <stdlib.h>

#include "log.h"
#include "mem.h"
#include "task.h"
#include "worker.h"

static void on_disowned(void *arg, bool some, const struct err *e)
{
    (void)arg;
    if (e->class == ERR_NONE && some)
        log_msg(LOG_WARN, "lost_claims",
                "jobs given back that this worker was never "
                "told of");
}

void claims_check(struct worker *w, int64_t held)
{
    const char **ids;
    size_t n = 0;
    struct err e;

    if (w->taking || held <= (int64_t)w->task_count)
        return;
    ids = mem_new(w->task_count, sizeof *ids);
    for (const struct task *t = w->tasks; t; t = t->next)
        ids[n++] = t->job.id;
    if (queue_disown(w->queue, ids, n, on_disowned, w, &e))
        log_msg(LOG_WARN, "lost_claims", "%s", e.text); /* the next beat, then */
    free(ids);
}
