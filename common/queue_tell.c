/* queue_tell: queue.h's part about telling people. */
#include "queue_call.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    AT_NOW,
    AT_DUE,
    AT_ID,
    AT_TOKEN,
    AT_EVENT,
    AT_INTENT,
    AT_TRIES,
    AT_SINCE,
    AT_JOB
};

static void on_taken(void *arg, const struct redisReply *r, const struct err *e)
{
    struct queue_call c = *(struct queue_call *)arg;
    struct queue_tell t = {.reply = r, .due_ms = -1};

    free(arg);
    if (r) {
        t.now_ms = queue_int_at(r, AT_NOW);
        t.due_ms = queue_int_at(r, AT_DUE);
    }
    if (r && reply_count(r) > AT_JOB) {
        t.id = queue_str_at(r, AT_ID);
        t.event = queue_str_at(r, AT_EVENT);
        (void)snprintf(t.token, sizeof t.token, "%s", queue_str_at(r, AT_TOKEN));
        if (*queue_str_at(r, AT_INTENT))
            t.earlier_intent_ms = queue_int_at(r, AT_INTENT);
        t.tries = queue_int_at(r, AT_TRIES);
        t.since_ms = queue_int_at(r, AT_SINCE);
    }
    c.fn.tell(c.arg, &t, e);
}

int queue_tell_take(struct queue *q, const char *channel, const char *channels,
                    int64_t hold_ms, queue_tell_fn fn, void *arg, struct err *e)
{
    struct queue_call *c = queue_call_new(arg);
    struct queue_args a;

    c->fn.tell = fn;
    queue_args_begin(&a, q);
    queue_arg_str(&a, channel);
    queue_arg_int(&a, hold_ms);
    queue_arg_str(&a, channels);
    return queue_call_eval(q, &a, QUEUE_TELL_TAKE, on_taken, c, e);
}

int queue_tell_job(const struct queue_tell *t, struct job *job, struct err *e)
{
    return queue_decode_hash(reply_at(t->reply, AT_JOB), t->id, job, e);
}

int queue_tell_done(struct queue *q, const struct queue_told *told,
                    const struct queue_write *write, queue_done_fn fn, void *arg,
                    struct err *e)
{
    struct queue_call *c = queue_call_new(arg);
    struct queue_args a;

    c->fn.done = fn;
    queue_args_begin(&a, q);
    queue_arg_str(&a, told->channel);
    queue_arg_str(&a, told->id);
    queue_arg_str(&a, told->token);
    queue_arg_int(&a, told->delay_ms);
    queue_arg_str(&a, told->event);
    queue_arg_str(&a, told->words);
    queue_arg_str(&a, told->counter);
    queue_arg_write(&a, write);
    return queue_call_eval(q, &a, QUEUE_TELL_DONE, queue_on_done, c, e);
}
