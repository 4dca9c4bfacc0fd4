/* fsck_tracker: what the tracker shows as recorded, held against jobs that are not done
 * here, or not there at all: Redis was restored from a backup. */
#ifndef STOPGAP_FSCK_TRACKER_H
#define STOPGAP_FSCK_TRACKER_H

#include "client.h"
#include "err.h"
#include "fsck.h"

struct settings;

/* Adds to what fsck_run has found. Repairs only a queue that is paused, with nothing
 * active and an empty inbox: ERR_CONFLICT says what is in the way. */
int fsck_tracker_run(struct client *c, const struct settings *settings,
                     const struct queue_by *by, bool repair, struct fsck *f,
                     struct err *e) MUST_CHECK;

#endif
