/* story_text: a job's story for people: what is known, a timeline, what to do next. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "issue_advice.h"
#include "license.h"
#include "mem.h"
#include "out.h"
#include "story.h"
#include "when.h"

#define RAW_SHOWN 2000

/* ---- what is known ---- */

static void field_int(struct buf *out, const char *name, int64_t n)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%lld", (long long)n);
    out_field(out, name, n ? text : NULL);
}

static void field_time(struct buf *out, const char *name, int64_t ms, int64_t now_ms)
{
    char text[OUT_TIME_MAX], span[OUT_TIME_MAX], both[2 * OUT_TIME_MAX + 16];

    if (ms <= 0)
        return;
    out_time(ms, text);
    out_span(ms > now_ms ? ms - now_ms : now_ms - ms, span);
    (void)snprintf(both, sizeof both, ms > now_ms ? "%s, in %s" : "%s, %s ago", text,
                   span);
    out_field(out, name, both);
}

static void add_request(const struct job *j, struct buf *out)
{
    const struct request *r = &j->request;

    field_int(out, "ticket", r->ticket_id);
    out_field(out, "ticket url", r->ticket_url);
    out_field(out, "email", r->email);
    field_int(out, "users", r->users);
    out_field(out, "requested by", r->requested_by);
    out_field(out, "plan", r->plan);
    out_field(out, "expired on", r->license_expired_on);
    out_field(out, "note", r->note);
    out_field(out, "resend of", r->resend_of);
    if (!j->has_request && j->raw) {
        size_t shown = j->raw_len < RAW_SHOWN ? j->raw_len : RAW_SHOWN;

        buf_adds(out, "as it came    ");
        out_text(out, j->raw, shown);
        if (shown < j->raw_len)
            buf_addf(out, " (%zu bytes more)", j->raw_len - shown);
        buf_addc(out, '\n');
    }
}

static void field_end(struct buf *out, const struct job *j, int64_t now_ms)
{
    char last[WHEN_TEXT_MAX], end[WHEN_TEXT_MAX], text[4 * WHEN_TEXT_MAX];

    if (j->expires_ms <= 0 || !license_counts_days(j->license_format)) {
        field_time(out, "valid until", j->expires_ms, now_ms);
        return;
    }
    when_format_date(when_day(j->expires_ms) - 1, last);
    when_format_date(when_day(j->expires_ms), end);
    (void)snprintf(text, sizeof text,
                   "%s, last full day; ends at 00:00 of %s on the customer's server",
                   last, end);
    out_field(out, "valid until", text);
}

static void add_license(const struct job *j, int64_t now_ms, struct buf *out)
{
    out_field(out, "license", j->license_id);
    out_field(out, "key", j->key_id);
    field_time(out, "signed", j->issued_ms, now_ms);
    field_end(out, j, now_ms);
    out_field(out, "message-id", j->message_id);
    out_field(out, "mail server", j->steps[STEP_EMAIL].words);
    if (j->mail_arrived)
        out_field(out, "mail", "has arrived, an operator says");
    field_int(out, "lost answers", j->ambiguous);
}

static void add_outcome(const struct job *j, struct buf *out)
{
    out_field(out, "issue", j->issue_url);
    out_field(out, "failure issue", j->report_url);
    out_field(out, "duplicate of", j->dup_of);
    out_field(out, "same id as", j->clash);
    out_field(out, "solved by", j->fixed_by);
    out_field(out, "corrects", j->earlier);
    out_field(out, "discarded by", j->discarded);
    out_field(out, "warning", j->warning);
    if (j->released)
        out_field(out, "scope rule", "lifted by an operator");
    if (j->lifted)
        out_field(out, "caps", "lifted by an operator");
}

static void add_error(const struct job *j, struct buf *out)
{
    char where[64], code[24] = "";

    if (!j->has_error)
        return;
    if (j->error.code)
        (void)snprintf(code, sizeof code, ", code %d", j->error.code);
    (void)snprintf(where, sizeof where, "%s at %s%s", err_class_name(j->error.class),
                   job_step_name(j->error_step), code);
    out_field(out, j->state == JOB_FAILED ? "failed" : "last error", where);
    out_field(out, "why", j->error.text);
}

static void add_counts(const struct job *j, struct buf *out)
{
    field_int(out, "attempt", j->attempt);
    field_int(out, "workers lost", j->losses);
    field_int(out, "requeued", j->requeues);
    field_int(out, "asked again", j->reruns);
    field_int(out, "resent", j->resends);
    out_field(out, "worker", j->owner);
}

/* How long all of it took, and its steps alone: the rest was waiting. */
static void add_took(const struct job *j, struct buf *out)
{
    const char *sep = "; steps: ";
    char span[OUT_TIME_MAX];

    if (j->accepted_ms <= 0 || j->ended_ms < j->accepted_ms)
        return;
    out_span(j->ended_ms - j->accepted_ms, span);
    buf_addf(out, "%-13s %s from acceptance to end", "took", span);
    for (enum job_step i = 0; i < STEP_ACK; i++) {
        if (!j->steps[i].at_ms)
            continue;
        out_span(j->steps[i].took_ms, span);
        buf_addf(out, "%s%s %s", sep, job_step_name(i), span);
        sep = ", ";
    }
    buf_addc(out, '\n');
}

static void add_state(const struct fetch_story *s, bool colour, struct buf *out)
{
    static const enum out_colour colours[] = {
        [JOB_DELAYED] = OUT_YELLOW, [JOB_FAILED] = OUT_RED, [JOB_DONE] = OUT_GREEN};
    enum job_state state = s->job.state;
    bool some = state == JOB_DELAYED || state == JOB_FAILED || state == JOB_DONE;

    buf_addf(out, "%-13s ", "state");
    out_paint(out, colour && some, some ? colours[state] : OUT_GREY,
              s->in_inbox ? "queued, in the inbox" : job_state_name(state));
    buf_addc(out, '\n');
}

static void add_head(const struct fetch_story *s, const struct story_options *o,
                     struct buf *out)
{
    const struct job *j = &s->job;

    if (o->asked_for) {
        out_field(out, "asked for", o->asked_for);
        out_field(out, "", "which is a duplicate of this job:");
    }
    out_field(out, "job", j->id);
    add_state(s, o->colour, out);
    add_error(j, out);
    add_took(j, out);
    field_time(out, "next try", j->state == JOB_DELAYED ? j->due_ms : 0, s->now_ms);
    add_request(j, out);
    add_license(j, s->now_ms, out);
    add_outcome(j, out);
    add_counts(j, out);
}

/* ---- what happened when ---- */

struct moment {
    int64_t at_ms;
    size_t order; /* of equal moments */
    char *text;
};

struct timeline {
    struct moment *moments;
    size_t count;
};

static void add_moment(struct timeline *t, int64_t at_ms, struct buf *text)
{
    if (at_ms > 0) {
        t->moments[t->count] = (struct moment){at_ms, t->count, buf_take(text)};
        t->count++;
    }
    buf_reset(text);
}

static void add_marks(struct timeline *t, const struct job *j, struct buf *text)
{
    for (enum job_step i = 0; i < STEP_COUNT; i++) {
        const struct job_step_mark *m = &j->steps[i];
        char took[OUT_TIME_MAX];

        out_span(m->took_ms, took);
        buf_addf(text, "%s: done in %s", job_step_name(i), took);
        buf_adds(text, m->words && *m->words ? ": " : "");
        out_str(text, m->words);
        add_moment(t, m->at_ms, text);
    }
}

static void add_intent(struct timeline *t, const struct job *j, enum job_step step,
                       const struct job_intent *intent, struct buf *text)
{
    if (j->steps[step].at_ms)
        return;
    buf_addf(text, "%s: begun, no outcome recorded (", job_step_name(step));
    out_str(text, intent->token);
    buf_addc(text, ')');
    add_moment(t, intent->at_ms, text);
}

static int by_time(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;

    if (x->at_ms != y->at_ms)
        return x->at_ms < y->at_ms ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static void gather(struct timeline *t, const struct fetch_story *s)
{
    const struct job *j = &s->job;
    struct buf text;

    buf_init(&text, OUT_MAX);
    t->moments = mem_new(s->event_count + STEP_COUNT + 8, sizeof *t->moments);
    buf_adds(&text, "accepted");
    add_moment(t, j->accepted_ms, &text);
    add_marks(t, j, &text);
    add_intent(t, j, STEP_EMAIL, &j->email_intent, &text);
    add_intent(t, j, STEP_RECORD, &j->record_intent, &text);
    for (size_t i = 0; i < s->event_count; i++) {
        out_str(&text, s->events[i].text);
        add_moment(t, s->events[i].at_ms, &text);
    }
    buf_addf(&text, "taken, attempt %lld", (long long)j->attempt);
    add_moment(t, j->started_ms, &text);
    buf_adds(&text, job_state_name(j->state));
    add_moment(t, j->ended_ms, &text);
    qsort(t->moments, t->count, sizeof *t->moments, by_time);
    buf_done(&text);
}

static void add_timeline(const struct fetch_story *s, struct buf *out)
{
    struct timeline t = {0};

    gather(&t, s);
    if (t.count)
        buf_adds(out, "\n");
    for (size_t i = 0; i < t.count; i++) {
        const struct moment *m = &t.moments[i];
        char at[WHEN_TEXT_MAX], since[OUT_TIME_MAX], gap[OUT_TIME_MAX + 1] = "";

        when_format_iso_ms(m->at_ms, at);
        out_span(m->at_ms - t.moments[0].at_ms, since);
        gap[0] = '+';
        out_span(m->at_ms - t.moments[i ? i - 1 : 0].at_ms, gap + 1);
        buf_addf(out, "%s  %8s  %8s  %s\n", at, since, i ? gap : "", m->text);
    }
    for (size_t i = 0; i < t.count; i++)
        free(t.moments[i].text);
    free(t.moments);
}

/* ---- what to do next ---- */

static void add_next(const struct fetch_story *s, struct buf *out)
{
    struct story_command next[STORY_COMMANDS];
    size_t count = story_next(&s->job, s->now_ms, next);

    if (s->in_inbox)
        buf_adds(out, "\nNo worker has taken it over yet: `stopgapctl workers` shows "
                      "which are alive.\n");
    if (!count)
        return;
    if (s->job.state == JOB_FAILED)
        buf_addf(out, "\nIt failed because %s.\nWhat to do next:\n",
                 issue_advice_reason(s->job.has_error ? s->job.error.class : ERR_NONE));
    else
        buf_adds(out, "\nIt is tried again by itself.\n");
    for (size_t i = 0; i < count; i++)
        buf_addf(out, "  %s\n      (%s)\n", next[i].text, next[i].when);
}

void story_text(const struct fetch_story *s, const struct story_options *o,
                struct buf *out)
{
    add_head(s, o, out);
    add_timeline(s, out);
    if (o->license && s->job.license) {
        buf_addc(out, '\n');
        for (const char *p = s->job.license; *p;) {
            size_t len = strcspn(p, "\n");

            out_text(out, p, len);
            buf_addc(out, '\n');
            p += len + (p[len] == '\n');
        }
    }
    add_next(s, out);
}
