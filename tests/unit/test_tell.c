/* Tests of common/tell.c: what people are told, on foreign text that tries to act. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "tell.h"

#define ID "0123456789abcdefghijklmnop"
#define END_MS INT64_C(1796040000000) /* 2026-11-30T12:00:00Z */

static char license[] = "-----BEGIN STOPGAP LICENSE-----secret";
static char record[] = "https://gitlab.example/g/p/-/issues/7";
static char report[] = "https://gitlab.example/g/p/-/issues/8";
static char earlier[] = "x", warning[] = "look twice";

static struct job sample(void)
{
    struct job j = {.id = ID,
                    .state = JOB_DONE,
                    .license_format = "stopgap",
                    .expires_ms = END_MS,
                    .license = license,
                    .issue_url = record};

    j.request.ticket_id = 42;
    j.request.users = 25;
    (void)snprintf(j.request.email, sizeof j.request.email, "jane@example.com");
    (void)snprintf(j.request.requested_by, sizeof j.request.requested_by, "sam");
    (void)snprintf(j.request.ticket_url, sizeof j.request.ticket_url,
                   "https://acme.zendesk.com/agent/tickets/42");
    return j;
}

static char text[TELL_TEXT_MAX];

static const char *told(void (*tell)(const struct tell *t, struct buf *out),
                        const struct tell *t)
{
    struct buf out;

    buf_init(&out, sizeof text - 1);
    tell(t, &out);
    assert_false(out.failed);
    (void)snprintf(text, sizeof text, "%s", out.data);
    buf_done(&out);
    return text;
}

static void test_slack_done(void **state)
{
    struct job j = sample();
    const struct tell t = {.job = &j, .event = "done", .mask = true};

    (void)state;
    assert_string_equal(
        told(tell_slack_text, &t),
        "*Emergency license sent* for "
        "<https://acme.zendesk.com/agent/tickets/42|ticket 42>\n"
        "25 users, for `j***@example.com`, asked for by `sam`.\n"
        "It ends on Monday, 30 November 2026 (2026-11-30T12:00:00Z).\n"
        "Follow-up: whoever looks after this customer's subscription sends the real "
        "license by then, Monday, 30 November 2026.\n"
        "Record: <https://gitlab.example/g/p/-/issues/7|GitLab issue>\n"
        "Job `" ID "`");
}

static void test_note_done(void **state)
{
    struct job j = sample();
    const struct tell t = {.job = &j, .event = "done 2"};

    (void)state;
    (void)snprintf(j.license_format, sizeof j.license_format, "gitlab");
    j.earlier = earlier;
    j.warning = warning;
    assert_string_equal(
        told(tell_note_text, &t),
        "Emergency license sent for ticket 42 "
        "(https://acme.zendesk.com/agent/tickets/42)\n"
        "25 users, for `jane@example.com`, asked for by `sam`.\n"
        "Its last full day is Sunday, 29 November 2026.\n"
        "Follow-up: whoever looks after this customer's subscription sends the real "
        "license by then, Sunday, 29 November 2026.\n"
        "It corrects an earlier license of this ticket.\n"
        "Please note: `look twice`\n"
        "Record: GitLab issue (https://gitlab.example/g/p/-/issues/7)\n"
        "\nStopgap job " ID " (done 2)");
}

static void test_failed_and_late(void **state)
{
    struct job j = sample();
    struct tell t = {.job = &j, .event = "failed", .mask = true};

    (void)state;
    j.has_error = true;
    (void)err_set(&j.error, ERR_PERMANENT, 550, "550 <jane@example.com> unknown");
    assert_non_null(strstr(told(tell_slack_text, &t), "has no license from it"));
    assert_non_null(strstr(text, "`550 &lt;j***@example.com&gt; unknown`"));
    assert_non_null(strstr(text, "not open yet"));
    assert_null(strstr(text, "jane"));
    j.report_url = report;
    j.steps[STEP_EMAIL].at_ms = 1;
    assert_non_null(strstr(told(tell_slack_text, &t), "after it was mailed"));
    assert_non_null(strstr(
        text, "What to do: <https://gitlab.example/g/p/-/issues/8|GitLab issue>"));
    t.event = "late";
    assert_non_null(strstr(told(tell_slack_text, &t), "is late"));
    t.again = true;
    assert_non_null(strstr(told(tell_slack_text, &t), "perhaps told before"));
}

static void test_nothing_is_known(void **state)
{
    static const char *const events[] = {"done", "failed", "late"};
    struct job j = {.id = ID};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        const struct tell t = {.job = &j, .event = events[i], .mask = true};

        assert_non_null(strstr(told(tell_slack_text, &t), "an unknown ticket"));
        assert_non_null(strstr(text, "For `unknown`, asked for by `unknown`"));
        assert_non_null(strstr(told(tell_note_text, &t), "unknown"));
    }
}

/* No license, and nothing of what came from outside stands outside of code. */
static void test_foreign_text_is_inert(void **state)
{
    static const char *const hostile[] = {
        "<!channel>",
        "<@U123>",
        "@here",
        "*b* _i_ ~s~",
        "`code`",
        "```",
        "` ` `",
        "<https://evil.example|x>",
        "&lt;!all>",
        "\xE2\x80\xAE",
        "{{ticket.tags}}",
        "{%if%}",
        "{{{",
        "a\nb\r\nc",
        "`",
        "\xFF\xFE",
    };
    struct job j = sample();
    struct tell t = {.job = &j, .event = "failed"};

    (void)state;
    j.has_error = true;
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
        size_t lines = 0;

        (void)snprintf(j.request.requested_by, sizeof j.request.requested_by, "%s",
                       hostile[i]);
        (void)snprintf(j.request.ticket_url, sizeof j.request.ticket_url,
                       "https://x/%s/agent/tickets/42", hostile[i]);
        j.error.class = ERR_TRANSIENT;
        (void)snprintf(j.error.text, sizeof j.error.text, "%s", hostile[i]);
        (void)told(tell_slack_text, &t);
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
            size_t ticks = 0;

            lines++;
            for (char *c = line; *c; c++) {
                ticks += *c == '`';
                if (*c == '<' || *c == '>')
                    fail_msg("%s", line);
            }
            assert_int_equal(ticks % 2, 0);
        }
        assert_int_equal(lines, 5);
        (void)told(tell_note_text, &t);
        assert_null(strstr(text, "{{"));
        assert_null(strstr(text, "{%"));
        assert_null(strstr(text, "secret"));
    }
}

/* Whatever GitLab says where the issue is: the text's end, by which it is known again,
 * has its place. */
static void test_long_urls_are_no_links(void **state)
{
    struct job j = sample();
    const struct tell t = {.job = &j, .event = "done"};
    char url[4000] = "https://x/";

    (void)state;
    memset(url + strlen(url), '&', sizeof url - 1 - strlen(url));
    j.issue_url = url;
    assert_non_null(strstr(told(tell_slack_text, &t), "Record: GitLab issue\nJob `"));
    assert_non_null(strstr(told(tell_note_text, &t), "Record: GitLab issue\n\nStop"));
}

static void test_masking(void **state)
{
    static const char *const texts[][2] = {
        {"", ""},
        {"no address", "no address"},
        {"jane@example.com", "j***@example.com"},
        {"<a.b+c@x.y>: <d@e>", "<a***@x.y>: <d***@e>"},
        {"@here a@ @", "@here a***@ @"},
        {"\xC3\xA4@x", "\xC3\xA4@x"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct buf out;

        buf_init(&out, 1024);
        tell_masked(texts[i][0], &out);
        assert_string_equal(out.data, texts[i][1]);
        buf_done(&out);
    }
}

static void test_kinds(void **state)
{
    const struct tell t = {.event = "failed 2"}, late = {.event = "late"};

    (void)state;
    assert_true(tell_is(&t, "failed"));
    assert_false(tell_is(&t, "fail"));
    assert_false(tell_is(&t, "done"));
    assert_true(tell_is(&late, "late"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slack_done),
        cmocka_unit_test(test_note_done),
        cmocka_unit_test(test_failed_and_late),
        cmocka_unit_test(test_nothing_is_known),
        cmocka_unit_test(test_foreign_text_is_inert),
        cmocka_unit_test(test_long_urls_are_no_links),
        cmocka_unit_test(test_masking),
        cmocka_unit_test(test_kinds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
