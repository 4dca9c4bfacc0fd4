/* worker_take: takes jobs while there is room: with each beat, when one has ended, when
 * the inbox or the ready list has something, and when a delayed one is due. Not: what
 * becomes of them (task.h). */
#ifndef STOPGAP_WORKER_TAKE_H
#define STOPGAP_WORKER_TAKE_H

#include <stdbool.h>
#include <stdint.h>

struct worker;

/* There may be jobs to take, or room for more. Waits for some if there are none. */
void worker_take_jobs(struct worker *w);

/* The next delayed job is due then, by Redis's clock; -1: there is none. */
void worker_take_due(struct worker *w, int64_t at_ms);

/* Something may come without this worker hearing of it before its next beat. */
bool worker_take_is_deaf(const struct worker *w);

#endif
