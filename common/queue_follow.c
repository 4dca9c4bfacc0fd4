/* queue_follow: the follow-ups' part of queue.h. */
#include "queue_call.h"

#include <stdio.h>
#include <stdlib.h>

static void on_follow(void *arg, const struct redisReply *r, const struct err *e)
{
    struct queue_call c = *(struct queue_call *)arg;
    struct queue_follows f = {.reply = r};

    free(arg);
    if (r) {
        f.now_ms = queue_int_at(r, 0);
        f.due_ms = queue_int_at(r, 1);
        f.count = reply_count(r) > 2 ? reply_count(r) - 2 : 0;
    }
    c.fn.follow(c.arg, &f, e);
}

int queue_follow_take(struct queue *q, size_t most, int64_t hold_ms, queue_follow_fn fn,
                      void *arg, struct err *e)
{
    struct queue_call *c = queue_call_new(arg);
    struct queue_args a;

    c->fn.follow = fn;
    queue_args_begin(&a, q);
    queue_arg_int(&a, (int64_t)most);
    queue_arg_int(&a, hold_ms);
    return queue_call_eval(q, &a, QUEUE_FOLLOW_TAKE, on_follow, c, e);
}

int queue_follow_item(const struct queue_follows *f, size_t i, struct queue_follow *out,
                      struct job *job, struct err *e)
{
    const struct redisReply *r = queue_item(f->reply, 2 + i);

    if (reply_count(r) != 6 && reply_count(r) != 9)
        return err_set(e, ERR_BUG, 0, "follow_take answered something else");
    out->kind = queue_str_at(r, 0);
    out->id = queue_str_at(r, 1);
    (void)snprintf(out->token, sizeof out->token, "%s", queue_str_at(r, 2));
    out->earlier_intent_ms = queue_int_at(r, 3);
    out->fixed_url = queue_str_at(r, 4);
    out->since_ms = queue_item(r, 6) ? queue_int_at(r, 6) : 0;
    out->count = queue_item(r, 7) ? queue_int_at(r, 7) : 0;
    out->last_ids = queue_str_at(r, 8);
    return queue_decode_hash(reply_at(r, 5), out->id, job, e);
}

static void on_settled(void *arg, const struct redisReply *r, const struct err *e)
{
    struct queue_call c = *(struct queue_call *)arg;

    free(arg);
    c.fn.settled(c.arg, r ? (enum queue_settled)queue_int_at(r, 0) : QUEUE_ANEW, e);
}

int queue_follow_done(struct queue *q, const char *kind, const char *id,
                      const char *token, int64_t delay_ms,
                      const struct queue_write *write, queue_settled_fn fn, void *arg,
                      struct err *e)
{
    struct queue_call *c = queue_call_new(arg);
    struct queue_args a;

    c->fn.settled = fn;
    queue_args_begin(&a, q);
    queue_arg_str(&a, kind);
    queue_arg_str(&a, id);
    queue_arg_str(&a, token);
    queue_arg_int(&a, delay_ms);
    queue_arg_write(&a, write);
    return queue_call_eval(q, &a, QUEUE_FOLLOW_DONE, on_settled, c, e);
}
