/* queue: the keys of one queue and each thing that can be done to it, as typed calls on
 * the Redis client. Knows keys, scripts and their answers; no socket of its own, no
 * loop, no decisions about jobs. docs/queue.md is its contract. */
#ifndef STOPGAP_QUEUE_H
#define STOPGAP_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "job.h"
#include "redis.h"

struct settings;
struct queue;

#define QUEUE_KEY_MAX 256
#define QUEUE_CHECK_MORE 10
#define QUEUE_CHECK_FINDINGS 4 /* at most, of one subject */

/* wid: this worker incarnation's id; NULL for programs that take no jobs. Borrows redis
 * and settings for its life. The client must have been made with queue_scripts. */
struct queue *queue_new(struct redis *redis, const struct settings *settings,
                        const char *wid);
void queue_free(struct queue *q);

/* prefix + name + tail, e.g. ("job:", id), ("pending", ""). */
void queue_key(const struct queue *q, const char *name, const char *tail,
               char out[static QUEUE_KEY_MAX]);

/* All calls below: 0 = the callback runs exactly once, later, from the loop; -1 = *e
 * set, it never runs (not connected). In the callback e->class ERR_NONE means that
 * Redis answered; otherwise the other arguments are void, and e->code REDIS_LOST means
 * that the call may have taken effect: every call is safe to repeat as it is. */

/* ---- fields to write into a job's hash ---- */

#define QUEUE_WRITE_MAX 40

/* Values are copied; names are static strings. "@now@" in a value becomes Redis's time.
 */
struct queue_write {
    struct buf text;
    struct {
        const char *name;
        size_t at, len;
    } set[QUEUE_WRITE_MAX];
    size_t sets;
    const char *del[QUEUE_WRITE_MAX];
    size_t dels;
};
void queue_write_init(struct queue_write *w);
void queue_write_done(struct queue_write *w);
void queue_write_reset(struct queue_write *w);
bool queue_write_empty(const struct queue_write *w);
void queue_write_bytes(struct queue_write *w, const char *name, const void *value,
                       size_t len);
void queue_write_str(struct queue_write *w, const char *name, const char *value);
void queue_write_int(struct queue_write *w, const char *name, int64_t value);
void queue_write_del(struct queue_write *w, const char *name);

/* ---- a worker's part ---- */

struct queue_beat {
    int known;      /* 0: this worker was not registered (new, or reaped), 1: alive,
                       2: its lease had run out but nobody had taken its jobs */
    int64_t now_ms; /* Redis's clock */
    bool paused;
    int64_t ready;  /* jobs that could be taken at once */
    int64_t due_ms; /* -1: nothing */
    int64_t follow_due_ms;
    int64_t held;                   /* jobs in this worker's hands */
    int64_t moved_ms;               /* when another server took over; 0: never seen */
    const struct redisReply *lanes; /* for queue_beat_lane */
};
typedef void (*queue_beat_fn)(void *arg, const struct queue_beat *b,
                              const struct err *e);

/* What others see of this worker in `stopgapctl workers`. */
struct queue_info {
    const char *host;
    int64_t pid;
    int64_t busy;
    int64_t started_ms;
    int64_t lag_ms;     /* the longest turn of its loop */
    const char *state;  /* "running", "quiet", "draining" */
    const char *server; /* which one answers, as Sentinel names it; "" without */
};

/* Extends the lease, registers if need be, adopts inbox entries. */
int queue_beat(struct queue *q, const struct queue_info *info, queue_beat_fn fn,
               void *arg, struct err *e) MUST_CHECK;

enum queue_take_status { QUEUE_TAKE_OK, QUEUE_TAKE_PAUSED, QUEUE_TAKE_EXPIRED };
struct queue_batch {
    enum queue_take_status status;
    int64_t now_ms;
    int64_t due_ms;    /* -1: nothing */
    bool solo_waiting; /* a job that lost two workers waits for an idle one */
    size_t count;
    const struct redisReply *reply; /* for queue_batch_job */
};
typedef void (*queue_take_fn)(void *arg, const struct queue_batch *b,
                              const struct err *e);

struct queue_want {
    size_t jobs;
    bool reap; /* take back the jobs of workers whose lease ran out */
    bool idle; /* nothing is in flight here */
};
int queue_take(struct queue *q, const struct queue_want *want, queue_take_fn fn,
               void *arg, struct err *e) MUST_CHECK;

/* Job i of a batch, decoded; valid batches only inside the callback. *solo: it must run
 * alone. A record that does not read leaves *out with id and fence only. */
int queue_batch_job(const struct queue_batch *b, size_t i, struct job *out, bool *solo,
                    struct err *e) MUST_CHECK;

enum queue_saved {
    QUEUE_SAVED,
    QUEUE_NOT_YOURS, /* reaped, or ended meanwhile: nothing was written */
    QUEUE_LATE,      /* not yours any more, but the result was accepted */
    QUEUE_GUARDED,   /* somebody has that result already: nothing was written */
    QUEUE_CAPPED     /* a cap is reached: nothing was written */
};
/* detail: with CAPPED the cap's name, with NOT_YOURS the number of the issue that the
 * job has by now, or "". */
typedef void (*queue_save_fn)(void *arg, enum queue_saved saved, const char *detail,
                              const struct err *e);

struct queue_cap {
    char name[80]; /* "day", "agent:<digest>", "addr:<digest>" */
    int64_t limit;
};
struct queue_save {
    const struct job *job; /* id and fence */
    enum job_step late; /* STEP_COUNT: none; else this write carries that step's result
                           and counts even from a former owner */
    const char *guard;  /* field that must not be there yet; NULL: none */
    const struct queue_cap *caps;
    size_t cap_count;
    const struct queue_write *write;
};
int queue_save(struct queue *q, const struct queue_save *save, queue_save_fn fn,
               void *arg, struct err *e) MUST_CHECK;

enum queue_claim {
    QUEUE_CLAIM_OK,
    QUEUE_CLAIM_DUP,    /* the first is at work, or its license is valid */
    QUEUE_CLAIM_REPLAY, /* same idempotency key, same content */
    QUEUE_CLAIM_RERUN,  /* the first had failed and runs again */
    QUEUE_CLAIM_SPENT,  /* it has done so three times, or a person must decide */
    QUEUE_CLAIM_CLASH,  /* same idempotency key, other content: still ours */
    QUEUE_CLAIM_LOST    /* not ours any more */
};
/* other: the first job's id (DUP to CLASH), or the ids of earlier licenses of the
 * ticket, blank-separated, "" if none (OK). From DUP to SPENT the job has ended as a
 * duplicate. */
typedef void (*queue_claim_fn)(void *arg, enum queue_claim claim, const char *other,
                               const struct err *e);
int queue_claim(struct queue *q, const struct job *job, const struct request *request,
                queue_claim_fn fn, void *arg, struct err *e) MUST_CHECK;

enum queue_verb { QUEUE_DONE, QUEUE_FAIL, QUEUE_RETRY, QUEUE_SNOOZE, QUEUE_RELEASE };
typedef void (*queue_done_fn)(void *arg, bool yours, const struct err *e);
/* event: a line for the timeline, or "". */
int queue_finish(struct queue *q, const struct job *job, enum queue_verb verb,
                 int64_t delay_ms, const char *event, const struct queue_write *write,
                 queue_done_fn fn, void *arg, struct err *e) MUST_CHECK;

/* Ends a {"resend": ID} request as a pointer at its target. */
int queue_point_at(struct queue *q, const struct job *job, const char *event,
                   const char *target, queue_done_fn fn, void *arg,
                   struct err *e) MUST_CHECK;

/* Follow-ups: what happens after, outside the job's slot. */
struct queue_follow {
    const char *kind; /* "report", "late", "shared" */
    const char *id;
    char token[24];
    int64_t earlier_intent_ms; /* 0: the first attempt; else look before creating */
    const char *fixed_url;     /* issue of the job that solved this one, "" if none */
    /* Of kind "shared", one issue for many reports, which has an id of its own. Else 0
     * and "". */
    int64_t since_ms, count;
    const char *last_ids; /* the youngest first, blank-separated */
};
struct queue_follows {
    int64_t now_ms;
    int64_t due_ms;
    size_t count;
    const struct redisReply *reply;
};
typedef void (*queue_follow_fn)(void *arg, const struct queue_follows *f,
                                const struct err *e);
/* hold_ms: if this worker dies with an item, another may have it after that. */
int queue_follow_take(struct queue *q, size_t most, int64_t hold_ms, queue_follow_fn fn,
                      void *arg, struct err *e) MUST_CHECK;
int queue_follow_item(const struct queue_follows *f, size_t i, struct queue_follow *out,
                      struct job *job, struct err *e) MUST_CHECK;
enum queue_settled {
    QUEUE_ANEW, /* written; the item was scheduled anew meanwhile, and stays so */
    QUEUE_SETTLED,
    QUEUE_STRAY /* nothing was written: another issue than this report_iid is known */
};
typedef void (*queue_settled_fn)(void *arg, enum queue_settled how,
                                 const struct err *e);
/* Writes the fields; the item is put off by delay_ms, or removed (-1). token "": only
 * the fields. */
int queue_follow_done(struct queue *q, const char *kind, const char *id,
                      const char *token, int64_t delay_ms,
                      const struct queue_write *write, queue_settled_fn fn, void *arg,
                      struct err *e) MUST_CHECK;

/* People are told of what became of a job, in a channel: "slack" or "zendesk". */
struct queue_tell {
    int64_t now_ms;
    int64_t due_ms;    /* when to ask again; -1: not before something has happened */
    const char *id;    /* NULL: nothing to tell now */
    const char *event; /* "done", "failed", "late"; "failed 2": in its second run */
    char token[24];
    int64_t earlier_intent_ms; /* 0: the first attempt; else look before telling */
    int64_t tries;             /* that failed in a row */
    int64_t since_ms;          /* when it became so */
    const struct redisReply *reply;
};
typedef void (*queue_tell_fn)(void *arg, const struct queue_tell *t,
                              const struct err *e);
/* channels: all that this worker has, blank-separated; what the queue's scripts
 * schedule from now on. channel "": nothing is taken. hold_ms as with follow_take. */
int queue_tell_take(struct queue *q, const char *channel, const char *channels,
                    int64_t hold_ms, queue_tell_fn fn, void *arg,
                    struct err *e) MUST_CHECK;
/* Only inside the callback. */
int queue_tell_job(const struct queue_tell *t, struct job *job,
                   struct err *e) MUST_CHECK;

/* Fields are written always. event "": not settled, it comes again after delay_ms; else
 * it is settled, words go into the timeline, and `counter` up. token "": only the
 * fields. */
struct queue_told {
    const char *channel, *id, *token, *event, *words, *counter;
    int64_t delay_ms; /* -1: finished */
};
int queue_tell_done(struct queue *q, const struct queue_told *told,
                    const struct queue_write *write, queue_done_fn fn, void *arg,
                    struct err *e) MUST_CHECK;

/* Gives back what is in this worker's hands beside these jobs: claims whose answer was
 * lost. Only with no claim under way. */
int queue_disown(struct queue *q, const char *const *ids, size_t count,
                 queue_done_fn fn, void *arg, struct err *e) MUST_CHECK;

/* Writes anew what people see of these jobs, those that are in this worker's hands. */
int queue_show(struct queue *q, const char *const *ids, size_t count, queue_done_fn fn,
               void *arg, struct err *e) MUST_CHECK;

/* Takes back all jobs of a worker that is known to be dead. */
int queue_reap_worker(struct queue *q, const char *wid, queue_done_fn fn, void *arg,
                      struct err *e) MUST_CHECK;

/* Removes jobs past their retention, with everything of theirs: a batch of them, and
 * says whether there were any. */
int queue_trim(struct queue *q, queue_done_fn fn, void *arg, struct err *e) MUST_CHECK;

/* Lanes: outside systems that are closed to the jobs of all workers. */
struct queue_lane {
    enum { QUEUE_LANE_OPEN, QUEUE_LANE_PROBE, QUEUE_LANE_CLOSED } state;
    int64_t until_ms; /* Redis's clock; -1: open */
    int64_t delayed;  /* jobs; not of a beat's */
    struct err why;
    const char *by; /* a wid; valid inside the callback */
};
typedef void (*queue_lane_fn)(void *arg, const struct queue_lane *l,
                              const struct err *e);

enum queue_lane_verb {
    QUEUE_LANE_ASK,    /* may a job try? ms: from this probe to the next */
    QUEUE_LANE_CLOSE,  /* for ms at least */
    QUEUE_LANE_EXTEND, /* the same, unless somebody has opened it meanwhile */
    QUEUE_LANE_REOPEN  /* and wake, little by little, those that waited for it */
};
/* why: for close and extend; else NULL. */
int queue_lane(struct queue *q, const char *name, enum queue_lane_verb verb, int64_t ms,
               const struct err *why, queue_lane_fn fn, void *arg,
               struct err *e) MUST_CHECK;

/* What a beat was told of a lane; only inside its callback. */
void queue_beat_lane(const struct queue_beat *b, const char *name,
                     struct queue_lane *out);

/* How much there is of each, in one moment. Changes nothing. */
struct queue_depth {
    int64_t now_ms;
    int64_t inbox, ready, active, delayed, failed, done;
    int64_t follow_ups, slack, zendesk; /* what is to be reported, and told where */
    int64_t workers;                    /* alive */
    int64_t oldest_ms; /* when the oldest of `ready` was accepted; -1: none */
    bool paused;
};
typedef void (*queue_depth_fn)(void *arg, const struct queue_depth *d,
                               const struct err *e);
int queue_depth(struct queue *q, queue_depth_fn fn, void *arg,
                struct err *e) MUST_CHECK;

/* ---- an operator's part: the answer's first word, the second (or "") ---- */

typedef void (*queue_answer_fn)(void *arg, const char *word, const char *detail,
                                const struct err *e);

/* Who does it and from where, as their program says: claimed, not proved. No tabs and
 * no line ends in either. */
struct queue_by {
    const char *who, *from;
};
struct queue_requeue {
    const char *id;
    const struct queue_by *by;
    const char *redo; /* step name or "" */
    bool mail_arrived;
    bool lift_limit;
};
/* OK | NONE | STATE state | STALE | AMBIGUOUS (say which: mail_arrived or redo email) |
 * NOTAMBIGUOUS | DUPLICATE first-id */
int queue_requeue(struct queue *q, const struct queue_requeue *what, queue_answer_fn fn,
                  void *arg, struct err *e) MUST_CHECK;
/* OK id | NONE | STATE state | EXPIRED | SPENT. request: the job that asks for it,
 * which is granted it once; "": a person does, and is granted it each time. */
int queue_resend(struct queue *q, const char *id, const struct queue_by *by,
                 const char *request, queue_answer_fn fn, void *arg,
                 struct err *e) MUST_CHECK;
/* OK | NONE | STATE state */
int queue_discard(struct queue *q, const char *id, const struct queue_by *by,
                  queue_answer_fn fn, void *arg, struct err *e) MUST_CHECK;

/* A request onto the public list, by an operator. what: "submit" or "reconcile", for
 * the audit. OK */
struct queue_submit {
    const char *id;
    const char *raw;
    size_t raw_len;
    const char *what;
    const struct queue_by *by;
};
int queue_submit(struct queue *q, const struct queue_submit *request,
                 queue_answer_fn fn, void *arg, struct err *e) MUST_CHECK;
/* OK | NONE | NEWER | STATE state | REPORT (its failure issue is about to be written).
 * id "": the addresses in words that belong to no job are masked; OK how-many. */
#define QUEUE_FORGET_ADDRESSES 8
struct queue_forget {
    const char *id;
    bool doing;      /* else only what the answer would be */
    const char *cap; /* of the address, as in queue_cap's name */
    const char
        *addresses[QUEUE_FORGET_ADDRESSES]; /* lower case, up to the first NULL */
    const struct queue_by *by;
};
int queue_forget(struct queue *q, const struct queue_forget *what, queue_answer_fn fn,
                 void *arg, struct err *e) MUST_CHECK;
/* reason NULL: resume. OK 1, or OK 0: it was not paused */
int queue_pause(struct queue *q, const char *reason, const struct queue_by *by,
                queue_answer_fn fn, void *arg, struct err *e) MUST_CHECK;

/* What is suspected of the queue, judged in one moment and, if asked, mended in the
 * same. rule and subject: what common/lua/fsck.lua takes. */
struct queue_check {
    const char *rule, *subject;
    const struct queue_by *by;
    bool repair;
    const char *more[QUEUE_CHECK_MORE]; /* up to the first NULL */
};
struct queue_findings {
    size_t count;
    struct {
        const char *kind, *detail; /* borrowed during the callback */
        bool mended;
    } v[QUEUE_CHECK_FINDINGS];
};
typedef void (*queue_findings_fn)(void *arg, const struct queue_findings *f,
                                  const struct err *e);
int queue_check(struct queue *q, const struct queue_check *what, queue_findings_fn fn,
                void *arg, struct err *e) MUST_CHECK;

#endif
