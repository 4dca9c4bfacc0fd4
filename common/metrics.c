/* metrics: see metrics.h. */
#include "metrics.h"

#include <stdio.h>

#include "mem.h"

/* From a signature to a mail server that lets one wait. */
static const int64_t bounds_ms[METRIC_BUCKETS] = {
    5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000};

void metrics_note(struct metric_spans *s, int64_t ms)
{
    size_t i = 0;

    if (ms < 0)
        ms = 0; /* a clock was set back */
    while (i < METRIC_BUCKETS && ms > bounds_ms[i])
        i++;
    s->bucket[i]++;
    s->sum_ms += (uint64_t)ms;
}

static void add_name(const struct metric_out *out, const char *suffix,
                     const char *labels)
{
    buf_addf(out->text, "%s%s", out->metric->name, suffix);
    if (*labels)
        buf_addf(out->text, "{%s}", labels);
    buf_addc(out->text, ' ');
}

static void add_seconds(struct buf *text, int64_t ms)
{
    uint64_t size = ms < 0 ? (uint64_t)-ms : (uint64_t)ms;

    buf_addf(text, "%s%llu.%03llu\n", ms < 0 ? "-" : "",
             (unsigned long long)(size / 1000), (unsigned long long)(size % 1000));
}

void metrics_add(const struct metric_out *out, const char *labels, uint64_t n)
{
    add_name(out, "", labels);
    buf_addf(out->text, "%llu\n", (unsigned long long)n);
}

void metrics_add_seconds(const struct metric_out *out, const char *labels, int64_t ms)
{
    add_name(out, "", labels);
    add_seconds(out->text, ms);
}

void metrics_add_named(const struct metric_out *out, const char *name,
                       const char *value, uint64_t n)
{
    char labels[128];

    (void)snprintf(labels, sizeof labels, "%s=\"%s\"", name, value);
    metrics_add(out, labels, n);
}

void metrics_add_spans(const struct metric_out *out, const char *labels,
                       const struct metric_spans *s)
{
    const char *comma = *labels ? "," : "";
    uint64_t so_far = 0;
    char all[160];

    for (size_t i = 0; i < METRIC_BUCKETS; i++) {
        so_far += s->bucket[i];
        (void)snprintf(all, sizeof all, "%s%sle=\"%g\"", labels, comma,
                       (double)bounds_ms[i] / 1000);
        add_name(out, "_bucket", all);
        buf_addf(out->text, "%llu\n", (unsigned long long)so_far);
    }
    so_far += s->bucket[METRIC_BUCKETS];
    (void)snprintf(all, sizeof all, "%s%sle=\"+Inf\"", labels, comma);
    add_name(out, "_bucket", all);
    buf_addf(out->text, "%llu\n", (unsigned long long)so_far);
    add_name(out, "_sum", labels);
    add_seconds(out->text, (int64_t)s->sum_ms);
    add_name(out, "_count", labels);
    buf_addf(out->text, "%llu\n", (unsigned long long)so_far);
}

void metrics_write(const struct metric *table, size_t count, const void *state,
                   struct buf *out)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};

    for (size_t i = 0; i < count; i++) {
        const struct metric_out to = {.text = out, .metric = &table[i]};

        buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", table[i].name, table[i].help,
                 table[i].name, types[table[i].type]);
        table[i].write(&to, state);
    }
}
