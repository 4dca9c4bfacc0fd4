/* fsck_look: the queue's keys, and where each id stands, as one walk over them saw it.
 * Nothing holds still meanwhile: what looks wrong here is a suspicion. For fsck*.c. */
#ifndef STOPGAP_FSCK_LOOK_H
#define STOPGAP_FSCK_LOOK_H

#include <stdbool.h>
#include <stddef.h>

#include "client.h"
#include "err.h"

struct fsck_names {
    char **v;
    size_t count, room;
};
void fsck_names_add(struct fsck_names *n, const char *bytes, size_t len);
void fsck_names_done(struct fsck_names *n);

/* An id stands in a list or sorted set. */
struct fsck_place {
    char *id;
    const char *name; /* of the key, without prefix; borrowed */
};

struct fsck_look {
    struct fsck_names keys; /* without prefix; sorted, each once */
    struct fsck_names follow;
    struct fsck_names tell;    /* ids, of all channels; sorted, each once */
    struct fsck_place *places; /* sorted by id */
    size_t place_count, place_room;
};

/* The caller ends it with fsck_look_done, also after a failure. */
int fsck_look_keys(struct client *c, struct fsck_look *l, struct err *e) MUST_CHECK;
int fsck_look_places(struct client *c, struct fsck_look *l, struct err *e) MUST_CHECK;
void fsck_look_done(struct fsck_look *l);

bool fsck_look_has_key(const struct fsck_look *l, const char *name, const char *tail);

/* The first place of an id; *count of them follow each other. NULL: none. */
const struct fsck_place *fsck_look_find(const struct fsck_look *l, const char *id,
                                        size_t *count);

#endif
