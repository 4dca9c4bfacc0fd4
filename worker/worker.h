/* worker: what all parts of this process share: settings, clients, lanes, the clock,
 * the list of tasks. Its own part (worker.c) starts, drains and ends; worker_lease
 * and worker_take do the rest. It knows nothing of steps. */
#ifndef STOPGAP_WORKER_H
#define STOPGAP_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "counts.h"
#include "lane.h"
#include "log.h"
#include "queue.h"
#include "worker_lag.h"

struct gitlab;
struct http;
struct license_key;
struct redis;
struct settings;
struct smtp;
struct task;
struct templates;
struct tls;
struct follow;
struct slack;
struct metrics_listen;
struct teller;
struct zendesk;

enum worker_mode { WORKER_RUNNING, WORKER_QUIET, WORKER_DRAINING };

struct worker {
    uv_loop_t *loop;
    const struct settings *settings;
    struct tls *tls; /* NULL: neither Redis nor the mail server wants it */
    struct license_key *key;
    struct seal *seal; /* NULL: licenses stand in Redis in clear */
    struct templates *templates;
    char wid[160];
    char host_name[80];
    int64_t started_ms;

    struct redis *redis;        /* commands */
    struct redis *wait_inbox;   /* blocks until the inbox has something */
    struct redis *wait_pending; /* the same for jobs that are ready */
    struct queue *queue;
    struct smtp *smtp;
    struct http *http;
    struct gitlab *gitlab;
    struct http *tell_http;  /* of the two below: what they do is nobody else's worry */
    struct slack *slack;     /* NULL: not set up */
    struct zendesk *zendesk; /* the same */
    struct lane smtp_lane, gitlab_lane, replica_lane;
    /* Reading tickets, and telling: a limit on one is none on the others. */
    struct lane zendesk_lane, note_lane, slack_lane;
    struct err zendesk_why; /* ticket.c: its last trouble */
    int64_t zendesk_down_ms,
        zendesk_failed_ms; /* since when, last; loop clock, 0: up */
    struct queue_confirm *confirm;
    struct follow *follow;
    struct teller *teller;

    struct task *tasks; /* in flight */
    size_t task_count;
    size_t strays;     /* issues that are being closed as duplicates */
    bool solo;         /* the one in flight runs alone */
    bool solo_waiting; /* such a job waits for us to be idle */

    enum worker_mode mode;
    bool registered;        /* beaten since the last (re)connect */
    int64_t moved_ms;       /* Redis's clock: another server took over; 0: never seen */
    int64_t moved_heard_ms; /* loop clock: when this worker heard of that */
    bool paused;            /* the queue is */
    bool looking; /* for jobs of a predecessor on this host, before any others */
    bool taking;  /* a take is under way */
    int64_t reap_after_ms;                /* loop clock: reap nobody before */
    bool beating;                         /* a beat is under way */
    int64_t beat_sent_ms, lease_until_ms; /* loop clock */
    int64_t redis_offset_ms;              /* Redis's clock minus the loop's */
    bool waiting[2];   /* a blocking wait is under way on inbox, pending */
    bool told_wait[2]; /* that Redis refuses it */
    struct worker_lag lag;
    struct counts counts;
    struct metrics_listen *metrics; /* NULL: off */
    uint64_t beats;                 /* sent; every so many, old jobs are removed too */
    uv_timer_t beat_timer, due_timer, drain_timer;
    uv_prepare_t log_turn; /* log lines leave once a turn */
    uv_signal_t signals[6];
    bool told_confidential, told_labels; /* by worker_issue_made */
    bool ending; /* past the drain deadline: no step is begun any more */
    bool closing;
    int exit_code;
};

/* Makes the clients and starts. *w is zeroed but loop, settings, tls, keys, templates.
 * ERR_CONFIG if a client cannot be set up. */
int worker_start(struct worker *w, struct err *e) MUST_CHECK;

/* Makes the loop return; what is still in flight is left to the lease. */
void worker_stop(struct worker *w);

/* After the loop has returned: frees everything that worker_start made. The signal
 * handles are the caller's and must be ended already. False: a thread is still
 * looking up a name; exit() would wait for it. */
bool worker_close(struct worker *w) MUST_CHECK;

/* TERM: stop taking, finish what runs; after STOPGAP_DRAIN_TIMEOUT release the rest. */
void worker_drain(struct worker *w);

/* TSTP and CONT. */
void worker_quiet(struct worker *w, bool quiet);

/* A task has ended: there may be room, or nothing left. */
void worker_task_ended(struct worker *w);

/* Something beside the tasks has ended: a worker that drains may have waited for it. */
void worker_side_ended(struct worker *w);

/* True: this worker drains and has nothing left, not even a claim under way, whose jobs
 * would stay in its hands until its lease runs out. */
bool worker_is_drained(const struct worker *w);

/* Monotonic milliseconds: for durations and deadlines inside this process. */
int64_t worker_loop_ms(const struct worker *w);

/* Redis's clock, by its last answer: the only time that enters a record or a license.
 */
int64_t worker_now_ms(const struct worker *w);

/* Redis has just answered that it is now_ms. */
void worker_set_clock(struct worker *w, int64_t now_ms);

/* How loud a trouble with Redis is: what it refuses for good is somebody's to mend; the
 * rest passes. */
enum log_level worker_redis_level(const struct err *e);

/* What is left of the lease; an irreversible effect is not begun on a thin one. */
bool worker_lease_is_safe(const struct worker *w);

/* To be told of every issue that was created: says, once per process, when GitLab made
 * it without what was asked for. Such an issue stands; where it may be seen by
 * strangers (the project need not be private), the lane closes so that no more are
 * made. */
struct gitlab_result;
void worker_issue_made(struct worker *w, const struct gitlab_result *r);

/* Feeds a lane, logs when it closes (error when only a person can mend it) or opens,
 * and tells the other workers. */
void worker_lane_report(struct worker *w, struct lane *l, const struct err *e);

/* The same for a lane of this worker alone: nobody else is told. */
void worker_lane_report_here(struct worker *w, struct lane *l, const struct err *e);

#endif
