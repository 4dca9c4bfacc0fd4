/* settings_table: every setting that there is. A new one is a field in settings.h, a
 * row here and a row in docs/config.md (scripts/check-docs compares the two). */
#include <string.h>

#include "mem.h"
#include "settings_internal.h"

#define AT(field) offsetof(struct settings, field)
#define ALL (PROGRAM_WEBHOOK | PROGRAM_WORKER | PROGRAM_CTL)
#define WEBHOOK PROGRAM_WEBHOOK
#define WORKER PROGRAM_WORKER
#define CTL PROGRAM_CTL
#define RECONCILE PROGRAM_RECONCILE
#define TRACKER PROGRAM_TRACKER

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

#define TEXT(from, to) .kind = &settings_kind_text, .min = (from), .max = (to)
#define INT(from, to) .kind = &settings_kind_int, .min = (from), .max = (to)
#define DURATION(from, to) .kind = &settings_kind_duration, .min = (from), .max = (to)
#define SECRET(from)                                                                   \
    .kind = &settings_kind_secret, .flags = SETTING_SECRET, .min = (from), .max = 4096
#define SWITCH(names) .kind = &settings_kind_switch, .choices = names
#define CHOICE(names) .kind = &settings_kind_choice, .choices = names

static const char *const no_yes[] = {"0", "1", NULL};
static const char *const tls_modes[] = {"required", "off", NULL}; /* enum smtp_tls */
static const char *const ambiguous_ways[] = {"resend", "hold", NULL};
static const char *const log_formats[] = {"logfmt", "json", NULL};
static const char *const log_levels[] = {"error", "warn", "info", "debug", NULL};

/* clang-format off: one row, one shape */
const struct setting settings_table[] = {
    /* Redis and the queue */
    {"STOPGAP_REDIS_URL", .kind = &settings_kind_redis, .at = AT(redis),
     .fallback = "redis://127.0.0.1:6379/0", .flags = SETTING_MASKED, .programs = ALL,
     .meaning = "where Redis is"},
    {"STOPGAP_REDIS_WAIT", INT(0, 16), .at = AT(redis_wait), .fallback = "0",
     .programs = ALL,
     .meaning = "replicas that must confirm a submission and a mail intent"},
    {"STOPGAP_QUEUE", .kind = &settings_kind_queue, .at = AT(queue),
     .fallback = "licenses", .programs = ALL,
     .meaning = "name of the queue, within stopgap:{QUEUE}:"},
    {"STOPGAP_CONCURRENCY", INT(1, 1024), .at = AT(concurrency), .fallback = "32",
     .programs = WORKER, .meaning = "jobs in flight in one worker"},

    /* The license */
    {"STOPGAP_LICENSE_KEY_FILE", .kind = &settings_kind_path,
     .at = AT(license_key_file), .flags = SETTING_SECRET_PATH, .programs = WORKER | CTL,
     .needed_by = WORKER,
     .meaning = "the signing key; its kind decides the license format"},
    {"STOPGAP_LICENSE_KEY_PASSPHRASE_FILE", .kind = &settings_kind_path,
     .at = AT(license_key_passphrase_file), .flags = SETTING_SECRET_PATH,
     .programs = WORKER | CTL, .meaning = "the passphrase of an encrypted signing key"},
    {"STOPGAP_LICENSE_TERM_DAYS", INT(1, LICENSE_TERM_DAYS_MAX),
     .at = AT(license_term_days), .fallback = "10", .programs = WORKER,
     .meaning = "days a license runs; can be shortened, never lengthened"},
    {"STOPGAP_LICENSE_ISSUER", TEXT(1, 64), .at = AT(license_issuer),
     .fallback = "stopgap", .programs = WORKER, .meaning = "the license's iss claim"},

    /* Mail */
    {"STOPGAP_SMTP_URL", .kind = &settings_kind_smtp, .at = AT(smtp),
     .fallback = "smtp://127.0.0.1:25", .programs = WORKER,
     .meaning = "the mail server"},
    {"STOPGAP_SMTP_USER", TEXT(1, 255), .at = AT(smtp_user), .programs = WORKER,
     .meaning = "the user name there"},
    {"STOPGAP_SMTP_PASSWORD", SECRET(1), .at = AT(smtp_password), .programs = WORKER,
     .meaning = "its password"},
    {"STOPGAP_SMTP_TLS", CHOICE(tls_modes), .at = AT(smtp_tls), .programs = WORKER,
     .meaning = "required, unless the server is this host (then off)"},
    {"STOPGAP_SMTP_CONNECTIONS", INT(1, 256), .at = AT(smtp_connections),
     .fallback = "8", .programs = WORKER,
     .meaning = "most connections to the mail server at a time"},
    {"STOPGAP_SMTP_TIMEOUT", DURATION(100, HOUR), .at = AT(smtp_timeout_ms),
     .fallback = "5m", .programs = WORKER,
     .meaning = "longest wait for an answer before the final dot of a mail"},
    {"STOPGAP_SMTP_EHLO", .kind = &settings_kind_host, .at = AT(smtp_ehlo),
     .programs = WORKER, .meaning = "the name given in EHLO; else the host name"},
    {"STOPGAP_MAIL_FROM", .kind = &settings_kind_mailbox, .at = AT(mail_from),
     .programs = WORKER, .needed_by = WORKER, .meaning = "From of the mails"},
    {"STOPGAP_MAIL_REPLY_TO", .kind = &settings_kind_mailbox, .at = AT(mail_reply_to),
     .programs = WORKER, .meaning = "Reply-To of the mails"},
    {"STOPGAP_MAIL_BOUNCE_TO", .kind = &settings_kind_address, .at = AT(mail_bounce_to),
     .programs = WORKER,
     .meaning = "envelope sender, where bounces go; else From's address"},
    {"STOPGAP_TEMPLATE_DIR", .kind = &settings_kind_path, .at = AT(template_dir),
     .programs = WORKER, .meaning = "folder of mail templates; else the built-in ones"},
    {"STOPGAP_CA_FILE", .kind = &settings_kind_path, .at = AT(ca_file), .programs = ALL,
     .meaning = "certificates trusted for all outgoing TLS; else the system's"},

    /* GitLab */
    {"STOPGAP_GITLAB_URL", .kind = &settings_kind_http, .at = AT(gitlab_url),
     .fallback = "https://gitlab.com", .programs = WORKER | TRACKER,
     .meaning = "the GitLab that keeps the records"},
    {"STOPGAP_GITLAB_PROJECT", .kind = &settings_kind_project, .at = AT(gitlab_project),
     .programs = WORKER | TRACKER, .needed_by = WORKER | TRACKER,
     .meaning = "the project for the issues"},
    {"STOPGAP_GITLAB_TOKEN", SECRET(1), .at = AT(gitlab_token),
     .programs = WORKER | TRACKER, .needed_by = WORKER | TRACKER,
     .meaning = "access token with the api scope"},
    {"STOPGAP_GITLAB_LABELS", TEXT(1, 1024), .at = AT(gitlab_labels),
     .fallback = "emergency-license", .programs = WORKER,
     .meaning = "labels of the issues, with commas between"},
    {"STOPGAP_GITLAB_REQUIRE_PRIVATE", SWITCH(no_yes), .at = AT(gitlab_require_private),
     .fallback = "1", .programs = WORKER | TRACKER,
     .meaning = "refuse a project that is not private, and http to another host"},
    {"STOPGAP_GITLAB_SETTLE", DURATION(0, HOUR), .at = AT(gitlab_settle_ms),
     .fallback = "65s", .programs = WORKER,
     .meaning = "how long a creation whose answer was lost may still be running"},

    /* Slack and Zendesk */
    {"STOPGAP_SLACK_WEBHOOK_URL", .kind = &settings_kind_secret_http,
     .at = AT(slack_webhook_url), .flags = SETTING_SECRET | SETTING_HTTPS,
     .programs = WORKER,
     .meaning = "incoming webhook of the Slack channel that is told of each job"},
    {"STOPGAP_SLACK_MASK", SWITCH(no_yes), .at = AT(slack_mask), .fallback = "1",
     .programs = WORKER, .meaning = "mask addresses in Slack messages"},
    {"STOPGAP_ZENDESK_URL", .kind = &settings_kind_origin, .at = AT(zendesk_url),
     .flags = SETTING_HTTPS | SETTING_NO_PATH, .programs = ALL, .needed_by = RECONCILE,
     .meaning = "the Zendesk of the tickets: for links, and to check ticket_url"},
    {"STOPGAP_ZENDESK_USER", TEXT(1, 255), .at = AT(zendesk_user),
     .programs = WORKER | RECONCILE, .needed_by = RECONCILE,
     .meaning = "user as whom Zendesk is asked, and notes are written"},
    {"STOPGAP_ZENDESK_TOKEN", SECRET(1), .at = AT(zendesk_token),
     .programs = WORKER | RECONCILE, .needed_by = RECONCILE,
     .meaning = "its API token"},
    {"STOPGAP_ZENDESK_WAIT", DURATION(0, HOUR), .at = AT(zendesk_wait_ms),
     .fallback = "60s", .programs = WORKER,
     .meaning = "how long jobs wait for a Zendesk out of reach before they go on"},
    {"STOPGAP_ZENDESK_SETTLE", DURATION(0, HOUR), .at = AT(zendesk_settle_ms),
     .fallback = "65s", .programs = WORKER,
     .meaning = "how long a note whose answer was lost may still be on its way"},
    {"STOPGAP_ZENDESK_WEBHOOK_ID", TEXT(1, 64), .at = AT(zendesk_webhook_id),
     .programs = WEBHOOK | RECONCILE, .needed_by = RECONCILE,
     .meaning = "id of the webhook in Zendesk; deliveries of others are refused"},

    /* The receiver */
    {"STOPGAP_WEBHOOK_LISTEN", .kind = &settings_kind_listen, .at = AT(webhook_listen),
     .fallback = "127.0.0.1:8080", .programs = WEBHOOK,
     .meaning = "where the receiver listens"},
    {"STOPGAP_WEBHOOK_SECRET", SECRET(16), .at = AT(webhook_secret),
     .programs = WEBHOOK, .needed_by = WEBHOOK,
     .meaning = "signing secret of the Zendesk webhook"},
    {"STOPGAP_WEBHOOK_SECRET_2", SECRET(16), .at = AT(webhook_secret_2),
     .programs = WEBHOOK, .meaning = "a second one, while it is being changed"},
    {"STOPGAP_WEBHOOK_TOKEN", SECRET(16), .at = AT(webhook_token), .programs = WEBHOOK,
     .meaning = "bearer token that the webhook must send besides"},
    {"STOPGAP_WEBHOOK_MAX_SKEW", DURATION(SECOND, 7 * DAY),
     .at = AT(webhook_max_skew_ms), .fallback = "1h", .programs = WEBHOOK,
     .meaning = "how old a signed request may be"},
    {"STOPGAP_WEBHOOK_ALLOW_TEST_SECRET", SWITCH(no_yes),
     .at = AT(webhook_allow_test_secret), .fallback = "0", .programs = WEBHOOK,
     .meaning = "allow Zendesk's public test secret"},
    {"STOPGAP_WEBHOOK_MAX_CONNECTIONS", INT(1, 65536),
     .at = AT(webhook_max_connections), .fallback = "1024", .programs = WEBHOOK,
     .meaning = "most clients at a time"},
    {"STOPGAP_WEBHOOK_MAX_PER_PEER", INT(1, 65536), .at = AT(webhook_max_per_peer),
     .fallback = "64", .programs = WEBHOOK,
     .meaning = "most connections of one address at a time"},
    {"STOPGAP_TRUSTED_PROXIES", .kind = &settings_kind_networks,
     .at = AT(trusted_proxies), .programs = WEBHOOK,
     .meaning = "proxies, exempt from the limit for one address"},
    {"STOPGAP_API_TOKEN", SECRET(16), .at = AT(api_token), .programs = WEBHOOK,
     .meaning = "bearer token of /v1; the API is off without one"},
    {"STOPGAP_API_TOKEN_2", SECRET(16), .at = AT(api_token_2), .programs = WEBHOOK,
     .meaning = "a second one, while it is being changed"},
    {"STOPGAP_API_READ_TOKEN", SECRET(16), .at = AT(api_read_token),
     .programs = WEBHOOK, .meaning = "bearer token that can only read"},
    {"STOPGAP_SPOOL_DIR", .kind = &settings_kind_path, .at = AT(spool_dir),
     .fallback = "var/spool", .programs = WEBHOOK,
     .meaning = "where requests wait while Redis is away"},
    {"STOPGAP_SPOOL_MAX", INT(1, 1000000), .at = AT(spool_max), .fallback = "10000",
     .programs = WEBHOOK, .meaning = "most requests that wait there"},

    /* Metrics */
    {"STOPGAP_METRICS_LISTEN", .kind = &settings_kind_listen, .at = AT(metrics_listen),
     .fallback = "127.0.0.1:9464", .flags = SETTING_OFF, .programs = WORKER,
     .meaning = "where the worker serves /metrics (this version does not yet)"},
    {"STOPGAP_WEBHOOK_METRICS_LISTEN", .kind = &settings_kind_listen,
     .at = AT(webhook_metrics_listen), .fallback = "127.0.0.1:9465",
     .flags = SETTING_OFF, .programs = WEBHOOK,
     .meaning = "where the receiver serves /metrics (this version does not yet)"},

    /* Retries, leases, retention */
    {"STOPGAP_GIVE_UP_AFTER", DURATION(SECOND, 30 * DAY), .at = AT(give_up_after_ms),
     .fallback = "6h", .programs = WORKER,
     .meaning = "how long a job that is not mailed yet is retried"},
    {"STOPGAP_LATE_AFTER", DURATION(1, DAY), .at = AT(late_after_ms), .fallback = "5m",
     .programs = WORKER, .meaning = "when a job that is not mailed yet is reported"},
    {"STOPGAP_BACKOFF_BASE", DURATION(1, HOUR), .at = AT(backoff_base_ms),
     .fallback = "1s", .programs = WORKER, .meaning = "first wait between attempts"},
    {"STOPGAP_BACKOFF_CAP", DURATION(1, DAY), .at = AT(backoff_cap_ms),
     .fallback = "5m", .programs = WORKER, .meaning = "longest wait between attempts"},
    {"STOPGAP_MAX_AMBIGUOUS", INT(0, 100), .at = AT(max_ambiguous), .fallback = "2",
     .programs = WORKER, .meaning = "resends of a mail whose last answer was lost"},
    {"STOPGAP_ON_AMBIGUOUS", SWITCH(ambiguous_ways), .at = AT(on_ambiguous_hold),
     .fallback = "resend", .programs = WORKER,
     .meaning = "what to do with such a mail: send again, or wait for an operator"},
    {"STOPGAP_LEASE", DURATION(SECOND, 10 * MINUTE), .at = AT(lease_ms),
     .fallback = "10s", .programs = WORKER,
     .meaning = "a worker silent for so long has lost its jobs"},
    {"STOPGAP_DRAIN_TIMEOUT", DURATION(0, HOUR), .at = AT(drain_timeout_ms),
     .fallback = "30s", .programs = WORKER | WEBHOOK,
     .meaning = "how long a stopping program lets run what it has begun"},
    {"STOPGAP_RETENTION", DURATION(SECOND, 3650 * DAY), .at = AT(retention_ms),
     .fallback = "30d", .programs = ALL,
     .meaning = "how long done and failed jobs are kept"},

    /* Who may have what */
    {"STOPGAP_SCOPE_REQUIRED", SWITCH(no_yes), .at = AT(scope_required),
     .fallback = "0", .programs = ALL,
     .meaning = "demand plan and license_expired_on in every request"},
    {"STOPGAP_MAX_PER_ADDRESS", INT(0, 1000000), .at = AT(max_per_address),
     .fallback = "5", .programs = WORKER,
     .meaning = "licenses for one address in 24 hours; 0 = no cap"},
    {"STOPGAP_MAX_PER_AGENT", INT(0, 1000000), .at = AT(max_per_agent),
     .fallback = "20", .programs = WORKER,
     .meaning = "licenses by one agent in 24 hours; 0 = no cap"},
    {"STOPGAP_MAX_PER_DAY", INT(0, 1000000), .at = AT(max_per_day), .fallback = "200",
     .programs = WORKER, .meaning = "licenses in 24 hours; 0 = no cap"},
    {"STOPGAP_MAX_USERS", INT(1, 1000000), .at = AT(max_users), .fallback = "50000",
     .programs = ALL, .meaning = "most users in one license"},
    {"STOPGAP_SEAL_KEY_FILE", .kind = &settings_kind_path, .at = AT(seal_key_file),
     .flags = SETTING_SECRET_PATH, .programs = WORKER | CTL,
     .meaning = "keys that seal license texts in Redis; the first one seals"},

    /* The log */
    {"STOPGAP_LOG_LEVEL", CHOICE(log_levels), .at = AT(log_level), .fallback = "info",
     .programs = ALL, .meaning = "least severe lines that are logged"},
    {"STOPGAP_LOG_FORMAT", SWITCH(log_formats), .at = AT(log_json),
     .fallback = "logfmt", .programs = ALL, .meaning = "form of the log lines"},

    /* The process */
    {"STOPGAP_ALLOW_ROOT", SWITCH(no_yes), .at = AT(allow_root), .fallback = "0",
     .programs = WORKER | WEBHOOK, .meaning = "let the program run as root"},
};
/* clang-format on */

const size_t settings_count = ARRAY_LEN(settings_table);

const struct setting *settings_find(const char *name)
{
    for (size_t i = 0; i < settings_count; i++)
        if (!strcmp(settings_table[i].name, name))
            return &settings_table[i];
    return NULL;
}
