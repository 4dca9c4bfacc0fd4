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
    bool said;       /* that something waits */
    bool busy;       /* reading, pushing or dropping */
    int64_t tries;   /* failures in a row */
    size_t refused;  /* by the disk, in this round through the spool */
    bool complained; /* of the disk */
    size_t done;     /* since then */
    uint64_t count;  /* ever */
};

struct inbox {
    uv_loop_t *loop;
    const struct settings *settings;
    struct redis *redis;
    struct queue *queue; /* for the names of its keys */
    struct queue_confirm *confirm;
    struct spool *spool;
    bool refusing;            /* Redis has answered the last push with an error */
    enum err_class told_down; /* what the log said of the connection; ERR_NONE: up */
    bool complained;          /* of views that cannot be written */
    bool closed;
    uint64_t kept_in_redis, kept_in_spool;
    struct put *puts, *last_put; /* the oldest first */
    struct get *unanswered;
    uv_timer_t sweep, later, probe;
    struct drain drain;
    int handles; /* open; the last frees a closed inbox */
};

/* ---- inbox.c ---- */

/* Sends the entry to the list, and "queued" to the view unless there is one. -1: not
 * connected, fn never runs. */
int inbox_push(struct inbox *in, const char *id, const struct buf *entry, redis_fn fn,
               void *arg, struct err *e) MUST_CHECK;

/* What became of a push: e, or, if the reply is none to it, that it was lost. */
const struct err *inbox_answer(struct inbox *in, const struct redisReply *reply,
                               const struct err *e);

/* Each answer to a push. */
void inbox_note(struct inbox *in, const struct err *e);

extern const struct err inbox_ends;

void inbox_entry(struct buf *out, const char *id, const void *raw, size_t len);

/* ---- inbox_view.c ---- */

/* Those whom Redis was not asked for. */
void inbox_answer_views(struct inbox *in, const struct err *e);

/* ---- inbox_drain.c ---- */

/* Something may wait. */
void drain_begin(struct inbox *in);

/* Redis is back: no waiting any longer. */
void drain_hurry(struct inbox *in);

#endif
