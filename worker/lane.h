/* lane: whether an outside system may be bothered now. One per dependency.
 *
 * Closed to jobs after a refusal of our credentials (auth), while a rate limit runs,
 * and after several failures in a row (circuit breaker); jobs wait without an attempt
 * being counted, one probe goes through per interval. No clock of its own, no jobs. */
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
    bool probing;            /* the one that may open it is under way */
    struct err why;
};

enum lane_event { LANE_NO_CHANGE, LANE_CLOSED, LANE_STILL_CLOSED, LANE_OPENED };

/* 0: go on (when the lane was closed, this caller is the probe and the next one waits
 * another interval). Otherwise how many ms to wait. */
int64_t lane_wait_ms(struct lane *l, int64_t now_ms);

/* What came of using it. The caller logs changes: CLOSED once, OPENED once. */
enum lane_event lane_report(struct lane *l, const struct err *e, int64_t now_ms);

#endif
