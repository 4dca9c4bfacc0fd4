/* fsck: what is not as it should be in the queue, and mending it. Suspects here, from a
 * walk over the keys; each suspicion is judged, and mended, by one script in one moment
 * (common/lua/fsck.lua), so that it is safe beside live workers. */
#ifndef STOPGAP_FSCK_H
#define STOPGAP_FSCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "err.h"
#include "fsck_look.h"

struct fsck_item {
    char *kind;
    char *where; /* a job's id, or a key without prefix */
    char *detail;
    bool mended;
};

struct fsck {
    struct fsck_item *items;
    size_t count, room;
    size_t jobs;            /* looked at */
    size_t newer;           /* of these, left alone */
    struct fsck_names open; /* jobs that are not done, sorted */
    int64_t open_since_ms;  /* when the oldest of them was accepted; 0: none */
};

/* The caller ends it with fsck_done, also after a failure. */
int fsck_run(struct client *c, const struct queue_by *by, bool repair, struct fsck *out,
             struct err *e) MUST_CHECK;
void fsck_done(struct fsck *f);

void fsck_add(struct fsck *f, const char *kind, const char *where, const char *detail,
              bool mended);

/* What a kind of finding is, and what --repair does about it (NULL: nothing). */
struct fsck_kind {
    const char *name, *meaning, *repair;
};
const struct fsck_kind *fsck_kind_of(const char *name);

#endif
