/* worker_lag: how long the loop was kept from its sockets: the longest turn, poll
 * excluded. A process that is frozen or gets no processor shows up here, too. */
#ifndef STOPGAP_WORKER_LAG_H
#define STOPGAP_WORKER_LAG_H

#include <stdint.h>

#include <uv.h>

struct worker_lag {
    uv_prepare_t turn;
    uint64_t began_ns; /* the turn */
    uint64_t idle_ns;  /* of the loop's life, when it began */
    uint64_t most_ns;
};

/* Before the loop runs. *lag belongs to the loop until worker_lag_stop's closing. */
void worker_lag_start(struct worker_lag *lag, uv_loop_t *loop);
void worker_lag_stop(struct worker_lag *lag);

/* A signal has come: the turn counts from here on. libuv forgets how long it has waited
 * in a poll that a signal ends, and all of that would look like work. */
void worker_lag_restart(struct worker_lag *lag);

/* Since the start. */
int64_t worker_lag_ms(const struct worker_lag *lag);

#endif
