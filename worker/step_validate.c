/* step_validate: every rule about a request, once. Reads the raw bytes, claims the keys
 * that tell duplicates apart, checks the scope. What the rules are: common/request.h.
 */
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "mem.h"
#include "settings.h"
#include "step.h"

static void keep_readable_parts(struct task *t)
{
    struct buf req;

    buf_init(&req, 65536);
    request_encode(&t->job.request, &req);
    queue_write_bytes(&t->dirty, "req", req.data, req.len);
    if (t->job.request.ticket_id)
        queue_write_int(&t->dirty, "ticket", t->job.request.ticket_id);
    buf_done(&req);
}

/* lifted: an operator has let it pass the caps. */
static struct request_rules rules_of(const struct task *t, bool lifted)
{
    const struct settings *s = t->worker->settings;

    return (struct request_rules){.zendesk_url = s->zendesk_url,
                                  .scope_required = s->scope_required,
                                  .max_users = lifted ? 0 : s->max_users};
}

static int read_request(const struct task *t, bool lifted, struct request *out,
                        struct buf *faults)
{
    const struct request_rules rules = rules_of(t, lifted);

    return request_parse(t->job.raw ? t->job.raw : "", job_raw_total(&t->job), &rules,
                         out, faults);
}

/* Nothing is wrong with it but that it asks for more than STOPGAP_MAX_USERS. */
static bool only_asks_for_too_many(const struct task *t)
{
    struct request request;
    struct buf faults;
    int rc;

    buf_init(&faults, 65536);
    rc = read_request(t, true, &request, &faults);
    buf_done(&faults);
    return rc == 0;
}

/* All faults in one text, for the timeline, the issue and `show`. */
static enum outcome refuse(struct task *t, const struct buf *faults)
{
    bool limit = only_asks_for_too_many(t);
    struct buf text;

    buf_init(&text, ERR_TEXT_MAX * 4);
    for (size_t i = 0; i < faults->len; i++) {
        char c = faults->data[i];

        if (c != '\n')
            buf_addc(&text, c);
        else if (i + 1 < faults->len)
            buf_adds(&text, "; ");
    }
    (void)err_set(&t->err, limit ? ERR_LIMIT : ERR_INVALID, 0, "%s%s", text.data,
                  limit ? "; an operator can let this one through with --lift-limit"
                        : "");
    buf_done(&text);
    keep_readable_parts(t);
    return OUTCOME_FAILED;
}

static void log_duplicate(struct task *t, enum queue_claim claim, const char *first)
{
    static const char *const kinds[] = {"", "duplicate", "replay", "rerun", "spent"};
    struct log_line l;

    task_log(t, &l, LOG_INFO, "job");
    log_str(&l, "outcome", "duplicate");
    log_str(&l, "kind", kinds[claim]);
    log_str(&l, "first", first);
    log_end(&l);
}

static enum outcome after_claim(struct task *t, enum queue_claim claim,
                                const char *other)
{
    switch (claim) {
    case QUEUE_CLAIM_OK:
        mem_set(&t->job.earlier, *other ? other : NULL);
        t->job.has_request = true;
        if (!t->job.released &&
            request_check_scope(&t->job.request, t->job.accepted_ms, &t->err))
            return OUTCOME_FAILED;
        return step_validate_ticket(t);
    case QUEUE_CLAIM_CLASH:
        (void)err_set(
            &t->err, ERR_INVALID, 0,
            "idempotency_key: it was used before, with other content, by job %s; "
            "a new request needs a new key",
            other);
        keep_readable_parts(t);
        return OUTCOME_FAILED;
    case QUEUE_CLAIM_LOST:
        return OUTCOME_GONE;
    default:
        log_duplicate(t, claim, other);
        return OUTCOME_GONE;
    }
}

static void on_claimed(void *arg, enum queue_claim claim, const char *other,
                       const struct err *e)
{
    struct task *t = arg;
    enum outcome outcome;

    if (task_call_again(t, e))
        return;
    outcome = after_claim(t, claim, other);
    if (outcome != OUTCOME_PENDING)
        task_resume(t, outcome);
}

static void claim_send(struct task *t)
{
    struct err e;

    if (queue_claim(t->worker->queue, &t->job, &t->job.request, on_claimed, t, &e))
        (void)task_call_again(t, &e);
}

/* ---- {"resend": ID} ---- */

static void on_pointed(void *arg, bool yours, const struct err *e)
{
    struct task *t = arg;

    (void)yours; /* taken from us: whoever has it now finds the mail on its way */
    if (!task_call_again(t, e))
        task_resume(t, OUTCOME_GONE);
}

static void point_send(struct task *t)
{
    struct err e;
    char event[sizeof t->job.request.requested_by + 64];

    (void)snprintf(event, sizeof event, "resend of %s asked for by %s",
                   t->job.request.resend_of, t->job.request.requested_by);
    if (queue_point_at(t->worker->queue, &t->job, event, t->job.request.resend_of,
                       on_pointed, t, &e))
        (void)task_call_again(t, &e);
}

static void on_resend(void *arg, const char *word, const char *detail,
                      const struct err *e)
{
    static const struct {
        const char *word, *why;
    } refusals[] = {
        {"NONE", "there is no job with this id"},
        {"STATE", "that job has no license to send again; it is"},
        {"EXPIRED", "its license is no longer valid"},
        {"SPENT", "it was sent again three times already; an operator can use "
                  "`stopgapctl requeue ID --redo email`"},
    };
    struct task *t = arg;

    if (task_call_again(t, e))
        return;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        if (strcmp(word, refusals[i].word) != 0)
            continue;
        (void)err_set(&t->err, ERR_INVALID, 0, "resend: %s %s", refusals[i].why,
                      detail);
        keep_readable_parts(t);
        task_resume(t, OUTCOME_FAILED);
        return;
    }
    task_call(t, point_send);
}

static void resend_send(struct task *t)
{
    const struct request *r = &t->job.request;
    const struct queue_by by = {r->requested_by, ""};
    struct err e;

    if (queue_resend(t->worker->queue, r->resend_of, &by, t->job.id, on_resend, t, &e))
        (void)task_call_again(t, &e);
}

enum outcome step_validate(struct task *t)
{
    struct buf faults;
    enum outcome outcome = OUTCOME_PENDING;

    buf_init(&faults, 65536);
    if (read_request(t, t->job.lifted, &t->job.request, &faults))
        outcome = refuse(t, &faults);
    else if (*t->job.request.resend_of)
        task_call(t, resend_send);
    else
        task_call(t, claim_send);
    buf_done(&faults);
    return outcome;
}
