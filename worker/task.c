/* task: the order of work, and what an outcome does to a job. The step table, the
 * driver and the one place where error classes become outcomes are here and nowhere
 * else. */
#include "task.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "follow.h"
#include "license.h"
#include "log.h"
#include "mem.h"
#include "settings.h"
#include "step.h"
#include "teller.h"
#include "when.h"

static const struct {
    enum outcome (*run)(struct task *t);
} steps[STEP_COUNT] = {
    [STEP_VALIDATE] = {step_validate}, [STEP_SIGN] = {step_sign},
    [STEP_EMAIL] = {step_email},       [STEP_RECORD] = {step_record},
    [STEP_CLOSE] = {step_close},       [STEP_ACK] = {NULL}, /* the end itself */
};

/* ---- log and marks ---- */

void task_log(struct task *t, struct log_line *l, int level, const char *event)
{
    log_begin(l, (enum log_level)level, event);
    log_str(l, "job", t->job.id);
    if (t->job.request.ticket_id)
        log_int(l, "ticket", t->job.request.ticket_id);
}

static void count_step(struct task *t, enum outcome outcome)
{
    struct counts *c = &t->worker->counts;

    c->steps[t->at][t->snooze_ms ? COUNTS_WAITS : outcome]++;
    if (outcome == OUTCOME_DONE)
        metrics_note(&c->step_took[t->at],
                     worker_loop_ms(t->worker) - t->step_since_ms);
}

static void log_step(struct task *t, enum outcome outcome)
{
    static const char *const names[] = {"done", "failed", "gone", "pending"};
    const struct job_step_mark *mark = &t->job.steps[t->at];
    struct log_line l;
    int level = LOG_INFO;

    if (outcome == OUTCOME_FAILED)
        level = t->err.class == ERR_BUG ? LOG_ERROR : LOG_WARN;
    task_log(t, &l, level, "step");
    log_str(&l, "step", job_step_name(t->at));
    log_str(&l, "outcome", t->snooze_ms ? "waits" : names[outcome]);
    log_int(&l, "attempt", t->job.attempt);
    log_int(&l, "took_ms", worker_loop_ms(t->worker) - t->step_since_ms);
    if (outcome == OUTCOME_FAILED)
        log_err(&l, &t->err);
    else if (mark->words && *mark->words)
        log_str(&l, "remote", mark->words);
    log_end(&l);
}

void task_mark(struct task *t, enum job_step step, const char *words)
{
    static const char *const fields[] = {"s:validate", "s:sign",  "s:email",
                                         "s:record",   "s:close", "s:ack"};
    struct job_step_mark *mark = &t->job.steps[step];
    struct buf text;

    t->unseen = true;
    mark->at_ms = worker_now_ms(t->worker);
    mark->took_ms = worker_loop_ms(t->worker) - t->step_since_ms;
    mem_set(&mark->words, words);
    buf_init(&text, 2 * ERR_TEXT_MAX);
    buf_addf(&text, "@now@ %lld %s", (long long)mark->took_ms, words);
    queue_write_bytes(&t->dirty, fields[step], text.data, text.len);
    if (t->late_step == step)
        queue_write_bytes(&t->late, fields[step], text.data, text.len);
    buf_done(&text);
}

/* ---- life ---- */

static void unlink_and_free(struct task *t)
{
    struct worker *w = t->worker;

    if (t->prev)
        t->prev->next = t->next;
    else
        w->tasks = t->next;
    if (t->next)
        t->next->prev = t->prev;
    w->task_count--;
    if (t->solo)
        w->solo = false;
    job_done(&t->job);
    queue_write_done(&t->dirty);
    queue_write_done(&t->late);
    buf_done(&t->end_event);
    buf_done(&t->mail);
    free(t->mail_reply);
    free(t);
}

static void task_free(struct task *t)
{
    struct worker *w = t->worker;

    assert(!t->pending && !t->call && !t->smtp);
    unlink_and_free(t);
    worker_task_ended(w);
}

void task_drop_all(struct worker *w)
{
    while (w->tasks)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the last one was taken off */
        unlink_and_free(w->tasks);
}

/* ---- the end of a task ---- */

static void log_end_of_job(struct task *t)
{
    static const char *const ends[] = {"done", "failed", "retry", "waits", "released"};
    struct log_line l;

    task_log(t, &l, t->end_verb == QUEUE_FAIL ? LOG_WARN : LOG_INFO, "job");
    log_str(&l, "outcome", ends[t->end_verb]);
    log_int(&l, "attempt", t->job.attempt);
    log_int(&l, "took_ms", worker_loop_ms(t->worker) - t->taken_ms);
    if (t->end_verb == QUEUE_DONE && t->job.accepted_ms)
        log_int(&l, "since_accepted_ms", worker_now_ms(t->worker) - t->job.accepted_ms);
    if (t->end_delay_ms)
        log_int(&l, "again_in_ms", t->end_delay_ms);
    if (t->end_verb != QUEUE_DONE)
        log_err(&l, &t->err);
    log_end(&l);
}

static void count_end_of_job(const struct task *t)
{
    struct counts *c = &t->worker->counts;

    c->jobs[t->end_verb]++;
    if (t->end_verb == QUEUE_DONE && t->job.accepted_ms)
        metrics_note(&c->job_took, worker_now_ms(t->worker) - t->job.accepted_ms);
    if (t->end_verb == QUEUE_RETRY)
        c->retries[t->err.class]++;
    if (t->end_verb == QUEUE_FAIL)
        c->failures[t->err.class]++;
}

static void on_finished(void *arg, bool yours, const struct err *e)
{
    struct task *t = arg;

    if (task_call_again(t, e))
        return;
    if (!yours && t->late_step < STEP_COUNT) {
        task_call(t, task_flush_late); /* resumes with GONE, which frees */
        return;
    }
    t->pending = false;
    if (yours) {
        count_end_of_job(t);
        log_end_of_job(t);
    }
    if (yours && t->end_verb == QUEUE_FAIL)
        follow_poke(t->worker->follow);
    if (yours && (t->end_verb == QUEUE_FAIL || t->end_verb == QUEUE_DONE))
        teller_poke(t->worker->teller);
    task_free(t);
}

static void finish_send(struct task *t)
{
    struct err e;

    if (queue_finish(t->worker->queue, &t->job, t->end_verb, t->end_delay_ms,
                     t->end_event.data, &t->dirty, on_finished, t, &e))
        (void)task_call_again(t, &e);
}

static void finish(struct task *t, enum queue_verb verb, int64_t delay_ms)
{
    t->end_verb = verb;
    t->end_delay_ms = delay_ms;
    t->pending = true;
    task_call(t, finish_send);
}

static void write_error(struct task *t)
{
    queue_write_str(&t->dirty, "err_class", err_class_name(t->err.class));
    queue_write_str(&t->dirty, "err_step", job_step_name(t->at));
    queue_write_int(&t->dirty, "err_code", t->err.code);
    queue_write_str(&t->dirty, "err_text", t->err.text);
}

static void forget_error(struct task *t)
{
    static const char *const fields[] = {"err_class", "err_step", "err_code",
                                         "err_text", "first_error_ms"};
    bool some = t->job.has_error || t->job.first_error_ms;

    for (size_t i = 0; some && i < ARRAY_LEN(fields); i++)
        queue_write_del(&t->dirty, fields[i]);
}

static bool gave_up(const struct task *t)
{
    const struct worker *w = t->worker;

    if (t->job.steps[STEP_EMAIL].at_ms) /* the mail is out: never give up the record */
        return false;
    return t->job.first_error_ms &&
           worker_now_ms(w) - t->job.first_error_ms > w->settings->give_up_after_ms;
}

static bool out_of_resends(const struct task *t)
{
    const struct settings *s = t->worker->settings;

    return s->on_ambiguous_hold || t->job.ambiguous > s->max_ambiguous;
}

/* Classes become outcomes here. */
static enum queue_verb verb_of(const struct task *t)
{
    switch (t->err.class) {
    case ERR_CANCELLED:
        return QUEUE_RELEASE;
    case ERR_AUTH:
    case ERR_RATE_LIMITED:
        return QUEUE_SNOOZE;
    case ERR_TRANSIENT:
        return gave_up(t) ? QUEUE_FAIL : QUEUE_RETRY;
    case ERR_AMBIGUOUS:
        return out_of_resends(t) ? QUEUE_FAIL : QUEUE_RETRY;
    default:
        return QUEUE_FAIL;
    }
}

/* The lane keeps this job waiting, rather than what was said of the job itself: it is
 * woken when the lane opens. */
static bool waits_for_lane(const struct task *t, enum queue_verb verb)
{
    if (!t->lane || lane_is_open(t->lane))
        return false;
    return verb == QUEUE_RETRY || t->snooze_ms || !t->err.retry_after_ms;
}

static int64_t wait_of(const struct task *t, enum queue_verb verb)
{
    if (t->snooze_ms)
        return t->snooze_ms;
    if (waits_for_lane(t, verb))
        return lane_left_ms(t->lane, worker_loop_ms(t->worker)) +
               lane_spread_ms(t->lane, randombytes_random());
    return t->err.retry_after_ms;
}

static int64_t delay_of(const struct task *t, enum queue_verb verb)
{
    const struct settings *s = t->worker->settings;
    uint32_t random = randombytes_random();

    if (verb == QUEUE_SNOOZE || (verb == QUEUE_RETRY && waits_for_lane(t, verb))) {
        int64_t wait = wait_of(t, verb);

        /* Jitter after what was asked, never before it. */
        return wait +
               backoff_delay_ms(1, s->backoff_base_ms, s->backoff_cap_ms, random);
    }
    if (verb == QUEUE_RETRY)
        return backoff_delay_ms(t->job.attempt, s->backoff_base_ms, s->backoff_cap_ms,
                                random);
    return 0;
}

static void note_lane(struct task *t, enum queue_verb verb)
{
    if (waits_for_lane(t, verb))
        queue_write_str(&t->dirty, "lane", t->lane->name);
    else
        queue_write_del(&t->dirty, "lane");
}

static void settle_failed(struct task *t)
{
    static const char *const words[] = {"", "failed", "will try again", "waits",
                                        "released"};
    enum queue_verb verb = t->snooze_ms ? QUEUE_SNOOZE : verb_of(t);

    if (verb == QUEUE_RETRY && !t->job.first_error_ms)
        queue_write_str(&t->dirty, "first_error_ms", "@now@");
    if (verb == QUEUE_RETRY || verb == QUEUE_SNOOZE)
        note_lane(t, verb);
    if (verb == QUEUE_FAIL && t->err.class == ERR_TRANSIENT)
        (void)err_wrap(&t->err, "gave up");
    if (verb != QUEUE_RELEASE) {
        write_error(t);
        buf_addf(&t->end_event, "%s at %s, %s: %s", words[verb], job_step_name(t->at),
                 err_class_name(t->err.class), t->err.text);
    }
    finish(t, verb, delay_of(t, verb));
}

/* ---- the driver ---- */

/* The first step without a mark; STEP_ACK when all have one. */
static enum job_step next_step(const struct task *t)
{
    enum job_step s = STEP_VALIDATE;

    while (s < STEP_ACK && t->job.steps[s].at_ms)
        s++;
    return s;
}

/* True: no step is begun any more, the job is on its way back. */
static bool given_back(struct task *t)
{
    if (!t->worker->ending)
        return false;
    (void)err_set(&t->err, ERR_CANCELLED, 0, "this worker stops");
    settle_failed(t);
    return true;
}

/* The only function that moves a task on. True: there is more to run now. */
static bool apply(struct task *t, enum outcome outcome)
{
    if (t->at < STEP_ACK)
        count_step(t, outcome);
    if (t->at < STEP_ACK && outcome != OUTCOME_GONE)
        log_step(t, outcome);
    if (t->probes)
        t->lane->probing = t->probes = false; /* whatever came of it was told */
    if (outcome == OUTCOME_FAILED) {
        settle_failed(t);
        return false;
    }
    if (outcome == OUTCOME_GONE) {
        task_free(t);
        return false;
    }
    t->at = next_step(t);
    t->step_since_ms = worker_loop_ms(t->worker);
    if (t->at < STEP_ACK)
        return !given_back(t);
    forget_error(t);
    finish(t, QUEUE_DONE, 0);
    return false;
}

static void advance(struct task *t)
{
    enum outcome outcome;

    do {
        assert(!t->pending);
        t->pending = true;
        outcome = task_has_license(t) ? steps[t->at].run(t) : OUTCOME_FAILED;
        if (outcome == OUTCOME_PENDING)
            return; /* the completion owns the next move */
        t->pending = false;
    } while (apply(t, outcome));
}

void task_resume(struct task *t, enum outcome outcome)
{
    assert(t->pending && outcome != OUTCOME_PENDING);
    t->pending = false;
    if (apply(t, outcome))
        advance(t);
}

/* One that counts days lost the first when its date had ended. */
static bool is_stale(const struct job *j, int64_t now_ms)
{
    return now_ms - j->issued_ms > WHEN_DAY_MS ||
           (license_counts_days(j->license_format) &&
            when_day(now_ms) != when_day(j->issued_ms));
}

/* A license that nobody can have been sent yet is not mailed when it is a day old. */
static void forget_stale_license(struct task *t)
{
    struct job *j = &t->job;

    if (!j->steps[STEP_SIGN].at_ms || j->frozen || j->steps[STEP_EMAIL].at_ms)
        return;
    if (is_stale(j, worker_now_ms(t->worker)))
        j->steps[STEP_SIGN].at_ms = 0;
}

static struct task *task_new(struct worker *w, struct job *job)
{
    struct task *t = mem_new(1, sizeof *t);

    t->worker = w;
    t->job = *job;
    *job = (struct job){0};
    t->unseen = true;
    t->late_step = STEP_COUNT;
    t->taken_ms = t->step_since_ms = worker_loop_ms(w);
    queue_write_init(&t->dirty);
    queue_write_init(&t->late);
    buf_init(&t->end_event, 4096);
    t->next = w->tasks;
    if (w->tasks)
        w->tasks->prev = t;
    w->tasks = t;
    w->task_count++;
    return t;
}

void task_refuse(struct worker *w, struct job *job, const struct err *why)
{
    struct task *t = task_new(w, job);

    t->err = *why;
    settle_failed(t);
}

void task_start(struct worker *w, struct job *job, bool solo)
{
    struct task *t = task_new(w, job);

    t->solo = solo;
    w->solo = w->solo || solo;
    forget_stale_license(t);
    t->at = next_step(t);
    if (t->at == STEP_ACK) {
        finish(t, QUEUE_DONE, 0);
        return;
    }
    if (!given_back(t))
        advance(t);
}
