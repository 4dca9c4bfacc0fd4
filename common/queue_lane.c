/* queue_lane: the lanes' part of queue.h: outside systems that are closed to the jobs
 * of all workers. When one closes or opens is lane.c's. */
#include "queue_call.h"

#include <stdlib.h>
#include <string.h>

/* until, class, code, text, by whom: from item `at` on. */
static void read_lane(const struct redisReply *r, size_t at, struct queue_lane *out)
{
    out->until_ms = queue_int_at(r, at);
    out->by = queue_str_at(r, at + 4);
    err_clear(&out->why);
    if (out->until_ms >= 0)
        (void)err_set(&out->why, err_class_parse(queue_str_at(r, at + 1)),
                      (int)queue_int_at(r, at + 2), "%s", queue_str_at(r, at + 3));
    if (out->why.class == ERR_CLASS_COUNT) /* of a newer worker */
        out->why.class = ERR_TRANSIENT;
}

static void on_lane(void *arg, const struct redisReply *r, const struct err *e)
{
    struct queue_call c = *(struct queue_call *)arg;
    struct queue_lane l = {.by = ""};

    free(arg);
    if (r) {
        l.state = (unsigned)queue_int_at(r, 0);
        l.delayed = queue_int_at(r, 1);
        read_lane(r, 2, &l);
    }
    c.fn.lane(c.arg, &l, e);
}

int queue_lane(struct queue *q, const char *name, enum queue_lane_verb verb, int64_t ms,
               const struct err *why, queue_lane_fn fn, void *arg, struct err *e)
{
    static const char *const verbs[] = {"ask", "close", "extend", "open"};
    struct queue_call *c = queue_call_new(arg);
    struct queue_args a;

    c->fn.lane = fn;
    queue_args_begin(&a, q);
    queue_arg_str(&a, q->wid);
    queue_arg_str(&a, name);
    queue_arg_str(&a, verbs[verb]);
    queue_arg_int(&a, ms);
    queue_arg_str(&a, err_class_name(why ? why->class : ERR_NONE));
    queue_arg_int(&a, why ? why->code : 0);
    queue_arg_str(&a, why ? why->text : "");
    return queue_call_eval(q, &a, QUEUE_LANE, on_lane, c, e);
}

void queue_beat_lane(const struct queue_beat *b, const char *name,
                     struct queue_lane *out)
{
    *out = (struct queue_lane){.until_ms = -1, .by = ""};
    for (size_t i = 0; b->lanes && i < reply_count(b->lanes); i++) {
        const struct redisReply *r = reply_at(b->lanes, i);

        if (strcmp(queue_str_at(r, 0), name) != 0)
            continue;
        read_lane(r, 1, out);
        out->state = QUEUE_LANE_CLOSED;
    }
}
