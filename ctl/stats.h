/* stats: the queue in numbers, read in one go, for the commands that show or judge
 * them.
 */
#ifndef STOPGAP_STATS_H
#define STOPGAP_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "err.h"

#define STATS_COUNTERS 64
#define STATS_LANES 5

/* An outside system that is closed to jobs. */
struct stats_lane {
    const char *name;
    int64_t until_ms, since_ms; /* until_ms 0: it is open */
    enum err_class class;
    char text[ERR_TEXT_MAX];
};

struct stats_counter {
    char name[32];
    int64_t value;
};

struct stats {
    struct client *client;
    int64_t now_ms;
    int64_t inbox, pending, solo, active, delayed, failed, done, follow, workers;
    int64_t oldest_ready_ms;  /* when it was accepted; 0: none */
    int64_t oldest_failed_ms; /* when it failed */
    char paused[1024];        /* "<ms> <who> <reason>", or "" */
    struct stats_counter counters[STATS_COUNTERS];
    size_t counter_count;
    struct stats_lane lanes[STATS_LANES];
};

/* What counts jobs and workers is of one moment, the rest soon after it. */
int stats_read(struct client *client, struct stats *s, struct err *e) MUST_CHECK;

int64_t stats_queued(const struct stats *s);

/* For how long; 0 for none. */
int64_t stats_age(int64_t since_ms, int64_t now_ms);

/* The value of `paused` in words. */
void stats_paused_words(const char *value, struct buf *out);

#endif
