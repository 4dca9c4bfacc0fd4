/* views: see views.h. */
#include "views.h"

#include <stdlib.h>

#include "mem.h"
#include "task.h"
#include "worker.h"

#define NEW_MS 500 /* younger jobs will most likely end before anybody looks */

static void on_shown(void *arg, bool some, const struct err *e)
{
    (void)arg; /* for people only: what is lost is shown by the next move */
    (void)some;
    (void)e;
}

void views_refresh(struct worker *w)
{
    int64_t before_ms = worker_loop_ms(w) - NEW_MS;
    const char **ids = mem_new(w->task_count + 1, sizeof *ids);
    size_t n = 0;
    struct err e;

    for (struct task *t = w->tasks; t; t = t->next) {
        if (!t->unseen || t->taken_ms > before_ms)
            continue;
        t->unseen = false;
        ids[n++] = t->job.id;
    }
    if (n > 0 && queue_show(w->queue, ids, n, on_shown, w, &e))
        on_shown(w, false, &e);
    free(ids);
}
