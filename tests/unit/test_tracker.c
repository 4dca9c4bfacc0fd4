/* tracker_take: which issues record a job, from bytes that may be anything. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tracker.h"

#define ID "0123456789abcdefghjkmnpqrs"

static int take(const char *body, struct tracker_issues *out, size_t *count)
{
    struct err e;

    *out = (struct tracker_issues){0};
    *count = 0;
    return tracker_take(body, strlen(body), out, count, &e);
}

static void test_records(void **state)
{
    static const struct {
        const char *title, *text;
        bool counts, closed;
    } cases[] = {
        {"[Success] - Created", "Ticket: 1\\n\\nJob: " ID "\\n", true, true},
        {"[Pending] - Creating", "Job: " ID, true, false},
        {"[Pending] - Creating", "words\\nJob: " ID "\\nmore", true, false},
        {"[Failed] - Could not", "Job: " ID, false, false},
        {"[Duplicate] - Created", "Job: " ID, false, false},
        {"Re: [Success]", "Job: " ID, false, false},
        {"[Success] - Created", "no line", false, false},
        {"[Success] - Created", "a Job: " ID, false, false},
        {"[Success] - Created", "Job: short", false, false},
        {"[Success] - Created", "Job: 0123456789ABCDEFGHJKMNPQRS", false, false},
        {"[Success] - Created", "```\\nJob: " ID "\\n```", false, false},
        {"[Success] - Created", "Job: x\\nJob: " ID "\\n", true, true},
    };
    struct tracker_issues got;
    char body[1024];
    size_t count;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)snprintf(body, sizeof body,
                       "[{\"iid\":7,\"title\":\"%s\",\"description\":\"%s\","
                       "\"web_url\":\"https://x/7\","
                       "\"created_at\":\"2026-01-31T12:00:00.123Z\"}]",
                       cases[i].title, cases[i].text);
        assert_int_equal(take(body, &got, &count), 0);
        assert_int_equal(count, 1);
        assert_int_equal(got.count, cases[i].counts);
        if (got.count) {
            assert_string_equal(got.v[0].job_id, ID);
            assert_string_equal(got.v[0].url, "https://x/7");
            assert_int_equal(got.v[0].iid, 7);
            assert_int_equal(got.v[0].closed, cases[i].closed);
            assert_int_equal(got.v[0].created_ms, INT64_C(1769860800000));
        }
        tracker_done(&got);
    }
}

static void test_poor_issues(void **state)
{
    static const char *const bodies[] = {
        "[]",
        "[1,null,\"x\",[],{}]",
        "[{\"title\":\"[Success]\",\"description\":\"Job: " ID "\"}]",
        "[{\"iid\":-1,\"title\":\"[Success]\",\"description\":\"Job: " ID "\"}]",
        "[{\"iid\":\"7\",\"title\":\"[Success]\",\"description\":\"Job: " ID "\"}]",
        "[{\"iid\":7,\"title\":null,\"description\":null}]",
    };
    struct tracker_issues got;
    size_t count;

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        assert_int_equal(take(bodies[i], &got, &count), 0);
        assert_int_equal(got.count, 0);
        tracker_done(&got);
    }
}

static void test_no_list(void **state)
{
    static const char *const bodies[] = {"",     "{}",     "[",         "[{\"iid\":7}",
                                         "null", "<html>", "[\"\xff\"]"};
    struct tracker_issues got;
    size_t count;

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        assert_int_equal(take(bodies[i], &got, &count), -1);
        assert_int_equal(got.count, 0);
        tracker_done(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_poor_issues),
        cmocka_unit_test(test_no_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
