/* step_sign: makes the license from the record and Redis's clock, and reads it back;
 * with an RSA key on a thread of libuv's pool. The bytes are written together with the
 * mail's intent, or with an end that comes before. The caps count with the first
 * intent: what never left is no license yet. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "license.h"
#include "mem.h"
#include "seal.h"
#include "settings.h"
#include "step.h"
#include "worker_pool.h"

/* A signature that is being made. Nothing in it is shared while it is on a thread: the
 * key is held, so that a HUP meanwhile does not take it away. */
struct signing {
    struct task *task;
    struct license_key *key;
    struct license_claims claims;
    struct buf text;
    struct err err;
    int rc;
};

static void add_cap(struct task *t, const char *kind, const char *digest, int64_t limit)
{
    struct queue_cap *cap = &t->caps[t->cap_count];

    if (limit == 0)
        return;
    (void)snprintf(cap->name, sizeof cap->name, "%s%s", kind, digest);
    cap->limit = t->job.lifted ? INT64_MAX : limit;
    t->cap_count++;
}

void step_sign_caps(struct task *t)
{
    const struct settings *s = t->worker->settings;
    char address[REQUEST_DIGEST_LEN + 1], agent[REQUEST_DIGEST_LEN + 1];

    t->cap_count = 0;
    if (t->job.frozen)
        return;
    request_cap_address(t->job.request.email, address);
    request_cap_agent(t->job.request.requested_by, agent);
    add_cap(t, "addr:", address, s->max_per_address);
    add_cap(t, "agent:", agent, s->max_per_agent);
    add_cap(t, "day", "", s->max_per_day);
}

/* A program that knows nothing of seals would mail it as it stands: `v` keeps it away.
 */
static void write_license(struct task *t)
{
    const struct worker *w = t->worker;
    struct buf sealed;

    if (!w->seal) {
        queue_write_str(&t->dirty, "lic", t->job.license);
        return;
    }
    buf_init(&sealed, 2 * SEAL_TEXT_MAX);
    job_seal_license(&t->job, w->seal, w->settings->queue, &sealed);
    queue_write_bytes(&t->dirty, "lic", sealed.data, sealed.len);
    queue_write_int(&t->dirty, "v", JOB_VERSION_SEALED);
    buf_done(&sealed);
}

static void keep(struct task *t, const struct license_key *key,
                 const struct license_claims *c, const struct buf *text)
{
    struct job *j = &t->job;

    t->signed_here = true;
    mem_set(&j->license, text->data);
    mem_set(&j->sealed, NULL); /* one that was too old */
    memcpy(j->license_id, c->id, sizeof j->license_id);
    memcpy(j->key_id, c->key_id, sizeof j->key_id);
    (void)snprintf(j->license_format, sizeof j->license_format, "%s",
                   license_key_format(key));
    j->issued_ms = c->issued_ms;
    j->expires_ms = c->expires_ms;
    if (!j->mail_date_ms || !j->mail_serial)
        j->mail_date_ms = c->issued_ms;
    write_license(t);
    queue_write_str(&t->dirty, "lic_id", c->id);
    queue_write_str(&t->dirty, "kid", c->key_id);
    queue_write_str(&t->dirty, "lic_format", j->license_format);
    queue_write_int(&t->dirty, "iat_ms", c->issued_ms);
    queue_write_int(&t->dirty, "exp_ms", c->expires_ms);
    queue_write_int(&t->dirty, "mail_date_ms", j->mail_date_ms);
}

static struct signing *signing_new(struct task *t)
{
    const struct settings *s = t->worker->settings;
    const struct request *r = &t->job.request;
    struct signing *g = mem_new(1, sizeof *g);
    char id[JOB_ID_LEN + 1];

    job_id_make(id);
    g->task = t;
    g->key = license_key_hold(t->worker->key);
    license_claims_make(&g->claims, g->key, id, s->license_issuer, r->email, r->users,
                        r->ticket_id, worker_now_ms(t->worker), s->license_term_days);
    buf_init(&g->text, LICENSE_TEXT_MAX);
    return g;
}

static void signing_free(struct signing *g)
{
    license_key_free(g->key);
    buf_done(&g->text);
    free(g);
}

static enum outcome conclude(struct signing *g)
{
    struct task *t = g->task;
    enum outcome outcome = OUTCOME_FAILED;

    if (g->rc == 0) {
        keep(t, g->key, &g->claims, &g->text);
        task_mark(t, STEP_SIGN, "");
        outcome = OUTCOME_DONE;
    } else {
        t->err = g->err;
    }
    signing_free(g);
    return outcome;
}

int step_sign_recheck(struct task *t)
{
    const struct job *j = &t->job;
    struct license_claims said = {.users = j->request.users,
                                  .ticket_id = j->request.ticket_id,
                                  .expires_ms = j->expires_ms};

    if (t->signed_here)
        return 0;
    memcpy(said.id, j->license_id, sizeof said.id);
    memcpy(said.email, j->request.email, sizeof said.email);
    memcpy(said.key_id, j->key_id, sizeof said.key_id);
    if (license_recheck(t->worker->key, j->license_format, j->license ? j->license : "",
                        &said, &t->err))
        return err_wrap(&t->err,
                        "not used; somebody wrote to it in Redis: `stopgapctl "
                        "requeue %s --redo sign` makes a new one",
                        j->id);
    return 0;
}

/* On a thread: touches nothing but *g. */
static void make(void *arg)
{
    struct signing *g = arg;

    g->rc = license_sign(g->key, &g->claims, &g->text, &g->err);
}

static void on_signed(void *arg)
{
    struct signing *g = arg;
    struct task *t = g->task;

    if (t->worker->closing)
        signing_free(g); /* the job is left to the lease */
    else
        task_resume(t, conclude(g));
}

enum outcome step_sign(struct task *t)
{
    struct signing *g = signing_new(t);

    if (license_key_is_slow(g->key) &&
        worker_pool_run(t->worker->loop, make, on_signed, g) == 0)
        return OUTCOME_PENDING;
    make(g);
    return conclude(g);
}
