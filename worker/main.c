/* stopgap-worker: takes license requests from Redis, signs, mails and records them.
 * This file: arguments, settings, signals, start and end. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon.h"
#include "gitlab.h"
#include "license.h"
#include "log.h"
#include "mem.h"
#include "seal.h"
#include "secret.h"
#include "settings.h"
#include "template.h"
#include "tls.h"
#include "worker.h"

#define TOKEN_MAX 4096 /* GitLab's have some dozens of characters */

static const int signal_numbers[] = {SIGTERM, SIGINT, SIGTSTP, SIGCONT, SIGHUP};

static const char usage[] =
    "Usage: stopgap-worker [--env-file FILE] [--check] [--version] [--help]\n"
    "\n"
    "Takes license requests from Redis, signs, mails and records them.\n"
    "Settings are STOPGAP_ environment variables; docs/config.md names each.\n"
    "  --env-file FILE  KEY=value lines; the environment wins\n"
    "  --check          reads settings, keys and templates, then ends\n"
    "Signals: TERM drains (a second one leaves at once), TSTP stops taking\n"
    "jobs, CONT takes them again, HUP reads templates, keys and token again.\n";

/* GitLab's token, if it came from a file; empty at the start, when settings hold it. */
static int load_token(const struct worker *w, struct secret *token, struct err *e)
{
    const char *path = w->settings->gitlab_token_file;

    if (!w->gitlab || !path)
        return 0;
    if (secret_read_file(token, path, TOKEN_MAX, true, e))
        return -1;
    for (size_t i = 0; i < token->len; i++)
        if ((unsigned char)token->data[i] < ' ' || token->data[i] == 0x7F)
            return err_set(e, ERR_CONFIG, 0, "%s: a control character", path);
    return token->len ? 0 : err_set(e, ERR_CONFIG, 0, "%s: empty", path);
}

/* A license that counts days has lost up to one by the time it is signed, and another
 * where the customer's date is ahead of UTC. */
static int check_term(const struct settings *s, const struct license_key *key,
                      struct err *e)
{
    int64_t least = license_key_least_days(key);

    if (s->license_term_days >= least)
        return 0;
    return err_set(e, ERR_CONFIG, 0,
                   "STOPGAP_LICENSE_TERM_DAYS: %lld: with this key at least %lld: the "
                   "license would have ended already where the day begins early",
                   (long long)s->license_term_days, (long long)least);
}

/* Reads what HUP reads again. On a fault nothing changes. */
static int load_files(struct worker *w, struct err *e)
{
    const struct settings *s = w->settings;
    struct secret token = {0};
    struct templates *templates = templates_load(s->template_dir, e);
    struct license_key *key = NULL;
    struct seal *seal = NULL;
    int rc = -1;

    if (!templates || load_token(w, &token, e))
        goto out;
    key = license_key_load(s->license_key_file, s->license_key_passphrase_file, e);
    if (!key || check_term(s, key, e))
        goto out;
    if (s->seal_key_file && !(seal = seal_load(s->seal_key_file, e)))
        goto out;
    templates_free(w->templates);
    license_key_free(w->key);
    seal_free(w->seal);
    w->templates = templates;
    w->key = key;
    w->seal = seal;
    if (token.len)
        gitlab_set_token(w->gitlab, &token);
    templates = NULL;
    key = NULL;
    seal = NULL;
    rc = 0;
out:
    seal_free(seal);
    license_key_free(key);
    templates_free(templates);
    secret_done(&token);
    return rc;
}

/* Which key seals, for a log line. */
static void say_seal(const struct worker *w, char *out, size_t size)
{
    (void)snprintf(out, size, "%s%s", w->seal ? ", licenses sealed with " : "",
                   w->seal ? seal_key_id(w->seal, 0) : "");
}

static void reload(struct worker *w)
{
    char seal[64];
    struct err e;

    daemon_reloading();
    if (load_files(w, &e)) {
        log_msg(LOG_ERROR, "reload", "nothing changed: %s", e.text);
    } else {
        say_seal(w, seal, sizeof seal);
        log_msg(LOG_INFO, "reload", "templates, keys and token read again, key %s%s",
                license_key_id(w->key), seal);
    }
    daemon_reloaded();
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct worker *w = handle->data;

    worker_lag_restart(&w->lag);
    switch (number) {
    case SIGTERM:
    case SIGINT:
        daemon_stopping(w->settings->drain_timeout_ms);
        worker_drain(w);
        break;
    case SIGHUP:
        reload(w);
        break;
    default:
        worker_quiet(w, number == SIGTSTP);
    }
}

/* Redis and mail; libcurl has its own. The system's certificates are a megabyte in
 * memory, so they are left out where nothing asks for them. A file that is named is
 * always read: a wrong one is to be found at the start. */
static bool needs_tls(const struct settings *s)
{
    return s->redis.tls || s->smtp.implicit_tls || s->smtp_tls != SMTP_TLS_OFF ||
           s->ca_file;
}

/* One process, one worker: everything between reading settings and the loop's end. */
static int serve(const struct settings *s, bool check, const char *env_file)
{
    static uv_loop_t loop;
    struct worker w = {.loop = &loop, .settings = s};
    struct err e;
    char seal[64];
    int code = 2;
    bool closed;

    (void)env_file; /* HUP reads files that settings name */
    if (needs_tls(s))
        w.tls = tls_new(s->ca_file, &e);
    if ((needs_tls(s) && !w.tls) || load_files(&w, &e)) {
        (void)fprintf(stderr, "stopgap-worker: %s\n", e.text);
        goto out;
    }
    code = 0;
    if (check)
        goto out;
    code = 1;
    if (uv_loop_init(&loop))
        goto out;
    daemon_signals(&loop, w.signals, signal_numbers, ARRAY_LEN(signal_numbers),
                   on_signal, &w);
    if (worker_start(&w, &e)) {
        log_msg(LOG_ERROR, "start", "%s", e.text);
        goto out;
    }
    say_seal(&w, seal, sizeof seal);
    log_msg(LOG_INFO, "ready",
            "stopgap-worker " STOPGAP_VERSION " as %s, queue %s, key %s%s", w.wid,
            s->queue, license_key_id(w.key), seal);
    daemon_ready(&loop);
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* until worker_stop */
    daemon_signals_end(w.signals, ARRAY_LEN(signal_numbers));
    closed = worker_close(&w);
    code = w.exit_code;
    log_msg(LOG_INFO, "stopped", "exit %d", code);
    if (!closed)
        _exit(code);
out:
    templates_free(w.templates);
    license_key_free(w.key);
    seal_free(w.seal);
    tls_free(w.tls);
    return code;
}

int main(int argc, char **argv)
{
    static const struct daemon self = {.name = "stopgap-worker",
                                       .usage = usage,
                                       .program = PROGRAM_WORKER,
                                       .serve = serve};

    return daemon_main(&self, argc, argv);
}
