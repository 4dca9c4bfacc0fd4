/* webhook_metrics: see webhook_metrics.h. */
#include "webhook_metrics.h"

#include <stdio.h>

#include "httpd.h"
#include "inbox.h"
#include "mem.h"
#include "metrics_listen.h"
#include "receiver.h"

/* What the table's rows see. */
struct sight {
    const struct receiver *receiver;
    struct inbox_state inbox;
};

static const struct sight *seen(const void *state)
{
    return state;
}

static void write_build(const struct metric_out *out, const void *state)
{
    (void)state;
    metrics_add(out, "program=\"stopgap-webhook\",version=\"" STOPGAP_VERSION "\"", 1);
}

static void write_redis_up(const struct metric_out *out, const void *state)
{
    metrics_add(out, "", seen(state)->inbox.redis_up);
}

/* Also what has never been: an increase is seen only from a zero that was there. */
static void write_answers(const struct metric_out *out, const void *state)
{
    static const char *const routes[] = {
        [TALLY_NONE] = "none",      [TALLY_ZENDESK] = "zendesk",
        [TALLY_SUBMIT] = "submit",  [TALLY_TICKET] = "ticket",
        [TALLY_SHOW] = "show",      [TALLY_RESEND] = "resend",
        [TALLY_HEALTH] = "healthz", [TALLY_READY] = "readyz"};
    const struct tally *t = &seen(state)->receiver->tally;
    char labels[64];

    for (unsigned r = 0; r < TALLY_ROUTES; r++)
        for (unsigned i = 0; i < TALLY_STATUSES; i++) {
            (void)snprintf(labels, sizeof labels, "route=\"%s\",code=\"%d\"", routes[r],
                           tally_status(i));
            metrics_add(out, labels, t->answers[r][i]);
        }
}

static void write_took(const struct metric_out *out, const void *state)
{
    metrics_add_spans(out, "", &seen(state)->receiver->tally.took);
}

static void write_refused(const struct metric_out *out, const void *state)
{
    const struct tally *t = &seen(state)->receiver->tally;
    char code[16];

    for (unsigned i = 0; i < TALLY_STATUSES; i++) {
        (void)snprintf(code, sizeof code, "%d", tally_status(i));
        metrics_add_named(out, "code", code, t->refused[i]);
    }
}

static void write_connections(const struct metric_out *out, const void *state)
{
    metrics_add(out, "", httpd_connections(seen(state)->receiver->httpd));
}

static void write_kept(const struct metric_out *out, const void *state)
{
    metrics_add_named(out, "where", "redis", seen(state)->inbox.kept_in_redis);
    metrics_add_named(out, "where", "spool", seen(state)->inbox.kept_in_spool);
}

static void write_spooled(const struct metric_out *out, const void *state)
{
    metrics_add(out, "", seen(state)->inbox.spooled);
}

static void write_spool_max(const struct metric_out *out, const void *state)
{
    metrics_add(out, "", (uint64_t)seen(state)->receiver->settings->spool_max);
}

static void write_spool_usable(const struct metric_out *out, const void *state)
{
    metrics_add(out, "", seen(state)->inbox.spool_usable);
}

static void write_drained(const struct metric_out *out, const void *state)
{
    metrics_add(out, "", seen(state)->inbox.drained);
}

static const struct metric table[] = {
    {"stopgap_build_info", METRIC_GAUGE, "The program and its version.", write_build},
    {"stopgap_redis_up", METRIC_GAUGE, "Whether this program is connected to Redis.",
     write_redis_up},
    {"stopgap_webhook_answers_total", METRIC_COUNTER,
     "Answers by call and status; code 0: any other.", write_answers},
    {"stopgap_webhook_answer_duration_seconds", METRIC_HISTOGRAM,
     "From a whole request to its answer; not those of monitors.", write_took},
    {"stopgap_webhook_refused_total", METRIC_COUNTER,
     "Connections and requests turned away before they were any call, by status.",
     write_refused},
    {"stopgap_webhook_connections", METRIC_GAUGE, "Clients connected now.",
     write_connections},
    {"stopgap_webhook_kept_total", METRIC_COUNTER, "Requests made durable, by where.",
     write_kept},
    {"stopgap_spool_requests", METRIC_GAUGE,
     "Requests that wait on the disk for Redis.", write_spooled},
    {"stopgap_spool_max_requests", METRIC_GAUGE,
     "Most requests that wait there (STOPGAP_SPOOL_MAX).", write_spool_max},
    {"stopgap_spool_usable", METRIC_GAUGE,
     "Whether the spool would take a request: neither full nor refused by the disk.",
     write_spool_usable},
    {"stopgap_spool_drained_total", METRIC_COUNTER,
     "Requests that went from the spool into Redis.", write_drained},
};

static void on_scrape(void *arg, struct httpd_call *call)
{
    struct sight sight = {.receiver = arg};

    inbox_state(sight.receiver->inbox, &sight.inbox);
    metrics_listen_answer(call, table, ARRAY_LEN(table), &sight);
}

static bool is_ready(void *arg, struct err *why)
{
    const struct receiver *r = arg;
    struct inbox_state s;

    inbox_state(r->inbox, &s);
    if (r->draining)
        (void)err_set(why, ERR_TRANSIENT, 0, "takes no requests any more");
    else if (!s.redis_up && !s.spool_usable)
        (void)err_set(why, ERR_TRANSIENT, 0,
                      "neither Redis nor the spool takes a request");
    else
        return true;
    return false;
}

struct metrics_listen *webhook_metrics_listen(struct receiver *r)
{
    const struct metrics_listen_options options = {
        .loop = r->loop,
        .addr = &r->settings->webhook_metrics_listen,
        .setting = "STOPGAP_WEBHOOK_METRICS_LISTEN",
        .on_scrape = on_scrape,
        .is_ready = is_ready,
        .arg = r,
    };

    return metrics_listen_new(&options);
}
