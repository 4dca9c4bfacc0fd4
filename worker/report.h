/* report: one follow-up under way: the failure issue opened or brought up to date, said
 * to be late, or closed because the license went out after all. Which items there are,
 * and when, is follow.c's. */
#ifndef STOPGAP_REPORT_H
#define STOPGAP_REPORT_H

#include "queue.h"
#include "worker.h"

struct report {
    struct report *next; /* of those that Redis has not been told of */
    struct worker *worker;
    struct queue_follow what;
    char *kind, *id, *fixed_url, *last_ids;
    struct job job;
    struct queue_write write; /* goes out with the item's end */
    bool created;             /* the issue was made here */
    bool probes;              /* what comes of it decides whether the lane opens */
};

/* Ends in follow_report_ended, once, perhaps inside this call. */
void report_start(struct report *it);

/* Tells Redis of the issue that was made here. Ends in the same way. */
void report_tell(struct report *it);

/* follow.c: it is told with the next beat. */
void follow_report_untold(struct report *it);

/* follow.c: frees it. What is not finished is still in Redis and comes again. */
void follow_report_ended(struct report *it);

#endif
