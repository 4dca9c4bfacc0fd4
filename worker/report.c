/* report: see report.h. */
#include "report.h"

#include <sodium.h>
#include <string.h>

#include "backoff.h"
#include "gitlab.h"
#include "issue.h"
#include "log.h"
#include "settings.h"
#include "stray.h"
#include "worker_lane.h"

/* ---- ends of an item ---- */

/* An item that is still there comes again when its hold ends. But whether an issue that
 * was made here may be kept only Redis knows: if the hold is over, another worker may
 * have made one, and nobody else would ever close ours. */
static void untold(struct report *it)
{
    if (it->created)
        follow_report_untold(it);
    else
        follow_report_ended(it);
}

static void on_settled(void *arg, enum queue_settled how, const struct err *e)
{
    struct report *it = arg;

    if (e->class != ERR_NONE) {
        untold(it);
        return;
    }
    if (how == QUEUE_STRAY && it->created)
        stray_close(it->worker, GITLAB_REPORT, &it->job, it->job.report_iid);
    follow_report_ended(it);
}

static void settle(struct report *it, int64_t delay_ms)
{
    struct err e;

    if (queue_follow_done(it->worker->queue, it->kind, it->id, it->what.token, delay_ms,
                          &it->write, on_settled, it, &e))
        untold(it);
}

static void log_item(struct report *it, const char *outcome, const struct err *e)
{
    struct log_line l;

    log_begin(&l, e ? LOG_WARN : LOG_INFO, "follow_up");
    log_str(&l, "kind", it->kind);
    log_str(&l, "job", it->id);
    log_str(&l, "outcome", outcome);
    log_int(&l, "iid", it->job.report_iid);
    if (e)
        log_err(&l, e);
    log_end(&l);
}

static void done(struct report *it, const char *outcome)
{
    it->worker->counts.reports[COUNTS_DONE]++;
    log_item(it, outcome, NULL);
    queue_write_int(&it->write, "report_tries", 0);
    settle(it, -1);
}

static void again(struct report *it, const struct err *e)
{
    const struct settings *s = it->worker->settings;
    int64_t delay = e->retry_after_ms;

    it->job.report_tries++;
    if (!delay)
        delay = backoff_delay_ms(it->job.report_tries, s->backoff_base_ms,
                                 s->backoff_cap_ms, randombytes_random());
    it->worker->counts.reports[COUNTS_AGAIN]++;
    log_item(it, "will try again", e);
    queue_write_int(&it->write, "report_tries", it->job.report_tries);
    settle(it, delay);
}

/* True: the answer was good. False: the item has been put off. */
static bool good(struct report *it, const struct gitlab_result *r)
{
    struct worker *w = it->worker;

    worker_lane_report(w, &w->gitlab_lane, &r->err);
    if (r->err.class == ERR_NONE)
        return true;
    again(it, &r->err);
    return false;
}

/* Somebody deleted it: there is nothing to write on any more. */
static bool is_gone(const struct report *it, const struct gitlab_result *r)
{
    return it->job.report_iid && r->err.class == ERR_PERMANENT && r->err.code == 404;
}

static void gone(struct report *it, const struct gitlab_result *r)
{
    worker_lane_report(it->worker, &it->worker->gitlab_lane, &r->err);
    queue_write_str(&it->write, "report_closed", "1");
    done(it, "gone");
}

/* ---- closing the failure issue ---- */

static void on_closed(void *arg, const struct gitlab_result *r)
{
    struct report *it = arg;

    if (is_gone(it, r)) {
        gone(it, r);
        return;
    }
    if (!good(it, r))
        return;
    queue_write_str(&it->write, "report_closed", "1");
    done(it, "closed");
}

static void close_issue(struct report *it)
{
    gitlab_update(it->worker->gitlab, GITLAB_REPORT, it->job.report_iid, NULL, NULL,
                  "close", on_closed, it);
}

static void on_noted_saved(void *arg, enum queue_settled how, const struct err *e)
{
    struct report *it = arg;

    (void)how;
    (void)
        e; /* if it was not kept, the comment may stand there twice; it says the same */
    if (it->worker->ending)
        follow_report_ended(it); /* the issue is closed when its hold ends */
    else
        close_issue(it);
}

static void on_noted(void *arg, const struct gitlab_result *r)
{
    struct report *it = arg;
    struct err e;

    if (is_gone(it, r)) {
        gone(it, r);
        return;
    }
    if (!good(it, r))
        return;
    queue_write_str(&it->write, "report_noted", "1");
    if (queue_follow_done(it->worker->queue, it->kind, it->id, "", 0, &it->write,
                          on_noted_saved, it, &e))
        close_issue(it);
}

static void solve(struct report *it)
{
    struct buf text;

    if (it->job.report_closed || !it->job.report_iid) {
        settle(it, -1);
        return;
    }
    if (it->job.report_noted) {
        close_issue(it);
        return;
    }
    buf_init(&text, ISSUE_TEXT_MAX);
    issue_solved_comment(&it->job, it->fixed_url, &text);
    gitlab_comment(it->worker->gitlab, GITLAB_REPORT, it->job.report_iid, text.data,
                   on_noted, it);
    buf_done(&text);
}

/* ---- opening or updating it ---- */

static bool is_late(const struct report *it)
{
    return !strcmp(it->kind, "late");
}

static bool is_shared(const struct report *it)
{
    return !strcmp(it->kind, "shared");
}

static void opened(struct report *it, const struct gitlab_result *r)
{
    it->job.report_iid = r->iid;
    queue_write_int(&it->write, "report_iid", r->iid);
    queue_write_str(&it->write, "report_url", r->url);
    queue_write_str(&it->write, "report_closed", "0");
    queue_write_str(&it->write, "report_noted", "0");
}

static void on_opened(void *arg, const struct gitlab_result *r)
{
    struct report *it = arg;

    if (r->err.class != ERR_NONE && !r->unknown)
        queue_write_del(&it->write, "i:report"); /* certainly not there */
    if (is_gone(it, r))
        queue_write_del(&it->write, "report_iid"); /* a failed job has one: a new one */
    if (!good(it, r))
        return;
    it->created = !it->job.report_iid;
    opened(it, r);
    done(it, is_late(it) ? "said that it is late" : "reported");
}

static void write_texts(const struct report *it, struct buf *title, struct buf *text)
{
    const struct issue_shared shared = {.id = it->id,
                                        .count = it->what.count,
                                        .since_ms = it->what.since_ms,
                                        .last_ids = it->last_ids};

    if (is_shared(it)) {
        issue_shared_title(&shared, title);
        issue_shared_text(&shared, text);
    } else {
        issue_title(is_late(it) ? ISSUE_LATE : ISSUE_FAILED, &it->job, title);
        issue_failed_text(&it->job, is_late(it), text);
    }
}

static void open_issue(struct report *it)
{
    struct gitlab *g = it->worker->gitlab;
    /* People close the shared one, and more come: nobody here hears of the closing. */
    bool reopen = it->job.report_closed || is_shared(it);
    struct buf title, text;

    buf_init(&title, 2048);
    buf_init(&text, ISSUE_TEXT_MAX);
    write_texts(it, &title, &text);
    if (it->job.report_iid)
        gitlab_update(g, GITLAB_REPORT, it->job.report_iid, title.data, text.data,
                      reopen ? "reopen" : NULL, on_opened, it);
    else
        gitlab_create(g, GITLAB_REPORT, title.data, text.data, on_opened, it);
    buf_done(&text);
    buf_done(&title);
}

static void act(struct report *it)
{
    bool over = it->job.state == JOB_DONE || it->job.fixed_by;

    if (over)
        solve(it);
    else if (is_late(it) || it->job.state == JOB_FAILED)
        open_issue(it);
    else /* requeued before the report was written: nothing has failed */
        settle(it, -1);
}

static void on_intent(void *arg, enum queue_settled how, const struct err *e)
{
    struct report *it = arg;

    (void)how;
    queue_write_reset(&it->write);
    if (e->class == ERR_NONE && !it->worker->ending)
        act(it);
    else
        follow_report_ended(it); /* still in Redis: it comes again when its hold ends */
}

/* A lost creation can no longer be at work: a new one may begin, with a new intent. */
static void renew_intent(struct report *it)
{
    struct err e;

    queue_write_str(&it->write, "i:report", "@now@");
    if (queue_follow_done(it->worker->queue, it->kind, it->id, "", 0, &it->write,
                          on_intent, it, &e))
        follow_report_ended(it);
}

static void on_found(void *arg, const struct gitlab_result *r)
{
    struct report *it = arg;
    const struct worker *w = it->worker;
    int64_t settle_ms = w->settings->gitlab_settle_ms;
    int64_t left_ms = it->what.earlier_intent_ms + settle_ms - worker_now_ms(w);

    if (!good(it, r))
        return;
    if (r->iid) {
        opened(it, r);
        it->job.report_closed = r->closed;
        act(it);
    } else if (left_ms > settle_ms) {
        /* The clock was set back: it counts from now on. */
        queue_write_str(&it->write, "i:report", "@now@");
        settle(it, settle_ms);
    } else if (left_ms > 0) {
        settle(it, left_ms);
    } else {
        renew_intent(it);
    }
}

/* Another one probes. Nothing was begun under the intent that came with it. */
static void put_off(struct report *it, int64_t wait_ms)
{
    if (!it->job.report_iid && it->what.earlier_intent_ms <= 0)
        queue_write_del(&it->write, "i:report");
    settle(it, wait_ms);
}

static void begin(struct report *it)
{
    static const char *const titles[] = {"[Failed]", NULL};

    if (it->job.report_iid || it->what.earlier_intent_ms <= 0)
        act(it);
    else
        gitlab_find(it->worker->gitlab, GITLAB_REPORT, it->id,
                    it->what.earlier_intent_ms, titles, on_found, it);
}

static void on_asked(void *arg, int64_t wait_ms, const struct err *e)
{
    struct report *it = arg;
    const struct worker *w = it->worker;

    if (e->class != ERR_NONE) {
        follow_report_ended(it); /* it comes again when its hold ends */
        return;
    }
    it->probes = wait_ms == 0 && w->gitlab_lane.probing;
    if (wait_ms || !w->gitlab)
        put_off(it, wait_ms);
    else
        begin(it);
}

void report_tell(struct report *it)
{
    settle(it, -1);
}

void report_start(struct report *it)
{
    struct worker *w = it->worker;
    struct err e;

    if (lane_is_open(&w->gitlab_lane))
        begin(it);
    else if (worker_lane_ask(w, &w->gitlab_lane, on_asked, it, &e))
        follow_report_ended(it);
}
