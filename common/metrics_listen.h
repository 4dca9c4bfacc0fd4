/* metrics_listen: the listener of its own on which a daemon serves /metrics, /healthz
 * and /readyz to whoever watches it. Nothing here is worth a program's start: an
 * address that is in use is a warning. */
#ifndef STOPGAP_METRICS_LISTEN_H
#define STOPGAP_METRICS_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "metrics.h"
#include "settings.h"

struct uv_loop_s;
struct httpd_call;
struct metrics_listen;

struct metrics_listen_options {
    struct uv_loop_s *loop;
    const struct listen_addr *addr; /* host NULL: off */
    const char *setting;            /* its name, for the warning */
    /* /metrics was asked for: ends in metrics_listen_answer, now or later. */
    void (*on_scrape)(void *arg, struct httpd_call *call);
    /* /readyz; why: one line, when it is not. */
    bool (*is_ready)(void *arg, struct err *why);
    void *arg;
};

/* NULL when it is off or cannot listen, which the log says. Borrows arg. */
struct metrics_listen *metrics_listen_new(const struct metrics_listen_options *options);

/* Scrapes under way may still be answered; that goes nowhere. NULL is fine. */
void metrics_listen_free(struct metrics_listen *l);

void metrics_listen_answer(struct httpd_call *call, const struct metric *table,
                           size_t count, const void *state);

#endif
