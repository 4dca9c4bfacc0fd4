/* fd: whole writes to a file descriptor. */
#ifndef STOPGAP_FD_H
#define STOPGAP_FD_H

#include <stddef.h>

#include "err.h"

/* Blocking. -1 with errno; then a part of it may be there. */
int fd_write_all(int fd, const void *bytes, size_t len) MUST_CHECK;

#endif
