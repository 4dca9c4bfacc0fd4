/* step_sign: makes the license from the record and Redis's clock, and reads it back.
 * The bytes are written together with the mail's intent, or with an end that comes
 * before. The caps count with the first intent: what never left is no license yet. */
#include <stdio.h>
#include <string.h>

#include "license.h"
#include "mem.h"
#include "settings.h"
#include "step.h"

static void add_cap(struct task *t, const char *kind, const char *whose, int64_t limit)
{
    struct queue_cap *cap = &t->caps[t->cap_count];
    char digest[REQUEST_DIGEST_LEN + 1] = "";

    if (limit == 0)
        return;
    if (*whose)
        request_text_key(whose, digest);
    (void)snprintf(cap->name, sizeof cap->name, "%s%s", kind, digest);
    cap->limit = limit;
    t->cap_count++;
}

void step_sign_caps(struct task *t)
{
    const struct settings *s = t->worker->settings;

    t->cap_count = 0;
    if (t->job.lifted || t->job.frozen)
        return;
    add_cap(t, "addr:", t->job.request.email, s->max_per_address);
    add_cap(t, "agent:", t->job.request.requested_by, s->max_per_agent);
    add_cap(t, "day", "", s->max_per_day);
}

static void keep(struct task *t, const struct license_claims *c, struct buf *text)
{
    struct job *j = &t->job;

    mem_set(&j->license, text->data);
    memcpy(j->license_id, c->id, sizeof j->license_id);
    memcpy(j->key_id, c->key_id, sizeof j->key_id);
    (void)snprintf(j->license_format, sizeof j->license_format, "%s",
                   license_key_format(t->worker->key));
    j->issued_ms = c->issued_ms;
    j->expires_ms = c->expires_ms;
    if (!j->mail_date_ms || !j->mail_serial)
        j->mail_date_ms = c->issued_ms;
    queue_write_bytes(&t->dirty, "lic", text->data, text->len);
    queue_write_str(&t->dirty, "lic_id", c->id);
    queue_write_str(&t->dirty, "kid", c->key_id);
    queue_write_str(&t->dirty, "lic_format", j->license_format);
    queue_write_int(&t->dirty, "iat_ms", c->issued_ms);
    queue_write_int(&t->dirty, "exp_ms", c->expires_ms);
    queue_write_int(&t->dirty, "mail_date_ms", j->mail_date_ms);
}

enum outcome step_sign(struct task *t)
{
    const struct settings *s = t->worker->settings;
    const struct request *r = &t->job.request;
    struct license_claims claims;
    char id[JOB_ID_LEN + 1];
    struct buf text;
    int rc;

    job_id_make(id);
    license_claims_make(&claims, id, s->license_issuer, r->email, r->users,
                        r->ticket_id, worker_now_ms(t->worker), s->license_term_days);
    buf_init(&text, LICENSE_TEXT_MAX);
    rc = license_sign(t->worker->key, &claims, &text, &t->err);
    if (rc == 0) {
        keep(t, &claims, &text);
        task_mark(t, STEP_SIGN, "");
    }
    buf_done(&text);
    return rc == 0 ? OUTCOME_DONE : OUTCOME_FAILED;
}
