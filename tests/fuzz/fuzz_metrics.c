/* Any numbers and spans as the text that Prometheus reads. A reader of the format
 * (version 0.0.4) finds each sample under its type, each number as it was, and in a
 * histogram buckets that only grow up to the count. Eight bytes a number. */
#include <ctype.h>
#include <stdbool.h>

#include "fuzz_input.h"
#include "metrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SPANS 12

struct numbers {
    uint64_t n;
    int64_t ms[SPANS];
    size_t spans;
};

static void write_plain(const struct metric_out *out, const void *state)
{
    const struct numbers *n = state;

    metrics_add(out, "", n->n);
    metrics_add_named(out, "code", "503", n->n);
}

static void write_seconds(const struct metric_out *out, const void *state)
{
    metrics_add_seconds(out, "state=\"late\"", ((const struct numbers *)state)->ms[0]);
}

static void write_spans(const struct metric_out *out, const void *state)
{
    const struct numbers *n = state;
    struct metric_spans s = {.sum_ms = 0};

    for (size_t i = 0; i < n->spans; i++)
        metrics_note(&s, n->ms[i]);
    metrics_add_spans(out, "step=\"sign\",outcome=\"done\"", &s);
    metrics_add_spans(out, "", &s);
}

static const struct metric table[] = {
    {"stopgap_a_total", METRIC_COUNTER, "Counted.", write_plain},
    {"stopgap_b_seconds", METRIC_GAUGE, "Seen.", write_seconds},
    {"stopgap_c_seconds", METRIC_HISTOGRAM, "Took.", write_spans},
};

struct sample {
    char name[64], labels[128];
    char value[40];
    double number;
};

static bool name_char(char c, bool first)
{
    return isalpha((unsigned char)c) || c == '_' ||
           (!first && isdigit((unsigned char)c));
}

/* name="value" with commas between; what has a meaning in a value is escaped. */
static const char *read_labels(const char *p)
{
    do {
        const char *from = ++p;

        while (name_char(*p, p == from))
            p++;
        PROMISE(p > from && p[0] == '=' && p[1] == '"');
        for (p += 2; *p != '"'; p++)
            PROMISE(*p && *p != '\n' && *p != '\\');
        p++;
    } while (*p == ',');
    PROMISE(*p == '}');
    return p + 1;
}

static void copy(char *to, size_t size, const char *from, size_t len)
{
    PROMISE(len < size);
    memcpy(to, from, len);
    to[len] = '\0';
}

/* One line; returns what follows it. */
static const char *read_sample(const char *p, struct sample *s)
{
    const char *from = p;
    char *end;

    while (name_char(*p, p == from))
        p++;
    copy(s->name, sizeof s->name, from, (size_t)(p - from));
    from = p;
    if (*p == '{')
        p = read_labels(p);
    copy(s->labels, sizeof s->labels, from, (size_t)(p - from));
    PROMISE(*p++ == ' ');
    copy(s->value, sizeof s->value, p, strcspn(p, "\n"));
    s->number = strtod(p, &end);
    PROMISE(end > p && *end == '\n');
    return end + 1;
}

/* Of one histogram: bounds and counts grow. */
struct histogram {
    double bound, count;
    bool ended;
};

static void check_bucket(const struct sample *s, struct histogram *h, size_t spans)
{
    const char *le = strstr(s->labels, "le=\"");
    double bound = le ? strtod(le + 4, NULL) : -1; /* "+Inf" too */

    if (le) {
        PROMISE(bound > h->bound && s->number >= h->count);
        *h = (struct histogram){bound, s->number, !strncmp(le + 4, "+Inf\"", 5)};
    } else if (strstr(s->name, "_count")) {
        PROMISE(h->ended && h->count <= s->number && h->count >= s->number);
        PROMISE(s->number <= (double)spans && s->number >= (double)spans);
        *h = (struct histogram){.bound = -1};
    }
}

static void check_text(const char *p, const struct numbers *n)
{
    struct histogram h = {.bound = -1};
    const struct metric *m = NULL;
    char want[40];

    (void)snprintf(want, sizeof want, "%llu", (unsigned long long)n->n);
    while (*p) {
        struct sample s;

        if (!strncmp(p, "# HELP ", 7)) {
            m = m ? m + 1 : table;
            PROMISE(!strncmp(p + 7, m->name, strlen(m->name)));
            p = strchr(p, '\n') + 1;
            PROMISE(!strncmp(p, "# TYPE ", 7));
            p = strchr(p, '\n') + 1;
            continue;
        }
        p = read_sample(p, &s);
        PROMISE(m && !strncmp(s.name, m->name, strlen(m->name)));
        if (m == table)
            PROMISE(!strcmp(s.value, want));
        if (m->type == METRIC_HISTOGRAM)
            check_bucket(&s, &h, n->spans);
    }
    PROMISE(m == table + ARRAY_LEN(table) - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct numbers n = {.n = 0};
    struct buf text;

    memcpy(&n.n, data, size < 8 ? size : 8);
    n.spans = size / 8 < SPANS ? size / 8 : SPANS;
    memcpy(n.ms, data, n.spans * 8);
    for (size_t i = 0; i < n.spans; i++)
        if (n.ms[i] == INT64_MIN) /* no span of a clock's */
            n.ms[i] = 0;
    buf_init(&text, METRICS_MAX);
    metrics_write(table, ARRAY_LEN(table), &n, &text);
    PROMISE(!text.failed);
    check_text(text.data, &n);
    buf_done(&text);
    return 0;
}
