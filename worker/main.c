/* stopgap-worker: takes license requests from Redis, signs, mails and records them.
 * This file: arguments, settings, signals, start and end. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gitlab.h"
#include "license.h"
#include "log.h"
#include "mem.h"
#include "secret.h"
#include "settings.h"
#include "template.h"
#include "tls.h"
#include "worker.h"

#define TOKEN_MAX 4096 /* GitLab's have some dozens of characters */

static const int signal_numbers[] = {SIGTERM, SIGINT, SIGTSTP, SIGCONT, SIGHUP};

static void usage(FILE *out)
{
    (void)fputs(
        "Usage: stopgap-worker [--env-file FILE] [--check] [--version] [--help]\n"
        "\n"
        "Takes license requests from Redis, signs, mails and records them.\n"
        "Settings are STOPGAP_ environment variables; docs/config.md names each.\n"
        "  --env-file FILE  KEY=value lines; the environment wins\n"
        "  --check          reads settings, key and templates, then ends\n"
        "Signals: TERM drains (a second one leaves at once), TSTP stops taking\n"
        "jobs, CONT takes them again, HUP reads templates, key and token again.\n",
        out);
}

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

/* Reads what HUP reads again. On a fault nothing changes. */
static int load_files(struct worker *w, struct err *e)
{
    const struct settings *s = w->settings;
    struct secret token = {0};
    struct templates *templates = templates_load(s->template_dir, e);
    struct license_key *key = NULL;
    int rc = -1;

    if (!templates || load_token(w, &token, e))
        goto out;
    key = license_key_load(s->license_key_file, s->license_key_passphrase_file, e);
    if (!key)
        goto out;
    templates_free(w->templates);
    license_key_free(w->key);
    w->templates = templates;
    w->key = key;
    if (token.len)
        gitlab_set_token(w->gitlab, &token);
    templates = NULL;
    rc = 0;
out:
    templates_free(templates);
    secret_done(&token);
    return rc;
}

static void reload(struct worker *w)
{
    struct err e;

    if (load_files(w, &e))
        log_msg(LOG_ERROR, "reload", "nothing changed: %s", e.text);
    else
        log_msg(LOG_INFO, "reload", "templates, key and token read again, key %s",
                license_key_id(w->key));
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct worker *w = handle->data;

    switch (number) {
    case SIGTERM:
    case SIGINT:
        worker_drain(w);
        break;
    case SIGHUP:
        reload(w);
        break;
    default:
        worker_quiet(w, number == SIGTSTP);
    }
}

static void on_signal_closed(uv_handle_t *handle)
{
    (void)handle; /* lives in main's worker */
}

static void start_signals(struct worker *w)
{
    for (size_t i = 0; i < ARRAY_LEN(signal_numbers); i++) {
        (void)uv_signal_init(w->loop, &w->signals[i]); /* always 0 */
        w->signals[i].data = w;
        if (uv_signal_start(&w->signals[i], on_signal, signal_numbers[i]))
            log_msg(LOG_WARN, "signal", "signal %d cannot be handled",
                    signal_numbers[i]);
    }
}

static void close_signals(struct worker *w)
{
    for (size_t i = 0; i < ARRAY_LEN(signal_numbers); i++)
        uv_close((uv_handle_t *)&w->signals[i], on_signal_closed);
}

static void print_faults(const char *faults)
{
    (void)fprintf(stderr, "stopgap-worker: the settings have faults:\n%s", faults);
}

static struct settings *load_settings(const char *env_file)
{
    struct settings *s;
    struct buf text;

    buf_init(&text, 1 << 20);
    s = settings_load(PROGRAM_WORKER, env_file, &text);
    if (!s)
        print_faults(text.data);
    buf_done(&text);
    return s;
}

static void log_warnings(const struct settings *s)
{
    struct buf text;
    char *rest, *line;

    buf_init(&text, 1 << 16);
    settings_warnings(s, PROGRAM_WORKER, &text);
    rest = text.data;
    while ((line = strsep(&rest, "\n")))
        if (*line)
            log_msg(LOG_WARN, "settings", "%s", line);
    buf_done(&text);
}

/* One process, one worker: everything between reading settings and the loop's end. */
static int serve(const struct settings *s, bool check)
{
    static uv_loop_t loop;
    struct worker w = {.loop = &loop, .settings = s};
    struct err e;
    int code = 2;
    bool closed;

    w.tls = tls_new(s->ca_file, &e);
    if (!w.tls || load_files(&w, &e)) {
        (void)fprintf(stderr, "stopgap-worker: %s\n", e.text);
        goto out;
    }
    code = 0;
    if (check)
        goto out;
    code = 1;
    if (uv_loop_init(&loop))
        goto out;
    start_signals(&w);
    if (worker_start(&w, &e)) {
        log_msg(LOG_ERROR, "start", "%s", e.text);
        goto out;
    }
    log_msg(LOG_INFO, "ready",
            "stopgap-worker " STOPGAP_VERSION " as %s, queue %s, key %s", w.wid,
            s->queue, license_key_id(w.key));
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* until worker_stop */
    close_signals(&w);
    closed = worker_close(&w);
    code = w.exit_code;
    log_msg(LOG_INFO, "stopped", "exit %d", code);
    if (!closed)
        _exit(code);
out:
    templates_free(w.templates);
    license_key_free(w.key);
    tls_free(w.tls);
    return code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"env-file", required_argument, NULL, 'e'},
                                            {"check", no_argument, NULL, 'c'},
                                            {"version", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *env_file = NULL;
    struct settings *settings;
    bool check = false;
    struct err e;
    int opt, code;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == 'h') {
            usage(stdout);
            return 0;
        }
        if (opt == 'v')
            return puts("stopgap-worker " STOPGAP_VERSION) < 0;
        if (opt == '?') {
            usage(stderr);
            return 2;
        }
        if (opt == 'e')
            env_file = optarg;
        check = check || opt == 'c';
    }
    if (optind < argc) {
        (void)fprintf(stderr, "stopgap-worker: \"%s\": takes options only\n",
                      argv[optind]);
        usage(stderr);
        return 2;
    }
    if (secret_harden_process(&e))
        log_msg(LOG_WARN, "harden", "%s", e.text);
    settings = load_settings(env_file);
    if (!settings)
        return 2;
    log_setup((enum log_level)settings->log_level, settings->log_json);
    log_warnings(settings);
    code = serve(settings, check);
    settings_free(settings);
    return code;
}
