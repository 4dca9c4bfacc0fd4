/* teller: see teller.h. An item stays in Redis, put off, while it is worked on. */
#include "teller.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "log.h"
#include "mem.h"
#include "settings.h"
#include "when.h"
#include "worker_lane.h"

#define HOLD_MS 300000 /* longer than the slowest chain of calls */
#define GIVE_UP_MS (3 * WHEN_DAY_MS)
#define LOOK_EVERY_BEATS 5 /* for what others left */

enum { SLACK, ZENDESK, CHANNEL_COUNT };

struct teller_channel {
    struct teller *teller;
    const char *name, *intent, *tries; /* in Redis */
    struct lane *lane;
    void (*send)(struct teller_item *it);
    bool on;
    uv_timer_t timer;
    bool taking;
    struct teller_item *item; /* under way */
    bool unsaved;             /* its end is known here, and not yet in Redis */
};

struct teller {
    struct worker *worker;
    struct teller_channel channels[CHANNEL_COUNT];
    char names[32]; /* of those that are on */
    unsigned beats;
    bool stopped;
};

static void take(struct teller_channel *c);

/* ---- the end of an item ---- */

static void ended(struct teller_item *it)
{
    struct teller_channel *c = it->channel;

    if (it->probes)
        c->lane->probing = false; /* whatever came of it was told */
    c->item = NULL;
    c->unsaved = false;
    job_done(&it->job);
    queue_write_done(&it->write);
    buf_done(&it->words);
    free(it->id);
    free(it->event);
    free(it);
    take(c);
    worker_side_ended(c->teller->worker);
}

/* Slack cannot be asked what it has: what it was told is kept until Redis knows it. */
static void on_settled(void *arg, bool unchanged, const struct err *e)
{
    struct teller_item *it = arg;

    (void)unchanged;
    if (e->class == ERR_NONE || it->channel->teller->stopped)
        ended(it);
    else
        it->channel->unsaved = true;
}

static void send_settled(struct teller_item *it)
{
    struct err e;

    it->channel->unsaved = false;
    if (queue_tell_done(it->worker->queue, &it->told, &it->write, on_settled, it, &e))
        on_settled(it, false, &e);
}

static void settle(struct teller_item *it, const char *event, const char *counter,
                   int64_t delay_ms)
{
    it->told = (struct queue_told){.channel = it->channel->name,
                                   .id = it->id,
                                   .token = it->token,
                                   .event = event,
                                   .words = it->words.data,
                                   .counter = counter,
                                   .delay_ms = delay_ms};
    send_settled(it);
}

static void log_item(const struct teller_item *it, const char *outcome,
                     const struct err *e)
{
    struct log_line l;

    log_begin(&l, e ? LOG_WARN : LOG_INFO, "tell");
    log_str(&l, "channel", it->channel->name);
    log_str(&l, "job", it->id);
    log_str(&l, "what", it->event);
    log_str(&l, "outcome", outcome);
    if (e)
        log_err(&l, e);
    log_end(&l);
}

static void told(struct teller_item *it)
{
    it->worker->counts.tells[COUNTS_DONE]++;
    log_item(it, "told", NULL);
    buf_addf(&it->words, "told %s: %s", it->channel->name, it->event);
    settle(it, it->event, "told", -1);
}

static void not_told(struct teller_item *it, const char *outcome, const char *counter,
                     const struct err *e)
{
    it->worker->counts.tells[COUNTS_REFUSED]++;
    log_item(it, outcome, e);
    buf_addf(&it->words, "%s to tell %s of %s: %s", outcome, it->channel->name,
             it->event, e->text);
    settle(it, it->event, counter, -1);
}

void teller_wait(struct teller_item *it, int64_t delay_ms)
{
    settle(it, "", "", delay_ms);
}

static void again(struct teller_item *it, const struct err *e)
{
    const struct settings *s = it->worker->settings;
    int64_t delay = e->retry_after_ms;

    if (worker_now_ms(it->worker) - it->since_ms > GIVE_UP_MS) {
        not_told(it, "gave up", "tell_gave_up", e);
        return;
    }
    it->tries++;
    if (!delay)
        delay = backoff_delay_ms(it->tries, s->backoff_base_ms, s->backoff_cap_ms,
                                 randombytes_random());
    it->worker->counts.tells[COUNTS_AGAIN]++;
    log_item(it, "will try again", e);
    queue_write_int(&it->write, it->channel->tries, it->tries);
    teller_wait(it, delay);
}

void teller_heard(struct teller_item *it, const struct err *e, bool unknown)
{
    worker_lane_report(it->worker, it->channel->lane, e);
    if (e->class != ERR_NONE && !unknown && !it->earlier_intent_ms)
        queue_write_del(&it->write, it->channel->intent);
    if (e->class == ERR_NONE)
        told(it);
    else if (e->class == ERR_PERMANENT)
        not_told(it, "refused", "tell_refused", e);
    else
        again(it, e);
}

static void on_renewed(void *arg, bool unchanged, const struct err *e)
{
    struct teller_item *it = arg;

    (void)unchanged;
    queue_write_reset(&it->write);
    if (e->class == ERR_NONE && !it->worker->ending && !it->channel->teller->stopped)
        it->saved(it);
    else
        ended(it); /* it comes again when its hold ends */
}

void teller_renew_intent(struct teller_item *it, void (*then)(struct teller_item *it))
{
    struct queue_told fields = {.channel = it->channel->name,
                                .id = it->id,
                                .token = "",
                                .event = "",
                                .words = "",
                                .counter = ""};
    struct buf intent;
    struct err e;

    buf_init(&intent, 128);
    buf_addf(&intent, "@now@ %s", it->event);
    queue_write_str(&it->write, it->channel->intent, intent.data);
    buf_done(&intent);
    it->saved = then;
    if (queue_tell_done(it->worker->queue, &fields, &it->write, on_renewed, it, &e))
        on_renewed(it, false, &e);
}

/* ---- its beginning ---- */

static void on_asked(void *arg, int64_t wait_ms, const struct err *e)
{
    struct teller_item *it = arg;

    if (e->class != ERR_NONE || it->worker->ending || it->channel->teller->stopped) {
        ended(it); /* it comes again when its hold ends */
        return;
    }
    it->probes = wait_ms == 0 && it->channel->lane->probing;
    if (!wait_ms) {
        it->channel->send(it);
        return;
    }
    if (!it->earlier_intent_ms) /* nothing was begun under it */
        queue_write_del(&it->write, it->channel->intent);
    teller_wait(it, wait_ms);
}

static void start_item(struct teller_item *it)
{
    struct err e;

    if (lane_is_open(it->channel->lane))
        it->channel->send(it);
    else if (worker_lane_ask(it->worker, it->channel->lane, on_asked, it, &e))
        ended(it);
}

static void begin(struct teller_channel *c, const struct queue_tell *t)
{
    struct teller_item *it = mem_new(1, sizeof *it);
    struct err e;

    c->item = it;
    it->worker = c->teller->worker;
    it->channel = c;
    it->id = mem_strdup(t->id);
    it->event = mem_strdup(t->event);
    (void)snprintf(it->token, sizeof it->token, "%s", t->token);
    it->earlier_intent_ms = t->earlier_intent_ms;
    it->tries = t->tries;
    it->since_ms = t->since_ms;
    queue_write_init(&it->write);
    buf_init(&it->words, 2 * ERR_TEXT_MAX);
    if (queue_tell_job(t, &it->job, &e) == 0)
        start_item(it);
    else if (e.class == ERR_CANCELLED)
        ended(it); /* of a newer worker: left to it */
    else
        not_told(it, "refused", "tell_refused", &e);
}

static void on_timer(uv_timer_t *timer)
{
    take(timer->data);
}

/* Loop clock. */
static void due(struct teller_channel *c, int64_t at_ms)
{
    int64_t wait = at_ms - worker_loop_ms(c->teller->worker);

    if (!c->teller->stopped)
        (void)uv_timer_start(&c->timer, on_timer, wait > 0 ? (uint64_t)wait + 1 : 0, 0);
}

static void on_taken(void *arg, const struct queue_tell *t, const struct err *e)
{
    struct teller_channel *c = arg;
    struct worker *w = c->teller->worker;

    c->taking = false;
    if (e->class == ERR_NONE && !c->teller->stopped) {
        if (t->due_ms >= 0)
            due(c, t->due_ms - w->redis_offset_ms);
        if (t->id) {
            begin(c, t);
            return;
        }
    }
    worker_side_ended(w); /* it may be waiting for this, to leave */
}

static void take(struct teller_channel *c)
{
    struct worker *w = c->teller->worker;
    struct err e;

    if (c->teller->stopped || !c->on || c->taking || c->item || !w->registered ||
        w->mode == WORKER_DRAINING)
        return;
    if (c->lane->closed_until_ms > worker_loop_ms(w)) {
        due(c, c->lane->closed_until_ms);
        return;
    }
    c->taking = queue_tell_take(w->queue, c->name, c->teller->names, HOLD_MS, on_taken,
                                c, &e) == 0;
}

/* ---- the whole ---- */

void teller_poke(struct teller *t)
{
    for (size_t i = 0; i < CHANNEL_COUNT; i++)
        take(&t->channels[i]);
}

static void on_said(void *arg, const struct queue_tell *t, const struct err *e)
{
    (void)arg; /* the next connection says it again */
    (void)t;
    (void)e;
}

void teller_beat(struct teller *t, bool first, bool due_now)
{
    struct err e;

    if (t->stopped)
        return;
    for (size_t i = 0; i < CHANNEL_COUNT; i++)
        if (t->channels[i].unsaved)
            send_settled(t->channels[i].item);
    if (first && queue_tell_take(t->worker->queue, "", t->names, 0, on_said, NULL, &e))
        return; /* not connected any more */
    if (first || due_now || ++t->beats % LOOK_EVERY_BEATS == 0)
        teller_poke(t);
}

bool teller_busy(const struct teller *t)
{
    for (size_t i = 0; i < CHANNEL_COUNT; i++)
        if (t->channels[i].taking || t->channels[i].item)
            return true;
    return false;
}

struct teller *teller_new(struct worker *w)
{
    struct teller *t = mem_new(1, sizeof *t);

    t->worker = w;
    t->channels[SLACK] = (struct teller_channel){.name = "slack",
                                                 .intent = "i:slack",
                                                 .tries = "tries:slack",
                                                 .lane = &w->slack_lane,
                                                 .send = teller_send_slack,
                                                 .on = w->slack != NULL};
    t->channels[ZENDESK] = (struct teller_channel){.name = "zendesk",
                                                   .intent = "i:zendesk",
                                                   .tries = "tries:zendesk",
                                                   .lane = &w->note_lane,
                                                   .send = teller_send_note,
                                                   .on = w->zendesk != NULL};
    for (size_t i = 0; i < CHANNEL_COUNT; i++) {
        struct teller_channel *c = &t->channels[i];

        c->teller = t;
        (void)uv_timer_init(w->loop, &c->timer); /* always 0 */
        c->timer.data = c;
        if (c->on)
            (void)snprintf(t->names + strlen(t->names),
                           sizeof t->names - strlen(t->names), "%s%s",
                           *t->names ? " " : "", c->name);
    }
    return t;
}

static void on_timer_closed(uv_handle_t *handle)
{
    (void)handle; /* lives in struct teller, which outlives the loop */
}

void teller_stop(struct teller *t)
{
    if (t->stopped)
        return;
    t->stopped = true;
    for (size_t i = 0; i < CHANNEL_COUNT; i++) {
        uv_close((uv_handle_t *)&t->channels[i].timer, on_timer_closed);
        if (t->channels[i].unsaved)
            ended(t->channels[i].item);
    }
}

void teller_free(struct teller *t)
{
    assert(!t || t->stopped);
    free(t);
}
