/* daemon: how the programs that stay are started: arguments, hardening, settings with
 * their faults and warnings, the log; signals on the loop, and what systemd is told.
 * What a program does then is its own (main.c). */
#ifndef STOPGAP_DAEMON_H
#define STOPGAP_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "settings.h"

struct daemon {
    const char *name; /* "stopgap-worker" */
    const char *usage;
    enum program program;
    /* Everything between the settings and the end; the exit status. check: only what
     * --check looks at. env_file: as given, or NULL. */
    int (*serve)(const struct settings *settings, bool check, const char *env_file);
};

/* The whole of main. Exit status 2: the command line or the settings are wrong. */
int daemon_main(const struct daemon *d, int argc, char **argv);

/* The settings, read again while the program runs; NULL after the faults were logged.
 * Secrets that came by the environment itself are gone from there. */
struct settings *daemon_reload(const struct daemon *d, const char *env_file);

/* Handles for `count` signals, in the caller's array; each has arg as its data. */
void daemon_signals(uv_loop_t *loop, uv_signal_t *handles, const int *numbers,
                    size_t count, uv_signal_cb fn, void *arg);

/* At the end of the program: they do nothing from now on, nor keep the loop alive. */
void daemon_signals_end(uv_signal_t *handles, size_t count);

/* To systemd, if it started us; else these do nothing.
 * ready: the start is over. From here on a timer of the loop tells the watchdog that it
 * turns, so that a stuck one is noticed; it keeps no loop alive.
 * stopping: the end has begun and takes at most so long, whatever TimeoutStopSec says.
 * reloading, reloaded: around what HUP does. */
void daemon_ready(uv_loop_t *loop);
void daemon_stopping(int64_t within_ms);
void daemon_reloading(void);
void daemon_reloaded(void);

#endif
