/* job: the durable record of one job, as it stands in the hash `job:<id>`, and its text
 * form. Field names and the rule for changing them: docs/queue.md. Run-time state of a
 * job in a worker is struct task (worker/task.h), not here. */
#ifndef STOPGAP_JOB_H
#define STOPGAP_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "license.h"
#include "request.h"

#define JOB_VERSION 2 /* records with a greater `v` are left for a newer worker */
#define JOB_VERSION_SEALED 2 /* of those whose license may be sealed; others are 1 */

enum job_state {
    JOB_QUEUED,
    JOB_ACTIVE,
    JOB_DELAYED,
    JOB_FAILED,
    JOB_DONE,
    JOB_STATE_COUNT
};

/* In order of work. A step is done when its `s:<name>` field is there. */
enum job_step {
    STEP_VALIDATE,
    STEP_SIGN,
    STEP_EMAIL,
    STEP_RECORD,
    STEP_CLOSE,
    STEP_ACK,
    STEP_COUNT
};

/* `s:<step>` = "<ms when done> <ms it took> <the remote's words>" */
struct job_step_mark {
    int64_t at_ms; /* 0: not done */
    int64_t took_ms;
    char *words; /* owned; may be NULL */
};

/* `i:<step>` = "<wid> <fence> <ms>": an effect may be under way or may have happened.
 */
struct job_intent {
    int64_t at_ms; /* 0: none */
    char *token;   /* the whole field, owned: an owner's late result must quote it */
};

struct job {
    char id[JOB_ID_LEN + 1];
    int64_t version;
    enum job_state state;
    char *raw; /* the bytes as they came, owned; may hold NULs */
    size_t raw_len;
    int64_t raw_bytes; /* with job_raw_total */
    char *clash; /* id of a job that has this entry's id with other bytes, or NULL */

    int64_t accepted_ms;
    int64_t started_ms;
    int64_t ended_ms;
    int64_t due_ms;  /* while delayed */
    int64_t attempt; /* counted when claimed */
    int64_t losses;  /* workers lost since the last checkpoint */
    int64_t fence;
    char *owner; /* wid, while active */

    bool has_request; /* validate has stored the normal values */
    struct request request;
    char *warning; /* shown in the issue: e.g. Zendesk could not be asked */

    struct job_step_mark steps[STEP_COUNT];
    struct job_intent email_intent;
    struct job_intent record_intent;

    bool released; /* an operator let it pass the scope rule */
    bool lifted;   /* an operator let it pass the caps */
    bool frozen;   /* a mail intent was written: the license keeps its bytes */

    char *license; /* the text, owned, or NULL */
    char *sealed;  /* instead of it: as it stands in Redis, until it is opened */
    char license_id[LICENSE_ID_LEN + 1];
    char key_id[LICENSE_KEY_ID_MAX];
    char license_format[16];
    int64_t issued_ms;
    int64_t expires_ms;

    int64_t mail_serial;    /* 0 first mail; +1 for every resend a person asks for */
    int64_t mail_date_ms;   /* frozen Date header */
    int64_t ambiguous;      /* lost answers after the dot */
    bool mail_arrived;      /* an operator's word */
    char *message_id;       /* with its brackets */
    int64_t first_error_ms; /* give-up counts from here */

    int64_t issue_iid; /* 0: none */
    char *issue_url;
    int64_t report_iid; /* the failure issue */
    char *report_url;
    bool report_closed;
    bool report_noted;    /* the comment that closes it is there */
    int64_t report_tries; /* that failed in a row */
    char *discarded;      /* who discarded the job */

    char *dup_of;   /* this request ended as a duplicate of that job */
    char *fixed_by; /* a later job of the ticket that succeeded */
    char *earlier;  /* ids of earlier licenses of the ticket that this one corrects,
                       blank-separated */
    int64_t requeues;
    int64_t reruns;  /* by an equal request; at most 3 */
    int64_t resends; /* at most 3 */

    bool has_error;
    enum job_step error_step;
    struct err error; /* the last one */
};

/* From the hash's field/value pairs (binary safe). ERR_BUG if a field does not read,
 * ERR_CANCELLED if version is newer than JOB_VERSION (the record is untouched). */
struct job_field {
    const char *name;
    const char *value;
    size_t value_len;
};
int job_decode(struct job *j, const char *id, const struct job_field *fields,
               size_t count, struct err *e) MUST_CHECK;

struct seal;

/* The license as it is to stand in Redis; `queue`: STOPGAP_QUEUE. */
void job_seal_license(const struct job *j, const struct seal *s, const char *queue,
                      struct buf *out);

/* Opens it, if it is sealed. s may be NULL: no keys here. -1: j->license stays NULL,
 * and *e is as of seal_open. */
int job_open_license(struct job *j, const struct seal *s, const char *queue,
                     struct err *e);

/* It failed since what stands in Redis is not the license that was signed: only a new
 * one helps. */
bool job_license_changed(const struct job *j);

/* Frees what it owns; a zeroed job is fine; leaves it zeroed. */
void job_done(struct job *j);

const char *job_state_name(enum job_state s);
enum job_state job_state_parse(const char *name); /* JOB_STATE_COUNT: none */
const char *job_step_name(enum job_step s);
enum job_step job_step_parse(const char *name); /* STEP_COUNT: none */

/* True if text has the form of a job id. */
bool job_id_valid(const char *text);

/* How long the request is; at least raw_len, which may be less of one that is over
 * REQUEST_MAX_BYTES. */
size_t job_raw_total(const struct job *j);

/* A fresh random id (26 characters of [0-9a-z], 128 random bits). */
void job_id_make(char out[static JOB_ID_LEN + 1]);

/* The id that a queue gives to whatever comes under one idempotency key: the same each
 * time, so that a request that is delivered again, from wherever, is the same job. */
void job_id_of_key(const char *queue, const char *key, char out[static JOB_ID_LEN + 1]);

#endif
