/* queue_call: see queue_call.h. */
#include "queue_call.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"
#include "mem.h"
#include "num.h"

void queue_arg_bytes(struct queue_args *a, const char *bytes, size_t len)
{
    assert(a->n < QUEUE_ARGS_MAX);
    a->v[a->n] = bytes;
    a->len[a->n++] = len;
}

void queue_arg_str(struct queue_args *a, const char *text)
{
    queue_arg_bytes(a, text, strlen(text));
}

void queue_arg_int(struct queue_args *a, int64_t n)
{
    char *text = a->made[a->made_count++];

    assert(a->made_count <= ARRAY_LEN(a->made));
    queue_arg_bytes(a, text, num_format(n, text));
}

void queue_args_begin(struct queue_args *a, const struct queue *q)
{
    a->n = 0;
    a->made_count = 0;
    queue_arg_str(a, q->prefix);
}

void queue_arg_owner(struct queue_args *a, const struct queue *q, const struct job *job)
{
    queue_arg_str(a, job->id);
    queue_arg_str(a, q->wid);
    queue_arg_int(a, job->fence);
}

void queue_arg_write(struct queue_args *a, const struct queue_write *w)
{
    queue_arg_int(a, (int64_t)w->sets);
    for (size_t i = 0; i < w->sets; i++) {
        queue_arg_str(a, w->set[i].name);
        queue_arg_bytes(a, w->text.data + w->set[i].at, w->set[i].len);
    }
    queue_arg_int(a, (int64_t)w->dels);
    for (size_t i = 0; i < w->dels; i++)
        queue_arg_str(a, w->del[i]);
}

struct queue_call *queue_call_new(void *arg)
{
    struct queue_call *c = mem_new(1, sizeof *c);

    c->arg = arg;
    return c;
}

/* What each script answers: its first item's type and greatest number, and how many. */
static const struct {
    enum reply_type first;
    int64_t top;
    size_t least, most;
} answers[QUEUE_SCRIPT_COUNT] = {
    [QUEUE_BEAT] = {REPLY_INT, 2, 9, 9},
    [QUEUE_TAKE] = {REPLY_STRING, 0, 4, SIZE_MAX},
    [QUEUE_DISOWN] = {REPLY_INT, INT64_MAX, 1, 1},
    [QUEUE_SHOW] = {REPLY_INT, INT64_MAX, 1, 1},
    [QUEUE_SAVE] = {REPLY_INT, 4, 1, 2},
    [QUEUE_CLAIM_KEYS] = {REPLY_STRING, 0, 1, SIZE_MAX},
    [QUEUE_FINISH] = {REPLY_INT, 2, 1, 1},
    [QUEUE_POINT_AT] = {REPLY_INT, 1, 1, 1},
    [QUEUE_REAP_WORKER] = {REPLY_INT, 1, 1, 1},
    [QUEUE_TRIM] = {REPLY_INT, INT64_MAX, 1, 1},
    [QUEUE_LANE] = {REPLY_INT, 2, 7, 7},
    [QUEUE_FOLLOW_TAKE] = {REPLY_INT, INT64_MAX, 2, SIZE_MAX},
    [QUEUE_FOLLOW_DONE] = {REPLY_INT, QUEUE_STRAY, 1, 1},
    [QUEUE_TELL_TAKE] = {REPLY_INT, INT64_MAX, 2, 9},
    [QUEUE_TELL_DONE] = {REPLY_INT, 1, 1, 1},
    [QUEUE_REQUEUE] = {REPLY_STRING, 0, 1, 2},
    [QUEUE_RESEND] = {REPLY_STRING, 0, 1, 2},
    [QUEUE_DISCARD] = {REPLY_STRING, 0, 1, 2},
    [QUEUE_SUBMIT] = {REPLY_STRING, 0, 1, 1},
    [QUEUE_PAUSE] = {REPLY_STRING, 0, 2, 2},
    [QUEUE_FORGET] = {REPLY_STRING, 0, 1, 2},
    [QUEUE_FSCK] = {REPLY_INT, INT64_MAX, 1, SIZE_MAX},
    [QUEUE_DEPTH] = {REPLY_INT, INT64_MAX, 14, 14},
};

static bool is_answer_of(enum queue_script script, const struct redisReply *r)
{
    size_t count = reply_count(r);
    const struct redisReply *first = queue_item(r, 0);

    return count >= answers[script].least && count <= answers[script].most &&
           reply_type(first) == answers[script].first &&
           (answers[script].first == REPLY_STRING ||
            (reply_int(first) >= 0 && reply_int(first) <= answers[script].top));
}

/* Replies that are out of step with the commands would be believed by whoever comes
 * next: such a connection is ended. */
static void on_script_reply(void *arg, const struct redisReply *r, const struct err *e)
{
    struct queue_call *c = arg;
    struct redis *redis = c->redis;
    const char *name = queue_scripts[c->script].name;
    struct err why;

    CRASH_POINT_OF("redis.heard", name);
    if (!r || is_answer_of(c->script, r)) {
        c->on_reply(c, r, e);
        CRASH_POINT_OF("redis.handled", name);
        return;
    }
    (void)err_set(&why, ERR_TRANSIENT, REDIS_LOST,
                  "Redis sent a reply that is none to the script %s", name);
    c->on_reply(c, NULL, &why);
    redis_distrust(redis, &why);
}

int queue_call_eval(struct queue *q, struct queue_args *a, enum queue_script script,
                    redis_fn on_reply, struct queue_call *c, struct err *e)
{
    int rc;

    c->redis = q->redis;
    c->script = script;
    c->on_reply = on_reply;
    CRASH_POINT_OF("redis.before", queue_scripts[script].name);
    rc = redis_eval(q->redis, on_script_reply, c, script, 1, a->n, a->v, a->len, e);

    if (rc)
        free(c);
    return rc;
}

const struct redisReply *queue_item(const struct redisReply *r, size_t i)
{
    return r && i < reply_count(r) ? reply_at(r, i) : NULL;
}

int64_t queue_int_at(const struct redisReply *r, size_t i)
{
    return queue_item(r, i) ? reply_int(queue_item(r, i)) : -1;
}

const char *queue_str_at(const struct redisReply *r, size_t i)
{
    return queue_item(r, i) ? reply_str(queue_item(r, i)) : "";
}

unsigned queue_word_index(const char *word, const char *const *names, unsigned count)
{
    unsigned i = 0;

    while (i < count && strcmp(word, names[i]) != 0)
        i++;
    return i;
}

int queue_decode_hash(const struct redisReply *flat, const char *id, struct job *out,
                      struct err *e)
{
    size_t count = reply_count(flat) / 2;
    struct job_field *fields = mem_new(count, sizeof *fields);
    int rc;

    for (size_t i = 0; i < count; i++) {
        fields[i].name = reply_str(reply_at(flat, 2 * i));
        fields[i].value = reply_str(reply_at(flat, 2 * i + 1));
        fields[i].value_len = reply_len(reply_at(flat, 2 * i + 1));
    }
    rc = job_decode(out, id, fields, count, e);
    free(fields);
    return rc;
}

void queue_on_done(void *arg, const struct redisReply *r, const struct err *e)
{
    struct queue_call c = *(struct queue_call *)arg;

    free(arg);
    c.fn.done(c.arg, r && queue_int_at(r, 0) != 0, e);
}
