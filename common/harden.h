/* harden: what a program does to itself before it holds a secret, so that less can be
 * seen of it, and less follows, when something goes wrong. Not the memory of secrets
 * (secret.h), nor what systemd or a container closes from outside. */
#ifndef STOPGAP_HARDEN_H
#define STOPGAP_HARDEN_H

#include <stdbool.h>

#include "err.h"

/* Once, first thing that main does: libsodium set up; no core dumps, not dumpable (so
 * nobody but root reads or traces it), no new privileges by exec, umask 077;
 * descriptors 0 to 2 open; names taken out of the environment that would steer TLS past
 * our own settings. -1: do not go on. */
int harden_process(struct err *e) MUST_CHECK;

/* -1 when memory cannot be locked here: a warning, not an end. */
int harden_check_lock(struct err *e) MUST_CHECK;

/* With all rights over this machine, or this container. */
bool harden_is_root(void);

#endif
