/* daemon: see daemon.h. */
#include "daemon.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "harden.h"
#include "log.h"
#include "notify.h"

#define STOP_MARGIN_MS 10000 /* of what is promised about the end */

static struct settings *load(const struct daemon *d, const char *env_file)
{
    struct settings *s;
    struct buf text;

    buf_init(&text, 1 << 20);
    s = settings_load(d->program, env_file, &text);
    if (!s)
        (void)fprintf(stderr, "%s: the settings have faults:\n%s", d->name, text.data);
    buf_done(&text);
    return s;
}

static void log_lines(enum log_level level, const char *event, char *text)
{
    char *line;

    while ((line = strsep(&text, "\n")))
        if (*line)
            log_msg(level, event, "%s", line);
}

static void log_warnings(const struct daemon *d, const struct settings *s)
{
    struct buf text;

    buf_init(&text, 1 << 16);
    settings_warnings(s, d->program, &text);
    log_lines(LOG_WARN, "settings", text.data);
    buf_done(&text);
}

struct settings *daemon_reload(const struct daemon *d, const char *env_file)
{
    struct settings *s;
    struct buf text;

    buf_init(&text, 1 << 20);
    s = settings_load(d->program, env_file, &text);
    if (!s)
        log_lines(LOG_ERROR, "reload", text.data);
    buf_done(&text);
    return s;
}

/* Whoever takes over a program takes over what its user may do. A check does nothing
 * but read, and may have to be made by root. */
static bool may_run(const struct daemon *d, const struct settings *s, bool check)
{
    if (check || !harden_is_root())
        return true;
    if (!s->allow_root)
        (void)fprintf(stderr,
                      "%s: does not run as root: with a fault in it the whole machine "
                      "would be lost. Start it as a user of its own, as the systemd "
                      "units do, or by: setpriv --reuid USER --regid GROUP "
                      "--init-groups %s ... STOPGAP_ALLOW_ROOT=1 lets root run it all "
                      "the same.\n",
                      d->name, d->name);
    else
        log_msg(LOG_WARN, "root", "runs as root, since STOPGAP_ALLOW_ROOT is 1");
    return s->allow_root;
}

/* With the settings at hand; the exit status. */
static int serve(const struct daemon *d, const struct settings *s, const char *env_file,
                 bool check)
{
    struct err e;

    log_setup((enum log_level)s->log_level, s->log_json);
    if (harden_check_lock(&e))
        log_msg(LOG_WARN, "harden", "%s", e.text);
    log_warnings(d, s);
    return may_run(d, s, check) ? d->serve(s, check, env_file) : 2;
}

static int run(const struct daemon *d, const char *env_file, bool check)
{
    struct settings *settings;
    struct err e;
    int code;

    if (harden_process(&e)) {
        (void)fprintf(stderr, "%s: %s\n", d->name, e.text);
        return 1;
    }
    settings = load(d, env_file);
    if (!settings)
        return 2;
    code = serve(d, settings, env_file, check);
    settings_free(settings);
    return code;
}

int daemon_main(const struct daemon *d, int argc, char **argv)
{
    static const struct option options[] = {{"env-file", required_argument, NULL, 'e'},
                                            {"check", no_argument, NULL, 'c'},
                                            {"version", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *env_file = NULL;
    bool check = false;
    int opt;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == 'h')
            return fputs(d->usage, stdout) < 0;
        if (opt == 'v')
            return printf("%s %s\n", d->name, STOPGAP_VERSION) < 0;
        if (opt == '?') {
            (void)fputs(d->usage, stderr);
            return 2;
        }
        if (opt == 'e')
            env_file = optarg;
        check = check || opt == 'c';
    }
    if (optind < argc) {
        (void)fprintf(stderr, "%s: \"%s\": takes options only\n%s", d->name,
                      argv[optind], d->usage);
        return 2;
    }
    return run(d, env_file, check);
}

void daemon_signals(uv_loop_t *loop, uv_signal_t *handles, const int *numbers,
                    size_t count, uv_signal_cb fn, void *arg)
{
    for (size_t i = 0; i < count; i++) {
        (void)uv_signal_init(loop, &handles[i]); /* always 0 */
        handles[i].data = arg;
        if (uv_signal_start(&handles[i], fn, numbers[i]))
            log_msg(LOG_WARN, "signal", "signal %d cannot be handled", numbers[i]);
    }
}

static void on_late_signal(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
}

/* A handle that is closed would give the signal its first meaning back, and the next
 * TERM would kill what is ending already. So they stay, for as long as the process. */
void daemon_signals_end(uv_signal_t *handles, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int number = handles[i].signum;

        if (!number)
            continue; /* could not be handled */
        (void)signal(number, SIG_IGN);
        (void)uv_signal_start(&handles[i], on_late_signal,
                              number); /* for one under way */
        uv_unref((uv_handle_t *)&handles[i]);
    }
}

/* --- systemd --- */

static void tell(const char *state)
{
    struct err e;

    if (notify_send(state, &e))
        log_msg(LOG_WARN, "notify", "%s", e.text);
}

static void on_watchdog(uv_timer_t *timer)
{
    (void)timer;
    tell("WATCHDOG=1");
}

static void start_watchdog(uv_loop_t *loop)
{
    static uv_timer_t timer; /* for as long as the process, as the signals */
    uint64_t half_ms = (uint64_t)notify_watchdog_ms() / 2;

    if (!half_ms)
        return;
    (void)uv_timer_init(loop, &timer); /* these cannot fail */
    (void)uv_timer_start(&timer, on_watchdog, half_ms, half_ms);
    uv_unref((uv_handle_t *)&timer);
}

void daemon_ready(uv_loop_t *loop)
{
    tell("READY=1");
    start_watchdog(loop);
}

void daemon_stopping(int64_t within_ms)
{
    char state[64];

    (void)snprintf(state, sizeof state, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld",
                   (long long)(within_ms + STOP_MARGIN_MS) * 1000);
    tell(state);
}

/* The time is for Type=notify-reload, which knows by it that this HUP is meant. */
void daemon_reloading(void)
{
    char state[64];

    (void)snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld",
                   (long long)(uv_hrtime() / 1000));
    tell(state);
}

void daemon_reloaded(void)
{
    tell("READY=1");
}
