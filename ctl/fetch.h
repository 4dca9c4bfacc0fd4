/* fetch: jobs read out of Redis and decoded, for the commands that show them. */
#ifndef STOPGAP_FETCH_H
#define STOPGAP_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "err.h"
#include "job.h"

/* An event of a job's story. */
struct fetch_event {
    int64_t at_ms;
    char *text; /* owned */
};

/* One job with everything that Redis has of it. */
struct fetch_story {
    struct job job;
    bool in_inbox; /* not yet taken over by a worker: id and raw are all there is */
    struct fetch_event *events; /* oldest first */
    size_t event_count;
    int64_t now_ms; /* Redis's clock */
};

/* 1: found. 0: there is no such job. -1: *e, ERR_CANCELLED for a record newer than this
 * program. The caller ends it with fetch_story_done. */
int fetch_story(struct client *c, const char *id, struct fetch_story *out,
                struct err *e) MUST_CHECK;
void fetch_story_done(struct fetch_story *s);

/* What may be known of a request that validation has not taken (yet). */
void fetch_guess_request(struct job *j);

#endif
