/* queue: a worker's part of queue.h. Each call builds the arguments of one script and
 * turns its answer into a typed callback. */
#include "queue.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "num.h"
#include "queue_call.h"
#include "settings.h"

/* Inbox entries per script run: about a millisecond of Redis. */
#define ADOPT_MOST 200

struct queue *queue_new(struct redis *redis, const struct settings *settings,
                        const char *wid)
{
    struct queue *q = mem_new(1, sizeof *q);

    q->redis = redis;
    q->settings = settings;
    (void)snprintf(q->prefix, sizeof q->prefix, "stopgap:{%s}:", settings->queue);
    (void)snprintf(q->wid, sizeof q->wid, "%s", wid ? wid : "");
    return q;
}

void queue_free(struct queue *q)
{
    free(q);
}

void queue_key(const struct queue *q, const char *name, const char *tail,
               char out[static QUEUE_KEY_MAX])
{
    (void)snprintf(out, QUEUE_KEY_MAX, "%s%s%s", q->prefix, name, tail);
}

/* Fresh ids are made from it inside the script. */
static void arg_seed(struct queue_args *a, char seed[static JOB_ID_LEN + 1])
{
    job_id_make(seed);
    queue_arg_str(a, seed);
    queue_arg_int(a, ADOPT_MOST);
}

static void on_beat(void *arg, const struct redisReply *r, const struct err *e)
{
    struct queue_call c = *(struct queue_call *)arg;
    struct queue_beat b = {0};

    free(arg);
    if (r)
        b = (struct queue_beat){
            .known = (int)queue_int_at(r, 0),
            .now_ms = queue_int_at(r, 1),
            .paused = queue_int_at(r, 2) == 1,
            .ready = queue_int_at(r, 3),
            .due_ms = queue_int_at(r, 4),
            .follow_due_ms = queue_int_at(r, 5),
            .held = queue_int_at(r, 6),
            .lanes = queue_item(r, 7),
            .moved_ms = queue_int_at(r, 8),
        };
    c.fn.beat(c.arg, &b, e);
}

int queue_beat(struct queue *q, const struct queue_info *info, queue_beat_fn fn,
               void *arg, struct err *e)
{
    struct queue_call *c = queue_call_new(arg);
    char seed[JOB_ID_LEN + 1];
    struct queue_args a;

    c->fn.beat = fn;
    queue_args_begin(&a, q);
    queue_arg_str(&a, q->wid);
    queue_arg_int(&a, q->settings->lease_ms);
    queue_arg_int(&a, q->settings->late_after_ms);
    queue_arg_int(&a, q->settings->retention_ms);
    arg_seed(&a, seed);
    queue_arg_str(&a, info->server);
    queue_arg_str(&a, "host");
    queue_arg_str(&a, info->host);
    queue_arg_str(&a, "pid");
    queue_arg_int(&a, info->pid);
    queue_arg_str(&a, "busy");
    queue_arg_int(&a, info->busy);
    queue_arg_str(&a, "started_ms");
    queue_arg_int(&a, info->started_ms);
    queue_arg_str(&a, "lag_ms");
    queue_arg_int(&a, info->lag_ms);
    queue_arg_str(&a, "state");
    queue_arg_str(&a, info->state);
    queue_arg_str(&a, "version");
    queue_arg_str(&a, STOPGAP_VERSION);
    return queue_call_eval(q, &a, QUEUE_BEAT, on_beat, c, e);
}

static void on_take(void *arg, const struct redisReply *r, const struct err *e)
{
    static const char *const words[] = {"OK", "PAUSED", "EXPIRED"};
    struct queue_call c = *(struct queue_call *)arg;
    struct queue_batch b = {.reply = r};

    free(arg);
    if (r) {
        b.status = queue_word_index(queue_str_at(r, 0), words, QUEUE_TAKE_EXPIRED);
        b.now_ms = queue_int_at(r, 1);
        b.due_ms = queue_int_at(r, 2);
        b.solo_waiting = queue_int_at(r, 3) == 1;
        b.count = reply_count(r) > 4 ? reply_count(r) - 4 : 0;
    }
    c.fn.take(c.arg, &b, e);
}

int queue_take(struct queue *q, const struct queue_want *want, queue_take_fn fn,
               void *arg, struct err *e)
{
    struct queue_call *c = queue_call_new(arg);
    char seed[JOB_ID_LEN + 1];
    struct queue_args a;

    c->fn.take = fn;
    queue_args_begin(&a, q);
    queue_arg_str(&a, q->wid);
    queue_arg_int(&a, (int64_t)want->jobs);
    queue_arg_int(&a, want->reap);
    queue_arg_int(&a, q->settings->late_after_ms);
    queue_arg_int(&a, JOB_VERSION);
    queue_arg_int(&a, want->idle);
    arg_seed(&a, seed);
    return queue_call_eval(q, &a, QUEUE_TAKE, on_take, c, e);
}

/* A record that does not read, so that it can be ended all the same. */
static void keep_owner(const struct redisReply *flat, const char *id, struct job *out)
{
    int64_t fence;

    (void)snprintf(out->id, sizeof out->id, "%s", id);
    for (size_t i = 0; i + 1 < reply_count(flat); i += 2)
        if (!strcmp(reply_str(reply_at(flat, i)), "fence") &&
            num_parse(reply_str(reply_at(flat, i + 1)), 0, INT64_MAX, &fence))
            out->fence = fence;
}

int queue_batch_job(const struct queue_batch *b, size_t i, struct job *out, bool *solo,
                    struct err *e)
{
    const struct redisReply *r = queue_item(b->reply, 4 + i);

    if (reply_count(r) != 3)
        return err_set(e, ERR_BUG, 0, "take answered something else than a job");
    *solo = queue_int_at(r, 1) == 1;
    if (queue_decode_hash(reply_at(r, 2), queue_str_at(r, 0), out, e) == 0)
        return 0;
    keep_owner(reply_at(r, 2), queue_str_at(r, 0), out);
    return -1;
}

static void on_saved(void *arg, const struct redisReply *r, const struct err *e)
{
    static const enum queue_saved by_code[] = {QUEUE_NOT_YOURS, QUEUE_SAVED, QUEUE_LATE,
                                               QUEUE_GUARDED, QUEUE_CAPPED};
    struct queue_call c = *(struct queue_call *)arg;
    int64_t code = r ? queue_int_at(r, 0) : 0;

    free(arg);
    assert(code >= 0 && code < (int64_t)ARRAY_LEN(by_code));
    c.fn.save(c.arg, by_code[code], queue_str_at(r, 1), e);
}

int queue_save(struct queue *q, const struct queue_save *save, queue_save_fn fn,
               void *arg, struct err *e)
{
    struct queue_call *c = queue_call_new(arg);
    struct queue_args a;

    c->fn.save = fn;
    queue_args_begin(&a, q);
    queue_arg_owner(&a, q, save->job);
    queue_arg_str(&a, "1");
    queue_arg_str(&a, save->late < STEP_COUNT ? job_step_name(save->late) : "");
    queue_arg_str(&a, save->guard ? save->guard : "");
    queue_arg_int(&a, (int64_t)save->cap_count);
    for (size_t i = 0; i < save->cap_count; i++) {
        queue_arg_str(&a, save->caps[i].name);
        queue_arg_int(&a, save->caps[i].limit);
    }
    queue_arg_write(&a, save->write);
    return queue_call_eval(q, &a, QUEUE_SAVE, on_saved, c, e);
}

static void on_claim(void *arg, const struct redisReply *r, const struct err *e)
{
    static const char *const words[] = {"OK",    "DUP",   "REPLAY",
                                        "RERUN", "SPENT", "CLASH"};
    struct queue_call c = *(struct queue_call *)arg;
    struct buf other;

    free(arg);
    buf_init(&other, 4096);
    for (size_t i = 1; r && i < reply_count(r); i++)
        buf_addf(&other, "%s%s", other.len ? " " : "", queue_str_at(r, i));
    c.fn.claim(c.arg, queue_word_index(queue_str_at(r, 0), words, QUEUE_CLAIM_LOST),
               other.data, e);
    buf_done(&other);
}

int queue_claim(struct queue *q, const struct job *job, const struct request *request,
                queue_claim_fn fn, void *arg, struct err *e)
{
    char digest[REQUEST_DIGEST_LEN + 1], same[REQUEST_DIGEST_LEN + 1];
    char idem[REQUEST_DIGEST_LEN + 1] = "";
    struct queue_call *c = queue_call_new(arg);
    struct queue_args a;
    struct buf req;
    int rc;

    c->fn.claim = fn;
    buf_init(&req, 65536);
    request_encode(request, &req);
    request_digest(request, digest);
    request_same_key(request, same);
    if (*request->idempotency_key)
        request_text_key(request->idempotency_key, idem);
    queue_args_begin(&a, q);
    queue_arg_owner(&a, q, job);
    queue_arg_bytes(&a, req.data, req.len);
    queue_arg_str(&a, digest);
    queue_arg_str(&a, idem);
    queue_arg_str(&a, same);
    queue_arg_int(&a, request->ticket_id);
    queue_arg_int(&a, q->settings->retention_ms);
    queue_arg_str(&a, request->requested_by);
    rc = queue_call_eval(q, &a, QUEUE_CLAIM_KEYS, on_claim, c, e);
    buf_done(&req);
    return rc;
}

int queue_finish(struct queue *q, const struct job *job, enum queue_verb verb,
                 int64_t delay_ms, const char *event, const struct queue_write *write,
                 queue_done_fn fn, void *arg, struct err *e)
{
    static const char *const verbs[] = {"done", "fail", "retry", "snooze", "release"};
    struct queue_call *c = queue_call_new(arg);
    struct queue_args a;

    c->fn.done = fn;
    queue_args_begin(&a, q);
    queue_arg_owner(&a, q, job);
    queue_arg_str(&a, verbs[verb]);
    queue_arg_int(&a, delay_ms);
    queue_arg_str(&a, event);
    queue_arg_write(&a, write);
    return queue_call_eval(q, &a, QUEUE_FINISH, queue_on_done, c, e);
}

int queue_point_at(struct queue *q, const struct job *job, const char *event,
                   const char *target, queue_done_fn fn, void *arg, struct err *e)
{
    struct queue_call *c = queue_call_new(arg);
    struct queue_args a;

    c->fn.done = fn;
    queue_args_begin(&a, q);
    queue_arg_owner(&a, q, job);
    queue_arg_str(&a, event);
    queue_arg_str(&a, target);
    return queue_call_eval(q, &a, QUEUE_POINT_AT, queue_on_done, c, e);
}

/* A script about jobs of this worker. */
static int call_with_ids(struct queue *q, enum queue_script script,
                         const char *const *ids, size_t count, queue_done_fn fn,
                         void *arg, struct err *e)
{
    struct queue_call *c = queue_call_new(arg);
    struct queue_args a;
    struct buf list;
    int rc;

    c->fn.done = fn;
    buf_init(&list, count * (JOB_ID_LEN + 1));
    for (size_t i = 0; i < count; i++) {
        buf_adds(&list, ids[i]);
        buf_addc(&list, ' ');
    }
    queue_args_begin(&a, q);
    queue_arg_str(&a, q->wid);
    queue_arg_bytes(&a, list.data, list.len);
    rc = queue_call_eval(q, &a, script, queue_on_done, c, e);
    buf_done(&list);
    return rc;
}

int queue_disown(struct queue *q, const char *const *ids, size_t count,
                 queue_done_fn fn, void *arg, struct err *e)
{
    return call_with_ids(q, QUEUE_DISOWN, ids, count, fn, arg, e);
}

int queue_show(struct queue *q, const char *const *ids, size_t count, queue_done_fn fn,
               void *arg, struct err *e)
{
    return call_with_ids(q, QUEUE_SHOW, ids, count, fn, arg, e);
}

int queue_reap_worker(struct queue *q, const char *wid, queue_done_fn fn, void *arg,
                      struct err *e)
{
    struct queue_call *c = queue_call_new(arg);
    struct queue_args a;

    c->fn.done = fn;
    queue_args_begin(&a, q);
    queue_arg_str(&a, wid);
    return queue_call_eval(q, &a, QUEUE_REAP_WORKER, queue_on_done, c, e);
}

int queue_trim(struct queue *q, queue_done_fn fn, void *arg, struct err *e)
{
    struct queue_call *c = queue_call_new(arg);
    struct queue_args a;

    c->fn.done = fn;
    queue_args_begin(&a, q);
    queue_arg_int(&a, q->settings->retention_ms);
    return queue_call_eval(q, &a, QUEUE_TRIM, queue_on_done, c, e);
}
