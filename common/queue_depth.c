/* queue_depth: the part of queue.h that counts what there is, for those who watch. */
#include "queue_call.h"

#include <stdlib.h>

static void on_depth(void *arg, const struct redisReply *r, const struct err *e)
{
    struct queue_call c = *(struct queue_call *)arg;
    struct queue_depth d = {.now_ms = queue_int_at(r, 0),
                            .inbox = queue_int_at(r, 1),
                            .ready = queue_int_at(r, 2) + queue_int_at(r, 3),
                            .active = queue_int_at(r, 4),
                            .delayed = queue_int_at(r, 5),
                            .failed = queue_int_at(r, 6),
                            .done = queue_int_at(r, 7),
                            .follow_ups = queue_int_at(r, 8),
                            .slack = queue_int_at(r, 9),
                            .zendesk = queue_int_at(r, 10),
                            .workers = queue_int_at(r, 11),
                            .paused = queue_int_at(r, 12) == 1,
                            .oldest_ms = queue_int_at(r, 13)};

    free(arg);
    c.fn.depth(c.arg, &d, e);
}

int queue_depth(struct queue *q, queue_depth_fn fn, void *arg, struct err *e)
{
    struct queue_call *c = queue_call_new(arg);
    struct queue_args a;

    c->fn.depth = fn;
    queue_args_begin(&a, q);
    return queue_call_eval(q, &a, QUEUE_DEPTH, on_depth, c, e);
}
