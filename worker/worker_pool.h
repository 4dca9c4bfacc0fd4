/* worker_pool: work of some milliseconds, done on libuv's threads so that the loop goes
 * on. Not for anything that waits. */
#ifndef STOPGAP_WORKER_POOL_H
#define STOPGAP_WORKER_POOL_H

#include <uv.h>

#include "err.h"

typedef void (*worker_pool_fn)(void *arg);

/* `work` runs on a thread and must touch nothing that the loop touches meanwhile;
 * `done` on the loop, once, later. -1: neither will. Cannot be cancelled: the loop
 * stays alive for it. */
int worker_pool_run(uv_loop_t *loop, worker_pool_fn work, worker_pool_fn done,
                    void *arg) MUST_CHECK;

#endif
