/* dial: finds the way to a server: name resolution off the loop, then every address in
 * turn until one answers; or a unix socket. Part of stream.c, which alone includes
 * this; knows no bytes. */
#ifndef STOPGAP_DIAL_H
#define STOPGAP_DIAL_H

#include <stdint.h>

#include "err.h"

struct dial;
struct stream_target;
struct uv_loop_s;
struct uv_stream_s;

/* Once, from the loop; the dial is over. sock is connected and the receiver's, to end
 * with dial_hang_up; or NULL, with the reason in e. */
typedef void (*dial_fn)(void *arg, struct uv_stream_s *sock, const struct err *e);

struct dial *dial_start(struct uv_loop_s *loop, const struct stream_target *target,
                        dial_fn fn, void *arg);

/* While fn has not run: it will not. NULL is fine. */
void dial_cancel(struct dial *d);

/* Closes the socket; its memory goes when libuv let go of it. NULL is fine. */
void dial_hang_up(struct uv_stream_s *sock);

#endif
