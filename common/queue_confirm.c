/* queue_confirm: see queue_confirm.h. Who asks while a WAIT runs has perhaps written
 * after it: the next one is for them. A connection that breaks takes its writes' place
 * in the stream with it, so that whoever waits then is told no. */
#include "queue_confirm.h"

#include <stdlib.h>

#include "mem.h"
#include "num.h"
#include "redis.h"

#define WAIT_TEXT_MS "250"
_Static_assert(QUEUE_CONFIRM_MS == 250, "the same");

struct asker {
    queue_confirm_fn fn;
    void *arg;
};

struct askers {
    struct asker *v;
    size_t count, room;
};

struct queue_confirm {
    struct redis *redis;
    int64_t replicas;
    bool waiting;
    struct askers now, next; /* the WAIT under way is for; the one after it */
};

struct queue_confirm *queue_confirm_new(struct redis *redis, int64_t replicas)
{
    struct queue_confirm *c = mem_new(1, sizeof *c);

    c->redis = redis;
    c->replicas = replicas;
    return c;
}

void queue_confirm_free(struct queue_confirm *c)
{
    if (!c)
        return;
    free(c->now.v);
    free(c->next.v);
    free(c);
}

void queue_confirm_judge(int64_t confirmed, int64_t replicas, struct err *e)
{
    err_clear(e);
    if (confirmed < replicas)
        (void)err_set(e, ERR_TRANSIENT, 0,
                      "%lld of %lld replicas have confirmed (STOPGAP_REDIS_WAIT)",
                      (long long)confirmed, (long long)replicas);
}

static void add(struct askers *a, queue_confirm_fn fn, void *arg)
{
    if (a->count == a->room) {
        a->room = a->room ? 2 * a->room : 16;
        a->v = mem_grow(a->v, a->room * sizeof *a->v);
    }
    a->v[a->count++] = (struct asker){fn, arg};
}

/* They may ask again inside. */
static void tell(struct askers *a, const struct err *e)
{
    struct askers told = *a;

    *a = (struct askers){0};
    for (size_t i = 0; i < told.count; i++)
        told.v[i].fn(told.v[i].arg, e);
    free(told.v);
}

static void send_wait(struct queue_confirm *c);

static void on_wait(void *arg, const struct redisReply *reply, const struct err *e)
{
    struct queue_confirm *c = arg;
    struct err judged = *e;

    c->waiting = false;
    if (e->class == ERR_NONE)
        queue_confirm_judge(reply_type(reply) == REPLY_INT ? reply_int(reply) : 0,
                            c->replicas, &judged);
    tell(&c->now, &judged);
    if (e->code == REDIS_LOST)
        tell(&c->next, &judged);
    else if (c->next.count && !c->waiting)
        send_wait(c);
}

static void send_wait(struct queue_confirm *c)
{
    char replicas[24];
    struct err e;

    c->now = c->next;
    c->next = (struct askers){0};
    (void)num_format(c->replicas, replicas);
    c->waiting =
        redis_call(c->redis, on_wait, c, 3,
                   (const char *[]){"WAIT", replicas, WAIT_TEXT_MS}, NULL, &e) == 0;
    if (!c->waiting)
        tell(&c->now, &e);
}

void queue_confirm_ask(struct queue_confirm *c, queue_confirm_fn fn, void *arg)
{
    const struct err fine = {.class = ERR_NONE};

    if (!c->replicas) {
        fn(arg, &fine);
        return;
    }
    add(&c->next, fn, arg);
    if (!c->waiting)
        send_wait(c);
}
