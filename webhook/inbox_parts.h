/* inbox_parts: what inbox.c and inbox_drain.c share, and nobody else includes. */
#ifndef STOPGAP_INBOX_PARTS_H
#define STOPGAP_INBOX_PARTS_H

#include <uv.h>

#include "buf.h"
#include "inbox.h"
#include "queue.h"
#include "redis.h"
#include "spool.h"

struct put;
struct get;

struct drain {
    uv_timer_t timer;
    bool said;     /* that something waits */
    bool busy;     /* reading, pushing or dropping */
    int64_t tries; /* failures in a row */
    size_t done;   /* since then */
};

struct inbox {
    uv_loop_t *loop;
    const struct settings *settings;
    struct redis *redis;
    struct queue *queue; /* for the names of its keys */
    struct spool *spool;
    bool refusing;   /* Redis is up and has answered the last push with an error */
    bool complained; /* of views that cannot be written */
    bool closed;
    struct put *puts, *last_put; /* the oldest first */
    struct get *unanswered;
    uv_timer_t sweep, later;
    struct drain drain;
    int handles; /* open; the last frees a closed inbox */
};

/* ---- inbox.c ---- */

/* Sends "queued" to the view, unless there is one, and the entry to the list. -1: not
 * connected, fn never runs. */
int inbox_push(struct inbox *in, const char *id, const struct buf *entry, redis_fn fn,
               void *arg, struct err *e) MUST_CHECK;

/* Each answer to a push. */
void inbox_note(struct inbox *in, const struct err *e);

void inbox_entry(struct buf *out, const char *id, const void *raw, size_t len);

/* ---- inbox_drain.c ---- */

/* Something may wait. */
void drain_begin(struct inbox *in);

/* Redis is back: no waiting any longer. */
void drain_hurry(struct inbox *in);

#endif
