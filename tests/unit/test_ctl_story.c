/* A job's story: the order of its timeline, what it never shows, what to do next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mem.h"
#include "story.h"

#define T0 INT64_C(1769860800000) /* 2026-01-31T12:00:00Z */
#define DAY INT64_C(86400000)

static struct fetch_event events[] = {
    {T0 + 400, (char *)"late result of email accepted"},
    {T0 + 50, (char *)"asked for again"},
};

/* A job that mailed, then stopped in the middle of its record. Strings are literals:
 * nothing is freed. */
static struct fetch_story story(void)
{
    struct fetch_story s = {
        .events = events, .event_count = ARRAY_LEN(events), .now_ms = T0 + 60000};
    struct job *j = &s.job;

    (void)snprintf(j->id, sizeof j->id, "%026d", 1);
    j->state = JOB_FAILED;
    j->accepted_ms = T0;
    j->started_ms = T0 + 100;
    j->ended_ms = T0 + 900;
    j->attempt = 2;
    j->steps[STEP_VALIDATE] = (struct job_step_mark){T0 + 200, 3, NULL};
    j->steps[STEP_EMAIL] = (struct job_step_mark){T0 + 300, 80, (char *)"250 ok\033"};
    j->email_intent = (struct job_intent){T0 + 250, (char *)"w 1 2"};
    j->record_intent = (struct job_intent){T0 + 350, (char *)"w 1 3"};
    j->license = (char *)"-----BEGIN STOPGAP LICENSE-----\nsecret\n";
    j->has_error = true;
    j->error_step = STEP_RECORD;
    (void)err_set(&j->error, ERR_PERMANENT, 422, "GitLab said no");
    return s;
}

static void test_timeline_is_in_order_of_time(void **state)
{
    static const char *const order[] = {"+0",
                                        "asked for again",
                                        "taken, attempt 2",
                                        "validate: done in 3ms",
                                        "email: done in 80ms: 250 ok\\x1b",
                                        "record: begun, no outcome recorded (w 1 3)",
                                        "late result",
                                        "failed\n",
                                        "What to do next:"};
    const struct story_options o = {0};
    struct fetch_story s = story();
    const char *at;
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 20);
    story_text(&s, &o, &out);
    at = strstr(out.data, "2026-01-31T12:00:00.000Z        0s            accepted");
    for (size_t i = 1; i < ARRAY_LEN(order); i++) {
        assert_non_null(at);
        at = strstr(at, order[i]);
    }
    assert_non_null(at);
    assert_null(strstr(out.data, "email: begun")); /* its outcome is known */
    assert_null(strstr(out.data, "secret"));
    assert_non_null(strstr(out.data, "permanent at record, code 422"));
    assert_non_null(strstr(out.data,
                           "took          900ms from acceptance to end; steps: "
                           "validate 3ms, email 80ms\n"));
    assert_non_null(strstr(out.data, "00.300Z     300ms    +100ms  email: done"));
    assert_null(strchr(out.data, '\033'));
    buf_done(&out);
}

static void test_colour_only_when_asked(void **state)
{
    const struct story_options o = {.colour = true};
    struct fetch_story s = story();
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 20);
    story_text(&s, &o, &out);
    assert_non_null(strstr(out.data, "state         \033[31mfailed\033[0m\n"));
    buf_done(&out);
}

static void test_the_license_only_when_asked(void **state)
{
    struct story_options o = {.license = true};
    struct fetch_story s = story();
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 20);
    story_text(&s, &o, &out);
    assert_non_null(strstr(out.data, "-----BEGIN STOPGAP LICENSE-----\nsecret\n"));
    buf_reset(&out);
    story_json(&s, &o, &out);
    assert_non_null(strstr(out.data, "LICENSE-----\\nsecret"));
    o.license = false;
    buf_reset(&out);
    story_json(&s, &o, &out);
    assert_null(strstr(out.data, "secret"));
    assert_non_null(strstr(out.data, "\"state\": \"failed\""));
    buf_done(&out);
}

struct next_case {
    enum job_state state;
    enum err_class class;
    bool frozen, mailed, duplicate;
    int64_t signed_ago;
    const char *commands[STORY_COMMANDS]; /* after "stopgapctl requeue ID" */
};

static void check_next(const struct next_case *c)
{
    struct job j = {.state = c->state, .frozen = c->frozen, .issued_ms = T0};
    struct story_command told[STORY_COMMANDS];
    size_t count;

    (void)snprintf(j.id, sizeof j.id, "%026d", 1);
    j.has_error = c->class != ERR_NONE;
    j.error.class = c->class;
    j.steps[STEP_EMAIL].at_ms = c->mailed ? T0 : 0;
    j.dup_of = c->duplicate ? j.id : NULL;
    count = story_next(&j, T0 + c->signed_ago, told);
    for (size_t i = 0; i < STORY_COMMANDS; i++) {
        char wanted[96];

        assert_int_equal(i < count, c->commands[i] != NULL);
        if (i >= count)
            continue;
        (void)snprintf(wanted, sizeof wanted, "stopgapctl requeue %s%s", j.id,
                       c->commands[i]);
        assert_string_equal(told[i].text, wanted);
    }
}

static void test_next(void **state)
{
    static const struct next_case cases[] = {
        {JOB_FAILED, ERR_PERMANENT, .commands = {""}},
        {JOB_FAILED, ERR_NONE, .commands = {""}},
        {JOB_DELAYED, ERR_TRANSIENT, .commands = {""}},
        {JOB_QUEUED, ERR_NONE, .commands = {NULL}},
        {JOB_ACTIVE, ERR_TRANSIENT, .commands = {NULL}},
        {JOB_DONE, ERR_NONE, .commands = {NULL}},
        {JOB_FAILED, ERR_PERMANENT, .duplicate = true, .commands = {NULL}},
        {JOB_FAILED, ERR_LIMIT, .commands = {" --lift-limit"}},
        {JOB_FAILED, ERR_AMBIGUOUS, .commands = {" --mail-arrived", " --redo email"}},
        {JOB_FAILED, ERR_TRANSIENT, .frozen = true, .signed_ago = DAY,
         .commands = {""}},
        {JOB_FAILED, ERR_TRANSIENT, .frozen = true, .signed_ago = DAY + 1,
         .commands = {" --redo sign"}},
        {JOB_FAILED, ERR_TRANSIENT, .signed_ago = 3 * DAY, .commands = {""}},
        {JOB_FAILED, ERR_TRANSIENT, .frozen = true, .mailed = true,
         .signed_ago = 3 * DAY, .commands = {""}},
        {JOB_FAILED, ERR_AMBIGUOUS, .frozen = true, .signed_ago = 3 * DAY,
         .commands = {" --mail-arrived", " --redo sign"}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check_next(&cases[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timeline_is_in_order_of_time),
        cmocka_unit_test(test_colour_only_when_asked),
        cmocka_unit_test(test_the_license_only_when_asked),
        cmocka_unit_test(test_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
