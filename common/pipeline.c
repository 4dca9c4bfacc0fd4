/* pipeline: see pipeline.h. Replies come in the order of the commands: a ring of what
 * is pending is all the bookkeeping there is. */
#include "pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "buf.h"
#include "crash.h"
#include "mem.h"
#include "num.h"
#include "resp.h"
#include "stream.h"
#include "verdict.h"

#define COMMAND_MAX ((size_t)64 << 20)
#define SHA_LEN 40
#define NO_SCRIPT SIZE_MAX
#define FIRST_RING 16
#define KEEP_CAP 65536
#define TURN_NS                                                                        \
    1000000 /* of callbacks at a time; then the rest of the loop has a turn */

struct pending {
    redis_fn fn;
    void *arg;
    int64_t allow_ms; /* for the reply, from when it is this one's turn */
    size_t script;    /* of an EVALSHA, to fall back on its source; else NO_SCRIPT */
    size_t arguments; /* of that EVALSHA after its SHA */
    size_t tail_len;  /* their bytes, in `tails` */
};

struct pipeline {
    uv_loop_t *loop;
    pipeline_broken_fn broken;
    void *arg;
    struct stream *stream; /* NULL between two connections */
    struct resp *resp;
    size_t reply_max;
    uint64_t good; /* replies that were no errors, ever */

    struct pending *ring; /* size is a power of two */
    size_t ring_size;
    size_t head;
    size_t count;
    struct buf tails; /* of pending EVALSHAs, in order, from tails_head on */
    size_t tails_head;
    struct buf command; /* the one being written */
    uv_idle_t more;     /* runs while replies wait for the next turn */

    const struct redis_script *scripts;
    char (*sha)[SHA_LEN + 1]; /* by script */

    uv_timer_t late;
    uint64_t head_since;
    uint64_t late_due;
    bool last_look; /* overdue; one more poll before it counts */
};

static void broken(struct pipeline *l, const struct err *e)
{
    l->broken(l->arg, e);
}

/* --- pending commands ---------------------------------------------------------------
 */

static struct pending *at(struct pipeline *l, size_t i)
{
    return &l->ring[(l->head + i) & (l->ring_size - 1)];
}

static void grow(struct pipeline *l)
{
    size_t size = l->ring_size ? l->ring_size * 2 : FIRST_RING;
    struct pending *ring = mem_new(size, sizeof *ring);

    for (size_t i = 0; i < l->count; i++)
        ring[i] = *at(l, i);
    free(l->ring);
    l->ring = ring;
    l->ring_size = size;
    l->head = 0;
}

static void on_late(uv_timer_t *t)
{
    struct pipeline *l = t->data;
    uint64_t now = uv_now(l->loop);
    uint64_t due;
    struct err e;

    if (!l->count)
        return;
    due = l->head_since + (uint64_t)at(l, 0)->allow_ms;
    if (now < due || !l->last_look) {
        /* After a stall of our own the reply may lie in the socket: poll once more. */
        l->last_look = now >= due;
        l->late_due = now < due ? due : now + 1;
        (void)uv_timer_start(t, on_late, l->late_due - now, 0);
        return;
    }
    (void)err_set(&e, ERR_TRANSIENT, 0, "timed out: no reply from Redis for %lld ms",
                  (long long)at(l, 0)->allow_ms);
    broken(l, &e);
}

/* One timer for the oldest command. It is left running when it would fire early: that
 * is cheaper than setting it for each. */
static void watch_head(struct pipeline *l)
{
    uint64_t due;

    l->head_since = uv_now(l->loop);
    l->last_look = false;
    if (!l->count)
        return;
    due = l->head_since + (uint64_t)at(l, 0)->allow_ms;
    if (uv_is_active((uv_handle_t *)&l->late) && l->late_due <= due)
        return;
    l->late_due = due;
    (void)uv_timer_start(&l->late, on_late, due - l->head_since, 0);
}

static void push(struct pipeline *l, const struct pending *p)
{
    if (l->count == l->ring_size)
        grow(l);
    *at(l, l->count++) = *p;
    if (l->count == 1)
        watch_head(l);
}

static struct pending pop(struct pipeline *l)
{
    struct pending p = *at(l, 0);

    l->head = (l->head + 1) & (l->ring_size - 1);
    l->count--;
    watch_head(l);
    return p;
}

static void drop_tail(struct pipeline *l, size_t len)
{
    l->tails_head += len;
    if (l->tails_head == l->tails.len) {
        buf_reset(&l->tails);
        l->tails_head = 0;
    } else if (l->tails_head > KEEP_CAP && l->tails_head > l->tails.len / 2) {
        buf_consume(&l->tails, l->tails_head);
        l->tails_head = 0;
    }
}

void pipeline_fail(struct pipeline *l, const struct err *e)
{
    while (l->count) {
        struct pending p = pop(l);

        p.fn(p.arg, NULL, e);
    }
    buf_reset(&l->tails);
    l->tails_head = 0;
}

/* --- sending ------------------------------------------------------------------------
 */

/* Hands the gathered command to the stream; the stream gathers in turn what one loop
 * turn brings. */
static void send_command(struct pipeline *l, const struct pending *p)
{
    stream_write(l->stream, l->command.data, l->command.len);
    if (l->command.cap > KEEP_CAP)
        buf_done(&l->command);
    l->command.max = COMMAND_MAX;
    push(l, p);
}

static void add_arguments(struct buf *out, int argc, const char *const *argv,
                          const size_t *lens)
{
    for (int i = 0; i < argc; i++)
        resp_add(out, argv[i], lens ? lens[i] : strlen(argv[i]));
}

int pipeline_send(struct pipeline *l, redis_fn fn, void *arg, int64_t allow_ms,
                  int argc, const char *const *argv, const size_t *lens, struct err *e)
{
    struct pending p = {
        .fn = fn, .arg = arg, .allow_ms = allow_ms, .script = NO_SCRIPT};

    buf_reset(&l->command);
    resp_add_length(&l->command, (size_t)argc);
    add_arguments(&l->command, argc, argv, lens);
    if (l->command.failed)
        return err_set(e, ERR_BUG, 0, "a Redis command of more than %zu MiB",
                       COMMAND_MAX >> 20);
    send_command(l, &p);
    return 0;
}

static void send_script(struct pipeline *l, const struct pending *p, const char *verb,
                        const char *what, const char *tail, size_t tail_len)
{
    buf_reset(&l->command);
    resp_add_length(&l->command, p->arguments + 2);
    resp_add(&l->command, verb, strlen(verb));
    resp_add(&l->command, what, strlen(what));
    buf_add(&l->command, tail, tail_len);
    send_command(l, p);
}

int pipeline_eval(struct pipeline *l, redis_fn fn, void *arg, int64_t allow_ms,
                  size_t index, int numkeys, int argc, const char *const *argv,
                  const size_t *lens, struct err *e)
{
    size_t from = l->tails.len;
    struct pending p = {.fn = fn,
                        .arg = arg,
                        .allow_ms = allow_ms,
                        .script = index,
                        .arguments = (size_t)argc + 1};
    char keys[24];

    resp_add(&l->tails, keys, num_format(numkeys, keys));
    add_arguments(&l->tails, argc, argv, lens);
    if (l->tails.failed) {
        l->tails.failed = false;
        l->tails.len = from;
        return err_set(e, ERR_BUG, 0, "Redis scripts under way hold more than %zu MiB",
                       l->tails.max >> 20);
    }
    p.tail_len = l->tails.len - from;
    send_script(l, &p, "EVALSHA", l->sha[index], l->tails.data + from, p.tail_len);
    CRASH_SENT_OF(l->stream, "redis.sent", l->scripts[index].name);
    return 0;
}

/* The same again by source. It is not fallen back on twice. */
static void send_source(struct pipeline *l, struct pending p, const char *tail)
{
    const char *source = l->scripts[p.script].source;
    size_t len = p.tail_len;

    p.script = NO_SCRIPT;
    p.tail_len = 0;
    send_script(l, &p, "EVAL", source, tail, len);
}

/* --- replies ------------------------------------------------------------------------
 */

/* Apart from deliver(), so that a good reply does not pay for a struct err. */
static __attribute__((noinline)) void
deliver_error(struct pipeline *l, const struct pending *p, const char *words)
{
    struct stream *s = l->stream;
    struct err e;
    enum redis_verdict v = verdict_redis(words, &e);

    if (v == REDIS_V_NOSCRIPT && p->script != NO_SCRIPT) {
        send_source(l, *p, l->tails.data + l->tails_head);
        drop_tail(l, p->tail_len);
        return;
    }
    drop_tail(l, p->tail_len);
    p->fn(p->arg, NULL, &e);
    if (v == REDIS_V_RECONNECT && l->stream == s)
        broken(l, &e);
}

static void deliver(struct pipeline *l, const struct redisReply *reply)
{
    static const struct err none;
    const char *words = reply_error(reply);
    struct pending p = pop(l);

    if (words) {
        deliver_error(l, &p, words);
        return;
    }
    drop_tail(l, p.tail_len);
    l->good++;
    p.fn(p.arg, reply, &none);
}

static __attribute__((noinline)) void stray(struct pipeline *l,
                                            const struct redisReply *reply)
{
    struct err e;

    (void)err_set(&e, ERR_TRANSIENT, 0, "Redis sent a reply that nobody asked for: %s",
                  reply_str(reply));
    broken(l, &e);
}

static __attribute__((noinline)) void read_failed(struct pipeline *l, struct err e)
{
    broken(l, &e);
}

static void on_more(uv_idle_t *more);

/* Sixty jobs' answers may come in one piece, and each may lead to a signature. */
static void deliver_for_a_turn(struct pipeline *l)
{
    uint64_t until = uv_hrtime() + TURN_NS;
    struct stream *s = l->stream;
    struct redisReply *reply;
    struct err e;
    int rc;

    (void)uv_idle_stop(&l->more);
    while (l->stream == s) { /* a callback may end the connection */
        if (uv_hrtime() >= until) {
            (void)uv_idle_start(&l->more, on_more);
            return;
        }
        rc = resp_next(l->resp, &reply, &e);
        if (rc < 0)
            read_failed(l, e);
        if (rc <= 0)
            return;
        if (l->count)
            deliver(l, reply);
        else
            stray(l, reply);
        reply_free(reply);
    }
}

static void on_more(uv_idle_t *more)
{
    deliver_for_a_turn(more->data);
}

void pipeline_feed(struct pipeline *l, const char *bytes, size_t len)
{
    resp_feed(l->resp, bytes, len);
    if (!uv_is_active((uv_handle_t *)&l->more))
        deliver_for_a_turn(l);
}

/* --- life ---------------------------------------------------------------------------
 */

struct pipeline *pipeline_new(struct uv_loop_s *loop,
                              const struct redis_script *scripts, size_t script_count,
                              size_t reply_max, pipeline_broken_fn fn, void *arg)
{
    struct pipeline *l = mem_new(1, sizeof *l);

    l->loop = loop;
    l->reply_max = reply_max;
    l->broken = fn;
    l->arg = arg;
    l->scripts = scripts;
    l->sha = mem_new(script_count, sizeof *l->sha);
    l->tails.max = l->command.max = COMMAND_MAX;
    (void)uv_timer_init(loop, &l->late);
    l->late.data = l;
    (void)uv_idle_init(loop, &l->more);
    l->more.data = l;
    return l;
}

void pipeline_attach(struct pipeline *l, struct stream *s)
{
    l->stream = s;
    l->resp = resp_new(l->reply_max);
}

bool pipeline_attached(const struct pipeline *l)
{
    return l->stream != NULL;
}

void pipeline_detach(struct pipeline *l)
{
    stream_close(l->stream);
    resp_free(l->resp);
    l->stream = NULL;
    l->resp = NULL;
    (void)uv_timer_stop(&l->late);
    (void)uv_idle_stop(&l->more);
}

void pipeline_set_sha(struct pipeline *l, size_t index, const char *sha)
{
    (void)snprintf(l->sha[index], SHA_LEN + 1, "%s", sha);
}

uint64_t pipeline_good(const struct pipeline *l)
{
    return l->good;
}

static void on_more_closed(uv_handle_t *h)
{
    struct pipeline *l = h->data;

    free(l->ring);
    free(l->sha);
    buf_done(&l->tails);
    buf_done(&l->command);
    free(l);
}

static void on_late_closed(uv_handle_t *h)
{
    struct pipeline *l = h->data;

    uv_close((uv_handle_t *)&l->more, on_more_closed);
}

void pipeline_free(struct pipeline *l)
{
    uv_close((uv_handle_t *)&l->late, on_late_closed);
}
