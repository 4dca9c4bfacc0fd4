/* test_verdict: outside codes and the classes they become, one row each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "mem.h"
#include "verdict.h"

/* ---- SMTP ---- */

static const struct {
    enum smtp_stage stage;
    int code;
    enum err_class want;
} replies[] = {
    /* greeting, EHLO, STARTTLS, AUTH, MAIL: a 5xx speaks of us, not of the job */
    {SMTP_GREETING, 421, ERR_TRANSIENT},
    {SMTP_GREETING, 450, ERR_TRANSIENT},
    {SMTP_GREETING, 554, ERR_AUTH},
    {SMTP_EHLO, 502, ERR_AUTH},
    {SMTP_STARTTLS, 454, ERR_TRANSIENT},
    {SMTP_STARTTLS, 530, ERR_AUTH},
    {SMTP_AUTH, 454, ERR_TRANSIENT},
    {SMTP_AUTH, 535, ERR_AUTH},
    {SMTP_MAIL, 451, ERR_TRANSIENT},
    {SMTP_MAIL, 553, ERR_AUTH},
    /* from the recipient on it speaks of the job */
    {SMTP_RCPT, 421, ERR_TRANSIENT},
    {SMTP_RCPT, 450, ERR_TRANSIENT},
    {SMTP_RCPT, 550, ERR_PERMANENT},
    {SMTP_DATA, 451, ERR_TRANSIENT},
    {SMTP_DATA, 554, ERR_PERMANENT},
    {SMTP_BODY, 552, ERR_PERMANENT},
    {SMTP_DOT, 421, ERR_TRANSIENT}, /* answered: not taken, so not ambiguous */
    {SMTP_DOT, 451, ERR_TRANSIENT},
    {SMTP_DOT, 552, ERR_PERMANENT},
    {SMTP_DOT, 554, ERR_PERMANENT},
    /* what is no reply to the question */
    {SMTP_MAIL, 354, ERR_TRANSIENT},
    {SMTP_DATA, 250, ERR_TRANSIENT},
    {SMTP_GREETING, 0, ERR_TRANSIENT},
    {SMTP_RCPT, 600, ERR_TRANSIENT},
};

static void test_smtp_replies(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        struct err e;

        verdict_smtp_reply(replies[i].stage, replies[i].code, "5.1.1 their words", &e);
        if (e.class != replies[i].want)
            fail_msg("%d at %s: %s", replies[i].code, smtp_stage_name(replies[i].stage),
                     err_class_name(e.class));
        assert_int_equal(e.code, replies[i].code);
        assert_non_null(strstr(e.text, "5.1.1 their words"));
        assert_non_null(strstr(e.text, smtp_stage_name(replies[i].stage)));
    }
}

static void test_smtp_lost(void **state)
{
    (void)state;
    for (int s = SMTP_CONNECT; s <= SMTP_DOT; s++) {
        struct err e;

        verdict_smtp_lost((enum smtp_stage)s, "connection reset", &e);
        assert_int_equal(e.class, s == SMTP_DOT ? ERR_AMBIGUOUS : ERR_TRANSIENT);
        assert_int_equal(e.code, 0);
        assert_non_null(strstr(e.text, "connection reset"));
    }
}

/* ---- HTTP ---- */

static const struct {
    int status;
    const char *body;
    int64_t retry_after_ms;
    enum err_class want;
    int64_t want_wait_ms;
    const char *words; /* must stand in the text */
} answers[] = {
    {400, "{\"error\":\"title is missing\"}", 0, ERR_PERMANENT, 0, "title is missing"},
    {400, "{\"message\":{\"title\":[\"is too long (maximum is 255 characters)\"]}}", 0,
     ERR_PERMANENT, 0, "title: is too long (maximum is 255 characters)"},
    {400, "{\"message\":{\"base\":[\"recognized as spam and has been discarded.\"]}}",
     0, ERR_PERMANENT, 0, "recognized as spam"},
    {401, "{\"message\":\"401 Unauthorized\"}", 0, ERR_AUTH, 0, "401 Unauthorized"},
    {401, "{\"error\":\"invalid_token\",\"error_description\":\"Token was revoked.\"}",
     0, ERR_AUTH, 0, "Token was revoked."},
    {403, "{\"message\":\"403 Forbidden\"}", 0, ERR_AUTH, 0, "403 Forbidden"},
    {403,
     "{\"error\":\"insufficient_scope\",\"error_description\":\"needs more\","
     "\"scope\":\"api\"}",
     0, ERR_AUTH, 0, "insufficient_scope needs more"},
    {404, "{\"message\":\"404 Project Not Found\"}", 0, ERR_AUTH, 0, "404 Project"},
    {404, "{\"message\":\"404 Not found\"}", 0, ERR_PERMANENT, 0, "404 Not found"},
    {404, "default backend - 404", 0, ERR_TRANSIENT, 0, "default backend"},
    {404, "<h1>404 Not Found</h1>", 0, ERR_TRANSIENT, 0, "404 Not Found"},
    {404, "", 0, ERR_TRANSIENT, 0, "(no words)"}, /* a proxy's: GitLab says JSON */
    {409, "{\"message\":\"409 Conflict: Resource lock\"}", 0, ERR_TRANSIENT, 0,
     "Resource lock"},
    {409, "{\"message\":\"Duplicated issue\"}", 0, ERR_PERMANENT, 0,
     "Duplicated issue"},
    {409,
     "{\"needs_captcha_response\":true,\"spam_log_id\":1,\"captcha_site_key\":\"k\","
     "\"message\":{\"error\":\"Your issue has been recognized as spam\"}}",
     0, ERR_PERMANENT, 0, "recognized as spam"},
    {422, "{\"message\":\"refused\"}", 0, ERR_PERMANENT, 0, "refused"},
    {429, "Retry later", 42000, ERR_RATE_LIMITED, 42000, "Retry later"},
    {429,
     "{\"message\":{\"error\":\"This endpoint has been requested too many times.\"}}",
     0, ERR_RATE_LIMITED, 60000, "too many times"}, /* no Retry-After: about a minute */
    {500, "{\"message\":\"500 Internal Server Error\"}", 0, ERR_TRANSIENT, 0,
     "500 Internal"},
    {502, "<html><head><title>502 Bad Gateway</title></head></html>", 0, ERR_TRANSIENT,
     0, "502 Bad Gateway"},
    {503, "<h1>Deploy in progress</h1>", 5000, ERR_TRANSIENT, 5000,
     "Deploy in progress"},
    {504, "", 0, ERR_TRANSIENT, 0, "(no words)"},
    {520, "web server is down", 0, ERR_TRANSIENT, 0, "web server is down"},
    {408, "", 0, ERR_TRANSIENT, 0, "408"},
    {425, "", 0, ERR_TRANSIENT, 0, "425"},
    {410, "", 0, ERR_PERMANENT, 0, "410"},
    {302, "", 0, ERR_TRANSIENT, 0, "302"},
    {200, "not what was asked for", 0, ERR_TRANSIENT, 0, "not what was asked for"},
};

static void test_http(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct err e;

        verdict_http("GitLab", answers[i].status, answers[i].body,
                     strlen(answers[i].body), answers[i].retry_after_ms, &e);
        if (e.class != answers[i].want || !strstr(e.text, answers[i].words))
            fail_msg("row %zu: %s \"%s\"", i, err_class_name(e.class), e.text);
        assert_int_equal(e.code, answers[i].status);
        assert_int_equal(e.retry_after_ms, answers[i].want_wait_ms);
        assert_int_equal(strncmp(e.text, "GitLab answered ", 16), 0);
    }
}

/* Bodies that are nothing: binary, huge, cut, deep. One printable line comes out. */
static void test_http_hostile_bodies(void **state)
{
    static const char binary[] = "\x00\xff\xfe\r\n<\x1b[31m>ok";
    struct buf big;
    struct err e;

    (void)state;
    verdict_http("GitLab", 502, binary, sizeof binary - 1, 0, &e);
    assert_non_null(strstr(e.text, "ok"));
    assert_null(strchr(e.text, '\n'));
    assert_null(strchr(e.text, 0x1b));

    buf_init(&big, 1 << 20);
    buf_adds(&big, "{\"message\":\"why: ");
    for (int i = 0; i < 5000; i++)
        buf_adds(&big, "long ");
    buf_adds(&big, "\",\"error\":\"more\"}");
    verdict_http("GitLab", 422, big.data, big.len, 0, &e);
    assert_non_null(strstr(e.text, "why: long long"));
    verdict_http("GitLab", 422, big.data, big.len / 2, 0, &e); /* no JSON any more */
    assert_non_null(strstr(e.text, "why: long"));

    buf_reset(&big);
    for (int i = 0; i < 100000; i++)
        buf_addc(&big, '[');
    verdict_http("GitLab", 400, big.data, big.len, 0, &e);
    assert_int_equal(e.class, ERR_PERMANENT);
    buf_done(&big);
}

static void test_http_unknown(void **state)
{
    static const struct {
        int status;
        bool unknown;
    } rows[] = {{0, true},    {500, true},  {502, true},  {503, true},  {504, true},
                {522, true},  {408, true},  {200, true},  {201, true},  {400, false},
                {401, false}, {403, false}, {404, false}, {409, false}, {422, false},
                {429, false}, {301, false}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(verdict_http_unknown(rows[i].status), rows[i].unknown);
}

/* ---- Redis ---- */

static const struct {
    const char *text;
    enum redis_verdict want;
    enum err_class class;
} errors[] = {
    {"NOSCRIPT No matching script. Please use EVAL.", REDIS_V_NOSCRIPT, ERR_TRANSIENT},
    {"LOADING Redis is loading the dataset in memory", REDIS_V_LATER, ERR_TRANSIENT},
    {"BUSY Redis is busy running a script.", REDIS_V_LATER, ERR_TRANSIENT},
    {"TRYAGAIN Multiple keys request during rehashing of slot", REDIS_V_LATER,
     ERR_TRANSIENT},
    {"CLUSTERDOWN The cluster is down", REDIS_V_LATER, ERR_TRANSIENT},
    {"NOREPLICAS Not enough good replicas to write.", REDIS_V_LATER, ERR_TRANSIENT},
    {"MISCONF Redis is configured to save RDB snapshots, but", REDIS_V_LATER,
     ERR_TRANSIENT},
    {"OOM command not allowed when used memory > 'maxmemory'.", REDIS_V_LATER,
     ERR_TRANSIENT},
    {"READONLY You can't write against a read only replica.", REDIS_V_RECONNECT,
     ERR_TRANSIENT},
    {"MASTERDOWN Link with MASTER is down", REDIS_V_RECONNECT, ERR_TRANSIENT},
    {"UNBLOCKED force unblock from blocking operation, instance state changed",
     REDIS_V_RECONNECT, ERR_TRANSIENT},
    {"NOAUTH Authentication required.", REDIS_V_DENIED, ERR_AUTH},
    {"WRONGPASS invalid username-password pair or user is disabled.", REDIS_V_DENIED,
     ERR_AUTH},
    {"NOPERM this user has no permissions to run the 'eval' command", REDIS_V_DENIED,
     ERR_AUTH},
    {"OOM", REDIS_V_LATER, ERR_TRANSIENT},
    /* met inside a script: by 6.2, by 7.0, since 7.2 */
    {"ERR Error running script (call to f_0a): @user_script:9: @user_script: 9: "
     "-READONLY You can't write against a read only replica.",
     REDIS_V_RECONNECT, ERR_TRANSIENT},
    {"ERR Error running script (call to f_0a): @user_script:9: @user_script: 9: "
     "-OOM command not allowed when used memory > 'maxmemory'.",
     REDIS_V_LATER, ERR_TRANSIENT},
    {"OOM command not allowed when used memory > 'maxmemory'. script: 0a, on "
     "@user_script:9.",
     REDIS_V_LATER, ERR_TRANSIENT},
    {"ERR The user executing the script can't run this command or subcommand script: "
     "0a, on @user_script:9.",
     REDIS_V_DENIED, ERR_AUTH},
    {"ERR ACL failure in script: User default has no permissions to run the 'hset' "
     "command",
     REDIS_V_DENIED, ERR_AUTH},
    {"ERR Error running script (call to f_0a): @user_script:9: nothing known",
     REDIS_V_OTHER, ERR_BUG},
    {"WRONGTYPE Operation against a key", REDIS_V_OTHER, ERR_BUG},
    {"ERR unknown command", REDIS_V_OTHER, ERR_BUG},
    {"BUSYGROUP Consumer Group name already exists", REDIS_V_OTHER, ERR_BUG},
    {"BUS", REDIS_V_OTHER, ERR_BUG},
    {"oom lower case", REDIS_V_OTHER, ERR_BUG},
    {"", REDIS_V_OTHER, ERR_BUG},
};

static void test_redis(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        struct err e;

        if (verdict_redis(errors[i].text, &e) != errors[i].want)
            fail_msg("%s", errors[i].text);
        assert_int_equal(e.class, errors[i].class);
        assert_non_null(strstr(e.text, errors[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smtp_replies), cmocka_unit_test(test_smtp_lost),
        cmocka_unit_test(test_http),         cmocka_unit_test(test_http_hostile_bodies),
        cmocka_unit_test(test_http_unknown), cmocka_unit_test(test_redis),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
