/* step_validate_ticket: the part of validate that reads the ticket, where credentials
 * of Zendesk are set. What agrees with what: ticket.h. A job waits for Zendesk without
 * an attempt counted, and goes on without it when it has been out of reach for long. */
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "settings.h"
#include "step.h"
#include "ticket.h"
#include "zendesk.h"

#define ASK_AGAIN_MS 2000

struct reading {
    struct task *task;
    struct zendesk_ticket ticket;
};

static enum outcome checked(struct task *t)
{
    if (t->job.warning)
        queue_write_del(&t->dirty, "warning");
    mem_set(&t->job.warning, NULL);
    task_mark(t, STEP_VALIDATE, "the ticket agrees");
    return OUTCOME_DONE;
}

static enum outcome refuse(struct task *t)
{
    queue_write_str(&t->dirty, "ticket_fault", "1");
    return OUTCOME_FAILED;
}

/* The license is worth more than the check; whoever reads the issue can make it. */
static enum outcome go_on(struct task *t, const struct err *why)
{
    struct buf text;

    buf_init(&text, 2 * ERR_TEXT_MAX);
    buf_addf(&text,
             "The ticket could not be read, so nobody has checked that the address is "
             "its requester's and that it is not closed: please do. (%s)",
             why->text);
    mem_set(&t->job.warning, text.data);
    queue_write_str(&t->dirty, "warning", text.data);
    buf_done(&text);
    task_mark(t, STEP_VALIDATE, "without the ticket");
    return OUTCOME_DONE;
}

/* wait_ms: until its lane is open; 0: it is. */
static enum outcome out_of_reach(struct task *t, const struct err *why, int64_t wait_ms)
{
    int64_t patience_ms = ticket_patience_ms(t->worker);
    int64_t pause_ms = wait_ms ? wait_ms : ASK_AGAIN_MS;

    if (!patience_ms)
        return go_on(t, why);
    t->snooze_ms = pause_ms < patience_ms ? pause_ms : patience_ms;
    t->err = *why;
    return OUTCOME_FAILED;
}

static enum outcome judge(struct task *t, const struct zendesk_ticket *ticket,
                          const struct err *e)
{
    const struct err answered = {.class = ERR_NONE};
    struct worker *w = t->worker;

    if (e->code == 403) { /* no right to this ticket: waiting would not help */
        worker_lane_report(w, &w->zendesk_lane, &answered);
        return go_on(t, e);
    }
    worker_lane_report(w, &w->zendesk_lane, e);
    ticket_heard(w, e);
    switch (e->class) {
    case ERR_NONE:
        return ticket_check(ticket, &t->job.request, &t->err) ? refuse(t) : checked(t);
    case ERR_PERMANENT:
        (void)err_set(&t->err, ERR_INVALID, e->code,
                      "ticket_id: Zendesk does not show ticket %lld: %s",
                      (long long)t->job.request.ticket_id, e->text);
        return refuse(t);
    case ERR_CANCELLED:
        t->err = *e;
        return OUTCOME_FAILED;
    default:
        return out_of_reach(t, e, lane_left_ms(&w->zendesk_lane, worker_loop_ms(w)));
    }
}

static void on_read(void *arg, const struct err *e)
{
    struct reading r = *(struct reading *)arg;

    free(arg);
    task_resume(r.task, judge(r.task, &r.ticket, e));
}

static enum outcome read_it(struct task *t)
{
    struct reading *r = mem_new(1, sizeof *r);

    t->patience_ms = 0;
    r->task = t;
    zendesk_read_ticket(t->worker->zendesk, t->job.request.ticket_id, &r->ticket,
                        on_read, r);
    return OUTCOME_PENDING;
}

enum outcome step_validate_ticket(struct task *t)
{
    struct worker *w = t->worker;

    if (!w->settings->zendesk_user || t->job.released) {
        task_mark(t, STEP_VALIDATE, "");
        return OUTCOME_DONE;
    }
    if (!w->zendesk) {
        (void)err_set(&t->err, ERR_CANCELLED, 0, "this worker stops");
        return OUTCOME_FAILED;
    }
    if (!lane_is_open(&w->zendesk_lane))
        ticket_unheard(w, &w->zendesk_lane.why);
    t->patience_ms = ticket_patience_ms(w);
    if (!t->patience_ms) /* those who tell find out when it is back */
        return go_on(t, &w->zendesk_why);
    return task_lane(t, &w->zendesk_lane, read_it);
}
