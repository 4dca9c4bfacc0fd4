/* follow: see follow.h. An item stays in Redis, put off, while it is worked on: a
 * worker that dies with it loses nothing, and the next one looks before it creates. */
#include "follow.h"

#include <assert.h>
#include <stdio.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "gitlab.h"
#include "issue.h"
#include "log.h"
#include "mem.h"
#include "settings.h"
#include "worker.h"

#define FOLLOW_MOST 8         /* under way at once */
#define FOLLOW_HOLD_MS 180000 /* longer than the slowest chain of GitLab calls */

struct follow {
    struct worker *worker;
    uv_timer_t timer;
    size_t under_way;
    bool taking;
    bool stopped;
};

/* One item under way. */
struct item {
    struct follow *follow;
    struct queue_follow what;
    char *kind, *id, *fixed_url, *last_ids;
    struct job job;
    struct queue_write write;
};

static void take(struct follow *f);

/* ---- ends of an item ---- */

static void item_free(struct item *it)
{
    struct follow *f = it->follow;

    job_done(&it->job);
    queue_write_done(&it->write);
    free(it->kind);
    free(it->id);
    free(it->fixed_url);
    free(it->last_ids);
    free(it);
    f->under_way--;
    take(f);
}

static void on_settled(void *arg, bool unchanged, const struct err *e)
{
    /* Whatever Redis said: the item is still there and comes again when its hold ends.
     */
    (void)unchanged;
    (void)e;
    item_free(arg);
}

static void settle(struct item *it, int64_t delay_ms)
{
    struct err e;

    if (queue_follow_done(it->follow->worker->queue, it->kind, it->id, it->what.token,
                          delay_ms, &it->write, on_settled, it, &e))
        item_free(it);
}

static void log_item(struct item *it, const char *outcome, const struct err *e)
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

static void done(struct item *it, const char *outcome)
{
    log_item(it, outcome, NULL);
    queue_write_int(&it->write, "report_tries", 0);
    settle(it, -1);
}

static void again(struct item *it, const struct err *e)
{
    const struct settings *s = it->follow->worker->settings;
    int64_t delay = e->retry_after_ms;

    it->job.report_tries++;
    if (!delay)
        delay = backoff_delay_ms(it->job.report_tries, s->backoff_base_ms,
                                 s->backoff_cap_ms, randombytes_random());
    log_item(it, "will try again", e);
    queue_write_int(&it->write, "report_tries", it->job.report_tries);
    settle(it, delay);
}

/* True: the answer was good. False: the item has been put off. */
static bool good(struct item *it, const struct gitlab_result *r)
{
    struct worker *w = it->follow->worker;

    worker_lane_report(w, &w->gitlab_lane, &r->err);
    if (r->err.class == ERR_NONE)
        return true;
    again(it, &r->err);
    return false;
}

/* Somebody deleted it: there is nothing to write on any more. */
static bool is_gone(const struct item *it, const struct gitlab_result *r)
{
    return it->job.report_iid && r->err.class == ERR_PERMANENT && r->err.code == 404;
}

static void gone(struct item *it, const struct gitlab_result *r)
{
    worker_lane_report(it->follow->worker, &it->follow->worker->gitlab_lane, &r->err);
    queue_write_str(&it->write, "report_closed", "1");
    done(it, "gone");
}

/* ---- closing the failure issue ---- */

static void on_closed(void *arg, const struct gitlab_result *r)
{
    struct item *it = arg;

    if (is_gone(it, r)) {
        gone(it, r);
        return;
    }
    if (!good(it, r))
        return;
    queue_write_str(&it->write, "report_closed", "1");
    done(it, "closed");
}

static void close_issue(struct item *it)
{
    gitlab_update(it->follow->worker->gitlab, GITLAB_REPORT, it->job.report_iid, NULL,
                  NULL, "close", on_closed, it);
}

static void on_noted_saved(void *arg, bool unchanged, const struct err *e)
{
    struct item *it = arg;

    (void)unchanged;
    (void)
        e; /* if it was not kept, the comment may stand there twice; it says the same */
    if (it->follow->stopped)
        item_free(it); /* the issue is closed when its hold ends */
    else
        close_issue(it);
}

static void on_noted(void *arg, const struct gitlab_result *r)
{
    struct item *it = arg;
    struct err e;

    if (is_gone(it, r)) {
        gone(it, r);
        return;
    }
    if (!good(it, r))
        return;
    queue_write_str(&it->write, "report_noted", "1");
    if (queue_follow_done(it->follow->worker->queue, it->kind, it->id, "", 0,
                          &it->write, on_noted_saved, it, &e))
        close_issue(it);
}

static void solve(struct item *it)
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
    gitlab_comment(it->follow->worker->gitlab, GITLAB_REPORT, it->job.report_iid,
                   text.data, on_noted, it);
    buf_done(&text);
}

/* ---- opening or updating it ---- */

static bool is_late(const struct item *it)
{
    return !strcmp(it->kind, "late");
}

static bool is_shared(const struct item *it)
{
    return !strcmp(it->kind, "shared");
}

static void opened(struct item *it, const struct gitlab_result *r)
{
    it->job.report_iid = r->iid;
    queue_write_int(&it->write, "report_iid", r->iid);
    queue_write_str(&it->write, "report_url", r->url);
    queue_write_str(&it->write, "report_closed", "0");
    queue_write_str(&it->write, "report_noted", "0");
}

static void on_opened(void *arg, const struct gitlab_result *r)
{
    struct item *it = arg;

    if (r->err.class != ERR_NONE && !r->unknown)
        queue_write_del(&it->write, "i:report"); /* certainly not there */
    if (is_gone(it, r))
        queue_write_del(&it->write, "report_iid"); /* a failed job has one: a new one */
    if (!good(it, r))
        return;
    opened(it, r);
    done(it, is_late(it) ? "said that it is late" : "reported");
}

static void write_texts(const struct item *it, struct buf *title, struct buf *text)
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

static void open_issue(struct item *it)
{
    struct gitlab *g = it->follow->worker->gitlab;
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

static void act(struct item *it)
{
    bool over = it->job.state == JOB_DONE || it->job.fixed_by;

    if (over)
        solve(it);
    else if (is_late(it) || it->job.state == JOB_FAILED)
        open_issue(it);
    else /* requeued before the report was written: nothing has failed */
        settle(it, -1);
}

static void on_intent(void *arg, bool unchanged, const struct err *e)
{
    struct item *it = arg;

    (void)unchanged;
    queue_write_reset(&it->write);
    if (e->class == ERR_NONE && !it->follow->stopped)
        act(it);
    else
        item_free(it); /* still in Redis: it comes again when its hold ends */
}

/* A lost creation can no longer be at work: a new one may begin, with a new intent. */
static void renew_intent(struct item *it)
{
    struct err e;

    queue_write_str(&it->write, "i:report", "@now@");
    if (queue_follow_done(it->follow->worker->queue, it->kind, it->id, "", 0,
                          &it->write, on_intent, it, &e))
        item_free(it);
}

static void on_found(void *arg, const struct gitlab_result *r)
{
    struct item *it = arg;
    const struct worker *w = it->follow->worker;
    int64_t left_ms =
        it->what.earlier_intent_ms + w->settings->gitlab_settle_ms - worker_now_ms(w);

    if (!good(it, r))
        return;
    if (r->iid) {
        opened(it, r);
        it->job.report_closed = r->closed;
        act(it);
    } else if (left_ms > 0) {
        settle(it, left_ms);
    } else {
        renew_intent(it);
    }
}

/* Until the lane may be used again; 0: now. Leaves the probe to whoever has work. */
static int64_t closed_for_ms(const struct worker *w)
{
    int64_t left = w->gitlab_lane.closed_until_ms - worker_loop_ms(w);

    return left > 0 ? left : 0;
}

/* Another one probes. Nothing was begun under the intent that came with it. */
static void put_off(struct item *it, int64_t wait_ms)
{
    if (!it->job.report_iid && it->what.earlier_intent_ms <= 0)
        queue_write_del(&it->write, "i:report");
    settle(it, wait_ms);
}

static void start(struct item *it)
{
    static const char *const titles[] = {"[Failed]", NULL};
    struct worker *w = it->follow->worker;
    int64_t wait_ms = lane_wait_ms(&w->gitlab_lane, worker_loop_ms(w));

    if (wait_ms)
        put_off(it, wait_ms);
    else if (it->job.report_iid || it->what.earlier_intent_ms <= 0)
        act(it);
    else
        gitlab_find(w->gitlab, GITLAB_REPORT, it->id, it->what.earlier_intent_ms,
                    titles, on_found, it);
}

/* ---- taking items ---- */

/* A record that does not read: all that can be told is that, and its id. */
static void tell_unreadable(struct item *it, const struct err *e)
{
    log_msg(LOG_ERROR, "unreadable_record", "%s: %s", it->what.id, e->text);
    (void)snprintf(it->job.id, sizeof it->job.id, "%s", it->what.id);
    it->job.state = JOB_FAILED;
    it->job.has_error = true;
    it->job.error = *e;
}

static void begin(struct follow *f, const struct queue_follows *batch, size_t i)
{
    struct item *it = mem_new(1, sizeof *it);
    struct err e;

    it->follow = f;
    f->under_way++;
    queue_write_init(&it->write);
    if (queue_follow_item(batch, i, &it->what, &it->job, &e)) {
        if (e.class == ERR_CANCELLED || !it->what.id) {
            item_free(it); /* of a newer worker: left to it */
            return;
        }
        tell_unreadable(it, &e);
    }
    it->kind = mem_strdup(it->what.kind);
    it->id = mem_strdup(it->what.id);
    it->fixed_url = mem_strdup(it->what.fixed_url);
    it->last_ids = mem_strdup(it->what.last_ids);
    start(it);
}

static void on_taken(void *arg, const struct queue_follows *batch, const struct err *e)
{
    struct follow *f = arg;
    const struct worker *w = f->worker;

    f->taking = false;
    if (e->class != ERR_NONE || f->stopped)
        return; /* the next beat, or the end of their hold, says when something is due
                 */
    for (size_t i = 0; i < batch->count; i++)
        begin(f, batch, i);
    if (batch->due_ms >= 0)
        follow_due(f, batch->due_ms - w->redis_offset_ms);
}

static void take(struct follow *f)
{
    struct err e;

    if (f->stopped || f->taking || f->under_way >= FOLLOW_MOST ||
        !f->worker->registered || closed_for_ms(f->worker))
        return;
    f->taking = queue_follow_take(f->worker->queue, FOLLOW_MOST - f->under_way,
                                  FOLLOW_HOLD_MS, on_taken, f, &e) == 0;
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

    if (at_ms < 0 || f->stopped)
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

void follow_stop(struct follow *f)
{
    if (f->stopped)
        return;
    f->stopped = true;
    uv_close((uv_handle_t *)&f->timer, on_timer_closed);
}

void follow_free(struct follow *f)
{
    assert(!f || f->stopped);
    free(f);
}
