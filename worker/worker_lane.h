/* worker_lane: a worker's lanes as the fleet sees them: each change is told to the
 * others by way of Redis, and each job that meets a closed lane asks there. */
#ifndef STOPGAP_WORKER_LANE_H
#define STOPGAP_WORKER_LANE_H

#include <stdint.h>

#include "err.h"

struct lane;
struct queue_beat;
struct worker;

/* e ERR_NONE: wait_ms 0 says go on, else how long to wait, with lane->why. Otherwise
 * Redis did not answer. */
typedef void (*worker_lane_fn)(void *arg, int64_t wait_ms, const struct err *e);

/* May a closed lane be tried? 0: fn runs once, later; -1: *e set, it never runs. A yes
 * while lane->probing means that what comes of it opens the lane or not; whoever got it
 * sets probing to false when nothing came. */
int worker_lane_ask(struct worker *w, struct lane *l, worker_lane_fn fn, void *arg,
                    struct err *e) MUST_CHECK;

/* With each beat: what the others know, and what they have to be told yet. */
void worker_lane_heard(struct worker *w, const struct queue_beat *b);

#endif
