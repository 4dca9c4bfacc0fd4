/* step_close: the PUT that gives the recorded issue its [Success] title and closes it.
 * Safe to repeat; the issue's number is durable before the first one leaves. */
#include "gitlab.h"
#include "issue.h"
#include "step.h"

static void on_closed(void *arg, const struct gitlab_result *r)
{
    struct task *t = arg;

    worker_lane_report(t->worker, &t->worker->gitlab_lane, &r->err);
    if (r->err.class != ERR_NONE) {
        t->err = r->err;
        task_resume(t, OUTCOME_FAILED);
        return;
    }
    task_mark(t, STEP_CLOSE, "");
    task_resume(t, OUTCOME_DONE);
}

static void put(struct task *t)
{
    struct buf title;

    buf_init(&title, 2048);
    issue_title(ISSUE_SUCCESS, &t->job, &title);
    gitlab_update(t->worker->gitlab, GITLAB_RECORD, t->job.issue_iid, title.data, NULL,
                  "close", on_closed, t);
    buf_done(&title);
}

static enum outcome close_it(struct task *t)
{
    t->guard = NULL;
    task_flush(t, put);
    return OUTCOME_PENDING;
}

enum outcome step_close(struct task *t)
{
    return task_lane(t, &t->worker->gitlab_lane, close_it);
}
