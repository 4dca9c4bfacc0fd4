/* backoff: attempt number to delay, exponential with full jitter. Pure: randomness is
 * an argument. */
#ifndef STOPGAP_BACKOFF_H
#define STOPGAP_BACKOFF_H

#include <stdint.h>

/* tries: failures so far, 1 for the first. random: any 32 random bits. Full jitter
 * over min(cap, base * 2^tries), so the first retry comes within 2 * base; at least
 * 1 ms. */
int64_t backoff_delay_ms(int64_t tries, int64_t base_ms, int64_t cap_ms,
                         uint32_t random);

#endif
