/* stopgap-webhook: takes license requests from Zendesk and from other programs, and
 * makes them durable before it answers. This file: settings, signals, start and end. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon.h"
#include "httpd.h"
#include "inbox.h"
#include "log.h"
#include "mem.h"
#include "metrics_listen.h"
#include "receiver.h"
#include "routes.h"
#include "settings.h"
#include "tls.h"
#include "webhook_metrics.h"

#define BODY_MAX 262144 /* what Zendesk may send */
#define HEAD_MS 3000
#define REQUEST_MS 10000
#define IDLE_MS 60000
#define GRACE_MS 250
#define DESCRIPTORS_BESIDE 64

static const int signal_numbers[] = {SIGTERM, SIGINT, SIGHUP};

static const char usage[] =
    "Usage: stopgap-webhook [--env-file FILE] [--check] [--version] [--help]\n"
    "\n"
    "Takes license requests over HTTP and puts them into Redis's inbox, or, while\n"
    "Redis is away, into a spool on disk.\n"
    "Settings are STOPGAP_ environment variables; docs/config.md names each.\n"
    "  --env-file FILE  KEY=value lines; the environment wins\n"
    "  --check          reads the settings, then ends\n"
    "Signals: TERM finishes what runs (a second one leaves at once), HUP reads\n"
    "secrets and tokens again, from the files that hold them.\n";

/* What HUP reads again. */
static const char *const secret_names[] = {
    "STOPGAP_WEBHOOK_SECRET", "STOPGAP_WEBHOOK_SECRET_2", "STOPGAP_WEBHOOK_TOKEN",
    "STOPGAP_API_TOKEN",      "STOPGAP_API_TOKEN_2",      "STOPGAP_API_READ_TOKEN",
};

static int serve(const struct settings *s, bool check, const char *env_file);

static const struct daemon self = {.name = "stopgap-webhook",
                                   .usage = usage,
                                   .program = PROGRAM_WEBHOOK,
                                   .serve = serve};

/* The process: the receiver and what starts and ends it. */
struct process {
    struct receiver receiver;
    struct metrics_listen *metrics;
    uv_signal_t signals[ARRAY_LEN(signal_numbers)];
    uv_timer_t drain_timer;
    uv_prepare_t log_turn;
    const char *env_file;
    struct settings *fresh; /* as read by the last HUP, or NULL */
    int exit_code;
};

/* --- The end --- */

static void stop(struct process *p, int code)
{
    p->exit_code = code;
    uv_stop(p->receiver.loop);
}

static void on_idle(void *arg)
{
    stop(arg, 0);
}

static void on_drain_timeout(uv_timer_t *timer)
{
    log_msg(LOG_WARN, "drain", "requests were still running");
    stop(timer->data, 0);
}

/* What runs is finished; nobody was promised anything for the rest. */
static void drain(struct process *p)
{
    int64_t limit_ms = p->receiver.settings->drain_timeout_ms;

    if (p->receiver.draining) {
        stop(p, 1);
        return;
    }
    p->receiver.draining = true;
    daemon_stopping(limit_ms);
    log_msg(LOG_INFO, "drain", "%zu connections", httpd_connections(p->receiver.httpd));
    (void)uv_timer_start(&p->drain_timer, on_drain_timeout, (uint64_t)limit_ms, 0);
    httpd_drain(p->receiver.httpd, on_idle);
}

/* A secret that stood in the environment was wiped there: to read it again would be to
 * lose it. */
static const char *find_unreadable(const struct settings *s)
{
    for (size_t i = 0; i < ARRAY_LEN(secret_names); i++)
        if (settings_origin(s, secret_names[i]) == SETTING_ENVIRONMENT)
            return secret_names[i];
    return NULL;
}

static void read_again(struct process *p)
{
    const char *name = find_unreadable(p->receiver.settings);
    struct settings *fresh;

    if (name) {
        log_msg(LOG_ERROR, "reload",
                "nothing changed: %s was given in the environment; only what a file "
                "holds can be read again",
                name);
        return;
    }
    fresh = daemon_reload(&self, p->env_file);
    if (!fresh) {
        log_msg(LOG_ERROR, "reload", "nothing changed");
        return;
    }
    settings_free(p->fresh);
    p->fresh = fresh;
    p->receiver.secrets = fresh;
    log_msg(LOG_INFO, "reload", "secrets and tokens read again");
}

static void reload(struct process *p)
{
    daemon_reloading();
    read_again(p);
    daemon_reloaded();
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct process *p = handle->data;

    if (number == SIGHUP)
        reload(p);
    else
        drain(p);
}

/* --- The start --- */

/* Every client is a descriptor; the rest is for Redis, spool and log. */
static void raise_descriptors(int64_t clients)
{
    rlim_t wanted = (rlim_t)clients + DESCRIPTORS_BESIDE;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < wanted)
        log_msg(LOG_WARN, "descriptors",
                "%llu file descriptors allowed, %llu wanted for "
                "STOPGAP_WEBHOOK_MAX_CONNECTIONS",
                (unsigned long long)limit.rlim_cur, (unsigned long long)wanted);
}

static int listen_on(struct receiver *r, struct err *e)
{
    const struct settings *s = r->settings;
    const struct httpd_options options = {
        .loop = r->loop,
        .host = s->webhook_listen.host,
        .port = s->webhook_listen.port,
        .max_connections = (size_t)s->webhook_max_connections,
        .grace_ms = GRACE_MS,
        .max_per_peer = (size_t)s->webhook_max_per_peer,
        .trusted = s->trusted_proxies,
        .body_max = BODY_MAX,
        .head_ms = HEAD_MS,
        .request_ms = REQUEST_MS,
        .idle_ms = IDLE_MS,
        .on_request = routes_on_request,
        .on_refused = routes_on_refused,
        .arg = r,
    };

    r->httpd = httpd_new(&options, e);
    return r->httpd ? 0 : -1;
}

static int start(struct process *p, struct err *e)
{
    struct receiver *r = &p->receiver;

    raise_descriptors(r->settings->webhook_max_connections);
    r->inbox = inbox_new(r->loop, r->settings, r->tls, e);
    if (!r->inbox)
        return -1;
    if (listen_on(r, e))
        return -1;
    p->metrics = webhook_metrics_listen(r);
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    (void)handle; /* lives in serve */
}

/* What one turn of the loop says leaves as one write, just before each poll. */
static void on_log_turn(uv_prepare_t *turn)
{
    (void)turn;
    log_flush();
}

static void start_log_turns(struct process *p)
{
    (void)uv_prepare_init(p->receiver.loop, &p->log_turn); /* these cannot fail */
    (void)uv_prepare_start(&p->log_turn, on_log_turn);
    log_hold(true);
}

/* Answers first: what the inbox still says goes nowhere then. */
static void close_all(struct process *p)
{
    struct receiver *r = &p->receiver;

    log_hold(false);
    uv_close((uv_handle_t *)&p->log_turn, on_closed);
    metrics_listen_free(p->metrics);
    httpd_free(r->httpd);
    inbox_free(r->inbox);
    daemon_signals_end(p->signals, ARRAY_LEN(p->signals));
    uv_close((uv_handle_t *)&p->drain_timer, on_closed);
    (void)uv_run(r->loop, UV_RUN_DEFAULT);
}

/* From the loop's begin to its end; the exit status. */
static int run(struct process *p)
{
    struct receiver *r = &p->receiver;
    const struct settings *s = r->settings;
    struct err e;

    daemon_signals(r->loop, p->signals, signal_numbers, ARRAY_LEN(signal_numbers),
                   on_signal, p);
    (void)uv_timer_init(r->loop, &p->drain_timer);
    p->drain_timer.data = p;
    start_log_turns(p);
    if (start(p, &e)) {
        log_msg(LOG_ERROR, "start", "%s", e.text);
        p->exit_code = 2;
    } else {
        log_msg(LOG_INFO, "ready",
                "stopgap-webhook " STOPGAP_VERSION " on %s port %d, queue %s",
                s->webhook_listen.host, httpd_port(r->httpd), s->queue);
        daemon_ready(r->loop);
        (void)uv_run(r->loop, UV_RUN_DEFAULT); /* until stop */
    }
    close_all(p);
    log_msg(LOG_INFO, "stopped", "exit %d", p->exit_code);
    return p->exit_code;
}

static int serve(const struct settings *s, bool check, const char *env_file)
{
    static uv_loop_t loop;
    struct process p = {.env_file = env_file,
                        .receiver = {.loop = &loop, .settings = s, .secrets = s}};
    struct err e;
    int code = 2;

    p.receiver.tls = tls_new(s->ca_file, &e);
    if (!p.receiver.tls) {
        (void)fprintf(stderr, "stopgap-webhook: %s\n", e.text);
        return 2;
    }
    if (check)
        code = 0;
    else if (uv_loop_init(&loop) == 0)
        code = run(&p);
    settings_free(p.fresh);
    tls_free(p.receiver.tls);
    return code;
}

int main(int argc, char **argv)
{
    return daemon_main(&self, argc, argv);
}
