/* pipeline: the commands under way on one Redis connection after the other: their
 * order, the deadline of the oldest, scripts by SHA with a fallback to their source.
 * Owned by redis.c, which alone makes connections; nothing else includes this. */
#ifndef STOPGAP_PIPELINE_H
#define STOPGAP_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "redis.h"

struct pipeline;
struct stream;
struct uv_loop_s;

/* The connection is of no use any more (late, garbage, a server that must be left).
 * From the loop, never from inside a call of the owner's. The owner detaches. */
typedef void (*pipeline_broken_fn)(void *arg, const struct err *e);

/* scripts: borrowed. */
struct pipeline *pipeline_new(struct uv_loop_s *loop,
                              const struct redis_script *scripts, size_t script_count,
                              size_t reply_max, pipeline_broken_fn fn, void *arg);

/* Detached and empty. Allowed inside a callback; memory goes when libuv let go of it.
 */
void pipeline_free(struct pipeline *l);

/* Takes the stream over; detach closes it. What is pending stays until pipeline_fail.
 */
void pipeline_attach(struct pipeline *l, struct stream *s);
bool pipeline_attached(const struct pipeline *l);
void pipeline_detach(struct pipeline *l);

/* Every pending command gets e. */
void pipeline_fail(struct pipeline *l, const struct err *e);

/* Attached only. allow_ms: for the reply, counted from the reply before it. */
int pipeline_send(struct pipeline *l, redis_fn fn, void *arg, int64_t allow_ms,
                  int argc, const char *const *argv, const size_t *lens,
                  struct err *e) MUST_CHECK;
int pipeline_eval(struct pipeline *l, redis_fn fn, void *arg, int64_t allow_ms,
                  size_t index, int numkeys, int argc, const char *const *argv,
                  const size_t *lens, struct err *e) MUST_CHECK;
void pipeline_set_sha(struct pipeline *l, size_t index, const char *sha);

/* Bytes from the stream. */
void pipeline_feed(struct pipeline *l, const char *bytes, size_t len);

/* Replies so far that were no errors. */
uint64_t pipeline_good(const struct pipeline *l);

#endif
