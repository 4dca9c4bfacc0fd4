/* screen: the live view of `stats --watch`: one picture of the queue, painted over the
 * last one. Pure. */
#ifndef STOPGAP_SCREEN_H
#define STOPGAP_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "live.h"
#include "stats.h"

#define SCREEN_SAMPLES 31 /* a minute, and where it began */

/* What the counters said lately. Zeroed = nothing yet. */
struct screen_rate {
    struct {
        int64_t at_ms, done, failed;
    } samples[SCREEN_SAMPLES];
    size_t count;
};
void screen_note(struct screen_rate *r, const struct stats *s);

struct screen {
    const char *queue;
    const struct stats *stats; /* NULL: Redis did not answer: */
    const struct live *live;
    const struct err *why;
    const struct screen_rate *rate;
    bool colour;
};
void screen_text(const struct screen *s, struct buf *out);

/* The text onto a terminal of that size, over what was there: lines and their number
 * are cut to fit. */
void screen_paint(const char *text, size_t columns, size_t rows, struct buf *out);

#endif
