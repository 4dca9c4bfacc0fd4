/* story: one job as people and programs are shown it: what is known, what happened
 * when, and what to do next. Pure. */
#ifndef STOPGAP_STORY_H
#define STOPGAP_STORY_H

#include <stdbool.h>

#include "buf.h"
#include "fetch.h"

struct story_options {
    const char *asked_for; /* the id of a duplicate that led here, or NULL */
    bool license;          /* with the license's text */
    bool colour;           /* for people at a terminal */
};

void story_text(const struct fetch_story *s, const struct story_options *o,
                struct buf *out);

/* One JSON object and a newline. Times are ISO 8601 in UTC. */
void story_json(const struct fetch_story *s, const struct story_options *o,
                struct buf *out);

/* The commands that may come next for a failed or delayed job, each as in "stopgapctl
 * requeue ID --redo sign", at most two; how many there are. */
#define STORY_COMMANDS 2
struct story_command {
    char text[96];
    const char *when; /* half a sentence */
};
size_t story_next(const struct job *j, int64_t now_ms,
                  struct story_command out[static STORY_COMMANDS]);

#endif
