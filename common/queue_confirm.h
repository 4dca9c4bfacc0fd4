/* queue_confirm: what was written is with so many replicas, too, before anybody relies
 * on it: STOPGAP_REDIS_WAIT. One WAIT at a time on a connection, for all who ask
 * meanwhile: Redis lets nothing else of that connection through while it waits. */
#ifndef STOPGAP_QUEUE_CONFIRM_H
#define STOPGAP_QUEUE_CONFIRM_H

#include <stdint.h>

#include "err.h"

#define QUEUE_CONFIRM_MS 250 /* that replicas have; a beat is held up by it */

struct redis;
struct queue_confirm;

/* redis is borrowed for its life. replicas 0: nobody is asked. */
struct queue_confirm *queue_confirm_new(struct redis *redis, int64_t replicas);
void queue_confirm_free(struct queue_confirm *c); /* after redis_free; NULL is fine */

/* Exactly once, perhaps inside the call. ERR_NONE: everything that this connection has
 * been answered is with that many replicas. Else it is not known to be: ERR_TRANSIENT,
 * or what Redis says of WAIT. */
typedef void (*queue_confirm_fn)(void *arg, const struct err *e);
void queue_confirm_ask(struct queue_confirm *c, queue_confirm_fn fn, void *arg);

/* WAIT's answer, judged. */
void queue_confirm_judge(int64_t confirmed, int64_t replicas, struct err *e);

#endif
