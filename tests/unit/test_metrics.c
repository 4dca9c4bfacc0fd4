/* Unit tests of common/metrics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "metrics.h"

static void write_count(const struct metric_out *out, const void *state)
{
    metrics_add_named(out, "what", "a", *(const uint64_t *)state);
    metrics_add(out, "", 7);
}

static void write_nothing(const struct metric_out *out, const void *state)
{
    (void)out;
    (void)state;
}

static void write_seconds(const struct metric_out *out, const void *state)
{
    (void)state;
    metrics_add_seconds(out, "", 1500);
    metrics_add_seconds(out, "x=\"1\"", -20);
}

static void test_text(void **state)
{
    static const struct metric table[] = {
        {"a_total", METRIC_COUNTER, "Words.", write_count},
        {"b", METRIC_GAUGE, "Nothing.", write_nothing},
        {"c_seconds", METRIC_GAUGE, "Times.", write_seconds},
    };
    uint64_t n = UINT64_MAX;
    struct buf out;

    (void)state;
    buf_init(&out, METRICS_MAX);
    metrics_write(table, ARRAY_LEN(table), &n, &out);
    assert_string_equal(out.data, "# HELP a_total Words.\n# TYPE a_total counter\n"
                                  "a_total{what=\"a\"} 18446744073709551615\n"
                                  "a_total 7\n"
                                  "# HELP b Nothing.\n# TYPE b gauge\n"
                                  "# HELP c_seconds Times.\n# TYPE c_seconds gauge\n"
                                  "c_seconds 1.500\n"
                                  "c_seconds{x=\"1\"} -0.020\n");
    buf_done(&out);
}

static void write_spans(const struct metric_out *out, const void *state)
{
    metrics_add_spans(out, "step=\"sign\"", state);
}

/* A bound belongs to its bucket; what is longer than all is in +Inf alone. */
static void test_spans(void **state)
{
    static const struct metric row = {"d_seconds", METRIC_HISTOGRAM, "D.", write_spans};
    struct metric_spans spans = {{0}, 0};
    struct buf out;

    (void)state;
    metrics_note(&spans, -3);
    metrics_note(&spans, 5);
    metrics_note(&spans, 6);
    metrics_note(&spans, 300001);
    buf_init(&out, METRICS_MAX);
    metrics_write(&row, 1, &spans, &out);
    assert_non_null(
        strstr(out.data, "d_seconds_bucket{step=\"sign\",le=\"0.005\"} 2\n"));
    assert_non_null(
        strstr(out.data, "d_seconds_bucket{step=\"sign\",le=\"0.01\"} 3\n"));
    assert_non_null(strstr(out.data, "d_seconds_bucket{step=\"sign\",le=\"300\"} 3\n"));
    assert_non_null(
        strstr(out.data, "d_seconds_bucket{step=\"sign\",le=\"+Inf\"} 4\n"));
    assert_non_null(strstr(out.data, "d_seconds_sum{step=\"sign\"} 300.012\n"));
    assert_non_null(strstr(out.data, "d_seconds_count{step=\"sign\"} 4\n"));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_spans),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
