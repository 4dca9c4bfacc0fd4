/* inbox: see inbox.h. How one request gets durable: Redis and the spool, the better one
 * first. inbox_drain.c empties the spool, inbox_view.c asks for views. */
#include "inbox.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"
#include "inbox_parts.h"
#include "log.h"
#include "mem.h"
#include "queue_confirm.h"

#define REDIS_MS 2000 /* without an answer the connection is as good as dead */
#define PUT_MS 4500   /* then nothing is promised any more */
#define SWEEP_MS 250
#define PROBE_MS 2000

/* One request on its way. It lives as long as anybody may still answer. */
struct put {
    struct put *next, *prev;
    struct inbox *in;
    char id[JOB_ID_LEN + 1];
    struct buf entry;
    uint64_t began;
    bool redis_first;
    int ways; /* that were not tried yet */
    bool at_redis, at_spool;
    inbox_put_fn fn; /* NULL once told */
    void *arg;
};

static const struct err fine = {.class = ERR_NONE};
const struct err inbox_ends = {.class = ERR_CANCELLED, .text = "the receiver ends"};

/* ---- Redis ---- */

void inbox_entry(struct buf *out, const char *id, const void *raw, size_t len)
{
    buf_init(out, len + JOB_ID_LEN + 2);
    buf_adds(out, id);
    buf_addc(out, ' ');
    buf_add(out, raw, len);
}

static void on_view_written(void *arg, const struct redisReply *reply,
                            const struct err *e)
{
    struct inbox *in = arg;

    (void)reply;
    if (e->class == ERR_NONE || e->code == REDIS_LOST || in->closed || in->refusing ||
        in->complained)
        return;
    in->complained = true;
    log_msg(LOG_WARN, "view", "status views cannot be written: %s", e->text);
}

/* The entry goes first: if Redis refuses both, its answer is the one to be told. What a
 * worker has written into the view by then stays. */
int inbox_push(struct inbox *in, const char *id, const struct buf *entry, redis_fn fn,
               void *arg, struct err *e)
{
    char view_key[QUEUE_KEY_MAX], list_key[QUEUE_KEY_MAX], view[96], keep[24];
    struct err unseen;

    queue_key(in->queue, "view:", id, view_key);
    queue_key(in->queue, "inbox", "", list_key);
    (void)snprintf(view, sizeof view, "{\"job_id\":\"%s\",\"status\":\"queued\"}", id);
    (void)snprintf(keep, sizeof keep, "%lld", (long long)in->settings->retention_ms);
    CRASH_POINT("push.before");
    if (redis_call(in->redis, fn, arg, 3,
                   (const char *[]){"LPUSH", list_key, entry->data},
                   (size_t[]){5, strlen(list_key), entry->len}, e))
        return -1;
    CRASH_SENT(in->redis, "push.sent");
    if (redis_call(in->redis, on_view_written, in, 6,
                   (const char *[]){"SET", view_key, view, "NX", "PX", keep}, NULL,
                   &unseen))
        on_view_written(in, NULL, &unseen);
    return 0;
}

static enum log_level level_of(const struct err *e)
{
    return e->class == ERR_TRANSIENT ? LOG_WARN : LOG_ERROR;
}

/* Replies that are out of step with the commands would be believed, and a request lost
 * that somebody was promised: such a connection is ended. */
const struct err *inbox_answer(struct inbox *in, const struct redisReply *reply,
                               const struct err *e)
{
    static const struct err stray = {
        .class = ERR_TRANSIENT,
        .code = REDIS_LOST,
        .text = "Redis sent a reply that is none to LPUSH",
    };

    CRASH_POINT("push.heard");
    if (e->class != ERR_NONE ||
        (reply_type(reply) == REPLY_INT && reply_int(reply) > 0))
        return e;
    redis_distrust(in->redis, &stray);
    return &stray;
}

void inbox_note(struct inbox *in, const struct err *e)
{
    if (e->code == REDIS_LOST)
        return;
    if (e->class != ERR_NONE) {
        log_msg(in->refusing ? LOG_DEBUG : level_of(e), "redis_refused",
                "does not take requests: %s", e->text);
        in->refusing = true;
        return;
    }
    if (in->refusing)
        log_msg(LOG_INFO, "redis_refused", "takes requests again");
    in->refusing = false;
    in->told_down = ERR_NONE;
}

/* ---- the end of a request's way ---- */

static void put_release(struct put *p)
{
    struct inbox *in = p->in;

    if (p->fn || p->at_redis || p->at_spool)
        return;
    *(p->prev ? &p->prev->next : &in->puts) = p->next;
    *(p->next ? &p->next->prev : &in->last_put) = p->prev;
    if (!in->puts && !in->closed)
        (void)uv_timer_stop(&in->sweep);
    buf_done(&p->entry);
    free(p);
}

static void put_tell(struct put *p, const struct err *e)
{
    inbox_put_fn fn = p->fn;

    p->fn = NULL;
    if (fn)
        fn(p->arg, e);
}

/* ---- its ways ---- */

static void put_next(struct put *p, const struct err *why);

static void count_kept(const struct put *p, uint64_t *where, const struct err *e)
{
    *where += p->fn && e->class == ERR_NONE; /* else it was counted already */
}

/* From either. An answer that comes when the other way was taken already counts, too.
 */
static void put_answered(struct put *p, const struct err *e)
{
    if (e->class == ERR_NONE || e->class == ERR_CANCELLED)
        put_tell(p, e);
    else if (!p->at_redis && !p->at_spool)
        put_next(p, e);
    put_release(p);
}

static void on_confirmed(void *arg, const struct err *e)
{
    struct put *p = arg;

    p->at_redis = false;
    if (!p->in->closed)
        inbox_note(p->in, e);
    count_kept(p, &p->in->kept_in_redis, e);
    put_answered(p, p->in->closed ? &inbox_ends : e);
}

static void on_pushed(void *arg, const struct redisReply *reply, const struct err *e)
{
    struct put *p = arg;

    if (!p->in->closed)
        e = inbox_answer(p->in, reply, e);
    if (!p->in->closed && e->class == ERR_NONE)
        queue_confirm_ask(p->in->confirm, on_confirmed, p);
    else
        on_confirmed(p, e);
}

static void on_spooled(void *arg, const struct err *e)
{
    struct put *p = arg;

    p->at_spool = false;
    count_kept(p, &p->in->kept_in_spool, e);
    if (e->class == ERR_NONE)
        drain_begin(p->in);
    put_answered(p, e);
}

static bool ask_redis(struct put *p)
{
    struct err e;

    p->at_redis = !inbox_push(p->in, p->id, &p->entry, on_pushed, p, &e);
    return p->at_redis;
}

static bool ask_spool(struct put *p)
{
    size_t head = JOB_ID_LEN + 1;

    p->at_spool = true;
    spool_put(p->in->spool, p->id, p->entry.data + head, p->entry.len - head,
              on_spooled, p);
    return true;
}

static bool next_is_redis(const struct put *p)
{
    return (p->ways == 2) == p->redis_first;
}

static void put_next(struct put *p, const struct err *why)
{
    while (p->fn && p->ways > 0) {
        bool redis = next_is_redis(p);

        p->ways--;
        if (redis ? ask_redis(p) : ask_spool(p))
            return;
    }
    put_tell(p, why);
}

/* The way that it took has not answered yet; is there another? */
static bool may_take_another(const struct put *p)
{
    return p->fn && p->ways && (!next_is_redis(p) || redis_is_up(p->in->redis));
}

/* Redis may take its time for each of many answers, or the disk hang: no request waits
 * for one of them while the other would take it. */
static void on_sweep(uv_timer_t *t)
{
    struct inbox *in = t->data;
    uint64_t now = uv_now(in->loop);
    struct err late;

    (void)err_set(&late, ERR_TRANSIENT, 0, "neither Redis nor the spool has answered");
    for (struct put *p = in->puts, *next; p; p = next) {
        next = p->next;
        if (now - p->began >= PUT_MS)
            put_tell(p, &late);
        else if (now - p->began >= REDIS_MS && may_take_another(p))
            put_next(p, &late);
        put_release(p);
    }
}

void inbox_put(struct inbox *in, const char *id, const void *raw, size_t len,
               inbox_put_fn fn, void *arg)
{
    struct put *p = mem_new(1, sizeof *p);

    *p = (struct put){.in = in,
                      .prev = in->last_put,
                      .began = uv_now(in->loop),
                      .redis_first = redis_is_up(in->redis) && !in->refusing,
                      .ways = 2,
                      .fn = fn,
                      .arg = arg};
    (void)snprintf(p->id, sizeof p->id, "%s", id);
    inbox_entry(&p->entry, id, raw, len);
    *(p->prev ? &p->prev->next : &in->puts) = p;
    in->last_put = p;
    if (!uv_is_active((uv_handle_t *)&in->sweep))
        (void)uv_timer_start(&in->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    put_next(p, &fine); /* the spool always answers later, so nobody is told now */
}

/* ---- begin and end ---- */

static void on_up(void *arg)
{
    struct inbox *in = arg;

    log_msg(in->refusing ? LOG_DEBUG : LOG_INFO, "redis_up", "connected");
    if (!in->refusing)
        in->told_down = ERR_NONE;
    drain_hurry(in);
}

/* One line for an outage, one more if it becomes an operator's business. A server that
 * is read-only is left after each of its answers: that outage has been told. */
static void on_down(void *arg, const struct err *e)
{
    struct inbox *in = arg;
    bool told =
        in->told_down == e->class || (in->refusing && e->class == ERR_TRANSIENT);

    log_msg(told ? LOG_DEBUG : level_of(e), "redis_down", "%s", e->text);
    in->told_down = e->class;
}

static void on_probe_confirmed(void *arg, const struct err *e)
{
    struct inbox *in = arg;

    if (in->closed)
        return;
    inbox_note(in, e);
    if (e->class == ERR_NONE)
        drain_hurry(in);
}

static void on_probed(void *arg, const struct redisReply *reply, const struct err *e)
{
    struct inbox *in = arg;

    (void)reply;
    if (!in->closed && e->class == ERR_NONE)
        queue_confirm_ask(in->confirm, on_probe_confirmed, in);
    else
        on_probe_confirmed(in, e);
}

/* What failed is tried again though nobody comes: whoever asks /readyz before sending
 * anything would wait for ever. What waits in the spool tries Redis by itself. */
static void on_probe(uv_timer_t *t)
{
    struct inbox *in = t->data;
    char key[QUEUE_KEY_MAX];
    struct err e;

    spool_probe(in->spool);
    if (!in->refusing || !redis_is_up(in->redis) ||
        (spool_count(in->spool) && !in->settings->redis_wait))
        return;
    queue_key(in->queue, "view:", "probe", key);
    if (redis_call(in->redis, on_probed, in, 5,
                   (const char *[]){"SET", key, "{}", "PX", "1"}, NULL, &e))
        on_probed(in, NULL, &e);
}

static void timer_init(struct inbox *in, uv_timer_t *t)
{
    (void)uv_timer_init(in->loop, t); /* always 0 */
    t->data = in;
}

struct inbox *inbox_new(uv_loop_t *loop, const struct settings *settings,
                        struct tls *tls, struct err *e)
{
    struct inbox *in = mem_new(1, sizeof *in);

    in->spool = spool_open(loop, settings->spool_dir, (size_t)settings->spool_max, e);
    if (!in->spool) {
        free(in);
        return NULL;
    }
    in->loop = loop;
    in->settings = settings;
    timer_init(in, &in->sweep);
    timer_init(in, &in->later);
    timer_init(in, &in->probe);
    timer_init(in, &in->drain.timer);
    (void)uv_timer_start(&in->probe, on_probe, PROBE_MS, PROBE_MS);
    in->redis = redis_new(&(struct redis_options){.loop = loop,
                                                  .url = &settings->redis,
                                                  .tls = tls,
                                                  .client_name = "stopgap-webhook",
                                                  .timeout_ms = REDIS_MS,
                                                  .on_up = on_up,
                                                  .on_down = on_down,
                                                  .arg = in});
    in->queue = queue_new(in->redis, settings, NULL);
    in->confirm = queue_confirm_new(in->redis, settings->redis_wait);
    drain_begin(in);
    return in;
}

static void on_closed(uv_handle_t *handle)
{
    struct inbox *in = handle->data;

    if (--in->handles == 0)
        free(in);
}

static void timer_close(struct inbox *in, uv_timer_t *t)
{
    in->handles++; /* each is closed after all of them were counted */
    uv_close((uv_handle_t *)t, on_closed);
}

void inbox_free(struct inbox *in)
{
    if (!in)
        return;
    in->closed = true;
    redis_free(in->redis);
    spool_free(in->spool);
    inbox_answer_views(in, &inbox_ends);
    assert(!in->puts);
    queue_confirm_free(in->confirm);
    queue_free(in->queue);
    timer_close(in, &in->sweep);
    timer_close(in, &in->later);
    timer_close(in, &in->probe);
    timer_close(in, &in->drain.timer);
}

bool inbox_spooled(const struct inbox *in, const char *id)
{
    return spool_has(in->spool, id);
}

void inbox_state(const struct inbox *in, struct inbox_state *out)
{
    *out = (struct inbox_state){.redis_up = redis_is_up(in->redis) && !in->refusing,
                                .spool_usable = spool_writable(in->spool),
                                .spooled = spool_count(in->spool),
                                .kept_in_redis = in->kept_in_redis,
                                .kept_in_spool = in->kept_in_spool,
                                .drained = in->drain.count};
}
