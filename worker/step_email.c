/* step_email: one mail, at least once. The server is brought to the point where only
 * the content is missing; then the intent is made durable; then the content leaves. So
 * an intent in the record means: from here on the mail may be out. */
#include <stdio.h>
#include <string.h>

#include "crash.h"
#include "log.h"
#include "mail.h"
#include "mem.h"
#include "queue_confirm.h"
#include "settings.h"
#include "smtp.h"
#include "step.h"
#include "when.h"

#define REPLICA_PAUSE_MS 1000 /* of a job whose intent was not confirmed */

static void log_ambiguous(struct task *t, const char *why)
{
    struct log_line l;

    t->worker->counts.ambiguous++;
    task_log(t, &l, LOG_WARN, "ambiguous");
    log_int(&l, "count", t->job.ambiguous);
    log_str(&l, "why", why);
    log_end(&l);
}

/* A former owner's intent without a result: it died, or froze, in the gap. */
static void count_former_intent(struct task *t)
{
    t->job.ambiguous++;
    t->job.email_intent.at_ms = 0;
    queue_write_int(&t->dirty, "ambiguous", t->job.ambiguous);
    log_ambiguous(
        t, "the worker that had it stopped while the mail may have been on its way");
}

static void count_lost_answer(struct task *t)
{
    t->job.ambiguous++;
    queue_write_int(&t->dirty, "ambiguous", t->job.ambiguous);
    log_ambiguous(t, t->err.text);
}

static void write_result(struct task *t, struct queue_write *w)
{
    queue_write_str(w, "msgid", t->job.message_id);
    queue_write_int(w, "ambiguous", t->job.ambiguous);
    queue_write_del(w, "i:email");
}

static enum outcome mail_taken(struct task *t, const char *reply)
{
    t->late_step = STEP_EMAIL;
    write_result(t, &t->dirty);
    write_result(t, &t->late);
    task_mark(t, STEP_EMAIL, reply);
    return OUTCOME_DONE;
}

/* Runs once both the server and Redis have spoken. */
static enum outcome conclude(struct task *t)
{
    t->err = t->mail_err;
    if (t->err.class == ERR_NONE)
        return mail_taken(t, t->mail_reply);
    if (t->err.class == ERR_AMBIGUOUS)
        count_lost_answer(t);
    queue_write_del(&t->dirty, "i:email"); /* counted, or nothing of the content left */
    return OUTCOME_FAILED;
}

/* What a server says of one mailbox for now says nothing of the server. */
static void report_to_lane(struct task *t, const struct smtp_result *result)
{
    const struct err fine = {.class = ERR_NONE};
    bool mailbox = result->stage == SMTP_RCPT && result->err.code >= 450;

    worker_lane_report(t->worker, &t->worker->smtp_lane,
                       mailbox ? &fine : &result->err);
}

static void on_sent(void *arg, const struct smtp_result *result)
{
    struct task *t = arg;

    t->smtp = NULL;
    buf_done(&t->mail); /* ten kilobytes that the rest of the job has no use for */
    t->mail_err = result->err;
    mem_set(&t->mail_reply, result->reply);
    report_to_lane(t, result);
    if (!t->cancelling &&
        !t->call) /* else Redis's answer about the intent comes first */
        task_resume(t, conclude(t));
}

/* The intent is durable. */
static void let_go(struct task *t)
{
    if (!t->smtp) {
        task_resume(t, conclude(t));
        return;
    }
    if (worker_lease_is_safe(t->worker)) {
        smtp_release(t->smtp);
        return;
    }
    step_email_abandon(t);
    (void)err_set(&t->mail_err, ERR_CANCELLED, 0,
                  "the lease was nearly over before the mail could leave");
    task_resume(t, conclude(t));
}

/* ---- replicas that have to know of an intent ---- */

/* Otherwise each job would have a mail server wait for content that does not come. The
 * first after an interval tries. */
static bool replicas_are_away(struct task *t)
{
    struct lane *l = &t->worker->replica_lane;
    int64_t now_ms = worker_loop_ms(t->worker);

    if (lane_is_open(l))
        return false;
    t->snooze_ms = lane_left_ms(l, now_ms);
    t->err = l->why;
    if (t->snooze_ms)
        return true;
    l->closed_until_ms = now_ms + l->interval_ms;
    l->probing = true;
    return false;
}

/* A failover now could forget the intent: nothing leaves, and no attempt is counted. */
static void put_off(struct task *t, const struct err *e)
{
    step_email_abandon(t);
    t->err = *e;
    t->snooze_ms = REPLICA_PAUSE_MS;
    queue_write_del(&t->dirty, "i:email");
    task_resume(t, OUTCOME_FAILED);
}

static void on_confirmed(void *arg, const struct err *e)
{
    const struct err fine = {.class = ERR_NONE};
    struct task *t = arg;

    if (t->worker->closing)
        return; /* the job is left to the lease */
    (void)task_call_again(t, &fine);
    /* All workers find out at the same moment. */
    worker_lane_report_here(t->worker, &t->worker->replica_lane, e);
    if (e->class == ERR_NONE || !t->smtp)
        let_go(t);
    else
        put_off(t, e);
}

static void ask_replicas(struct task *t)
{
    queue_confirm_ask(t->worker->confirm, on_confirmed, t);
}

static void on_intent(struct task *t)
{
    CRASH_POINT("email.intent");
    t->job.frozen = true;
    if (t->worker->settings->redis_wait)
        task_call(t, ask_replicas);
    else
        let_go(t);
}

static void on_ready(void *arg)
{
    struct task *t = arg;
    char intent[256];

    (void)snprintf(intent, sizeof intent, "%s %lld @now@", t->worker->wid,
                   (long long)t->job.fence);
    queue_write_str(&t->dirty, "i:email", intent);
    queue_write_str(&t->dirty, "frozen", "1");
    t->guard = "s:email";
    step_sign_caps(t);
    task_flush(t, on_intent);
}

static int build(struct task *t)
{
    const struct settings *s = t->worker->settings;
    const struct job *j = &t->job;
    char file[64], id[320];
    struct mail m = {
        .job_id = j->id,
        .from = s->mail_from,
        .reply_to = s->mail_reply_to,
        .to = j->request.email,
        .date_ms = j->mail_date_ms,
        .serial = j->mail_serial,
        .ticket_id = j->request.ticket_id,
        .users = j->request.users,
        .issued_ms = j->issued_ms,
        .expires_ms = j->expires_ms,
        .license = j->license,
        .license_format = j->license_format,
        .file_name = file,
    };

    (void)snprintf(file, sizeof file, "ticket-%lld%s", (long long)m.ticket_id,
                   license_file_suffix(j->license_format));
    mail_message_id(&m, id);
    mem_set(&t->job.message_id, id);
    buf_done(&t->mail);
    buf_init(&t->mail, MAIL_MAX_BYTES);
    return mail_build(&m, t->worker->templates, &t->mail, &t->err);
}

/* -1 with t->err when this job must not be mailed now. */
static int may_mail(struct task *t)
{
    const struct settings *s = t->worker->settings;
    int64_t now_ms = worker_now_ms(t->worker);

    if (t->job.email_intent.at_ms) {
        count_former_intent(t);
        if (s->on_ambiguous_hold || t->job.ambiguous > s->max_ambiguous)
            return err_set(&t->err, ERR_AMBIGUOUS, 0,
                           "the mail may or may not have been sent: the worker stopped "
                           "while it was on its way");
    }
    if (t->job.expires_ms <= now_ms)
        return err_set(&t->err, ERR_PERMANENT, 0,
                       "the license has expired before it could be mailed: "
                       "`stopgapctl requeue %s --redo sign` makes a new one",
                       t->job.id);
    if (now_ms - t->job.issued_ms > WHEN_DAY_MS && !t->job.frozen)
        return err_set(&t->err, ERR_TRANSIENT, 0,
                       "a day has passed between the license and its mail; the next "
                       "attempt makes a new one");
    if (now_ms - t->job.issued_ms > WHEN_DAY_MS && t->job.mail_serial == 0)
        return err_set(
            &t->err, ERR_PERMANENT, 0,
            "the license was signed more than 24 hours ago and has too little "
            "of its term left: `stopgapctl requeue %s --redo sign` makes a new "
            "one",
            t->job.id);
    return 0;
}

static enum outcome mail_it(struct task *t)
{
    static const struct smtp_events events = {.on_ready = on_ready, .on_done = on_sent};
    struct worker *w = t->worker;
    struct smtp_mail mail;

    if (step_sign_recheck(t) || may_mail(t) || build(t))
        return OUTCOME_FAILED;
    mail = (struct smtp_mail){.from = w->settings->mail_bounce_to,
                              .to = t->job.request.email,
                              .envid = t->job.id,
                              .data = t->mail.data,
                              .len = t->mail.len};
    t->smtp = smtp_send(w->smtp, &mail, &events, t);
    return OUTCOME_PENDING;
}

enum outcome step_email(struct task *t)
{
    if (replicas_are_away(t))
        return OUTCOME_FAILED;
    /* Before a former intent is counted: while the lane is closed it stays as it is. */
    return task_lane(t, &t->worker->smtp_lane, mail_it);
}

void step_email_abandon(struct task *t)
{
    if (!t->smtp)
        return;
    t->cancelling = true;
    smtp_cancel(t->smtp); /* on_sent runs inside */
    t->cancelling = false;
}

void step_email_stop(struct task *t)
{
    if (!t->smtp)
        return;
    step_email_abandon(t);
    if (!t->call)
        task_resume(t, conclude(t));
}
