/* job: see job.h. The table below is both the record's description and its reader: a
 * field that is not in it belongs to a newer minor form and is left alone. Names of
 * states and steps, and ids: job_names.c. */
#include "job.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "num.h"
#include "seal.h"

struct column;

/* value is NUL-terminated at len and, but for `raw`, holds no other NUL. Writes into
 * *j at the column's place; what it allocates, job_done frees. */
typedef bool (*read_fn)(const struct column *c, const char *value, size_t len,
                        struct job *j);

struct column {
    const char *name;
    read_fn read;
    size_t offset;
    size_t size; /* of a fixed array */
};

static void *place(const struct column *c, struct job *j)
{
    return (char *)j + c->offset;
}

static bool read_int(const struct column *c, const char *value, size_t len,
                     struct job *j)
{
    (void)len;
    return num_parse(value, 0, INT64_MAX, place(c, j));
}

static bool read_flag(const struct column *c, const char *value, size_t len,
                      struct job *j)
{
    int64_t n;

    (void)len;
    if (!num_parse(value, 0, 1, &n))
        return false;
    *(bool *)place(c, j) = n == 1;
    return true;
}

/* An empty text is one that is not there. */
static bool read_text(const struct column *c, const char *value, size_t len,
                      struct job *j)
{
    mem_set(place(c, j), len ? value : NULL);
    return true;
}

/* Whoever needs one that is sealed has to open it, and cannot take it for a license. */
static bool read_license(const struct column *c, const char *value, size_t len,
                         struct job *j)
{
    bool sealed = seal_is_sealed(value);

    (void)c;
    mem_set(&j->license, len && !sealed ? value : NULL);
    mem_set(&j->sealed, sealed ? value : NULL);
    return true;
}

static bool read_array(const struct column *c, const char *value, size_t len,
                       struct job *j)
{
    if (len >= c->size)
        return false;
    memcpy(place(c, j), value, len + 1);
    return true;
}

static bool read_raw(const struct column *c, const char *value, size_t len,
                     struct job *j)
{
    (void)c;
    free(j->raw);
    j->raw = mem_dup(value, len);
    j->raw_len = len;
    return true;
}

size_t job_raw_total(const struct job *j)
{
    bool cut = j->raw_len > REQUEST_MAX_BYTES && j->raw_bytes > (int64_t)j->raw_len;

    return cut ? (size_t)j->raw_bytes : j->raw_len;
}

static bool read_state(const struct column *c, const char *value, size_t len,
                       struct job *j)
{
    (void)c;
    (void)len;
    j->state = job_state_parse(value);
    return j->state != JOB_STATE_COUNT;
}

static bool read_request(const struct column *c, const char *value, size_t len,
                         struct job *j)
{
    struct err e;

    (void)c;
    j->has_request = request_decode(value, len, &j->request, &e) == 0;
    return j->has_request;
}

/* A number up to the next blank or the end. Returns what follows it, or NULL. */
static const char *read_word(const char *p, int64_t min, int64_t *out)
{
    char word[24];
    size_t len = strcspn(p, " ");

    if (len >= sizeof word)
        return NULL;
    memcpy(word, p, len);
    word[len] = '\0';
    return num_parse(word, min, INT64_MAX, out) ? p + len : NULL;
}

static bool read_mark(const struct column *c, const char *value, size_t len,
                      struct job *j)
{
    struct job_step_mark *mark = place(c, j);
    const char *p = read_word(value, 1, &mark->at_ms);

    (void)len;
    if (!p || *p != ' ')
        return false;
    p = read_word(p + 1, 0, &mark->took_ms);
    if (!p)
        return false;
    p += *p == ' ';
    mem_set(&mark->words, *p ? p : NULL);
    return true;
}

static bool read_intent(const struct column *c, const char *value, size_t len,
                        struct job *j)
{
    struct job_intent *intent = place(c, j);
    size_t wid = strcspn(value, " ");
    int64_t fence;
    const char *p;

    (void)len;
    if (wid == 0 || value[wid] != ' ')
        return false;
    p = read_word(value + wid + 1, 0, &fence);
    if (!p || *p != ' ')
        return false;
    p = read_word(p + 1, 1, &intent->at_ms);
    if (!p || *p)
        return false;
    mem_set(&intent->token, value);
    return true;
}

static bool read_error_class(const struct column *c, const char *value, size_t len,
                             struct job *j)
{
    enum err_class class = err_class_parse(value);

    (void)c;
    (void)len;
    if (class == ERR_CLASS_COUNT)
        return false;
    j->error.class = class;
    j->has_error = class != ERR_NONE;
    return true;
}

static bool read_error_step(const struct column *c, const char *value, size_t len,
                            struct job *j)
{
    (void)c;
    (void)len;
    j->error_step = job_step_parse(value);
    return j->error_step != STEP_COUNT;
}

static bool read_error_code(const struct column *c, const char *value, size_t len,
                            struct job *j)
{
    int64_t code;

    (void)c;
    (void)len;
    if (!num_parse(value, INT_MIN, INT_MAX, &code))
        return false;
    j->error.code = (int)code;
    return true;
}

static bool read_error_text(const struct column *c, const char *value, size_t len,
                            struct job *j)
{
    (void)c;
    (void)len;
    (void)err_set(&j->error, j->error.class, j->error.code, "%s", value);
    return true;
}

#define AT(member) offsetof(struct job, member), 0
#define IN(member) offsetof(struct job, member), sizeof(((struct job *)0)->member)

/* The fields of the hash `job:<id>`. Times are milliseconds since 1970, by Redis's
 * clock. A field may be added; what one means may change only with JOB_VERSION. */
static const struct column columns[] = {
    {"v", read_int, AT(version)},           /* its form: JOB_VERSION; required */
    {"state", read_state, 0, 0},            /* job_state_name; required */
    {"raw", read_raw, 0, 0},                /* the request's bytes as they came */
    {"raw_bytes", read_int, AT(raw_bytes)}, /* in replies: all, where `raw` is cut */
    {"clash", read_text, AT(clash)},        /* id of the job that has this entry's id */
    {"accepted_ms", read_int, AT(accepted_ms)}, /* taken off the inbox */
    {"started_ms", read_int, AT(started_ms)},   /* last claimed */
    {"ended_ms", read_int, AT(ended_ms)},       /* done or failed */
    {"due_ms", read_int, AT(due_ms)},           /* while delayed: next try */
    {"attempt", read_int, AT(attempt)},         /* claims so far */
    {"losses", read_int, AT(losses)},           /* workers lost since a checkpoint */
    {"fence", read_int, AT(fence)},             /* +1 with every claim and reap */
    {"owner", read_text, AT(owner)},            /* wid, while active */
    {"req", read_request, 0, 0},                /* request_encode's form */
    {"warning", read_text, AT(warning)},        /* for the issue */
    {"s:validate", read_mark, AT(steps[STEP_VALIDATE])}, /* `AT TOOK WORDS`: done */
    {"s:sign", read_mark, AT(steps[STEP_SIGN])},
    {"s:email", read_mark, AT(steps[STEP_EMAIL])},
    {"s:record", read_mark, AT(steps[STEP_RECORD])},
    {"s:close", read_mark, AT(steps[STEP_CLOSE])},
    {"s:ack", read_mark, AT(steps[STEP_ACK])},
    {"i:email", read_intent, AT(email_intent)}, /* `WID FENCE AT`: may be under way */
    {"i:record", read_intent, AT(record_intent)},
    {"lic", read_license, 0, 0},                    /* as it is mailed, or sealed */
    {"lic_id", read_array, IN(license_id)},         /* its jti */
    {"kid", read_array, IN(key_id)},                /* id of the key that signed it */
    {"lic_format", read_array, IN(license_format)}, /* "stopgap" or "gitlab" */
    {"iat_ms", read_int, AT(issued_ms)},            /* first signing */
    {"exp_ms", read_int, AT(expires_ms)},           /* end of its term */
    {"frozen", read_flag, AT(frozen)}, /* a mail intent was written: bytes stay */
    {"mail_serial", read_int, AT(mail_serial)},    /* resends that people asked for */
    {"mail_date_ms", read_int, AT(mail_date_ms)},  /* its Date header, frozen */
    {"ambiguous", read_int, AT(ambiguous)},        /* answers lost after the dot */
    {"mail_arrived", read_flag, AT(mail_arrived)}, /* an operator says so */
    {"msgid", read_text, AT(message_id)},          /* Message-ID with brackets */
    {"first_error_ms", read_int, AT(first_error_ms)}, /* giving up counts from here */
    {"iid", read_int, AT(issue_iid)},                 /* the record's issue */
    {"issue_url", read_text, AT(issue_url)},
    {"report_iid", read_int, AT(report_iid)}, /* the failure issue */
    {"report_url", read_text, AT(report_url)},
    {"report_closed", read_flag, AT(report_closed)},
    {"report_noted", read_flag, AT(report_noted)}, /* has its closing comment */
    {"report_tries", read_int, AT(report_tries)},  /* failed in a row */
    {"dup_of", read_text, AT(dup_of)},       /* ended as a duplicate of that job */
    {"fixed_by", read_text, AT(fixed_by)},   /* a later job of the ticket succeeded */
    {"earlier", read_text, AT(earlier)},     /* jobs whose licenses this one corrects */
    {"released", read_flag, AT(released)},   /* an operator says: no scope rule */
    {"lifted", read_flag, AT(lifted)},       /* an operator says: no cap */
    {"discarded", read_text, AT(discarded)}, /* by whom */
    {"requeues", read_int, AT(requeues)},    /* by an operator */
    {"reruns", read_int, AT(reruns)},        /* by an equal request */
    {"resends", read_int, AT(resends)},      /* of the same license */
    {"err_class", read_error_class, 0, 0},   /* the last error: err_class_name */
    {"err_step", read_error_step, 0, 0},     /* where: job_step_name */
    {"err_code", read_error_code, 0, 0},     /* the remote's code */
    {"err_text", read_error_text, 0, 0},     /* the remote's words */
};

static const struct column *find_column(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        if (!strcmp(columns[i].name, name))
            return &columns[i];
    return NULL;
}

static int fault(struct err *e, const char *id, const char *name)
{
    return err_set(e, ERR_BUG, 0, "job %s: field %s does not read", id, name);
}

static int read_field(struct job *j, const struct job_field *f, struct err *e)
{
    const struct column *c = find_column(f->name);
    char *value;
    bool ok;

    if (!c)
        return 0;
    value = mem_dup(f->value, f->value_len);
    ok = (c->read == read_raw || strlen(value) == f->value_len) &&
         c->read(c, value, f->value_len, j);
    free(value);
    return ok ? 0 : fault(e, j->id, f->name);
}

static const struct job_field *find_field(const struct job_field *fields, size_t count,
                                          const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(fields[i].name, name))
            return &fields[i];
    return NULL;
}

/* Before anything else is read: a newer form may give a field another meaning. */
static int check_version(struct job *j, const struct job_field *fields, size_t count,
                         struct err *e)
{
    const struct job_field *v = find_field(fields, count, "v");

    if (!v)
        return err_set(e, ERR_BUG, 0, "job %s: there is no record, or it has no v",
                       j->id);
    if (read_field(j, v, e) < 0)
        return -1;
    if (j->version > JOB_VERSION)
        return err_set(e, ERR_CANCELLED, 0,
                       "job %s: written in form %lld; this program knows up to %d",
                       j->id, (long long)j->version, JOB_VERSION);
    return 0;
}

static int decode(struct job *j, const struct job_field *fields, size_t count,
                  struct err *e)
{
    if (check_version(j, fields, count, e) < 0)
        return -1;
    if (!find_field(fields, count, "state"))
        return fault(e, j->id, "state");
    for (size_t i = 0; i < count; i++)
        if (read_field(j, &fields[i], e) < 0)
            return -1;
    if (j->steps[STEP_VALIDATE].at_ms && !request_is_whole(&j->request))
        return err_set(e, ERR_BUG, 0,
                       "job %s: it is marked as validated, and has no whole request",
                       j->id);
    return 0;
}

int job_decode(struct job *j, const char *id, const struct job_field *fields,
               size_t count, struct err *e)
{
    struct job read = {.version = 0};

    if (!job_id_valid(id))
        return err_set(e, ERR_BUG, 0, "not a job id: %.40s", id);
    memcpy(read.id, id, JOB_ID_LEN + 1);
    if (decode(&read, fields, count, e) < 0) {
        job_done(&read);
        return -1;
    }
    *j = read;
    return 0;
}

static void drop(struct job *j, const struct column *c)
{
    if (c->read == read_text)
        free(*(char **)place(c, j));
    else if (c->read == read_mark)
        free(((struct job_step_mark *)place(c, j))->words);
    else if (c->read == read_intent)
        free(((struct job_intent *)place(c, j))->token);
}

void job_done(struct job *j)
{
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        drop(j, &columns[i]);
    free(j->raw);
    free(j->license);
    free(j->sealed);
    memset(j, 0, sizeof *j);
}
