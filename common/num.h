/* num: strict numbers and durations from text. The whole text must be the number: no
 * white space, no sign but a leading '-', no leading '+', no overflow. */
#ifndef STOPGAP_NUM_H
#define STOPGAP_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* True and *out set if text is a decimal integer within [min, max]. */
bool num_parse(const char *text, int64_t min, int64_t max, int64_t *out) MUST_CHECK;

/* "250ms", "30s", "5m", "6h", "30d" in milliseconds; "0" alone is allowed. */
bool num_parse_duration(const char *text, int64_t *out_ms) MUST_CHECK;

/* n in decimal, NUL-terminated; how long it is. printf takes ten times as long, and a
 * job has some dozens of numbers. */
size_t num_format(int64_t n, char out[static 24]);

/* The shortest such text for a duration, into out. */
void num_format_duration(int64_t ms, char out[static 24]);

#endif
