/* Issue titles and texts: what they say, and that foreign text in them cannot act. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden.h"
#include "issue.h"
#include "issue_advice.h"
#include "markdown.h"
#include "mem.h"

#define ID "0123456789abcdefghjkmnpqrs"

static char license[] = "-----BEGIN STOPGAP LICENSE-----\nv4.public.abc\n"
                        "-----END STOPGAP LICENSE-----\n";

/* A job whose license went out; strings are literals, so it is never given to job_done.
 */
static struct job sent_job(void)
{
    struct job j = {
        .id = ID,
        .version = 1,
        .state = JOB_ACTIVE,
        .accepted_ms = 1769860800000,
        .attempt = 1,
        .has_request = true,
        .request = {.ticket_id = 42,
                    .email = "jane@example.com",
                    .users = 150,
                    .requested_by = "Ann Agent",
                    .ticket_url = "https://acme.zendesk.example/agent/tickets/42"},
        .license = license,
        .license_id = "0123456789abcdefghjkmnpqrx",
        .key_id = "k4.pid.test",
        .license_format = "stopgap",
        .issued_ms = 1769860805000,
        .expires_ms = 1770724805000,
        .message_id = (char *)"<abc@example.org>",
    };

    j.steps[STEP_VALIDATE] = (struct job_step_mark){1769860801000, 3, NULL};
    j.steps[STEP_SIGN] = (struct job_step_mark){1769860802000, 1, NULL};
    j.steps[STEP_EMAIL] = (struct job_step_mark){1769860803000, 20,
                                                 (char *)"250 2.0.0 Ok: queued as 4F1"};
    return j;
}

static struct job failed_job(enum err_class class, enum job_step step, int code,
                             const char *text)
{
    struct job j = sent_job();

    j.state = JOB_FAILED;
    j.has_error = true;
    j.error_step = step;
    (void)err_set(&j.error, class, code, "%s", text);
    for (unsigned i = step; i < STEP_COUNT; i++)
        j.steps[i] = (struct job_step_mark){0, 0, NULL};
    return j;
}

static void assert_has(const struct buf *b, const char *text)
{
    if (!strstr(b->data, text))
        fail_msg("%s\n--- does not hold: %s", b->data, text);
}

static void assert_lacks(const struct buf *b, const char *text)
{
    if (strstr(b->data, text))
        fail_msg("%s\n--- holds: %s", b->data, text);
}

static void assert_title(enum issue_title kind, const char *email, int64_t users,
                         const char *wanted)
{
    struct job j = {.id = ID, .request = {.users = users}};
    struct buf b;

    (void)snprintf(j.request.email, sizeof j.request.email, "%s", email);
    buf_init(&b, 4096);
    issue_title(kind, &j, &b);
    assert_string_equal(b.data, wanted);
    buf_done(&b);
}

static void test_titles(void **state)
{
    (void)state;
    assert_title(ISSUE_SUCCESS, "jane.o-doe+x_y@example.com", 150,
                 "[Success] - Created a license under jane.o-doe+x_y@example.com for "
                 "150 users");
    assert_title(ISSUE_PENDING, "a@b.example", 1,
                 "[Pending] - Creating a license under a@b.example for 1 users");
    assert_title(
        ISSUE_FAILED, "a@b.example", 150,
        "[Failed] - Could not create a license under a@b.example for 150 users");
    assert_title(
        ISSUE_LATE, "a@b.example", 150,
        "[Failed] - Could not create a license under a@b.example for 150 users");
    assert_title(ISSUE_DUPLICATE, "a@b.example", 150,
                 "[Duplicate] - Creating a license under a@b.example for 150 users");
    assert_title(
        ISSUE_FAILED, "", 0,
        "[Failed] - Could not create a license under unknown for unknown users");
}

static void test_hostile_titles(void **state)
{
    (void)state;
    assert_title(ISSUE_FAILED, "  a\r\n/close\tb  ", 1,
                 "[Failed] - Could not create a license under a /close b for 1 users");
    assert_title(ISSUE_SUCCESS, "#1@b.example", 1,
                 "[Success] - Created a license under #\xE2\x81\xA0"
                 "1@b.example for 1 users");
    assert_title(ISSUE_SUCCESS, "a+@group.example", 1,
                 "[Success] - Created a license under a+@\xE2\x81\xA0"
                 "group.example for 1 users");
}

/* Wherever it is cut: no @ behind the ellipsis, where it would mention somebody. */
static void test_the_cut_makes_no_mention(void **state)
{
    (void)state;
    for (size_t domain = 80; domain < 130; domain++) {
        struct job j = {.id = ID};
        struct buf b;

        memset(j.request.email, '#', 60);
        j.request.email[60] = 'a';
        j.request.email[61] = '@';
        memset(j.request.email + 62, 'b', domain);
        buf_init(&b, 4096);
        issue_title(ISSUE_FAILED, &j, &b);
        assert_non_null(strstr(b.data, "\xE2\x80\xA6"));
        assert_null(strstr(b.data, "\xE2\x80\xA6@"));
        buf_done(&b);
    }
}

static void test_long_title_is_cut_in_the_address(void **state)
{
    struct job j = sent_job();
    struct buf b;

    (void)state;
    memset(j.request.email, 'a', 64);
    j.request.email[64] = '@';
    memset(j.request.email + 65, 'b', 185);
    memcpy(j.request.email + 250, ".com", 5);
    buf_init(&b, 4096);
    issue_title(ISSUE_SUCCESS, &j, &b);
    assert_int_equal(b.len, 255 + 2); /* the ellipsis is three bytes */
    assert_int_equal(strncmp(b.data, "[Success] - Created a license under aaaa", 40),
                     0);
    assert_has(&b, "\xE2\x80\xA6");
    assert_has(&b, "bbb.com for 150 users");
    buf_reset(&b);
    issue_success_text(&j, &b);
    assert_has(&b, j.request.email);
    buf_done(&b);
}

/* A GitLab license counts days by the customer's clock; its steps are GitLab's. */
static void test_gitlab_license(void **state)
{
    struct job j = sent_job();
    struct buf b;

    (void)state;
    strcpy(j.license_format, "gitlab");
    j.expires_ms = 1770681600000;
    buf_init(&b, ISSUE_TEXT_MAX);
    issue_success_text(&j, &b);
    assert_has(&b,
               "- **Last full day:** 2026-02-09; ends at 00:00 of 2026-02-10 on the "
               "clock of the customer's server\n");
    assert_has(&b, "section Add License");
    assert_null(strstr(b.data, "**Ends:**"));
    buf_done(&b);
}

static void test_success_golden(void **state)
{
    struct job j = sent_job();
    struct buf b;

    (void)state;
    j.warning = (char *)"Zendesk could not be asked about the ticket";
    j.earlier = (char *)"0123456789abcdefghjkmnpqra";
    strcpy(j.request.note, "Customer waits on the telephone");
    buf_init(&b, ISSUE_TEXT_MAX);
    issue_success_text(&j, &b);
    golden_check("issue-success.md", b.data, b.len);
    assert_true(issue_has_marker(b.data, ID));
    buf_done(&b);
}

static void test_failed_golden(void **state)
{
    struct job j = failed_job(ERR_PERMANENT, STEP_EMAIL, 550,
                              "550 5.1.1 <jane@example.com>: no such user");
    struct buf b;

    (void)state;
    buf_init(&b, ISSUE_TEXT_MAX);
    issue_failed_text(&j, false, &b);
    golden_check("issue-failed.md", b.data, b.len);
    assert_true(issue_has_marker(b.data, ID));
    buf_done(&b);
}

static void test_success_says(void **state)
{
    static const char *const says[] = {
        "`Ann Agent`",
        "`jane@example.com`",
        "**Users:** 150\n",
        "([open](https://acme.zendesk.example/agent/tickets/42))",
        "`0123456789abcdefghjkmnpqrx`",
        "`k4.pid.test`",
        "**Ends:** 2026-02-10T12:00:05Z\n",
        "`<abc@example.org>`",
        "`250 2.0.0 Ok: queued as 4F1`",
        "\n\nTicket: 42\n\nJob: " ID "\n",
    };
    struct job j = sent_job();
    struct buf b;

    (void)state;
    buf_init(&b, ISSUE_TEXT_MAX);
    issue_success_text(&j, &b);
    for (size_t i = 0; i < ARRAY_LEN(says); i++)
        assert_has(&b, says[i]);
    assert_has(&b, license);
    assert_lacks(&b, "Please note");
    assert_lacks(&b, "Corrects");
    buf_done(&b);
}

static void assert_link(const char *url, bool live)
{
    struct job j = sent_job();
    struct buf b;

    (void)snprintf(j.request.ticket_url, sizeof j.request.ticket_url, "%s", url);
    buf_init(&b, ISSUE_TEXT_MAX);
    issue_success_text(&j, &b);
    assert_int_equal(strstr(b.data, "([open](") != NULL, live);
    if (url[0])
        assert_has(&b, "**Ticket page:** `");
    else
        assert_lacks(&b, "Ticket page");
    buf_done(&b);
}

/* A link that leads to an issue would leave a note there. */
static void test_only_ticket_pages_are_links(void **state)
{
    (void)state;
    assert_link("", false);
    assert_link("https://acme.zendesk.example/agent/tickets/42", true);
    assert_link("https://acme.zendesk.example:8443/agent/tickets/42", true);
    assert_link("https://acme.zendesk.example/agent/tickets/43", false);
    assert_link("https://gitlab.example/group/project/-/issues/42", false);
    assert_link("https://gitlab.example/x/agent/tickets/42", false);
    assert_link("https://gitlab.example/-/issues/1?x=/agent/tickets/42", false);
    assert_link("https://a.example)/agent/tickets/42", false);
    assert_link("https:///agent/tickets/42", false);
    assert_link("http://a.example/agent/tickets/42", false);
    assert_link("javascript:alert(1)", false);
}

static void test_advice_per_class(void **state)
{
    static const struct {
        enum err_class class;
        const char *says;
    } cases[] = {
        {ERR_NONE, "\n```\nstopgapctl requeue " ID "\n```\n"},
        {ERR_INVALID, "Correct it at Zendesk"},
        {ERR_INVALID, "\n```\nstopgapctl requeue " ID "\n```\n"},
        {ERR_OUT_OF_SCOPE, "within the last 3 days"},
        {ERR_OUT_OF_SCOPE, "\n```\nstopgapctl requeue " ID "\n```\n"},
        {ERR_PERMANENT, "\n```\nstopgapctl requeue " ID "\n```\n"},
        {ERR_AUTH, "the words above say which credentials"},
        {ERR_RATE_LIMITED, "\n```\nstopgapctl requeue " ID "\n```\n"},
        {ERR_TRANSIENT, "\n```\nstopgapctl requeue " ID "\n```\n"},
        {ERR_AMBIGUOUS, "\n```\nstopgapctl requeue " ID " --mail-arrived\n```\n"},
        {ERR_AMBIGUOUS, "\n```\nstopgapctl requeue " ID " --redo email\n```\n"},
        {ERR_LIMIT, "\n```\nstopgapctl requeue " ID " --lift-limit\n```\n"},
        {ERR_POISON, "\n```\nstopgapctl requeue " ID "\n```\n"},
        {ERR_CONFIG, "mend what the words above name"},
        {ERR_BUG, "report it"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct job j = failed_job(cases[i].class, STEP_EMAIL, 0, "remote's words");
        struct buf b;

        buf_init(&b, ISSUE_TEXT_MAX);
        issue_failed_text(&j, false, &b);
        assert_has(&b, cases[i].says);
        assert_has(&b, "\n```\nremote's words\n```\n");
        assert_has(&b, err_class_name(cases[i].class));
        buf_done(&b);
    }
}

static void test_every_class_has_words(void **state)
{
    struct job j = failed_job(ERR_LIMIT, STEP_SIGN, 0, "x");
    struct buf b;

    (void)state;
    for (unsigned c = 0; c < ERR_CLASS_COUNT; c++)
        assert_true(issue_advice_reason((enum err_class)c)[0] != '\0');
    buf_init(&b, 256);
    issue_advice_command(&j, &b);
    assert_string_equal(b.data, "requeue " ID " --lift-limit");
    buf_done(&b);
}

static void test_failed_says(void **state)
{
    struct job j = failed_job(ERR_TRANSIENT, STEP_RECORD, 502, "502 Bad Gateway");
    struct buf b;

    (void)state;
    j.record_intent.at_ms = 1769860804000;
    buf_init(&b, ISSUE_TEXT_MAX);
    issue_failed_text(&j, false, &b);
    assert_has(&b, "Code 502");
    assert_has(&b, "- **sign:** done at 2026-01-31T12:00:02Z in 1 ms\n");
    assert_has(&b, "- **email:** done at 2026-01-31T12:00:03Z in 20 ms: `250 2.0.0 Ok");
    assert_has(&b, "- **record:** begun, its outcome is not known\n");
    assert_has(&b, "- **close:** not done\n");
    assert_has(&b, license);
    assert_has(&b, "\n\nTicket: 42\n\nJob: " ID "\n");
    buf_done(&b);
}

/* Redis writes the poison error without a step. */
static void test_poison_names_no_step(void **state)
{
    struct job j = failed_job(ERR_POISON, STEP_VALIDATE, 0, "three workers died");
    struct buf b;

    (void)state;
    buf_init(&b, ISSUE_TEXT_MAX);
    issue_failed_text(&j, false, &b);
    assert_has(&b, "Reason: the job lost its worker three times (class `poison`)");
    assert_lacks(&b, "At step");
    assert_has(&b, "- **validate:** not done");
    buf_done(&b);
}

static void test_late(void **state)
{
    struct job j = failed_job(ERR_TRANSIENT, STEP_EMAIL, 451, "451 later");
    struct buf b;

    (void)state;
    buf_init(&b, ISSUE_TEXT_MAX);
    issue_failed_text(&j, true, &b);
    assert_has(&b, "still trying");
    assert_has(&b, "\n```\nstopgapctl show " ID "\n```\n");
    assert_lacks(&b, "stopgapctl requeue");
    assert_true(issue_has_marker(b.data, ID));
    buf_done(&b);
}

static void test_least_job_has_a_text(void **state)
{
    struct job j = {.id = ID, .state = JOB_FAILED};
    struct buf b;

    (void)state;
    buf_init(&b, ISSUE_TEXT_MAX);
    issue_failed_text(&j, false, &b);
    assert_has(&b, "requeue " ID);
    assert_has(&b, "\n\nTicket: unknown\n\nJob: " ID "\n");
    buf_reset(&b);
    issue_success_text(&j, &b);
    assert_has(&b, "`unknown`");
    assert_has(&b, "\n\nTicket: unknown\n\nJob: " ID "\n");
    buf_done(&b);
}

static void test_raw_bytes_are_shown_escaped_and_bounded(void **state)
{
    static char raw[6000];
    struct job j = {.id = ID, .raw = raw, .raw_len = sizeof raw};
    struct buf b;

    (void)state;
    memset(raw, '\xFF', sizeof raw);
    memcpy(raw, "/close\n```\n\0\\ \xC3\xA4 \xE2\x80\xAE", 20);
    buf_init(&b, ISSUE_TEXT_MAX);
    issue_failed_text(&j, false, &b);
    assert_has(&b, "\n````\n/close\n```\n\\x00\\\\ \xC3\xA4 \\xE2\\x80\\xAE\\xFF");
    assert_has(&b, "The first 4096 of 6000 bytes");
    assert_true(b.len < 4096 * 4 + 4000);
    assert_true(issue_has_marker(b.data, ID));
    buf_done(&b);
}

static void test_parsed_request_is_not_shown_raw(void **state)
{
    struct job j = failed_job(ERR_PERMANENT, STEP_EMAIL, 550, "no");
    struct buf b;

    (void)state;
    j.raw = (char *)"{\"ticket_id\":42}";
    j.raw_len = strlen(j.raw);
    buf_init(&b, ISSUE_TEXT_MAX);
    issue_failed_text(&j, false, &b);
    assert_lacks(&b, "as it came");
    buf_done(&b);
}

/* Lines that would act, in every place where foreign text goes. */
static void test_foreign_text_cannot_act(void **state)
{
    static const char bad[] =
        "`x\r\n/close\n\n```\n@all #1 [x](y) <!-- \xE2\x80\xAE\x01";
    struct job j = failed_job(ERR_PERMANENT, STEP_RECORD, 400, bad);
    struct markdown_walk walk = {0};
    const char *line;
    size_t len;
    bool code;
    struct buf b;

    (void)state;
    (void)snprintf(j.request.requested_by, sizeof j.request.requested_by, "%s", bad);
    (void)snprintf(j.request.note, sizeof j.request.note, "%s", bad);
    (void)snprintf(j.request.email, sizeof j.request.email, "%s", bad);
    (void)snprintf(j.request.ticket_url, sizeof j.request.ticket_url, "%s", bad);
    j.warning = j.message_id = j.license = j.clash = (char *)bad;
    j.steps[STEP_EMAIL].words = (char *)bad;
    buf_init(&b, ISSUE_TEXT_MAX);
    issue_failed_text(&j, false, &b);
    walk.next = b.data;
    while (markdown_next_line(&walk, &line, &len, &code)) {
        assert_true(code || line[0] != '/');
        assert_true(code || !memmem(line, len, "<!--", 4) || memchr(line, '`', len));
    }
    assert_int_equal(walk.fence_len, 0);
    assert_lacks(&b, "\r");
    assert_lacks(&b, "\x01");
    assert_lacks(&b, "\xE2\x80\xAE");
    assert_has(&b, "`` `x /close");
    assert_has(&b, "````\n`x\n/close\n\n```\n@all");
    buf_done(&b);
}

static void test_solved_comment(void **state)
{
    struct job j = sent_job();
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    issue_solved_comment(&j, "https://gitlab.example/g/p/-/issues/7", &b);
    assert_has(&b, "[success issue](https://gitlab.example/g/p/-/issues/7)");
    assert_has(&b, "`" ID "`");
    buf_reset(&b);
    issue_solved_comment(&j, "https://x/)\n/close", &b);
    assert_has(&b, "`https://x/) /close`");
    assert_lacks(&b, "\n/close");
    buf_reset(&b);
    j.fixed_by = (char *)"zzzzzzzzzzzzzzzzzzzzzzzzzz";
    issue_solved_comment(&j, NULL, &b);
    assert_has(&b, "went out. Made by job `zzzzzzzzzzzzzzzzzzzzzzzzzz`.");
    buf_reset(&b);
    j.discarded = (char *)"ann@host\n/close";
    issue_solved_comment(&j, NULL, &b);
    assert_string_equal(b.data, "Discarded by `ann@host /close`: nothing more comes of "
                                "this job.\n");
    buf_done(&b);
}

static void test_marker(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 64);
    issue_marker(ID, &b);
    assert_string_equal(b.data, "Job: " ID);
    buf_done(&b);
    assert_true(issue_has_marker("Job: " ID, ID));
    assert_true(issue_has_marker("a\r\n\r\nJob: " ID "\r\n", ID));
    assert_true(issue_has_marker("a\nJob: " ID "  \nb", ID));
    assert_true(issue_has_marker("```\nx\n```\nJob: " ID, ID));
    assert_true(issue_has_marker("``` x ` y\nJob: " ID, ID));
    assert_true(issue_has_marker("~~~\n```\n~~~\nJob: " ID, ID));
    assert_false(issue_has_marker("", ID));
    assert_false(issue_has_marker("Job: " ID "x", ID));
    assert_false(issue_has_marker("Job: 1" ID, ID));
    assert_false(issue_has_marker("xJob: " ID, ID));
    assert_false(issue_has_marker("    Job: " ID, ID));
    assert_false(issue_has_marker("> Job: " ID, ID));
    assert_false(issue_has_marker("```\nJob: " ID "\n```\n", ID));
    assert_false(issue_has_marker("```\nJob: " ID, ID));
    assert_false(issue_has_marker("  ```text\nJob: " ID "\n```", ID));
    assert_false(issue_has_marker("````\n```\nJob: " ID "\n````", ID));
    assert_false(issue_has_marker("~~~\n```\nJob: " ID "\n~~~", ID));
    assert_false(issue_has_marker("```\n``` x\nJob: " ID "\n```", ID));
    assert_false(issue_has_marker("Job: 0123456789abcdefghjkmnpqrt", ID));
}

static void test_shared(void **state)
{
    const struct issue_shared one = {.id = "0123456789abcdefghjkmnpqrs",
                                     .count = 1,
                                     .since_ms = 1700000000000,
                                     .last_ids = "aaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct issue_shared many = one;
    struct buf out;

    (void)state;
    buf_init(&out, ISSUE_TEXT_MAX);
    issue_shared_title(&one, &out);
    assert_string_equal(out.data, "[Failed] - Could not read 1 request");
    buf_reset(&out);
    many.count = 1234;
    many.last_ids = "bbbbbbbbbbbbbbbbbbbbbbbbbb aaaaaaaaaaaaaaaaaaaaaaaaaa";
    issue_shared_title(&many, &out);
    assert_string_equal(out.data, "[Failed] - Could not read 1234 requests");
    buf_reset(&out);
    issue_shared_text(&many, &out);
    assert_non_null(strstr(out.data, "**1234** since 2023-11-14T22:13:20Z are"));
    assert_non_null(strstr(out.data, "\nstopgapctl show bbbbbbbbbbbbbbbbbbbbbbbbbb\n"));
    assert_non_null(strstr(out.data, "\n- `bbbbbbbbbbbbbbbbbbbbbbbbbb`\n"
                                     "- `aaaaaaaaaaaaaaaaaaaaaaaaaa`\n\n"));
    assert_true(issue_has_marker(out.data, many.id));
    assert_false(issue_has_marker(out.data, "aaaaaaaaaaaaaaaaaaaaaaaaaa"));
    buf_done(&out);
}

static void assert_span(const char *text, size_t max, const char *wanted)
{
    struct buf b;

    buf_init(&b, 4096);
    markdown_span(&b, text, max);
    assert_string_equal(b.data, wanted);
    buf_done(&b);
}

static void test_spans(void **state)
{
    (void)state;
    assert_span("a", 9, "`a`");
    assert_span("", 9, "`-`");
    assert_span(" \n ", 9, "`-`");
    assert_span("a`b", 9, "``a`b``");
    assert_span("`", 9, "`` ` ``");
    assert_span("``a", 9, "``` ``a ```");
    assert_span(" a ", 9, "`  a  `");
    assert_span("a\r\nb\rc\nd\te", 99, "`a b c d e`");
    assert_span("a\xFF\x01", 9, "`a\xEF\xBF\xBD\xEF\xBF\xBD`");
    assert_span("\xC3\xA4\xC3\xB6\xC3\xBC", 2, "`\xC3\xA4\xC3\xB6\xE2\x80\xA6`");
}

static void test_plain_url(void **state)
{
    (void)state;
    assert_true(markdown_plain_url("https://a.example/b?c=d&e=%20#f"));
    assert_true(markdown_plain_url("http://127.0.0.1:80/x"));
    assert_false(markdown_plain_url(""));
    assert_false(markdown_plain_url("https://"));
    assert_false(markdown_plain_url("https:///x"));
    assert_false(markdown_plain_url("ftp://a"));
    assert_false(markdown_plain_url("https://a b"));
    assert_false(markdown_plain_url("https://a)"));
    assert_false(markdown_plain_url("https://a\n/close"));
    assert_false(markdown_plain_url("https://\xC3\xA4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_titles),
        cmocka_unit_test(test_hostile_titles),
        cmocka_unit_test(test_the_cut_makes_no_mention),
        cmocka_unit_test(test_long_title_is_cut_in_the_address),
        cmocka_unit_test(test_gitlab_license),
        cmocka_unit_test(test_success_golden),
        cmocka_unit_test(test_failed_golden),
        cmocka_unit_test(test_success_says),
        cmocka_unit_test(test_only_ticket_pages_are_links),
        cmocka_unit_test(test_advice_per_class),
        cmocka_unit_test(test_every_class_has_words),
        cmocka_unit_test(test_failed_says),
        cmocka_unit_test(test_poison_names_no_step),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_least_job_has_a_text),
        cmocka_unit_test(test_raw_bytes_are_shown_escaped_and_bounded),
        cmocka_unit_test(test_parsed_request_is_not_shown_raw),
        cmocka_unit_test(test_foreign_text_cannot_act),
        cmocka_unit_test(test_solved_comment),
        cmocka_unit_test(test_marker),
        cmocka_unit_test(test_shared),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_plain_url),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
