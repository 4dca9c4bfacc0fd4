/* metrics: numbers as Prometheus reads them (text format 0.0.4). Pure: the owner keeps
 * plain counters in its own structs; nothing is built before somebody asks. A label's
 * values come from fixed sets of ours, never from a request or a remote. */
#ifndef STOPGAP_METRICS_H
#define STOPGAP_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"

#define METRICS_MAX ((size_t)1 << 20) /* of one answer */

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric;
struct metric_out {
    struct buf *text;
    const struct metric *metric; /* the one that is written */
};

/* A row of a program's table. write adds its samples, none if it is not known now. */
struct metric {
    const char *name;
    enum metric_type type;
    const char *help; /* one line, no backslash */
    void (*write)(const struct metric_out *out, const void *state);
};

/* How long things took; zeroed = none. */
#define METRIC_BUCKETS 14
struct metric_spans {
    uint64_t bucket[METRIC_BUCKETS + 1]; /* the last: longer than all */
    uint64_t sum_ms;
};
void metrics_note(struct metric_spans *s, int64_t ms);

/* labels: as in `step="sign",outcome="done"`, or "". */
void metrics_add(const struct metric_out *out, const char *labels, uint64_t n);
void metrics_add_seconds(const struct metric_out *out, const char *labels, int64_t ms);
void metrics_add_spans(const struct metric_out *out, const char *labels,
                       const struct metric_spans *s);

/* `name="value"`, for those that have one label. */
void metrics_add_named(const struct metric_out *out, const char *name,
                       const char *value, uint64_t n);

/* The whole answer. */
void metrics_write(const struct metric *table, size_t count, const void *state,
                   struct buf *out);

#endif
