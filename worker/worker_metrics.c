/* worker_metrics: see worker_metrics.h. What the whole queue holds is asked of Redis
 * for each scrape; the rest is at hand. */
#include "worker_metrics.h"

#include <stdio.h>
#include <stdlib.h>

#include "mem.h"
#include "metrics_listen.h"
#include "settings.h"
#include "smtp.h"
#include "worker.h"

/* What the table's rows see. */
struct sight {
    const struct worker *worker;
    const struct queue_depth *depth; /* NULL: Redis did not say */
};

static const struct counts *counts_of(const void *state)
{
    return &((const struct sight *)state)->worker->counts;
}

static const struct worker *worker_of(const void *state)
{
    return ((const struct sight *)state)->worker;
}

static uint64_t whole(int64_t n)
{
    return n > 0 ? (uint64_t)n : 0;
}

/* ---- the process ---- */

static void write_build(const struct metric_out *out, const void *state)
{
    (void)state;
    metrics_add(out, "program=\"stopgap-worker\",version=\"" STOPGAP_VERSION "\"", 1);
}

static void write_start(const struct metric_out *out, const void *state)
{
    const struct worker *w = worker_of(state);

    if (w->started_ms)
        metrics_add_seconds(out, "", w->started_ms);
}

static void write_lag(const struct metric_out *out, const void *state)
{
    metrics_add_seconds(out, "", worker_lag_ms(&worker_of(state)->lag));
}

static void write_redis_up(const struct metric_out *out, const void *state)
{
    metrics_add(out, "", redis_is_up(worker_of(state)->redis));
}

static void write_redis_lost(const struct metric_out *out, const void *state)
{
    metrics_add(out, "", counts_of(state)->redis_lost);
}

static void write_lease(const struct metric_out *out, const void *state)
{
    const struct worker *w = worker_of(state);

    metrics_add_seconds(out, "",
                        w->registered ? w->lease_until_ms - worker_loop_ms(w) : 0);
}

static void write_lease_length(const struct metric_out *out, const void *state)
{
    metrics_add_seconds(out, "", worker_of(state)->settings->lease_ms);
}

static void write_leases_lost(const struct metric_out *out, const void *state)
{
    metrics_add(out, "", counts_of(state)->leases_lost);
}

static void write_mode(const struct metric_out *out, const void *state)
{
    metrics_add(out, "", worker_of(state)->mode == WORKER_RUNNING);
}

static void write_busy(const struct metric_out *out, const void *state)
{
    metrics_add(out, "", worker_of(state)->task_count);
}

static void write_concurrency(const struct metric_out *out, const void *state)
{
    metrics_add(out, "", whole(worker_of(state)->settings->concurrency));
}

static void write_smtp_waiting(const struct metric_out *out, const void *state)
{
    metrics_add(out, "", smtp_waiting(worker_of(state)->smtp));
}

/* ---- what it has done ---- */

static void write_steps(const struct metric_out *out, const void *state)
{
    static const char *const outcomes[] = {"done", "failed", "gone", "waits"};
    char labels[64];

    for (enum job_step s = STEP_VALIDATE; s < STEP_ACK; s++)
        for (size_t i = 0; i < ARRAY_LEN(outcomes); i++) {
            (void)snprintf(labels, sizeof labels, "step=\"%s\",outcome=\"%s\"",
                           job_step_name(s), outcomes[i]);
            metrics_add(out, labels, counts_of(state)->steps[s][i]);
        }
}

static void write_step_took(const struct metric_out *out, const void *state)
{
    char label[32];

    for (enum job_step s = STEP_VALIDATE; s < STEP_ACK; s++) {
        (void)snprintf(label, sizeof label, "step=\"%s\"", job_step_name(s));
        metrics_add_spans(out, label, &counts_of(state)->step_took[s]);
    }
}

static void write_jobs(const struct metric_out *out, const void *state)
{
    static const char *const ends[] = {"done", "failed", "retry", "waits", "released"};

    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        metrics_add_named(out, "outcome", ends[i], counts_of(state)->jobs[i]);
}

static void write_job_took(const struct metric_out *out, const void *state)
{
    metrics_add_spans(out, "", &counts_of(state)->job_took);
}

static void add_classes(const struct metric_out *out, const uint64_t *n)
{
    for (enum err_class c = ERR_INVALID; c < ERR_CLASS_COUNT; c++)
        metrics_add_named(out, "class", err_class_name(c), n[c]);
}

static void write_retries(const struct metric_out *out, const void *state)
{
    add_classes(out, counts_of(state)->retries);
}

static void write_failures(const struct metric_out *out, const void *state)
{
    add_classes(out, counts_of(state)->failures);
}

static void write_ambiguous(const struct metric_out *out, const void *state)
{
    metrics_add(out, "", counts_of(state)->ambiguous);
}

static void add_sides(const struct metric_out *out, const uint64_t *n)
{
    static const char *const names[] = {"done", "retry", "refused"};

    for (size_t i = 0; i < COUNTS_SIDES; i++)
        metrics_add_named(out, "outcome", names[i], n[i]);
}

static void write_reports(const struct metric_out *out, const void *state)
{
    add_sides(out, counts_of(state)->reports);
}

static void write_tells(const struct metric_out *out, const void *state)
{
    add_sides(out, counts_of(state)->tells);
}

static void write_lanes(const struct metric_out *out, const void *state)
{
    const struct worker *w = worker_of(state);
    const struct lane *lanes[] = {&w->smtp_lane,    &w->gitlab_lane, &w->replica_lane,
                                  &w->zendesk_lane, &w->note_lane,   &w->slack_lane};

    for (size_t i = 0; i < ARRAY_LEN(lanes); i++)
        metrics_add_named(out, "lane", lanes[i]->name, !lane_is_open(lanes[i]));
}

/* ---- the whole queue ---- */

static const struct queue_depth *depth_of(const void *state)
{
    return ((const struct sight *)state)->depth;
}

static void write_states(const struct metric_out *out, const void *state)
{
    const struct queue_depth *d = depth_of(state);

    if (!d)
        return;
    metrics_add_named(out, "state", "queued", whole(d->inbox + d->ready));
    metrics_add_named(out, "state", "active", whole(d->active));
    metrics_add_named(out, "state", "delayed", whole(d->delayed));
    metrics_add_named(out, "state", "failed", whole(d->failed));
    metrics_add_named(out, "state", "done", whole(d->done));
}

static void write_inbox(const struct metric_out *out, const void *state)
{
    if (depth_of(state))
        metrics_add(out, "", whole(depth_of(state)->inbox));
}

static void write_oldest(const struct metric_out *out, const void *state)
{
    const struct queue_depth *d = depth_of(state);

    if (d)
        metrics_add_seconds(out, "", d->oldest_ms < 0 ? 0 : d->now_ms - d->oldest_ms);
}

static void write_follow_ups(const struct metric_out *out, const void *state)
{
    const struct queue_depth *d = depth_of(state);

    if (!d)
        return;
    metrics_add_named(out, "kind", "report", whole(d->follow_ups));
    metrics_add_named(out, "kind", "slack", whole(d->slack));
    metrics_add_named(out, "kind", "zendesk", whole(d->zendesk));
}

static void write_workers(const struct metric_out *out, const void *state)
{
    if (depth_of(state))
        metrics_add(out, "", whole(depth_of(state)->workers));
}

static void write_paused(const struct metric_out *out, const void *state)
{
    if (depth_of(state))
        metrics_add(out, "", depth_of(state)->paused);
}

static const struct metric table[] = {
    {"stopgap_build_info", METRIC_GAUGE, "The program and its version.", write_build},
    {"stopgap_start_time_seconds", METRIC_GAUGE,
     "When this worker came to the queue, by Redis's clock.", write_start},
    {"stopgap_redis_up", METRIC_GAUGE, "Whether this program is connected to Redis.",
     write_redis_up},
    {"stopgap_redis_losses_total", METRIC_COUNTER,
     "Connections to Redis lost, or not made.", write_redis_lost},
    {"stopgap_lease_margin_seconds", METRIC_GAUGE,
     "What is left of this worker's lease; 0 or less: it is not held.", write_lease},
    {"stopgap_lease_seconds", METRIC_GAUGE,
     "How long a lease runs from a beat on (STOPGAP_LEASE).", write_lease_length},
    {"stopgap_leases_lost_total", METRIC_COUNTER,
     "Times that others took this worker's jobs back.", write_leases_lost},
    {"stopgap_loop_lag_seconds", METRIC_GAUGE,
     "The longest time that the loop was kept from its sockets since the start.",
     write_lag},
    {"stopgap_worker_running", METRIC_GAUGE,
     "Whether this worker takes jobs: it is neither quiet nor draining.", write_mode},
    {"stopgap_worker_busy_jobs", METRIC_GAUGE, "Jobs in flight in this worker.",
     write_busy},
    {"stopgap_worker_concurrency", METRIC_GAUGE,
     "Most jobs in flight in this worker (STOPGAP_CONCURRENCY).", write_concurrency},
    {"stopgap_smtp_waiting_mails", METRIC_GAUGE,
     "Mails of this worker that wait for a connection to the mail server.",
     write_smtp_waiting},
    {"stopgap_steps_total", METRIC_COUNTER, "Steps of jobs, by how they ended.",
     write_steps},
    {"stopgap_step_duration_seconds", METRIC_HISTOGRAM,
     "How long steps took that were done.", write_step_took},
    {"stopgap_jobs_ended_total", METRIC_COUNTER,
     "Jobs that left this worker's hands, by how.", write_jobs},
    {"stopgap_job_duration_seconds", METRIC_HISTOGRAM,
     "From a job's acceptance to its end, of those done.", write_job_took},
    {"stopgap_retries_total", METRIC_COUNTER,
     "Jobs put off after a failed attempt, by class.", write_retries},
    {"stopgap_failures_total", METRIC_COUNTER, "Jobs that failed for good, by class.",
     write_failures},
    {"stopgap_ambiguous_mails_total", METRIC_COUNTER,
     "Mails of which nobody knows whether they are out.", write_ambiguous},
    {"stopgap_reports_total", METRIC_COUNTER,
     "Attempts at failure issues, by how they ended.", write_reports},
    {"stopgap_tells_total", METRIC_COUNTER,
     "Attempts at Slack messages and ticket notes, by how they ended.", write_tells},
    {"stopgap_lane_closed", METRIC_GAUGE,
     "Whether jobs wait for that outside system (breaker, rate limit, credentials).",
     write_lanes},
    {"stopgap_jobs", METRIC_GAUGE,
     "Jobs of the whole queue by state; each worker says the same.", write_states},
    {"stopgap_inbox_requests", METRIC_GAUGE,
     "Requests of the whole queue that no worker has taken over.", write_inbox},
    {"stopgap_oldest_claimable_seconds", METRIC_GAUGE,
     "Age of the oldest job of the whole queue that could run; 0: there is none.",
     write_oldest},
    {"stopgap_follow_ups", METRIC_GAUGE,
     "What the whole queue still has to report or tell.", write_follow_ups},
    {"stopgap_workers", METRIC_GAUGE, "Workers of the whole queue that are alive.",
     write_workers},
    {"stopgap_queue_paused", METRIC_GAUGE,
     "Whether an operator has paused the whole queue.", write_paused},
};

/* ---- serving ---- */

struct scrape {
    const struct worker *worker;
    struct httpd_call *call;
};

static void answer(const struct worker *w, struct httpd_call *call,
                   const struct queue_depth *d)
{
    const struct sight sight = {.worker = w, .depth = d};

    metrics_listen_answer(call, table, ARRAY_LEN(table), &sight);
}

static void on_depth(void *arg, const struct queue_depth *d, const struct err *e)
{
    struct scrape s = *(struct scrape *)arg;

    free(arg);
    answer(s.worker, s.call, e->class == ERR_NONE ? d : NULL);
}

static void on_scrape(void *arg, struct httpd_call *call)
{
    struct worker *w = arg;
    struct scrape *s = mem_new(1, sizeof *s);
    struct err e;

    *s = (struct scrape){w, call};
    if (queue_depth(w->queue, on_depth, s, &e) == 0)
        return;
    free(s);
    answer(w, call, NULL);
}

static bool is_ready(void *arg, struct err *why)
{
    const struct worker *w = arg;

    if (!redis_is_up(w->redis))
        (void)err_set(why, ERR_TRANSIENT, 0, "no connection to Redis");
    else if (!w->registered || w->lease_until_ms < worker_loop_ms(w))
        (void)err_set(why, ERR_TRANSIENT, 0, "no lease");
    else if (w->mode != WORKER_RUNNING)
        (void)err_set(why, ERR_TRANSIENT, 0, "takes no jobs");
    else
        return true;
    return false;
}

struct metrics_listen *worker_metrics_listen(struct worker *w)
{
    const struct metrics_listen_options options = {
        .loop = w->loop,
        .addr = &w->settings->metrics_listen,
        .setting = "STOPGAP_METRICS_LISTEN",
        .on_scrape = on_scrape,
        .is_ready = is_ready,
        .arg = w,
    };

    return metrics_listen_new(&options);
}
