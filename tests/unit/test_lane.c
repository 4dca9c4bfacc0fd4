/* test_lane: when an outside system may be bothered, in a made-up time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lane.h"
#include "mem.h"

#define INTERVAL 30000

static struct lane fresh(void)
{
    return (struct lane){.name = "smtp", .interval_ms = INTERVAL};
}

static enum lane_event report(struct lane *l, enum err_class class, int64_t now)
{
    struct err e = {.class = class};

    return lane_report(l, &e, now);
}

static enum lane_event rate_limit(struct lane *l, int64_t wait, int64_t now)
{
    struct err e = {.class = ERR_RATE_LIMITED, .retry_after_ms = wait};

    return lane_report(l, &e, now);
}

/* What worker_lane does with it, where no other worker is. */
static int64_t lane_wait_ms(struct lane *l, int64_t now)
{
    if (lane_is_open(l))
        return 0;
    if (lane_left_ms(l, now) == 0) {
        struct err why = l->why;

        (void)lane_learn(l, now + l->interval_ms, &why);
        l->probing = true;
        return 0;
    }
    return lane_left_ms(l, now);
}

static void test_open(void **state)
{
    struct lane l = fresh();

    (void)state;
    for (int64_t now = 1; now < 10; now++)
        assert_int_equal(lane_wait_ms(&l, now), 0);
    assert_int_equal(report(&l, ERR_NONE, 10), LANE_NO_CHANGE);
}

static void test_breaks_after_failures_in_a_row(void **state)
{
    struct lane l = fresh();

    (void)state;
    for (int i = 1; i < LANE_BREAKS_AFTER; i++)
        assert_int_equal(report(&l, ERR_TRANSIENT, 1000), LANE_NO_CHANGE);
    assert_int_equal(report(&l, ERR_NONE, 1000), LANE_NO_CHANGE); /* starts anew */
    for (int i = 1; i < LANE_BREAKS_AFTER; i++)
        assert_int_equal(report(&l, i % 2 ? ERR_AMBIGUOUS : ERR_TRANSIENT, 1000),
                         LANE_NO_CHANGE);
    assert_int_equal(lane_wait_ms(&l, 1000), 0);
    assert_int_equal(report(&l, ERR_TRANSIENT, 1000), LANE_CLOSED);
    assert_int_equal(lane_wait_ms(&l, 1000), INTERVAL);
    assert_int_equal(report(&l, ERR_TRANSIENT, 1001), LANE_STILL_CLOSED);
    /* asked before it closed: says nothing of now */
    assert_int_equal(report(&l, ERR_NONE, 1002), LANE_NO_CHANGE);
    assert_int_equal(lane_wait_ms(&l, 1001 + INTERVAL), 0); /* the probe */
    assert_int_equal(report(&l, ERR_NONE, 1002 + INTERVAL), LANE_OPENED);
    assert_int_equal(lane_wait_ms(&l, 1002 + INTERVAL), 0);
    assert_int_equal(report(&l, ERR_TRANSIENT, 1003 + INTERVAL), LANE_NO_CHANGE);
}

static void test_one_probe_an_interval(void **state)
{
    struct lane l = fresh();

    (void)state;
    assert_int_equal(report(&l, ERR_AUTH, 1000), LANE_CLOSED);
    assert_int_equal(lane_wait_ms(&l, 1001), INTERVAL - 1);
    assert_int_equal(lane_wait_ms(&l, 1000 + INTERVAL - 1), 1);
    assert_int_equal(lane_wait_ms(&l, 1000 + INTERVAL), 0);
    for (int i = 0; i < 5; i++) /* the others wait while the probe runs */
        assert_int_equal(lane_wait_ms(&l, 1000 + INTERVAL), INTERVAL);
    assert_int_equal(lane_wait_ms(&l, 1000 + 2 * INTERVAL), 0); /* no word of it */
    assert_int_equal(report(&l, ERR_AUTH, 1005 + 2 * INTERVAL), LANE_STILL_CLOSED);
    assert_int_equal(lane_wait_ms(&l, 1005 + 2 * INTERVAL), INTERVAL);
}

static void test_probe_ends(void **state)
{
    static const struct {
        enum err_class class;
        enum lane_event want;
    } rows[] = {
        {ERR_NONE, LANE_OPENED},         {ERR_PERMANENT, LANE_OPENED},
        {ERR_INVALID, LANE_OPENED},      {ERR_AUTH, LANE_STILL_CLOSED},
        {ERR_CANCELLED, LANE_NO_CHANGE}, {ERR_RATE_LIMITED, LANE_STILL_CLOSED},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct lane l = fresh();

        (void)report(&l, ERR_AUTH, 1000);
        assert_int_equal(lane_wait_ms(&l, 1000 + INTERVAL), 0);
        assert_int_equal(report(&l, rows[i].class, 1001 + INTERVAL), rows[i].want);
        if (rows[i].want == LANE_OPENED)
            assert_int_equal(lane_wait_ms(&l, 1001 + INTERVAL), 0);
        else
            assert_true(lane_wait_ms(&l, 1001 + INTERVAL) > 0);
    }
}

static void test_broken_again_by_the_probe(void **state)
{
    struct lane l = fresh();

    (void)state;
    for (int i = 0; i < LANE_BREAKS_AFTER; i++)
        (void)report(&l, ERR_TRANSIENT, 1000);
    assert_int_equal(lane_wait_ms(&l, 1000 + INTERVAL), 0);
    assert_int_equal(report(&l, ERR_TRANSIENT, 1500 + INTERVAL), LANE_STILL_CLOSED);
    assert_int_equal(lane_wait_ms(&l, 1500 + INTERVAL), INTERVAL);
}

static void test_rate_limit(void **state)
{
    struct lane l = fresh();

    (void)state;
    assert_int_equal(rate_limit(&l, 90000, 1000), LANE_CLOSED);
    assert_int_equal(lane_wait_ms(&l, 1000), 90000);
    assert_int_equal(lane_wait_ms(&l, 90999), 1);
    assert_int_equal(lane_wait_ms(&l, 91000), 0);
    assert_int_equal(report(&l, ERR_NONE, 91001), LANE_OPENED);
}

/* What was under way when the limit came must not cut it short. */
static void test_rate_limit_is_not_cut_short(void **state)
{
    struct lane l = fresh();

    (void)state;
    (void)rate_limit(&l, 3600000, 1000);
    assert_int_equal(rate_limit(&l, 60000, 1001), LANE_STILL_CLOSED);
    assert_int_equal(lane_wait_ms(&l, 1001), 3600000 - 1);
    for (int i = 0; i < 2 * LANE_BREAKS_AFTER; i++)
        (void)report(&l, ERR_TRANSIENT, 1002);
    assert_int_equal(lane_wait_ms(&l, 1002), 3600000 - 2);
    (void)report(&l, ERR_AUTH, 1003);
    assert_int_equal(lane_wait_ms(&l, 1003), 3600000 - 3);
    assert_int_equal(report(&l, ERR_NONE, 1003), LANE_NO_CHANGE);
    assert_int_equal(lane_wait_ms(&l, 1003), 3600000 - 3);
    (void)rate_limit(&l, 7200000, 1004);
    assert_int_equal(lane_wait_ms(&l, 1004), 7200000);
}

static void test_keeps_the_reason(void **state)
{
    struct lane l = fresh();
    struct err e;

    (void)state;
    (void)err_set(&e, ERR_AUTH, 535, "wrong password");
    (void)lane_report(&l, &e, 1000);
    assert_int_equal(l.why.class, ERR_AUTH);
    assert_int_equal(l.why.code, 535);
    assert_string_equal(l.why.text, "wrong password");
}

static void test_learns_from_the_others(void **state)
{
    struct lane l = fresh();
    struct err e, none = {.class = ERR_NONE};

    (void)state;
    (void)err_set(&e, ERR_AUTH, 535, "wrong password");
    for (int i = 1; i < LANE_BREAKS_AFTER; i++)
        (void)report(&l, ERR_TRANSIENT, 1000);
    assert_int_equal(lane_learn(&l, 0, &none), LANE_NO_CHANGE);
    assert_int_equal(report(&l, ERR_TRANSIENT, 1000), LANE_CLOSED); /* still counted */
    assert_int_equal(lane_learn(&l, 0, &none), LANE_OPENED);
    assert_true(lane_is_open(&l));
    assert_int_equal(report(&l, ERR_TRANSIENT, 1001), LANE_NO_CHANGE); /* anew */

    assert_int_equal(lane_learn(&l, 5000, &e), LANE_CLOSED);
    assert_int_equal(l.why.code, 535);
    assert_int_equal(lane_left_ms(&l, 1001), 3999);
    assert_int_equal(lane_learn(&l, 4000, &e),
                     LANE_STILL_CLOSED); /* they know better */
    assert_int_equal(lane_left_ms(&l, 1001), 2999);
    assert_int_equal(report(&l, ERR_NONE, 1002), LANE_NO_CHANGE); /* not the probe */
    assert_int_equal(lane_left_ms(&l, 4000), 0);
    assert_false(lane_is_open(&l)); /* ask */
    l.probing = true;
    assert_int_equal(report(&l, ERR_NONE, 4001), LANE_OPENED);
    assert_false(l.probing);
}

static void test_spread(void **state)
{
    struct lane l = fresh();

    (void)state;
    assert_int_equal(lane_spread_ms(&l, UINT32_MAX), 0);
    l.delayed = 100;
    assert_int_equal(lane_spread_ms(&l, 0), 0);
    assert_int_equal(lane_spread_ms(&l, UINT32_MAX), 100 * 50 - 1);
    l.delayed = INT64_MAX;
    assert_int_equal(lane_spread_ms(&l, UINT32_MAX), 5 * 60 * 1000 - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_breaks_after_failures_in_a_row),
        cmocka_unit_test(test_one_probe_an_interval),
        cmocka_unit_test(test_probe_ends),
        cmocka_unit_test(test_broken_again_by_the_probe),
        cmocka_unit_test(test_rate_limit),
        cmocka_unit_test(test_rate_limit_is_not_cut_short),
        cmocka_unit_test(test_keeps_the_reason),
        cmocka_unit_test(test_learns_from_the_others),
        cmocka_unit_test(test_spread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
