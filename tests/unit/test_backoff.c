/* test_backoff: full jitter, its ends for the extremes of the random bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backoff.h"
#include "mem.h"

#define DAY INT64_C(86400000)

static int64_t least(int64_t tries, int64_t base, int64_t cap)
{
    return backoff_delay_ms(tries, base, cap, 0);
}

static int64_t most(int64_t tries, int64_t base, int64_t cap)
{
    return backoff_delay_ms(tries, base, cap, UINT32_MAX);
}

static void test_first_retry(void **state)
{
    (void)state;
    assert_int_equal(least(1, 1000, 300000), 1);
    assert_int_equal(most(1, 1000, 300000), 2000); /* 2 s with the default base */
    assert_int_equal(most(1, 1, 300000), 2);
    assert_int_equal(most(0, 1000, 300000), 1000);
}

static void test_doubles_up_to_the_cap(void **state)
{
    int64_t ceiling = 1000;

    (void)state;
    for (int64_t tries = 1; tries < 100; tries++) {
        ceiling = ceiling * 2 < 300000 ? ceiling * 2 : 300000;
        assert_int_equal(most(tries, 1000, 300000), ceiling);
        assert_int_equal(least(tries, 1000, 300000), 1);
    }
}

static void test_extremes(void **state)
{
    static const int64_t tries[] = {1, 2, 31, 32, 62, 63, 64, 65, 1000, 1000000};
    static const struct {
        int64_t base, cap;
    } rows[] = {{1, 1},       {1, DAY},    {3600000, DAY},
                {3600000, 1}, {999, 1000}, {DAY, DAY}};

    (void)state;
    for (size_t r = 0; r < ARRAY_LEN(rows); r++)
        for (size_t i = 0; i < ARRAY_LEN(tries); i++) {
            assert_int_equal(least(tries[i], rows[r].base, rows[r].cap), 1);
            assert_in_range(most(tries[i], rows[r].base, rows[r].cap), 1, rows[r].cap);
        }
    assert_int_equal(most(1000000, 1, DAY), DAY);
}

static void test_no_overflow_on_the_way(void **state)
{
    (void)state; /* doubling must not pass the largest cap there could be */
    for (int64_t tries = 60; tries < 70; tries++)
        assert_int_equal(backoff_delay_ms(tries, 3, INT64_MAX, 0), 1);
}

static void test_jitter_is_spread(void **state)
{
    int64_t last = 0;

    (void)state;
    for (uint64_t random = 0; random <= UINT32_MAX; random += 0x01000000) {
        int64_t delay = backoff_delay_ms(20, 1000, 300000, (uint32_t)random);

        assert_true(delay > last);
        last = delay;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_retry),
        cmocka_unit_test(test_doubles_up_to_the_cap),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_no_overflow_on_the_way),
        cmocka_unit_test(test_jitter_is_spread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
