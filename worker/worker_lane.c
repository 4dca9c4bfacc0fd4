/* worker_lane: see worker_lane.h. What Redis could not be told counts here alone until
 * it can. */
#include "worker_lane.h"

#include <sodium.h>
#include <stdlib.h>

#include "follow.h"
#include "log.h"
#include "mem.h"
#include "teller.h"
#include "worker.h"
#include "worker_take.h"

/* What an answer has to find again. */
struct lane_call {
    struct worker *worker;
    struct lane *lane;
    worker_lane_fn fn; /* of a question */
    void *arg;
};

static struct lane_call *call_new(struct worker *w, struct lane *l)
{
    struct lane_call *c = mem_new(1, sizeof *c);

    *c = (struct lane_call){.worker = w, .lane = l};
    return c;
}

/* by: the worker that closed it; NULL: this one. */
static void say(const struct lane *l, enum lane_event event, const char *by)
{
    struct log_line line;
    enum log_level level = LOG_WARN;

    if (event != LANE_CLOSED && event != LANE_OPENED)
        return;
    if (by)
        level = LOG_INFO;
    else if (event == LANE_CLOSED && l->why.class == ERR_AUTH)
        level = LOG_ERROR;
    log_begin(&line, level, event == LANE_CLOSED ? "lane_closed" : "lane_opened");
    log_str(&line, "lane", l->name);
    if (event == LANE_CLOSED)
        log_err(&line, &l->why);
    if (by && *by)
        log_str(&line, "by", by);
    log_end(&line);
}

/* ---- learning ---- */

static void learn(struct worker *w, struct lane *l, const struct queue_lane *q)
{
    int64_t until = q->until_ms < 0 ? 0 : q->until_ms - w->redis_offset_ms;
    enum lane_event event;

    if (l->telling || l->untold)
        return; /* Redis will know better in a moment */
    event = lane_learn(l, until < 1 && q->until_ms >= 0 ? 1 : until, &q->why);
    say(l, event, q->by);
    if (event == LANE_OPENED) {
        follow_poke(w->follow);
        teller_poke(w->teller);
    }
}

/* ---- telling ---- */

static void on_told(void *arg, const struct queue_lane *q, const struct err *e)
{
    struct lane_call c = *(struct lane_call *)arg;

    free(arg);
    c.lane->telling--;
    if (e->class != ERR_NONE) {
        c.lane->untold = true;
        return;
    }
    c.lane->delayed = q->delayed;
    learn(c.worker, c.lane, q);
    if (q->state == QUEUE_LANE_OPEN)
        worker_take_jobs(c.worker); /* those that were woken are due by now */
}

static void tell(struct worker *w, struct lane *l, enum queue_lane_verb verb)
{
    struct lane_call *c = call_new(w, l);
    int64_t ms = lane_left_ms(l, worker_loop_ms(w));
    struct err e;

    l->untold = false;
    l->telling++;
    if (queue_lane(w->queue, l->name, verb, ms, &l->why, on_told, c, &e) == 0)
        return;
    l->telling--;
    l->untold = true;
    free(c);
}

void worker_lane_report_here(struct worker *w, struct lane *l, const struct err *e)
{
    say(l, lane_report(l, e, worker_loop_ms(w)), NULL);
}

void worker_lane_report(struct worker *w, struct lane *l, const struct err *e)
{
    static const enum queue_lane_verb verbs[] = {
        [LANE_CLOSED] = QUEUE_LANE_CLOSE,
        [LANE_STILL_CLOSED] = QUEUE_LANE_EXTEND,
        [LANE_OPENED] = QUEUE_LANE_REOPEN,
    };
    enum lane_event event = lane_report(l, e, worker_loop_ms(w));

    say(l, event, NULL);
    if (event == LANE_OPENED) {
        follow_poke(w->follow);
        teller_poke(w->teller);
    }
    if (event == LANE_NO_CHANGE || (event == LANE_STILL_CLOSED && l->untold))
        return; /* the next beat tells it */
    tell(w, l, verbs[event]);
}

/* A probe that takes longer than an interval stays the only one. */
static void heard(struct worker *w, struct lane *l, const struct queue_beat *b)
{
    struct queue_lane q;

    if (l->untold && !l->telling) {
        tell(w, l, lane_is_open(l) ? QUEUE_LANE_REOPEN : QUEUE_LANE_CLOSE);
        return;
    }
    queue_beat_lane(b, l->name, &q);
    learn(w, l, &q);
    if (l->probing && !l->telling) {
        int64_t next_ms = worker_loop_ms(w) + l->interval_ms;

        if (l->closed_until_ms < next_ms)
            l->closed_until_ms = next_ms;
        tell(w, l, QUEUE_LANE_EXTEND);
    }
}

void worker_lane_heard(struct worker *w, const struct queue_beat *b)
{
    heard(w, &w->smtp_lane, b);
    heard(w, &w->gitlab_lane, b);
    heard(w, &w->slack_lane, b);
    heard(w, &w->zendesk_lane, b);
    heard(w, &w->note_lane, b);
}

/* ---- asking ---- */

static void on_asked(void *arg, const struct queue_lane *q, const struct err *e)
{
    struct lane_call c = *(struct lane_call *)arg;
    struct lane *l = c.lane;
    int64_t wait_ms = 0;

    free(arg);
    if (e->class != ERR_NONE) {
        c.fn(c.arg, 0, e);
        return;
    }
    l->delayed = q->delayed;
    learn(c.worker, l, q);
    if (q->state == QUEUE_LANE_PROBE)
        l->probing = true;
    else if (!lane_is_open(l))
        wait_ms = 1 + lane_left_ms(l, worker_loop_ms(c.worker)) +
                  lane_spread_ms(l, randombytes_random());
    c.fn(c.arg, wait_ms, e);
}

int worker_lane_ask(struct worker *w, struct lane *l, worker_lane_fn fn, void *arg,
                    struct err *e)
{
    struct lane_call *c = call_new(w, l);

    c->fn = fn;
    c->arg = arg;
    if (queue_lane(w->queue, l->name, QUEUE_LANE_ASK, l->interval_ms, NULL, on_asked, c,
                   e) == 0)
        return 0;
    free(c);
    return -1;
}
