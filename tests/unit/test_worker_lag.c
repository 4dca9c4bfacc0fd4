/* test_worker_lag: the loop's longest turn. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#include <cmocka.h>
#include <uv.h>

#include "worker_lag.h"

static void be_busy(uv_timer_t *timer)
{
    uint64_t ms = *(uint64_t *)timer->data;
    uint64_t until = uv_hrtime() + ms * 1000000;

    while (uv_hrtime() < until)
        ;
}

static void stop(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void start(uv_loop_t *loop, uv_timer_t *timer, uv_timer_cb fn, uint64_t ms)
{
    assert_int_equal(uv_timer_init(loop, timer), 0);
    assert_int_equal(uv_timer_start(timer, fn, ms, 0), 0);
}

/* Upper bounds would judge the machine, not us. */
static void the_longest_turn_counts(void **state)
{
    uint64_t long_ms = 40, brief_ms = 1;
    struct worker_lag lag = {0};
    uv_timer_t first, second, last;
    uv_loop_t loop;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    worker_lag_start(&lag, &loop);
    assert_int_equal(worker_lag_ms(&lag), 0);
    (void)uv_run(&loop, UV_RUN_NOWAIT); /* turns are counted from the first on */
    start(&loop, &first, be_busy, 5);
    first.data = &long_ms;
    start(&loop, &second, be_busy, 60);
    second.data = &brief_ms;
    start(&loop, &last, stop, 70);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(worker_lag_ms(&lag) >= (int64_t)long_ms);
    worker_lag_stop(&lag);
    uv_close((uv_handle_t *)&first, NULL);
    uv_close((uv_handle_t *)&second, NULL);
    uv_close((uv_handle_t *)&last, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void on_signal(uv_signal_t *signal, int number)
{
    (void)number;
    worker_lag_restart(signal->data);
    uv_stop(signal->loop);
}

/* An idle worker that is told to reload was not busy all the time before. */
static void a_wait_that_a_signal_ends_is_no_work(void **state)
{
    enum { WAIT_MS = 600 };
    const struct itimerval once = {.it_value.tv_usec = WAIT_MS * 1000};
    struct worker_lag lag = {0};
    uv_signal_t signal;
    uv_loop_t loop;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    worker_lag_start(&lag, &loop);
    assert_int_equal(uv_signal_init(&loop, &signal), 0);
    signal.data = &lag;
    assert_int_equal(uv_signal_start(&signal, on_signal, SIGALRM), 0);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(setitimer(ITIMER_REAL, &once, NULL), 0);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_run(&loop, UV_RUN_NOWAIT); /* what the turn took is told in the next */
    assert_true(worker_lag_ms(&lag) < WAIT_MS);
    worker_lag_stop(&lag);
    uv_close((uv_handle_t *)&signal, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_turn_counts),
        cmocka_unit_test(a_wait_that_a_signal_ends_is_no_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
