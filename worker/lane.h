/* lane: whether an outside system may be bothered now. One per dependency.
 *
 * Closed to jobs after a refusal of our credentials (auth), while a rate limit runs,
 * and after several failures in a row (circuit breaker); jobs wait without an attempt
 * being counted, one probe of all workers goes through per interval. This is one
 * worker's view, pure; worker_lane.c brings the others' word and asks for the probe. */
#ifndef STOPGAP_LANE_H
#define STOPGAP_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define LANE_BREAKS_AFTER 5 /* transient failures in a row */

struct lane {
    const char *name;        /* "smtp", "gitlab" */
    int64_t interval_ms;     /* between probes */
    int failures;            /* transient ones in a row */
    int64_t closed_until_ms; /* 0: open */
    bool probing;            /* the one that may open it is under way here */
    struct err why;

    /* What the other workers have to be told: */
    int telling;     /* calls that say it, under way */
    bool untold;     /* one was lost: our view counts until it was told */
    int64_t delayed; /* jobs, of all workers, when last heard */
};

enum lane_event { LANE_NO_CHANGE, LANE_CLOSED, LANE_STILL_CLOSED, LANE_OPENED };

/* Nobody needs to ask. */
bool lane_is_open(const struct lane *l);

/* For how long it is closed yet; 0: open, or a probe may be asked for. */
int64_t lane_left_ms(const struct lane *l, int64_t now_ms);

/* What came of using it. The caller logs changes: CLOSED once, OPENED once. */
enum lane_event lane_report(struct lane *l, const struct err *e, int64_t now_ms);

/* What others know of it: closed_until_ms 0 is open. */
enum lane_event lane_learn(struct lane *l, int64_t closed_until_ms,
                           const struct err *why);

/* Those that wait come back apart, so that an outage costs little however many they
 * are: on average 20 of them a second, and each within 5 minutes. */
int64_t lane_spread_ms(const struct lane *l, uint32_t random);

#endif
