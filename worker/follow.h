/* follow: what happens after a job, outside its slot: the failure issue (report), the
 * "still trying" issue of a job that is late, and their closing when the license went
 * out after all. Never delays or fails a job; tried again until GitLab takes it. */
#ifndef STOPGAP_FOLLOW_H
#define STOPGAP_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

struct follow;
struct worker;

struct follow *follow_new(struct worker *w);

/* Looks for due items now, or when one is due (loop clock; -1: not before told). */
void follow_poke(struct follow *f);
void follow_due(struct follow *f, int64_t at_ms);

/* Redis is there: what it could not be told before is told now. */
void follow_beat(struct follow *f);

/* An item, or a claim of items, is under way. */
bool follow_busy(const struct follow *f);

/* Stops taking items and beginning anything for them; GitLab calls under way end by
 * themselves. */
void follow_stop(struct follow *f);

/* Only with nothing under way and after the loop has closed its timer. */
void follow_free(struct follow *f);

#endif
