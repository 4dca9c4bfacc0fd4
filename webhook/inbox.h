/* inbox: makes a request durable: LPUSH onto the queue's public list, or, while Redis
 * does not take it, into the local spool, which it drains by itself. Knows ids and
 * bytes, not what a request says. The only part of the receiver that talks to Redis. */
#ifndef STOPGAP_INBOX_H
#define STOPGAP_INBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "settings.h"

struct uv_loop_s;
struct tls;
struct inbox;

/* Connects to Redis and takes the spool over (blocking: start only). ERR_CONFIG when
 * the spool cannot be used at all; Redis need not be there. Borrows its arguments. */
struct inbox *inbox_new(struct uv_loop_s *loop, const struct settings *settings,
                        struct tls *tls, struct err *e) MUST_CHECK;

/* Callbacks that still wait get ERR_CANCELLED inside this call. NULL is fine. */
void inbox_free(struct inbox *in);

/* Exactly once, from the loop, never from inside the call: e->class ERR_NONE means
 * durable, in Redis or in the spool. Otherwise nothing was promised (it may be there
 * nevertheless; the same id makes it harmless). */
typedef void (*inbox_put_fn)(void *arg, const struct err *e);

/* Puts "ID raw" into the inbox under that id, with the view that says "queued" unless
 * there is one. Within 5 s, whatever Redis does. */
void inbox_put(struct inbox *in, const char *id, const void *raw, size_t len,
               inbox_put_fn fn, void *arg);

/* A status view, JSON as the worker wrote it; NULL: there is none. Valid during the
 * call. e: Redis is away. Exactly once, from the loop, never from inside the call. */
typedef void (*inbox_view_fn)(void *arg, const char *view, const struct err *e);

void inbox_view(struct inbox *in, const char *id, inbox_view_fn fn, void *arg);
void inbox_ticket_view(struct inbox *in, int64_t ticket, inbox_view_fn fn, void *arg);

/* Whether the request of that id waits in the spool. */
bool inbox_spooled(const struct inbox *in, const char *id);

/* For /readyz and the log. */
struct inbox_state {
    bool redis_up;
    bool spool_usable; /* writable when last tried, and not full */
    size_t spooled;
    uint64_t kept_in_redis, kept_in_spool, drained; /* since the start */
};
void inbox_state(const struct inbox *in, struct inbox_state *out);

#endif
