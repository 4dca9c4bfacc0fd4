/* step_record: the GitLab issue, [Pending] until it is closed. GitLab has no
 * idempotency key: when an earlier attempt's outcome is unknown, or may have been
 * forgotten in a failover, this looks before it creates, and believes "not there" only
 * when GitLab can no longer be at work on the lost request. */
#include <stdio.h>

#include "gitlab.h"
#include "issue.h"
#include "mem.h"
#include "settings.h"
#include "step.h"
#include "when.h"

static enum outcome failed(struct task *t, const struct gitlab_result *r)
{
    t->err = r->err;
    worker_lane_report(t->worker, &t->worker->gitlab_lane, &r->err);
    return OUTCOME_FAILED;
}

static void write_result(struct task *t, struct queue_write *w)
{
    queue_write_int(w, "iid", t->job.issue_iid);
    queue_write_str(w, "issue_url", t->job.issue_url);
    queue_write_del(w, "i:record");
}

static enum outcome recorded(struct task *t, const struct gitlab_result *r)
{
    t->job.issue_iid = r->iid;
    mem_set(&t->job.issue_url, r->url);
    t->late_step = STEP_RECORD;
    write_result(t, &t->dirty);
    write_result(t, &t->late);
    task_mark(t, STEP_RECORD, "");
    return OUTCOME_DONE;
}

static void on_created(void *arg, const struct gitlab_result *r)
{
    struct task *t = arg;

    if (r->err.class == ERR_NONE) {
        worker_issue_made(t->worker, r);
        task_resume(t, recorded(t, r));
        return;
    }
    if (!r->unknown)
        queue_write_del(&t->dirty, "i:record");
    task_resume(t, failed(t, r));
}

static void create(struct task *t)
{
    struct buf title, text;

    buf_init(&title, 2048);
    buf_init(&text, ISSUE_TEXT_MAX);
    issue_title(ISSUE_PENDING, &t->job, &title);
    issue_success_text(&t->job, &text);
    gitlab_create(t->worker->gitlab, GITLAB_RECORD, title.data, text.data, on_created,
                  t);
    buf_done(&text);
    buf_done(&title);
}

static void write_intent(struct task *t)
{
    char intent[256];

    (void)snprintf(intent, sizeof intent, "%s %lld @now@", t->worker->wid,
                   (long long)t->job.fence);
    queue_write_str(&t->dirty, "i:record", intent);
}

static void save_intent(struct task *t)
{
    write_intent(t);
    t->guard = "s:record";
    task_flush(t, create);
}

/* A job that was there before another server took over: the old one was perhaps told
 * last that its issue is made, by a worker that did not know better. */
static bool is_of_another_server(const struct task *t)
{
    return t->job.accepted_ms <= t->worker->moved_ms;
}

/* By Redis's clock of now, which may have been set back since. */
static int64_t moved_ms(const struct worker *w)
{
    int64_t heard_ms = worker_now_ms(w) - (worker_loop_ms(w) - w->moved_heard_ms);

    return w->moved_ms < heard_ms ? w->moved_ms : heard_ms;
}

/* When an issue that nobody here knows of may have been asked for at last. */
static int64_t last_asked_ms(const struct task *t)
{
    int64_t intent_ms = t->job.record_intent.at_ms;

    return is_of_another_server(t) && moved_ms(t->worker) > intent_ms
               ? moved_ms(t->worker)
               : intent_ms;
}

static int64_t look_since_ms(const struct task *t)
{
    int64_t intent_ms = t->job.record_intent.at_ms, since_ms;

    if (!is_of_another_server(t))
        return intent_ms;
    since_ms = t->worker->moved_ms - WHEN_DAY_MS;
    if (t->job.accepted_ms > since_ms)
        since_ms = t->job.accepted_ms;
    return intent_ms && intent_ms < since_ms ? intent_ms : since_ms;
}

static void on_found(void *arg, const struct gitlab_result *r)
{
    struct task *t = arg;
    int64_t age_ms = worker_now_ms(t->worker) - last_asked_ms(t);
    int64_t settle_ms = t->worker->settings->gitlab_settle_ms;

    if (r->err.class != ERR_NONE) {
        task_resume(t, failed(t, r));
        return;
    }
    worker_lane_report(t->worker, &t->worker->gitlab_lane, &r->err);
    if (r->iid) {
        task_resume(t, recorded(t, r));
        return;
    }
    if (age_ms >= settle_ms) {
        save_intent(t);
        return;
    }
    if (age_ms < 0) { /* the clock was set back: the intent counts from here on */
        write_intent(t);
        age_ms = 0;
    }
    t->snooze_ms = settle_ms - age_ms;
    (void)err_set(
        &t->err, ERR_TRANSIENT, 0,
        "GitLab did not answer an earlier creation of the issue; looking again "
        "before it is repeated");
    task_resume(t, OUTCOME_FAILED);
}

static enum outcome find_or_create(struct task *t)
{
    static const char *const titles[] = {"[Pending]", "[Success]", NULL};
    struct worker *w = t->worker;

    if (t->job.record_intent.at_ms || is_of_another_server(t))
        gitlab_find(w->gitlab, GITLAB_RECORD, t->job.id, look_since_ms(t), titles,
                    on_found, t);
    else
        save_intent(t);
    return OUTCOME_PENDING;
}

enum outcome step_record(struct task *t)
{
    if (step_sign_recheck(t)) /* a copy of it stands in the issue */
        return OUTCOME_FAILED;
    return task_lane(t, &t->worker->gitlab_lane, find_or_create);
}
