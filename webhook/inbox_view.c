/* inbox_view: status views, asked of Redis. While it is away the answer is "away", from
 * the loop as any other. */
#include <stdio.h>
#include <stdlib.h>

#include "inbox_parts.h"
#include "mem.h"

struct get {
    struct get *next;
    struct inbox *in;
    inbox_view_fn fn;
    void *arg;
};

static void on_view(void *arg, const struct redisReply *reply, const struct err *e)
{
    struct get g = *(struct get *)arg;
    bool there = reply && reply_type(reply) == REPLY_STRING;

    free(arg);
    g.fn(g.arg, there ? reply_str(reply) : NULL, g.in->closed ? &inbox_ends : e);
}

void inbox_answer_views(struct inbox *in, const struct err *e)
{
    while (in->unanswered) {
        struct get g = *in->unanswered;

        free(in->unanswered);
        in->unanswered = g.next;
        g.fn(g.arg, NULL, e);
    }
}

static void on_later(uv_timer_t *t)
{
    struct err e;

    (void)err_set(&e, ERR_TRANSIENT, 0, "Redis is away");
    inbox_answer_views(t->data, &e);
}

static void get_view(struct inbox *in, const char *key, inbox_view_fn fn, void *arg)
{
    struct get *g = mem_new(1, sizeof *g);
    struct err e;

    *g = (struct get){.next = in->unanswered, .in = in, .fn = fn, .arg = arg};
    if (!redis_call(in->redis, on_view, g, 2, (const char *[]){"GET", key}, NULL, &e))
        return;
    in->unanswered = g;
    (void)uv_timer_start(&in->later, on_later, 0, 0);
}

void inbox_view(struct inbox *in, const char *id, inbox_view_fn fn, void *arg)
{
    char key[QUEUE_KEY_MAX];

    queue_key(in->queue, "view:", id, key);
    get_view(in, key, fn, arg);
}

void inbox_ticket_view(struct inbox *in, int64_t ticket, inbox_view_fn fn, void *arg)
{
    char key[QUEUE_KEY_MAX], number[24];

    (void)snprintf(number, sizeof number, "%lld", (long long)ticket);
    queue_key(in->queue, "view:t:", number, key);
    get_view(in, key, fn, arg);
}
