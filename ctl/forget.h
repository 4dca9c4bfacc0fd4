/* forget: what the queue holds on a person: jobs whose record or story has the address,
 * those that point at them, and requests that no worker has taken yet. Finds only; each
 * job is judged and removed by a script (common/lua/forget.lua). */
#ifndef STOPGAP_FORGET_H
#define STOPGAP_FORGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "err.h"
#include "forget_needle.h"

struct forget_job {
    char id[JOB_ID_LEN + 1];
    char *state, *ticket, *issue, *report; /* owned; "" where there is none */
    char *points_at;                       /* owned; a job's id, or "" */
    char *fields; /* owned: where the address stands, blank-separated, or "" */
    int64_t accepted_ms;
    bool mailed, told_slack, told_zendesk;
    bool found; /* it is the person's */
};

struct forget {
    struct forget_job *jobs; /* only those that are found, by acceptance */
    size_t count;
    size_t inbox; /* requests that no worker has taken yet */
};

/* The caller ends it with forget_done, also after a failure. */
int forget_find(struct client *c, const struct forget_needle *needle,
                struct forget *out, struct err *e) MUST_CHECK;
void forget_done(struct forget *f);

#endif
