/* worker: see worker.h. The clock, the start, the drain and the end. */
#include "worker.h"

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
#include "worker_lane.h"
#include "worker_lease.h"
#include "worker_metrics.h"
#include "worker_take.h"
#include "zendesk.h"

#define REDIS_TIMEOUT_MS 5000            /* a silent server is given up after this */
#define WAIT_REPLY_MAX ((size_t)1 << 20) /* one request, which nobody looks at */
#define ZENDESK_TIMEOUT_MS 15000
#define LANE_INTERVAL_MS 30000
#define REPLICAS_MS 5000 /* the same; they are near */
#define CLOSE_TURNS 100  /* of the loop at the end, and between two of them: */
#define CLOSE_TURN_MS 5
#define FORCED_END_MS 3000 /* after the drain deadline: for Redis to hear of it */

/* ---- the clock ---- */

int64_t worker_loop_ms(const struct worker *w)
{
    return (int64_t)uv_now(w->loop);
}

int64_t worker_now_ms(const struct worker *w)
{
    return worker_loop_ms(w) + w->redis_offset_ms;
}

/* When Redis's clock was put on, all leases seem to have run out: everybody gets the
 * time to beat, as after an outage. */
void worker_set_clock(struct worker *w, int64_t now_ms)
{
    int64_t offset_ms = now_ms - worker_loop_ms(w);

    if (offset_ms - w->redis_offset_ms > w->settings->lease_ms / 2)
        w->reap_after_ms = worker_loop_ms(w) + w->settings->lease_ms;
    w->redis_offset_ms = offset_ms;
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

enum log_level worker_redis_level(const struct err *e)
{
    return e->class == ERR_TRANSIENT || e->class == ERR_CANCELLED ? LOG_WARN
                                                                  : LOG_ERROR;
}

bool worker_is_drained(const struct worker *w)
{
    return w->mode == WORKER_DRAINING && w->task_count == 0 && !w->taking &&
           w->strays == 0 && !follow_busy(w->follow) && !teller_busy(w->teller) &&
           !w->closing;
}

void worker_task_ended(struct worker *w)
{
    if (worker_is_drained(w))
        worker_stop(w);
    else
        worker_take_jobs(w);
}

void worker_side_ended(struct worker *w)
{
    if (worker_is_drained(w))
        worker_stop(w);
}

/* ---- connections ---- */

static void on_wait_up(void *arg)
{
    worker_take_jobs(arg);
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
        .reply_max = commands ? 0 : WAIT_REPLY_MAX,
        .on_up = commands ? worker_lease_up : on_wait_up,
        .on_down = commands ? worker_lease_down : on_wait_down,
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
    return worker_lease_start(w);
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
    if (worker_is_drained(w)) {
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
    worker_take_jobs(w);
}
