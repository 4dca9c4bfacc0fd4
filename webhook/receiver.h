/* receiver: what all parts of this process share. One loop, one inbox, one server. */
#ifndef STOPGAP_RECEIVER_H
#define STOPGAP_RECEIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replay.h"
#include "tally.h"

struct httpd;
struct inbox;
struct settings;
struct tls;
struct uv_loop_s;

/* Lines about what was refused, which anybody can cause: so many in a while, then only
 * their number. */
struct refusals {
    uint64_t since_ms; /* loop clock */
    unsigned told, untold;
};

struct receiver {
    struct uv_loop_s *loop;
    const struct settings *settings; /* as at the start */
    const struct settings *secrets;  /* the same, or as read by the last HUP: only its
                                        secrets and tokens count */
    struct tls *tls;
    struct inbox *inbox;
    struct httpd *httpd;
    struct refusals refusals;
    struct replay replay;
    struct tally tally;
    bool draining; /* no new requests */
};

#endif
