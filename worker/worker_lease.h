/* worker_lease: this worker in Redis's list of those that live: the beats, what they
 * bring, and the jobs of a predecessor that died on this host. */
#ifndef STOPGAP_WORKER_LEASE_H
#define STOPGAP_WORKER_LEASE_H

struct err;
struct worker;

/* Beats five times a lease from now on. Negative: libuv's error. */
int worker_lease_start(struct worker *w);

/* For the connection of commands (redis_options): a beat at once; or nothing is taken
 * until the next one. */
void worker_lease_up(void *worker);
void worker_lease_down(void *worker, const struct err *e);

#endif
