/* notify: what systemd is told of a service (sd_notify's protocol, without its
 * library): one datagram to the socket that NOTIFY_SOCKET names. When to say what, and
 * the timer of the watchdog, is daemon's. */
#ifndef STOPGAP_NOTIFY_H
#define STOPGAP_NOTIFY_H

#include <stdint.h>

#include "err.h"

/* state: lines of NAME=VALUE, as "READY=1". 0 also when nobody listens, that is without
 * NOTIFY_SOCKET. Waits at most 100 ms for room. */
int notify_send(const char *state, struct err *e) MUST_CHECK;

/* How long systemd waits for WATCHDOG=1 before it takes this process for stuck; 0 if it
 * does not watch us. */
int64_t notify_watchdog_ms(void);

#endif
