/* The live view of stats: what it shows, and how it is painted onto a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "screen.h"

#define NOW INT64_C(1769860800000) /* 2026-01-31T12:00:00Z */

static void count(struct stats *s, int64_t now_ms, int64_t done, int64_t failed)
{
    *s = (struct stats){.now_ms = now_ms, .counter_count = 2};
    (void)snprintf(s->counters[0].name, sizeof s->counters[0].name, "done");
    s->counters[0].value = done;
    (void)snprintf(s->counters[1].name, sizeof s->counters[1].name, "failed");
    s->counters[1].value = failed;
}

static void draw(const struct stats *stats, const struct live *live,
                 const struct screen_rate *rate, bool colour, struct buf *out)
{
    const struct screen s = {.queue = "licenses",
                             .stats = stats,
                             .live = live,
                             .rate = rate,
                             .colour = colour};

    buf_reset(out);
    screen_text(&s, out);
}

static void test_rate_is_that_of_the_last_minute(void **state)
{
    struct screen_rate rate = {.count = 0};
    struct live live = {.now_ms = NOW};
    struct stats s;
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 20);
    count(&s, NOW, 1000, 5);
    screen_note(&rate, &s);
    draw(&s, &live, &rate, false, &out);
    assert_non_null(strstr(out.data, "not known yet"));
    for (int i = 1; i <= 100; i++) { /* one every 2 s, long ago two */
        count(&s, NOW + i * 2000, 1000 + i + (i < 50 ? i : 50), 5);
        screen_note(&rate, &s);
    }
    draw(&s, &live, &rate, false, &out);
    assert_non_null(strstr(out.data, "30.0 done, 0.0 failed a minute, over the last "
                                     "1m00s\n"));
    buf_done(&out);
}

static void test_what_goes_on(void **state)
{
    static struct live live; /* large */
    struct screen_rate rate = {.count = 0};
    struct stats s;
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 20);
    count(&s, NOW, 7, 1);
    s.workers = s.failed = 1;
    s.oldest_failed_ms = NOW - 3600000;
    (void)snprintf(s.paused, sizeof s.paused, "%lld nina the move", (long long)NOW);
    s.lanes[0] = (struct stats_lane){.name = "smtp",
                                     .until_ms = NOW + 5000,
                                     .since_ms = NOW - 60000,
                                     .class = ERR_AUTH,
                                     .text = "535 no\033[2J"};
    live = (struct live){.now_ms = NOW, .worker_count = 1, .failure_count = 1};
    live.workers[0] = (struct live_worker){.host = "alpha",
                                           .pid = "42",
                                           .state = "running",
                                           .busy = 3,
                                           .lag = "2",
                                           .lease_ms = NOW + 9000,
                                           .job_count = 1};
    live.workers[0].jobs[0] = (struct live_job){
        .id = "j1", .ticket = "4711", .step = "email", .started_ms = NOW - 4200};
    live.failures[0] = (struct live_failure){.id = "f1",
                                             .at_ms = NOW - 480000,
                                             .ticket = "12",
                                             .class = "permanent",
                                             .step = "email",
                                             .why = "550 nobody\n"};
    draw(&s, &live, &rate, false, &out);
    assert_non_null(strstr(out.data,
                           "PAUSED        since 2026-01-31T12:00:00Z by nina: "
                           "the move\n"));
    assert_non_null(strstr(out.data, "failed 1 (oldest 1h00m)"));
    assert_non_null(strstr(out.data,
                           "smtp CLOSED for 1m00s, tried again in 5.0s: auth, "
                           "535 no\\x1b[2J\n"));
    assert_non_null(strstr(out.data, "alpha 42  running, 3 busy, lag 2 ms, lease 9.0s\n"
                                     "    ticket 4711  email  4.2s  j1\n"));
    assert_non_null(strstr(out.data, "  8m00s ago  f1  ticket 12  permanent at email: "
                                     "550 nobody\\n\n"));
    assert_null(strchr(out.data, '\033'));
    draw(&s, &live, &rate, true, &out);
    assert_non_null(strstr(out.data, "\033[31mfailed 1 (oldest 1h00m)\033[0m"));
    buf_done(&out);
}

static void test_nobody_there(void **state)
{
    const struct err why = {.class = ERR_TRANSIENT, .text = "refused\033"};
    struct screen s = {.queue = "q", .why = &why};
    struct screen_rate rate = {.count = 0};
    struct live live = {.now_ms = NOW};
    struct stats stats;
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 20);
    screen_text(&s, &out);
    assert_non_null(strstr(out.data, "Redis does not answer: refused\\x1b\n"));
    count(&stats, NOW, 0, 0);
    draw(&stats, &live, &rate, false, &out);
    assert_non_null(strstr(out.data, "no worker is alive\n"));
    assert_non_null(strstr(out.data, "all open\n"));
    buf_done(&out);
}

static void test_paint_cuts(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 20);
    screen_paint("ab\303\251\303\251cd\n\033[31mred\033[0mder\nthird\nfourth\n", 4, 4,
                 &out);
    assert_string_equal(out.data, "\033[Hab\303\251\303\251\033[K\n"
                                  "\033[31mred\033[0md\033[K\n"
                                  "thir\033[K\n\033[J");
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate_is_that_of_the_last_minute),
        cmocka_unit_test(test_what_goes_on),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_paint_cuts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
