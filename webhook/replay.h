/* replay: which job a signature was first given to. Zendesk signs time and body, but
 * not the invocation's id: without this, one delivery that somebody has captured makes
 * as many jobs as they make up ids, all through STOPGAP_WEBHOOK_MAX_SKEW. Bounded, and
 * gone with the process; what slips through ends as a duplicate, with no second
 * license. */
#ifndef STOPGAP_REPLAY_H
#define STOPGAP_REPLAY_H

#include "job.h"

#define REPLAY_SLOTS 1024

/* Zeroed = empty. A signature is a MAC under our secret, so nobody else can choose the
 * slot that it falls into. */
struct replay {
    struct {
        unsigned char mac[16];
        char id[JOB_ID_LEN + 1];
    } slots[REPLAY_SLOTS];
};

/* signature: one that holds. id: becomes what the first call with it had. */
void replay_settle(struct replay *r, const char *signature,
                   char id[static JOB_ID_LEN + 1]);

#endif
