/* queue_call: how the queue's calls are built and answered: arguments of a script, what
 * waits for its reply, pieces of a reply. For queue*.c only; everybody else uses
 * queue.h. */
#ifndef STOPGAP_QUEUE_CALL_H
#define STOPGAP_QUEUE_CALL_H

#include "queue.h"
#include "queue_lua.h"

#define QUEUE_ARGS_MAX 160 /* twice a QUEUE_WRITE_MAX, its deletions, and some more */

struct queue {
    struct redis *redis;
    const struct settings *settings;
    char prefix[128];
    char wid[160];
};

/* Arguments of one call; texts made here live in `made`. */
struct queue_args {
    const char *v[QUEUE_ARGS_MAX];
    size_t len[QUEUE_ARGS_MAX];
    int n;
    char made[24][32];
    size_t made_count;
};

void queue_args_begin(struct queue_args *a, const struct queue *q);
void queue_arg_bytes(struct queue_args *a, const char *bytes,
                     size_t len);                           /* borrowed */
void queue_arg_str(struct queue_args *a, const char *text); /* borrowed */
void queue_arg_int(struct queue_args *a, int64_t n);
void queue_arg_owner(struct queue_args *a, const struct queue *q,
                     const struct job *job);
void queue_arg_write(struct queue_args *a, const struct queue_write *w);

/* What a reply is waited for: the typed callback and its argument. */
struct queue_call {
    union {
        queue_beat_fn beat;
        queue_take_fn take;
        queue_save_fn save;
        queue_claim_fn claim;
        queue_done_fn done;
        queue_follow_fn follow;
        queue_tell_fn tell;
        queue_settled_fn settled;
        queue_answer_fn answer;
        queue_lane_fn lane;
        queue_findings_fn findings;
        queue_depth_fn depth;
    } fn;
    void *arg;
    redis_fn on_reply; /* what is below is queue_call_eval's */
    struct redis *redis;
    enum queue_script script;
};

struct queue_call *queue_call_new(void *arg);

/* Sends it; frees the call if it could not be sent, else on_reply does. A reply that
 * has not the script's form never gets there: it counts as a lost one. */
int queue_call_eval(struct queue *q, struct queue_args *a, enum queue_script script,
                    redis_fn on_reply, struct queue_call *c, struct err *e) MUST_CHECK;

/* For scripts that answer {0} or {1}: runs call->fn.done. */
void queue_on_done(void *arg, const struct redisReply *r, const struct err *e);

/* Item i of a reply: NULL, -1 or "" where there is none. */
const struct redisReply *queue_item(const struct redisReply *r, size_t i);
int64_t queue_int_at(const struct redisReply *r, size_t i);
const char *queue_str_at(const struct redisReply *r, size_t i);

/* HGETALL's flat array to a job. */
int queue_decode_hash(const struct redisReply *flat, const char *id, struct job *out,
                      struct err *e) MUST_CHECK;

/* The index of word in names; count if it is none of them. */
unsigned queue_word_index(const char *word, const char *const *names, unsigned count);

#endif
