/* counts: what a worker has done since its start, as plain numbers that its parts count
 * up where the thing happens. worker_metrics.c shows them. */
#ifndef STOPGAP_COUNTS_H
#define STOPGAP_COUNTS_H

#include <stdint.h>

#include "err.h"
#include "job.h"
#include "metrics.h"

#define COUNTS_OUTCOMES 5  /* of a step: enum outcome, and "waits"; of a job: a verb */
enum { COUNTS_WAITS = 3 }; /* where OUTCOME_PENDING would be, which ends no step */
enum counts_side { COUNTS_DONE, COUNTS_AGAIN, COUNTS_REFUSED, COUNTS_SIDES };

struct counts {
    uint64_t steps[STEP_COUNT][COUNTS_OUTCOMES];
    struct metric_spans step_took[STEP_COUNT]; /* those done */
    uint64_t jobs[COUNTS_OUTCOMES];
    struct metric_spans job_took; /* from acceptance to done */
    uint64_t retries[ERR_CLASS_COUNT], failures[ERR_CLASS_COUNT];
    uint64_t ambiguous;
    uint64_t reports[COUNTS_SIDES], tells[COUNTS_SIDES];
    uint64_t leases_lost, redis_lost;
};

#endif
