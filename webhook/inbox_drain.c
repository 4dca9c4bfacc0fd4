/* inbox_drain: what waits in the spool goes onto Redis's list, the oldest first, one at
 * a time: new requests never wait behind it. A file goes when Redis has said OK. */
#include <sodium.h>

#include "backoff.h"
#include "inbox_parts.h"
#include "log.h"
#include "queue_confirm.h"
#include "settings.h"

#define RETRY_BASE_MS 500
#define RETRY_CAP_MS 5000

static void kick(struct inbox *in);

static void on_timer(uv_timer_t *t)
{
    kick(t->data);
}

static void wait(struct inbox *in, const struct err *e)
{
    struct drain *d = &in->drain;
    int64_t ms =
        backoff_delay_ms(++d->tries, RETRY_BASE_MS, RETRY_CAP_MS, randombytes_random());

    d->busy = false;
    log_msg(LOG_DEBUG, "spool", "%zu requests wait: %s", spool_count(in->spool),
            e->text);
    (void)uv_timer_start(&d->timer, on_timer, (uint64_t)ms, 0);
}

static void next(struct inbox *in)
{
    struct drain *d = &in->drain;

    d->busy = false;
    d->tries = 0;
    if (!spool_count(in->spool)) {
        log_msg(LOG_INFO, "spool", "empty again, %zu requests queued", d->done);
        d->said = d->complained = false;
        d->done = d->refused = 0;
    }
    kick(in);
}

/* The disk has not done it. The next one's turn; once round, a pause. */
static void refuse(struct inbox *in, const struct err *e)
{
    struct drain *d = &in->drain;

    if (!d->complained)
        log_msg(LOG_ERROR, "spool", "%s", e->text);
    d->complained = true;
    if (++d->refused < spool_count(in->spool)) {
        d->busy = false;
        kick(in);
        return;
    }
    d->refused = 0;
    wait(in, e);
}

static void on_dropped(void *arg, const struct err *e)
{
    struct inbox *in = arg;

    if (in->closed)
        return;
    if (e->class != ERR_NONE)
        refuse(in, e);
    else
        next(in);
}

static void on_confirmed(void *arg, const struct err *e)
{
    struct inbox *in = arg;

    if (in->closed)
        return;
    inbox_note(in, e);
    if (e->class == ERR_NONE) {
        in->drain.done++;
        in->drain.count++;
        spool_drop(in->spool, on_dropped, in);
    } else {
        wait(in, e);
    }
}

static void on_pushed(void *arg, const struct redisReply *reply, const struct err *e)
{
    struct inbox *in = arg;

    if (in->closed)
        return;
    e = inbox_answer(in, reply, e);
    if (e->class == ERR_NONE)
        queue_confirm_ask(in->confirm, on_confirmed, in);
    else
        on_confirmed(in, e);
}

static void push(struct inbox *in, const char *id, const char *raw, size_t len)
{
    struct buf entry;
    struct err e;

    inbox_entry(&entry, id, raw, len);
    if (inbox_push(in, id, &entry, on_pushed, in, &e))
        wait(in, &e);
    buf_done(&entry);
}

static void on_read(void *arg, const char *id, const char *raw, size_t len,
                    const struct err *e)
{
    struct inbox *in = arg;

    if (in->closed)
        return;
    if (e->class == ERR_NONE && raw) {
        push(in, id, raw, len);
    } else if (e->class == ERR_NONE) {
        next(in);
    } else if (e->class == ERR_TRANSIENT) {
        refuse(in, e);
    } else {
        log_msg(LOG_ERROR, "spool", "request %s cannot be queued: %s", id, e->text);
        next(in);
    }
}

static void kick(struct inbox *in)
{
    struct drain *d = &in->drain;

    if (in->settings->redis_wait && in->refusing)
        return; /* each try would leave an entry there: the probe finds out */
    if (d->busy || in->closed || uv_is_active((uv_handle_t *)&d->timer) ||
        !redis_is_up(in->redis) || !spool_count(in->spool))
        return;
    d->busy = true;
    spool_read(in->spool, on_read, in);
}

void drain_begin(struct inbox *in)
{
    if (!spool_count(in->spool))
        return;
    if (!in->drain.said)
        log_msg(LOG_WARN, "spool", "requests wait on the disk until Redis takes them");
    in->drain.said = true;
    kick(in);
}

void drain_hurry(struct inbox *in)
{
    if (in->refusing) {
        kick(in);
        return;
    }
    (void)uv_timer_stop(&in->drain.timer);
    in->drain.tries = 0;
    kick(in);
}
