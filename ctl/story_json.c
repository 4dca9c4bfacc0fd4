/* story_json: a job's story for programs. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "out.h"
#include "seal.h"
#include "story.h"
#include "utf8.h"
#include "when.h"

/* Foreign bytes may be anything; JSON takes UTF-8. */
static void set_bytes(json_t *o, const char *name, const char *bytes, size_t len)
{
    struct buf coded;
    char name_coded[64];

    if (utf8_valid_len(bytes, len) == len) {
        (void)json_object_set_new(o, name, json_stringn(bytes, len));
        return;
    }
    (void)snprintf(name_coded, sizeof name_coded, "%s_base64", name);
    buf_init(&coded, OUT_MAX);
    buf_add_base64(&coded, bytes, len);
    (void)json_object_set_new(o, name_coded, json_string(coded.data));
    buf_done(&coded);
}

static void set_text(json_t *o, const char *name, const char *text)
{
    if (text && *text)
        set_bytes(o, name, text, strlen(text));
}

static void set_int(json_t *o, const char *name, int64_t n)
{
    if (n)
        (void)json_object_set_new(o, name, json_integer(n));
}

static void set_true(json_t *o, const char *name, bool is)
{
    if (is)
        (void)json_object_set_new(o, name, json_true());
}

static void set_time(json_t *o, const char *name, int64_t ms)
{
    char text[WHEN_TEXT_MAX];

    if (ms <= 0)
        return;
    when_format_iso_ms(ms, text);
    (void)json_object_set_new(o, name, json_string(text));
}

static void set_request(json_t *o, const struct job *j)
{
    const struct request *r = &j->request;

    set_int(o, "ticket_id", r->ticket_id);
    set_text(o, "ticket_url", r->ticket_url);
    set_text(o, "email", r->email);
    set_int(o, "users", r->users);
    set_text(o, "requested_by", r->requested_by);
    set_text(o, "plan", r->plan);
    set_text(o, "license_expired_on", r->license_expired_on);
    set_text(o, "note", r->note);
    set_text(o, "idempotency_key", r->idempotency_key);
    set_text(o, "resend_of", r->resend_of);
    if (!j->has_request && j->raw)
        set_bytes(o, "raw", j->raw, j->raw_len);
}

static void set_license(json_t *o, const struct job *j, bool with_text)
{
    char seal_id[SEAL_ID_LEN + 1];

    set_text(o, "license_id", j->license_id);
    set_text(o, "license_format", j->license_format);
    set_text(o, "key_id", j->key_id);
    set_time(o, "signed", j->issued_ms);
    set_time(o, "valid_until", j->expires_ms);
    set_text(o, "message_id", j->message_id);
    set_int(o, "lost_answers", j->ambiguous);
    set_true(o, "mail_arrived", j->mail_arrived);
    if (j->sealed) {
        seal_id_of(j->sealed, seal_id);
        set_text(o, "license_sealed_with", seal_id);
    }
    if (with_text)
        set_text(o, "license", j->license);
}

static void set_outcome(json_t *o, const struct job *j)
{
    json_t *error;

    set_text(o, "issue_url", j->issue_url);
    set_text(o, "failure_issue_url", j->report_url);
    set_text(o, "duplicate_of", j->dup_of);
    set_text(o, "same_id_as", j->clash);
    set_text(o, "solved_by", j->fixed_by);
    set_text(o, "corrects", j->earlier);
    set_text(o, "discarded_by", j->discarded);
    set_text(o, "warning", j->warning);
    set_true(o, "released", j->released);
    set_true(o, "lifted", j->lifted);
    if (!j->has_error)
        return;
    error = json_pack("{s:s, s:s, s:i}", "class", err_class_name(j->error.class),
                      "step", job_step_name(j->error_step), "code", j->error.code);
    set_text(error, "text", j->error.text);
    (void)json_object_set_new(o, "error", error);
}

static void set_counts(json_t *o, const struct job *j)
{
    set_time(o, "accepted", j->accepted_ms);
    set_time(o, "started", j->started_ms);
    set_time(o, "ended", j->ended_ms);
    set_time(o, "next_try", j->state == JOB_DELAYED ? j->due_ms : 0);
    set_int(o, "attempt", j->attempt);
    set_int(o, "workers_lost", j->losses);
    set_int(o, "requeues", j->requeues);
    set_int(o, "reruns", j->reruns);
    set_int(o, "resends", j->resends);
    set_text(o, "worker", j->owner);
}

static json_t *steps(const struct job *j)
{
    json_t *all = json_array();

    for (enum job_step i = 0; i < STEP_COUNT; i++) {
        const struct job_step_mark *m = &j->steps[i];
        json_t *step;

        if (!m->at_ms)
            continue;
        step = json_pack("{s:s, s:I}", "step", job_step_name(i), "took_ms",
                         (json_int_t)m->took_ms);
        set_time(step, "at", m->at_ms);
        set_text(step, "words", m->words);
        (void)json_array_append_new(all, step);
    }
    return all;
}

static json_t *intents(const struct job *j)
{
    const struct {
        enum job_step step;
        const struct job_intent *intent;
    } both[] = {{STEP_EMAIL, &j->email_intent}, {STEP_RECORD, &j->record_intent}};
    json_t *all = json_array();

    for (size_t i = 0; i < sizeof both / sizeof both[0]; i++) {
        json_t *o;

        if (!both[i].intent->at_ms || j->steps[both[i].step].at_ms)
            continue;
        o = json_pack("{s:s}", "step", job_step_name(both[i].step));
        set_time(o, "at", both[i].intent->at_ms);
        set_text(o, "by", both[i].intent->token);
        (void)json_array_append_new(all, o);
    }
    return all;
}

static json_t *events(const struct fetch_story *s)
{
    json_t *all = json_array();

    for (size_t i = 0; i < s->event_count; i++) {
        json_t *event = json_object();

        set_time(event, "at", s->events[i].at_ms);
        set_text(event, "text", s->events[i].text);
        (void)json_array_append_new(all, event);
    }
    return all;
}

static json_t *commands(const struct fetch_story *s)
{
    struct story_command next[STORY_COMMANDS];
    size_t count = story_next(&s->job, s->now_ms, next);
    json_t *all = json_array();

    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(all, json_pack("{s:s, s:s}", "command",
                                                   next[i].text, "when", next[i].when));
    return all;
}

void story_json(const struct fetch_story *s, const struct story_options *o,
                struct buf *out)
{
    json_t *all = json_pack("{s:s, s:s}", "job_id", s->job.id, "state",
                            job_state_name(s->job.state));
    char *text;

    set_text(all, "asked_for", o->asked_for);
    set_true(all, "in_inbox", s->in_inbox);
    set_request(all, &s->job);
    set_license(all, &s->job, o->license);
    set_outcome(all, &s->job);
    set_counts(all, &s->job);
    (void)json_object_set_new(all, "steps", steps(&s->job));
    (void)json_object_set_new(all, "intents", intents(&s->job));
    (void)json_object_set_new(all, "events", events(s));
    (void)json_object_set_new(all, "next", commands(s));
    text = json_dumps(all, JSON_INDENT(2));
    if (!text)
        abort(); /* out of memory */
    buf_addf(out, "%s\n", text);
    free(text);
    json_decref(all);
}
