/* worker: see worker.h. The lease, the taking of jobs, and the drain. */
#include "worker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "claims.h"
#include "follow.h"
#include "gitlab.h"
#include "http.h"
#include "identity.h"
#include "log.h"
#include "mem.h"
#include "metrics_listen.h"
#include "queue_confirm.h"
#include "queue_lua.h"
#include "settings.h"
#include "slack.h"
#include "smtp.h"
#include "step.h"
#include "task.h"
#include "teller.h"
#include "views.h"
#include "worker_lane.h"
#include "worker_metrics.h"
#include "zendesk.h"

#define WAIT_MS 30000         /* of one blocking wait; its end costs one command */
#define REDIS_TIMEOUT_MS 5000 /* a silent server is given up after this */
#define LANE_INTERVAL_MS 30000
#define ZENDESK_TIMEOUT_MS 15000
#define REPLICAS_MS 5000 /* the same; they are near */
#define TRIM_EVERY_BEATS 30
#define CLOSE_TURNS 100 /* of the loop at the end, and between two of them: */
#define CLOSE_TURN_MS 5
#define FORCED_END_MS 3000 /* after the drain deadline: for Redis to hear of it */

static void pump(struct worker *w);

/* ---- the clock ---- */

int64_t worker_loop_ms(const struct worker *w)
{
    return (int64_t)uv_now(w->loop);
}

int64_t worker_now_ms(const struct worker *w)
{
    return worker_loop_ms(w) + w->redis_offset_ms;
}

/* Redis answered now_ms to a question of the time sent_ms (loop clock). */
static void set_clock(struct worker *w, int64_t now_ms)
{
    w->redis_offset_ms = now_ms - worker_loop_ms(w);
}

bool worker_lease_is_safe(const struct worker *w)
{
    uv_update_time(w->loop); /* this turn may have been frozen since it began */
    return w->lease_until_ms - worker_loop_ms(w) > w->settings->lease_ms / 5;
}

void worker_issue_made(struct worker *w, const struct gitlab_result *r)
{
    struct err e;

    worker_lane_report(w, &w->gitlab_lane, &r->err);
    if (r->labels_missing && !w->told_labels)
        log_msg(LOG_WARN, "labels_missing",
                "GitLab made issue %lld without its labels: the token's role has to be "
                "Planner or Reporter",
                (long long)r->iid);
    w->told_labels = w->told_labels || r->labels_missing;
    if (r->confidential)
        return;
    (void)err_set(
        &e, ERR_AUTH, 0,
        "GitLab made issue %lld without `confidential`: the token's role has to "
        "be Planner or Reporter; whoever sees the project can read it",
        (long long)r->iid);
    if (!w->settings->gitlab_require_private)
        worker_lane_report(w, &w->gitlab_lane, &e);
    else if (!w->told_confidential)
        log_msg(LOG_ERROR, "not_confidential", "%s", e.text);
    w->told_confidential = true;
}

/* What Redis refuses for good is somebody's to mend; the rest passes. */
static enum log_level redis_level(const struct err *e)
{
    return e->class == ERR_TRANSIENT || e->class == ERR_CANCELLED ? LOG_WARN
                                                                  : LOG_ERROR;
}

/* ---- waiting for something to do ---- */

enum { WAIT_INBOX, WAIT_PENDING };

static const char *const wait_lists[] = {"inbox", "pending"};

/* What a blocking wait's answer has to find again. */
struct wait_call {
    struct worker *worker;
    int which;
};

/* Jobs still come in with each beat, only later: worth one line. */
static void say_wait_refused(struct worker *w, int which, const struct err *e)
{
    if (redis_level(e) != LOG_ERROR || w->told_wait[which])
        return;
    w->told_wait[which] = true;
    log_msg(LOG_ERROR, "wait_refused",
            "new jobs in %s are seen with each beat only: %s", wait_lists[which],
            e->text);
}

static void on_wait_over(void *arg, const struct redisReply *r, const struct err *e)
{
    struct wait_call c = *(struct wait_call *)arg;
    struct worker *w = c.worker;

    free(arg);
    w->waiting[c.which] = false;
    if (e->class != ERR_NONE) {
        say_wait_refused(w, c.which, e);
        return; /* on_up of that client, or the next beat, waits anew */
    }
    w->told_wait[c.which] = false;
    if (r && reply_type(r) != REPLY_NIL)
        pump(w);
    else if (!w->taking)
        pump(w);
}

/* BLMOVE of a list's last element onto its own end: wakes when there is one, changes
 * nothing. */
static void wait_on(struct worker *w, int which)
{
    struct redis *r = which == WAIT_INBOX ? w->wait_inbox : w->wait_pending;
    struct wait_call *c;
    char key[QUEUE_KEY_MAX];
    const char *const argv[] = {"BLMOVE", key, key, "RIGHT", "RIGHT", "30"};
    struct err e;

    if (w->waiting[which] || !redis_is_up(r))
        return;
    queue_key(w->queue, wait_lists[which], "", key);
    c = mem_new(1, sizeof *c);
    *c = (struct wait_call){w, which};
    w->waiting[which] = true;
    if (redis_call_blocking(r, on_wait_over, c, ARRAY_LEN(argv), argv, WAIT_MS, &e)) {
        w->waiting[which] = false;
        free(c);
    }
}

static void on_due(uv_timer_t *timer)
{
    pump(timer->data);
}

/* at_ms: Redis's clock, -1 nothing. */
static void set_due(struct worker *w, int64_t at_ms)
{
    int64_t wait = at_ms - worker_now_ms(w);

    if (at_ms < 0)
        (void)uv_timer_stop(&w->due_timer);
    else /* a millisecond late, so that it is due indeed */
        (void)uv_timer_start(&w->due_timer, on_due, wait > 0 ? (uint64_t)wait + 1 : 1,
                             0);
}

/* ---- taking jobs ---- */

static size_t room(const struct worker *w)
{
    size_t most = (size_t)w->settings->concurrency;

    if (w->mode != WORKER_RUNNING || !w->registered || w->looking || w->paused ||
        w->solo)
        return 0;
    if (w->solo_waiting && w->task_count > 0)
        return 0; /* become idle first */
    return most > w->task_count ? most - w->task_count : 0;
}

static void begin_job(struct worker *w, const struct queue_batch *b, size_t i)
{
    struct job job = {0};
    struct err e;
    bool solo;

    if (queue_batch_job(b, i, &job, &solo, &e) == 0) {
        task_start(w, &job, solo);
        return;
    }
    log_msg(LOG_ERROR, "unreadable_record", "%s: %s", job.id, e.text);
    task_refuse(w, &job, &e);
}

/* True: this worker drains and has nothing left, not even a claim under way, whose jobs
 * would stay in its hands until its lease runs out. */
static bool drained(const struct worker *w)
{
    return w->mode == WORKER_DRAINING && w->task_count == 0 && !w->taking &&
           w->strays == 0 && !follow_busy(w->follow) && !teller_busy(w->teller) &&
           !w->closing;
}

static void on_taken(void *arg, const struct queue_batch *b, const struct err *e)
{
    struct worker *w = arg;

    w->taking = false;
    if (drained(w) && b->count == 0) {
        worker_stop(w);
        return;
    }
    if (e->class != ERR_NONE)
        return; /* the next beat pumps again */
    set_clock(w, b->now_ms);
    w->solo_waiting = b->solo_waiting;
    w->paused = b->status == QUEUE_TAKE_PAUSED;
    if (b->status == QUEUE_TAKE_EXPIRED) {
        w->registered = false; /* the next beat revives it */
        return;
    }
    set_due(w, b->due_ms);
    for (size_t i = 0; i < b->count; i++)
        begin_job(w, b, i);
    if (b->count > 0) {
        pump(w);
        return;
    }
    if (room(w) > 0) {
        wait_on(w, WAIT_INBOX);
        wait_on(w, WAIT_PENDING);
    }
}

static void pump(struct worker *w)
{
    struct queue_want want = {.jobs = room(w),
                              .reap = worker_loop_ms(w) >= w->reap_after_ms,
                              .idle = w->task_count == 0};
    struct err e;

    if (w->taking || want.jobs == 0)
        return;
    w->taking = queue_take(w->queue, &want, on_taken, w, &e) == 0;
}

void worker_pump(struct worker *w)
{
    pump(w);
}

void worker_task_ended(struct worker *w)
{
    if (drained(w))
        worker_stop(w);
    else
        pump(w);
}

void worker_side_ended(struct worker *w)
{
    if (drained(w))
        worker_stop(w);
}

/* ---- the lease ---- */

static void unblock_tasks(struct worker *w)
{
    struct task *next;

    for (struct task *t = w->tasks; t; t = next) {
        next = t->next;
        task_unblock(t);
    }
}

static void on_beat(void *arg, const struct queue_beat *b, const struct err *e)
{
    struct worker *w = arg;
    bool first = !w->registered;

    w->beating = false;
    if (e->class != ERR_NONE) {
        log_msg(redis_level(e), "beat", "%s", e->text);
        return;
    }
    set_clock(w, b->now_ms);
    w->lease_until_ms = w->beat_sent_ms + w->settings->lease_ms;
    if (b->known == 0 && w->registered) {
        w->counts.leases_lost++;
        log_msg(LOG_WARN, "lease_lost", "this worker's jobs were taken back by others");
    }
    w->registered = true;
    if (!w->started_ms)
        w->started_ms = b->now_ms;
    w->paused = b->paused;
    w->moved_ms = b->moved_ms;
    worker_lane_heard(w, b);
    unblock_tasks(w);
    claims_check(w, b->held);
    views_refresh(w);
    follow_beat(w->follow);
    teller_beat(w->teller, first,
                b->follow_due_ms >= 0 && b->follow_due_ms <= b->now_ms);
    if (b->follow_due_ms >= 0)
        follow_due(w->follow, b->follow_due_ms - w->redis_offset_ms);
    if (!w->taking && b->due_ms >= 0)
        set_due(w, b->due_ms);
    if (b->ready > 0 || !w->waiting[WAIT_INBOX] || !w->waiting[WAIT_PENDING])
        pump(w); /* else the waits and the due timer do when there is something */
}

static void trim(struct worker *w);

/* A batch at a time, so that Redis serves others in between. */
static void on_trimmed(void *arg, bool some, const struct err *e)
{
    struct worker *w = arg;

    if (e->class != ERR_NONE && e->class != ERR_CANCELLED)
        log_msg(LOG_WARN, "trim", "%s", e->text);
    else if (some && !w->closing)
        trim(w);
}

static void trim(struct worker *w)
{
    struct err e;

    if (queue_trim(w->queue, on_trimmed, w, &e))
        on_trimmed(w, false, &e);
}

static void beat(struct worker *w)
{
    static const char *const states[] = {"running", "quiet", "draining"};
    struct queue_info info = {.host = w->host_name,
                              .pid = getpid(),
                              .busy = (int64_t)w->task_count,
                              .lag_ms = worker_lag_ms(&w->lag),
                              .started_ms = w->started_ms,
                              .state = states[w->mode],
                              .server = redis_server(w->redis)};
    struct err e;

    if (w->beating)
        return; /* the lease counts from the beat that is answered */
    w->beat_sent_ms = worker_loop_ms(w);
    w->beating = queue_beat(w->queue, &info, on_beat, w, &e) == 0;
    if (!w->beating)
        return; /* not connected: on_up beats */
    if (w->beats++ % TRIM_EVERY_BEATS == 0)
        trim(w);
}

static void on_beat_timer(uv_timer_t *timer)
{
    beat(timer->data);
}

/* ---- predecessors on this host ---- */

static void on_reaped(void *arg, bool yes, const struct err *e)
{
    (void)yes;
    if (e->class == ERR_NONE)
        pump(arg);
}

static void on_workers(void *arg, const struct redisReply *r, const struct err *e)
{
    struct worker *w = arg;
    struct err down;

    w->looking = false;
    if (e->class != ERR_NONE) {
        pump(w); /* their leases will run out */
        return;
    }
    for (size_t i = 0; i < reply_count(r); i++) {
        const char *wid = reply_str(reply_at(r, i));

        if (!identity_is_dead_neighbour(w->wid, wid))
            continue;
        log_msg(LOG_INFO, "predecessor", "%s is gone: its jobs are taken back", wid);
        if (queue_reap_worker(w->queue, wid, on_reaped, w, &down))
            break; /* by lease, then */
    }
    pump(w); /* behind the reaps, so that their jobs come first */
}

static void look_for_predecessors(struct worker *w)
{
    char key[QUEUE_KEY_MAX];
    const char *const argv[] = {"ZRANGE", key, "0", "-1"};
    struct err e;

    queue_key(w->queue, "workers", "", key);
    w->looking = true;
    if (redis_call(w->redis, on_workers, w, ARRAY_LEN(argv), argv, NULL, &e))
        on_workers(w, NULL, &e);
}

/* ---- connections ---- */

static void on_up(void *arg)
{
    struct worker *w = arg;

    log_msg(LOG_INFO, "redis_up", "connected");
    w->reap_after_ms = worker_loop_ms(w) + w->settings->lease_ms;
    beat(w);
    look_for_predecessors(w);
}

static void on_down(void *arg, const struct err *e)
{
    struct worker *w = arg;

    w->registered = false;
    w->taking = false;
    w->counts.redis_lost++;
    if (!w->closing)
        log_msg(redis_level(e), "redis_down", "%s", e->text);
}

static void on_wait_up(void *arg)
{
    pump(arg);
}

static void on_wait_down(void *arg, const struct err *e)
{
    (void)arg; /* the command connection says what there is to say */
    (void)e;
}

static struct redis *connect_redis(struct worker *w, const char *name, bool commands)
{
    struct redis_options o = {
        .loop = w->loop,
        .url = &w->settings->redis,
        .tls = w->tls,
        .client_name = name,
        .scripts = commands ? queue_scripts : NULL,
        .script_count = commands ? QUEUE_SCRIPT_COUNT : 0,
        .timeout_ms = REDIS_TIMEOUT_MS,
        .on_up = commands ? on_up : on_wait_up,
        .on_down = commands ? on_down : on_wait_down,
        .arg = w,
    };

    return redis_new(&o);
}

static void init_timer(struct worker *w, uv_timer_t *timer)
{
    (void)uv_timer_init(w->loop, timer); /* always 0 */
    timer->data = w;
}

/* Just before each poll. */
static void on_log_turn(uv_prepare_t *turn)
{
    (void)turn;
    log_flush();
}

static void start_log_turns(struct worker *w)
{
    (void)uv_prepare_init(w->loop, &w->log_turn); /* these cannot fail */
    (void)uv_prepare_start(&w->log_turn, on_log_turn);
    log_hold(true);
}

static int start_telling(struct worker *w, int64_t probe_ms, struct err *e)
{
    const struct settings *s = w->settings;

    if (s->slack_webhook_url.len || s->zendesk_user) {
        w->tell_http = http_new(w->loop, s->ca_file, e);
        if (!w->tell_http)
            return -1;
    }
    if (s->slack_webhook_url.len)
        w->slack = slack_new(w->tell_http, s);
    if (s->zendesk_user)
        w->zendesk = zendesk_new(w->tell_http, s, ZENDESK_TIMEOUT_MS);
    w->slack_lane = (struct lane){.name = "slack", .interval_ms = probe_ms};
    w->note_lane = (struct lane){.name = "zendesk_note", .interval_ms = probe_ms};
    w->zendesk_lane = (struct lane){.name = "zendesk", .interval_ms = probe_ms};
    w->teller = teller_new(w);
    return 0;
}

int worker_start(struct worker *w, struct err *e)
{
    const struct settings *s = w->settings;
    struct smtp_options smtp = {.loop = w->loop,
                                .settings = s,
                                .tls = w->tls,
                                .timeouts = smtp_timeouts_within(s->smtp_timeout_ms)};
    int64_t probe_ms =
        s->backoff_cap_ms < LANE_INTERVAL_MS ? s->backoff_cap_ms : LANE_INTERVAL_MS;

    w->http = http_new(w->loop, s->ca_file, e);
    if (!w->http)
        return -1;
    if (start_telling(w, probe_ms, e))
        return -1;
    w->gitlab = gitlab_new(w->http, s);
    w->smtp = smtp_new(&smtp);
    w->smtp_lane = (struct lane){.name = "smtp", .interval_ms = probe_ms};
    w->gitlab_lane = (struct lane){.name = "gitlab", .interval_ms = probe_ms};
    w->replica_lane = (struct lane){.name = "replicas", .interval_ms = REPLICAS_MS};
    identity_make(w->wid, sizeof w->wid, w->host_name, sizeof w->host_name);
    w->follow = follow_new(w);
    worker_lag_start(&w->lag, w->loop);
    start_log_turns(w);
    init_timer(w, &w->beat_timer);
    init_timer(w, &w->due_timer);
    init_timer(w, &w->drain_timer);
    w->redis = connect_redis(w, "stopgap-worker", true);
    w->wait_inbox = connect_redis(w, "stopgap-worker-inbox", false);
    w->wait_pending = connect_redis(w, "stopgap-worker-pending", false);
    w->queue = queue_new(w->redis, s, w->wid);
    w->confirm = queue_confirm_new(w->redis, s->redis_wait);
    w->metrics = worker_metrics_listen(w);
    return uv_timer_start(&w->beat_timer, on_beat_timer, (uint64_t)(s->lease_ms / 5),
                          (uint64_t)(s->lease_ms / 5));
}

/* ---- the end ---- */

void worker_stop(struct worker *w)
{
    w->closing = true;
    uv_stop(w->loop);
}

static void on_handle_closed(uv_handle_t *handle)
{
    (void)handle; /* they live in *w, which outlives the loop */
}

/* The close callbacks. A name that is being looked up cannot be given up: whoever waits
 * for it may wait for minutes. */
static bool run_down(uv_loop_t *loop)
{
    for (int i = 0; i < CLOSE_TURNS; i++) {
        if (!uv_run(loop, UV_RUN_NOWAIT))
            return true;
        uv_sleep(CLOSE_TURN_MS);
    }
    return false;
}

/* Whoever waits for an answer hears of it inside. */
static void stop_telling(struct worker *w)
{
    if (w->tell_http)
        http_free(w->tell_http);
    zendesk_free(w->zendesk);
    slack_free(w->slack);
    w->tell_http = NULL;
    w->zendesk = NULL;
    w->slack = NULL;
}

bool worker_close(struct worker *w)
{
    uv_timer_t *timers[] = {&w->beat_timer, &w->due_timer, &w->drain_timer};
    bool all;

    w->closing = true;
    for (size_t i = 0; i < ARRAY_LEN(timers); i++)
        uv_close((uv_handle_t *)timers[i], on_handle_closed);
    worker_lag_stop(&w->lag);
    log_hold(false);
    uv_close((uv_handle_t *)&w->log_turn, on_handle_closed);
    follow_stop(w->follow);
    teller_stop(w->teller);
    metrics_listen_free(w->metrics);
    redis_free(w->wait_inbox);
    redis_free(w->wait_pending);
    redis_free(w->redis);
    gitlab_free(w->gitlab);
    smtp_free(w->smtp);
    http_free(w->http);
    stop_telling(w);
    all = run_down(w->loop);
    task_drop_all(w);
    follow_free(w->follow);
    teller_free(w->teller);
    queue_confirm_free(w->confirm);
    queue_free(w->queue);
    return all;
}

static void on_forced_end(uv_timer_t *timer)
{
    struct worker *w = timer->data;

    log_msg(LOG_WARN, "drain", "%zu jobs left to the lease", w->task_count);
    w->exit_code = 1;
    worker_stop(w);
}

static void on_drain_deadline(uv_timer_t *timer)
{
    struct worker *w = timer->data;
    struct task *next;

    log_msg(LOG_WARN, "drain", "deadline: %zu jobs are given back", w->task_count);
    w->ending = true;
    (void)uv_timer_start(&w->drain_timer, on_forced_end, FORCED_END_MS, 0);
    for (struct task *t = w->tasks; t; t = next) {
        next = t->next;
        step_email_stop(t);
    }
    follow_stop(w->follow);
    teller_stop(w->teller);
    stop_telling(w);
    gitlab_free(w->gitlab); /* its callers hear of it inside this call */
    w->gitlab = NULL;
}

void worker_drain(struct worker *w)
{
    if (w->mode == WORKER_DRAINING) {
        log_msg(LOG_WARN, "drain", "asked twice: leaving at once");
        w->exit_code = 1;
        worker_stop(w);
        return;
    }
    w->mode = WORKER_DRAINING;
    log_msg(LOG_INFO, "drain", "%zu jobs to finish", w->task_count);
    if (drained(w)) {
        worker_stop(w);
        return;
    }
    (void)uv_timer_start(&w->drain_timer, on_drain_deadline,
                         (uint64_t)w->settings->drain_timeout_ms, 0);
}

void worker_quiet(struct worker *w, bool quiet)
{
    if (w->mode == WORKER_DRAINING)
        return;
    w->mode = quiet ? WORKER_QUIET : WORKER_RUNNING;
    log_msg(LOG_INFO, quiet ? "quiet" : "running", "%zu jobs in flight", w->task_count);
    pump(w);
}
