/* queue: see queue.h. Each call builds the arguments of one script and turns its answer
 * into a typed callback. */
#include "queue.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "queue_lua.h"
#include "settings.h"

#define ADOPT_MOST                                                                     \
    200 /* inbox entries per script run: about a millisecond of Redis                  \
         */
#define ARGS_MAX 160

struct queue {
    struct redis *redis;
    const struct settings *settings;
    char prefix[128];
    char wid[160];
};

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

/* ---- fields to write ---- */

void queue_write_init(struct queue_write *w)
{
    *w = (struct queue_write){0};
    buf_init(&w->text, 1 << 20);
}

void queue_write_done(struct queue_write *w)
{
    buf_done(&w->text);
    *w = (struct queue_write){0};
}

void queue_write_reset(struct queue_write *w)
{
    buf_reset(&w->text);
    w->sets = 0;
    w->dels = 0;
}

bool queue_write_empty(const struct queue_write *w)
{
    return w->sets == 0 && w->dels == 0;
}

void queue_write_bytes(struct queue_write *w, const char *name, const void *value,
                       size_t len)
{
    size_t i = 0;

    while (i < w->sets && strcmp(w->set[i].name, name) != 0)
        i++;
    assert(i < QUEUE_WRITE_MAX);
    w->set[i].name = name;
    w->set[i].at = w->text.len;
    w->set[i].len = len;
    if (i == w->sets)
        w->sets++;
    buf_add(&w->text, value, len);
    assert(!w->text.failed); /* every value is bounded where it comes from */
}

void queue_write_str(struct queue_write *w, const char *name, const char *value)
{
    queue_write_bytes(w, name, value, strlen(value));
}

void queue_write_int(struct queue_write *w, const char *name, int64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    queue_write_str(w, name, text);
}

void queue_write_del(struct queue_write *w, const char *name)
{
    assert(w->dels < QUEUE_WRITE_MAX);
    w->del[w->dels++] = name;
}

/* ---- building a call ---- */

/* Arguments of one call; texts made here live in `made`. */
struct args {
    const char *v[ARGS_MAX];
    size_t len[ARGS_MAX];
    int n;
    char made[24][32];
    size_t made_count;
};

static void arg_bytes(struct args *a, const char *bytes, size_t len)
{
    assert(a->n < ARGS_MAX);
    a->v[a->n] = bytes;
    a->len[a->n++] = len;
}

static void arg_str(struct args *a, const char *text)
{
    arg_bytes(a, text, strlen(text));
}

static void arg_int(struct args *a, int64_t n)
{
    char *text = a->made[a->made_count++];

    assert(a->made_count <= ARRAY_LEN(a->made));
    (void)snprintf(text, sizeof a->made[0], "%lld", (long long)n);
    arg_str(a, text);
}

static void args_begin(struct args *a, const struct queue *q)
{
    a->n = 0;
    a->made_count = 0;
    arg_str(a, q->prefix);
}

static void arg_owner(struct args *a, const struct queue *q, const struct job *job)
{
    arg_str(a, job->id);
    arg_str(a, q->wid);
    arg_int(a, job->fence);
}

static void arg_write(struct args *a, const struct queue_write *w)
{
    arg_int(a, (int64_t)w->sets);
    for (size_t i = 0; i < w->sets; i++) {
        arg_str(a, w->set[i].name);
        arg_bytes(a, w->text.data + w->set[i].at, w->set[i].len);
    }
    arg_int(a, (int64_t)w->dels);
    for (size_t i = 0; i < w->dels; i++)
        arg_str(a, w->del[i]);
}

/* Fresh ids are made from it inside the script. */
static void arg_seed(struct args *a, char seed[static JOB_ID_LEN + 1])
{
    job_id_make(seed);
    arg_str(a, seed);
    arg_int(a, ADOPT_MOST);
}

/* What a reply is waited for: the typed callback and its argument. */
struct call {
    union {
        queue_beat_fn beat;
        queue_take_fn take;
        queue_save_fn save;
        queue_claim_fn claim;
        queue_done_fn done;
        queue_follow_fn follow;
        queue_answer_fn answer;
    } fn;
    void *arg;
};

static struct call *call_new(void *arg)
{
    struct call *c = mem_new(1, sizeof *c);

    c->arg = arg;
    return c;
}

static int args_eval(struct queue *q, struct args *a, enum queue_script script,
                     redis_fn on_reply, struct call *c, struct err *e)
{
    int rc = redis_eval(q->redis, on_reply, c, script, 1, a->n, a->v, a->len, e);

    if (rc)
        free(c);
    return rc;
}

/* Item i of a reply, or NULL. */
static const struct redisReply *item(const struct redisReply *r, size_t i)
{
    return r && i < reply_count(r) ? reply_at(r, i) : NULL;
}

static int64_t int_at(const struct redisReply *r, size_t i)
{
    return item(r, i) ? reply_int(item(r, i)) : -1;
}

static const char *str_at(const struct redisReply *r, size_t i)
{
    return item(r, i) ? reply_str(item(r, i)) : "";
}

/* The index of word in names; count if it is none of them. */
static unsigned word_index(const char *word, const char *const *names, unsigned count)
{
    unsigned i = 0;

    while (i < count && strcmp(word, names[i]) != 0)
        i++;
    return i;
}

/* ---- a worker's part ---- */

static void on_beat(void *arg, const struct redisReply *r, const struct err *e)
{
    struct call c = *(struct call *)arg;
    struct queue_beat b = {0};

    free(arg);
    if (r)
        b = (struct queue_beat){
            .known = (int)int_at(r, 0),
            .now_ms = int_at(r, 1),
            .paused = int_at(r, 2) == 1,
            .ready = int_at(r, 3),
            .due_ms = int_at(r, 4),
            .follow_due_ms = int_at(r, 5),
        };
    c.fn.beat(c.arg, &b, e);
}

int queue_beat(struct queue *q, const struct queue_info *info, queue_beat_fn fn,
               void *arg, struct err *e)
{
    struct call *c = call_new(arg);
    char seed[JOB_ID_LEN + 1];
    struct args a;

    c->fn.beat = fn;
    args_begin(&a, q);
    arg_str(&a, q->wid);
    arg_int(&a, q->settings->lease_ms);
    arg_int(&a, q->settings->late_after_ms);
    arg_int(&a, q->settings->retention_ms);
    arg_seed(&a, seed);
    arg_str(&a, "host");
    arg_str(&a, info->host);
    arg_str(&a, "pid");
    arg_int(&a, info->pid);
    arg_str(&a, "busy");
    arg_int(&a, info->busy);
    arg_str(&a, "started_ms");
    arg_int(&a, info->started_ms);
    arg_str(&a, "state");
    arg_str(&a, info->state);
    arg_str(&a, "version");
    arg_str(&a, STOPGAP_VERSION);
    return args_eval(q, &a, QUEUE_BEAT, on_beat, c, e);
}

static void on_take(void *arg, const struct redisReply *r, const struct err *e)
{
    static const char *const words[] = {"OK", "PAUSED", "EXPIRED"};
    struct call c = *(struct call *)arg;
    struct queue_batch b = {.reply = r};

    free(arg);
    if (r) {
        b.status = word_index(str_at(r, 0), words, QUEUE_TAKE_EXPIRED);
        b.now_ms = int_at(r, 1);
        b.due_ms = int_at(r, 2);
        b.solo_waiting = int_at(r, 3) == 1;
        b.count = reply_count(r) > 4 ? reply_count(r) - 4 : 0;
    }
    c.fn.take(c.arg, &b, e);
}

int queue_take(struct queue *q, const struct queue_want *want, queue_take_fn fn,
               void *arg, struct err *e)
{
    struct call *c = call_new(arg);
    char seed[JOB_ID_LEN + 1];
    struct args a;

    c->fn.take = fn;
    args_begin(&a, q);
    arg_str(&a, q->wid);
    arg_int(&a, (int64_t)want->jobs);
    arg_int(&a, want->reap);
    arg_int(&a, q->settings->late_after_ms);
    arg_int(&a, JOB_VERSION);
    arg_int(&a, want->idle);
    arg_seed(&a, seed);
    return args_eval(q, &a, QUEUE_TAKE, on_take, c, e);
}

/* HGETALL's flat array to a job. */
static int decode_hash(const struct redisReply *flat, const char *id, struct job *out,
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

int queue_batch_job(const struct queue_batch *b, size_t i, struct job *out, bool *solo,
                    struct err *e)
{
    const struct redisReply *r = item(b->reply, 4 + i);

    if (reply_count(r) != 3)
        return err_set(e, ERR_BUG, 0, "take answered something else than a job");
    *solo = int_at(r, 1) == 1;
    return decode_hash(reply_at(r, 2), str_at(r, 0), out, e);
}

static void on_saved(void *arg, const struct redisReply *r, const struct err *e)
{
    static const enum queue_saved by_code[] = {QUEUE_NOT_YOURS, QUEUE_SAVED, QUEUE_LATE,
                                               QUEUE_GUARDED, QUEUE_CAPPED};
    struct call c = *(struct call *)arg;
    int64_t code = r ? int_at(r, 0) : 0;

    free(arg);
    assert(code >= 0 && code < (int64_t)ARRAY_LEN(by_code));
    c.fn.save(c.arg, by_code[code], str_at(r, 1), e);
}

int queue_save(struct queue *q, const struct queue_save *save, queue_save_fn fn,
               void *arg, struct err *e)
{
    struct call *c = call_new(arg);
    struct args a;

    c->fn.save = fn;
    args_begin(&a, q);
    arg_owner(&a, q, save->job);
    arg_str(&a, "1");
    arg_str(&a, save->late < STEP_COUNT ? job_step_name(save->late) : "");
    arg_str(&a, save->guard ? save->guard : "");
    arg_int(&a, (int64_t)save->cap_count);
    for (size_t i = 0; i < save->cap_count; i++) {
        arg_str(&a, save->caps[i].name);
        arg_int(&a, save->caps[i].limit);
    }
    arg_write(&a, save->write);
    return args_eval(q, &a, QUEUE_SAVE, on_saved, c, e);
}

static void on_claim(void *arg, const struct redisReply *r, const struct err *e)
{
    static const char *const words[] = {"OK",    "DUP",   "REPLAY",
                                        "RERUN", "SPENT", "CLASH"};
    struct call c = *(struct call *)arg;
    struct buf other;

    free(arg);
    buf_init(&other, 4096);
    for (size_t i = 1; r && i < reply_count(r); i++)
        buf_addf(&other, "%s%s", other.len ? " " : "", str_at(r, i));
    c.fn.claim(c.arg, word_index(str_at(r, 0), words, QUEUE_CLAIM_LOST), other.data, e);
    buf_done(&other);
}

int queue_claim(struct queue *q, const struct job *job, const struct request *request,
                queue_claim_fn fn, void *arg, struct err *e)
{
    char digest[REQUEST_DIGEST_LEN + 1], same[REQUEST_DIGEST_LEN + 1];
    char idem[REQUEST_DIGEST_LEN + 1] = "";
    struct call *c = call_new(arg);
    struct args a;
    struct buf req;
    int rc;

    c->fn.claim = fn;
    buf_init(&req, 65536);
    request_encode(request, &req);
    request_digest(request, digest);
    request_same_key(request, same);
    if (*request->idempotency_key)
        request_text_key(request->idempotency_key, idem);
    args_begin(&a, q);
    arg_owner(&a, q, job);
    arg_bytes(&a, req.data, req.len);
    arg_str(&a, digest);
    arg_str(&a, idem);
    arg_str(&a, same);
    arg_int(&a, request->ticket_id);
    arg_int(&a, q->settings->retention_ms);
    arg_str(&a, request->requested_by);
    rc = args_eval(q, &a, QUEUE_CLAIM_KEYS, on_claim, c, e);
    buf_done(&req);
    return rc;
}

static void on_done(void *arg, const struct redisReply *r, const struct err *e)
{
    struct call c = *(struct call *)arg;

    free(arg);
    c.fn.done(c.arg, r && int_at(r, 0) != 0, e);
}

int queue_finish(struct queue *q, const struct job *job, enum queue_verb verb,
                 int64_t delay_ms, const char *event, const struct queue_write *write,
                 queue_done_fn fn, void *arg, struct err *e)
{
    static const char *const verbs[] = {"done", "fail", "retry", "snooze", "release"};
    struct call *c = call_new(arg);
    struct args a;

    c->fn.done = fn;
    args_begin(&a, q);
    arg_owner(&a, q, job);
    arg_str(&a, verbs[verb]);
    arg_int(&a, delay_ms);
    arg_str(&a, event);
    arg_write(&a, write);
    return args_eval(q, &a, QUEUE_FINISH, on_done, c, e);
}

int queue_point_at(struct queue *q, const struct job *job, const char *event,
                   const char *target, queue_done_fn fn, void *arg, struct err *e)
{
    struct call *c = call_new(arg);
    struct args a;

    c->fn.done = fn;
    args_begin(&a, q);
    arg_owner(&a, q, job);
    arg_str(&a, event);
    arg_str(&a, target);
    return args_eval(q, &a, QUEUE_POINT_AT, on_done, c, e);
}

static void on_follow(void *arg, const struct redisReply *r, const struct err *e)
{
    struct call c = *(struct call *)arg;
    struct queue_follows f = {.reply = r};

    free(arg);
    if (r) {
        f.now_ms = int_at(r, 0);
        f.due_ms = int_at(r, 1);
        f.count = reply_count(r) > 2 ? reply_count(r) - 2 : 0;
    }
    c.fn.follow(c.arg, &f, e);
}

int queue_follow_take(struct queue *q, size_t most, int64_t hold_ms, queue_follow_fn fn,
                      void *arg, struct err *e)
{
    struct call *c = call_new(arg);
    struct args a;

    c->fn.follow = fn;
    args_begin(&a, q);
    arg_int(&a, (int64_t)most);
    arg_int(&a, hold_ms);
    return args_eval(q, &a, QUEUE_FOLLOW_TAKE, on_follow, c, e);
}

int queue_follow_item(const struct queue_follows *f, size_t i, struct queue_follow *out,
                      struct job *job, struct err *e)
{
    const struct redisReply *r = item(f->reply, 2 + i);

    if (reply_count(r) != 6)
        return err_set(e, ERR_BUG, 0, "follow_take answered something else");
    out->kind = str_at(r, 0);
    out->id = str_at(r, 1);
    (void)snprintf(out->token, sizeof out->token, "%s", str_at(r, 2));
    out->earlier_intent_ms = int_at(r, 3);
    out->fixed_url = str_at(r, 4);
    return decode_hash(reply_at(r, 5), out->id, job, e);
}

int queue_follow_done(struct queue *q, const char *kind, const char *id,
                      const char *token, int64_t delay_ms,
                      const struct queue_write *write, queue_done_fn fn, void *arg,
                      struct err *e)
{
    struct call *c = call_new(arg);
    struct args a;

    c->fn.done = fn;
    args_begin(&a, q);
    arg_str(&a, kind);
    arg_str(&a, id);
    arg_str(&a, token);
    arg_int(&a, delay_ms);
    arg_write(&a, write);
    return args_eval(q, &a, QUEUE_FOLLOW_DONE, on_done, c, e);
}

int queue_reap_worker(struct queue *q, const char *wid, queue_done_fn fn, void *arg,
                      struct err *e)
{
    struct call *c = call_new(arg);
    struct args a;

    c->fn.done = fn;
    args_begin(&a, q);
    arg_str(&a, wid);
    return args_eval(q, &a, QUEUE_REAP_WORKER, on_done, c, e);
}

int queue_trim(struct queue *q, queue_done_fn fn, void *arg, struct err *e)
{
    struct call *c = call_new(arg);
    struct args a;

    c->fn.done = fn;
    args_begin(&a, q);
    arg_int(&a, q->settings->retention_ms);
    return args_eval(q, &a, QUEUE_TRIM, on_done, c, e);
}

/* ---- an operator's part ---- */

static void on_answer(void *arg, const struct redisReply *r, const struct err *e)
{
    struct call c = *(struct call *)arg;

    free(arg);
    c.fn.answer(c.arg, str_at(r, 0), str_at(r, 1), e);
}

/* A script that takes a few texts and answers with words. */
static int ask(struct queue *q, enum queue_script script, const char *const *texts,
               queue_answer_fn fn, void *arg, struct err *e)
{
    struct call *c = call_new(arg);
    struct args a;

    c->fn.answer = fn;
    args_begin(&a, q);
    for (; *texts; texts++)
        arg_str(&a, *texts);
    return args_eval(q, &a, script, on_answer, c, e);
}

int queue_requeue(struct queue *q, const struct queue_requeue *what, queue_answer_fn fn,
                  void *arg, struct err *e)
{
    const char *const texts[] = {what->id,
                                 what->who,
                                 what->redo,
                                 what->mail_arrived ? "1" : "0",
                                 what->lift_limit ? "1" : "0",
                                 NULL};

    return ask(q, QUEUE_REQUEUE, texts, fn, arg, e);
}

int queue_resend(struct queue *q, const char *id, const char *who, queue_answer_fn fn,
                 void *arg, struct err *e)
{
    const char *const texts[] = {id, who, NULL};

    return ask(q, QUEUE_RESEND, texts, fn, arg, e);
}

int queue_discard(struct queue *q, const char *id, const char *who, queue_answer_fn fn,
                  void *arg, struct err *e)
{
    const char *const texts[] = {id, who, NULL};

    return ask(q, QUEUE_DISCARD, texts, fn, arg, e);
}
