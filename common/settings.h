/* settings: every STOPGAP_ name, in one table, for all three programs.
 *
 * The table (settings_table.c) holds name, type, default, limits, who needs it, whether
 * it is secret and what it means; it feeds parsing, `config`, --help and the check that
 * docs/config.md names each one. settings_*.c alone read the environment. */
#ifndef STOPGAP_SETTINGS_H
#define STOPGAP_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "secret.h"

/* Contract of the product: no license runs longer. A setting may shorten it. */
#define LICENSE_TERM_DAYS_MAX 10

enum program {
    PROGRAM_WEBHOOK = 1,
    PROGRAM_WORKER = 2,
    PROGRAM_CTL = 4,
    /* Beside PROGRAM_CTL: single commands of it, so that no other has to be able to
     * read Zendesk's and GitLab's tokens. */
    PROGRAM_RECONCILE = 8,
    PROGRAM_TRACKER = 16,
    /* Beside PROGRAM_WORKER: looks at what there is, demands nothing. */
    PROGRAM_DOCTOR = 32
};

enum smtp_tls { SMTP_TLS_REQUIRED, SMTP_TLS_OFF };

/* Where a Redis server is. */
struct redis_url {
    bool tls;
    char *path; /* unix socket, or NULL */
    char *host; /* for TCP; without [] around an IPv6 address */
    int port;
    int db;
    char *user;             /* NULL: none */
    struct secret password; /* empty: none */
    char *sentinel_name;    /* NULL unless redis-sentinel:// */
    char *sentinels;        /* "h1:26379,h2:26379" */
};

/* smtp://HOST:PORT or smtps://HOST:PORT */
struct smtp_url {
    bool implicit_tls;
    char *host;
    int port;
};

/* HOST:PORT to listen on; host NULL = off. */
struct listen_addr {
    char *host;
    int port;
};

/* Where a value came from. */
enum setting_origin {
    SETTING_DEFAULT,
    SETTING_ENVIRONMENT,
    SETTING_ENV_FILE,
    SETTING_SECRET_FILE, /* NAME_FILE */
    SETTING_CREDENTIAL,  /* $CREDENTIALS_DIRECTORY */
};

/* Values, defaults filled in. Strings are NULL when unset and without default. */
struct settings {
    struct redis_url redis;
    int64_t redis_wait;
    char *queue;
    int64_t concurrency;
    char *license_key_file;
    char *license_key_passphrase_file;
    int64_t license_term_days;
    char *license_issuer;
    struct smtp_url smtp;
    char *smtp_user;
    struct secret smtp_password;
    enum smtp_tls
        smtp_tls; /* "required unless the host is loopback" is resolved here */
    int64_t smtp_connections;
    int64_t smtp_timeout_ms;
    char *smtp_ehlo; /* host name when unset */
    char *mail_from; /* as given: may carry a display name; validated */
    char *mail_reply_to;
    char *mail_bounce_to; /* From's bare address when unset */
    char *template_dir;
    char *ca_file;
    char *gitlab_url; /* no trailing slash */
    char *gitlab_project;
    struct secret gitlab_token;
    char *gitlab_token_file; /* where it was read, to be read again; NULL: no file */
    char *gitlab_labels;
    bool gitlab_require_private;
    int64_t gitlab_settle_ms; /* how long a creation whose answer was lost may still be
                                 running at GitLab; "not there" is believed after it */
    struct secret slack_webhook_url;
    bool slack_mask;
    char *zendesk_url;
    char *zendesk_user;
    struct secret zendesk_token;
    int64_t zendesk_wait_ms;   /* how long jobs wait for it while it is out of reach */
    int64_t zendesk_settle_ms; /* as gitlab_settle_ms, for notes */
    char *zendesk_webhook_id;
    struct listen_addr webhook_listen;
    struct secret webhook_secret;
    struct secret webhook_secret_2;
    struct secret webhook_token;
    int64_t webhook_max_skew_ms;
    bool webhook_allow_test_secret;
    int64_t webhook_max_connections;
    int64_t webhook_max_per_peer;
    char *trusted_proxies;
    struct secret api_token;
    struct secret api_token_2;
    struct secret api_read_token;
    char *spool_dir;
    int64_t spool_max;
    struct listen_addr metrics_listen;
    struct listen_addr webhook_metrics_listen;
    int64_t give_up_after_ms;
    int64_t late_after_ms;
    int64_t backoff_base_ms;
    int64_t backoff_cap_ms;
    int64_t max_ambiguous;
    bool on_ambiguous_hold;
    int64_t lease_ms;
    int64_t drain_timeout_ms;
    int64_t retention_ms;
    bool scope_required;
    int64_t max_per_address;
    int64_t max_per_agent;
    int64_t max_per_day;
    int64_t max_users;
    char *seal_key_file;
    int log_level; /* enum log_level */
    bool log_json;
    bool allow_root;
    unsigned char *origins; /* enum setting_origin of each row; NULL: all default */
};

/* Reads the environment and, when env_file is not NULL, a file of KEY=value lines
 * (blank lines and # comments allowed, optional quotes as in systemd's
 * EnvironmentFile; the environment wins). `NAME_FILE` gives a secret by file: owner
 * only, at most 64 KiB, one trailing newline dropped; NAME and NAME_FILE together is
 * an error. $CREDENTIALS_DIRECTORY/name is looked at last (systemd credentials).
 *
 * An empty value is as if it were not set. An env file that holds secrets must be owner
 * only, too. `program` may be several, or-ed: what doctor needs.
 *
 * Every fault is appended to `faults`, one line each: the name, what is wrong, what is
 * allowed. Unknown STOPGAP_ names are faults. Only what `program` needs is demanded;
 * other programs' settings are checked for form, their secrets neither fetched nor
 * kept. Secrets are wiped from the environment (and from environ) once read.
 *
 * Returns a value for settings_free, or NULL if there was any fault. */
struct settings *settings_load(enum program program, const char *env_file,
                               struct buf *faults);

/* Wipes secrets. NULL is fine. */
void settings_free(struct settings *s);

/* Where the value of that name came from. */
enum setting_origin settings_origin(const struct settings *s, const char *name);

/* One line per setting of `program`: NAME, value or "(secret, set)", and where it came
 * from ("default": nobody set it); as a table for people or as JSON, an object of
 * NAME: {"value", "default", "source"}. */
void settings_print(const struct settings *s, enum program program, bool json,
                    struct buf *out);

/* For --help: name, default, meaning and what is allowed, of each setting of `program`.
 */
void settings_help(enum program program, struct buf *out);

/* This machine: 127.0.0.0/8, ::1, localhost. What is secret goes there in the clear,
 * and nowhere else. */
bool settings_is_loopback(const char *host);

/* Warnings that do not stop the start (SMTP without TLS to another host, ...), one a
 * line. */
void settings_warnings(const struct settings *s, enum program program, struct buf *out);

#endif
