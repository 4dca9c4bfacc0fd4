/* queue_operator: an operator's part of queue.h: scripts that answer in words, and the
 * one that judges what is suspected. */
#include "queue_call.h"

#include <stdlib.h>

static void on_answer(void *arg, const struct redisReply *r, const struct err *e)
{
    struct queue_call c = *(struct queue_call *)arg;

    free(arg);
    c.fn.answer(c.arg, queue_str_at(r, 0), queue_str_at(r, 1), e);
}

/* A script that takes a few texts and answers with words. */
static int ask(struct queue *q, enum queue_script script, const char *const *texts,
               queue_answer_fn fn, void *arg, struct err *e)
{
    struct queue_call *c = queue_call_new(arg);
    struct queue_args a;

    c->fn.answer = fn;
    queue_args_begin(&a, q);
    for (; *texts; texts++)
        queue_arg_str(&a, *texts);
    return queue_call_eval(q, &a, script, on_answer, c, e);
}

int queue_requeue(struct queue *q, const struct queue_requeue *what, queue_answer_fn fn,
                  void *arg, struct err *e)
{
    const char *const texts[] = {what->id,
                                 what->by->who,
                                 what->redo,
                                 what->mail_arrived ? "1" : "0",
                                 what->lift_limit ? "1" : "0",
                                 what->by->from,
                                 NULL};

    return ask(q, QUEUE_REQUEUE, texts, fn, arg, e);
}

int queue_resend(struct queue *q, const char *id, const struct queue_by *by,
                 const char *request, queue_answer_fn fn, void *arg, struct err *e)
{
    const char *const texts[] = {id, by->who, request, by->from, NULL};

    return ask(q, QUEUE_RESEND, texts, fn, arg, e);
}

int queue_discard(struct queue *q, const char *id, const struct queue_by *by,
                  queue_answer_fn fn, void *arg, struct err *e)
{
    const char *const texts[] = {id, by->who, by->from, NULL};

    return ask(q, QUEUE_DISCARD, texts, fn, arg, e);
}

int queue_submit(struct queue *q, const struct queue_submit *request,
                 queue_answer_fn fn, void *arg, struct err *e)
{
    struct queue_call *c = queue_call_new(arg);
    struct queue_args a;

    c->fn.answer = fn;
    queue_args_begin(&a, q);
    queue_arg_str(&a, request->id);
    queue_arg_bytes(&a, request->raw, request->raw_len);
    queue_arg_str(&a, request->by->who);
    queue_arg_str(&a, request->by->from);
    queue_arg_str(&a, request->what);
    return queue_call_eval(q, &a, QUEUE_SUBMIT, on_answer, c, e);
}

int queue_pause(struct queue *q, const char *reason, const struct queue_by *by,
                queue_answer_fn fn, void *arg, struct err *e)
{
    const char *const texts[] = {reason ? "1" : "0", reason ? reason : "", by->who,
                                 by->from, NULL};

    return ask(q, QUEUE_PAUSE, texts, fn, arg, e);
}

int queue_forget(struct queue *q, const struct queue_forget *what, queue_answer_fn fn,
                 void *arg, struct err *e)
{
    struct queue_call *c = queue_call_new(arg);
    struct queue_args a;

    c->fn.answer = fn;
    queue_args_begin(&a, q);
    queue_arg_str(&a, what->id);
    queue_arg_str(&a, what->doing ? "1" : "0");
    queue_arg_str(&a, what->by->who);
    queue_arg_str(&a, what->by->from);
    queue_arg_int(&a, JOB_VERSION);
    queue_arg_str(&a, what->cap);
    for (size_t i = 0; i < QUEUE_FORGET_ADDRESSES && what->addresses[i]; i++)
        queue_arg_str(&a, what->addresses[i]);
    return queue_call_eval(q, &a, QUEUE_FORGET, on_answer, c, e);
}

static void on_findings(void *arg, const struct redisReply *r, const struct err *e)
{
    struct queue_call c = *(struct queue_call *)arg;
    struct queue_findings f = {.count = 0};

    free(arg);
    for (size_t i = 1; r && i + 2 < reply_count(r) && f.count < QUEUE_CHECK_FINDINGS;
         i += 3, f.count++) {
        f.v[f.count].kind = queue_str_at(r, i);
        f.v[f.count].detail = queue_str_at(r, i + 1);
        f.v[f.count].mended = *queue_str_at(r, i + 2) == '1';
    }
    c.fn.findings(c.arg, &f, e);
}

int queue_check(struct queue *q, const struct queue_check *what, queue_findings_fn fn,
                void *arg, struct err *e)
{
    struct queue_call *c = queue_call_new(arg);
    struct queue_args a;

    c->fn.findings = fn;
    queue_args_begin(&a, q);
    queue_arg_str(&a, what->rule);
    queue_arg_str(&a, what->subject);
    queue_arg_str(&a, what->repair ? "1" : "0");
    queue_arg_str(&a, what->by->who);
    queue_arg_int(&a, JOB_VERSION);
    queue_arg_str(&a, what->by->from);
    for (size_t i = 0; i < QUEUE_CHECK_MORE && what->more[i]; i++)
        queue_arg_str(&a, what->more[i]);
    return queue_call_eval(q, &a, QUEUE_FSCK, on_findings, c, e);
}
