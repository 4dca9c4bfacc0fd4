/* Tests of request: each field's rule, the form of the whole, the scope rule, the
 * durable form and the digests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "mem.h"
#include "request.h"
#include "when.h"

#define GOOD                                                                           \
    "\"ticket_id\":1234,\"email\":\"jane@example.com\",\"users\":50,"                  \
    "\"requested_by\":\"agent.smith\""
#define ID26 "0123456789abcdefghijklmnop"
#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN

static const struct request_rules no_rules = {0};
static const struct request_rules rules = {.zendesk_url = "https://acme.zendesk.com",
                                           .max_users = 50000};

/* Faults of a text, in a buffer that lives until the next call; "" when it parses. */
static const char *faults_of(const char *raw, size_t len, const struct request_rules *r,
                             struct request *out)
{
    static char text[65536];
    struct buf faults;
    int rc;

    buf_init(&faults, sizeof text - 1);
    rc = request_parse(raw, len, r, out, &faults);
    assert_int_equal(rc, faults.len ? -1 : 0);
    assert_false(faults.failed);
    memcpy(text, faults.data, faults.len + 1);
    buf_done(&faults);
    return text;
}

static const char *faults_in(const char *raw, struct request *out)
{
    return faults_of(raw, strlen(raw), &rules, out);
}

/* A good request with `more` after its required fields. */
static const char *faults_with(const char *more, struct request *out)
{
    char raw[REQUEST_MAX_BYTES + 1];

    (void)snprintf(raw, sizeof raw, "{" GOOD ",%s}", more);
    return faults_in(raw, out);
}

/* A good request with one of its required fields given this JSON value instead. */
static const char *faults_instead(const char *field, const char *value,
                                  struct request *out)
{
    static const char *const good[][2] = {{"ticket_id", "1234"},
                                          {"email", "\"jane@example.com\""},
                                          {"users", "50"},
                                          {"requested_by", "\"agent.smith\""}};
    struct buf raw;
    const char *faults;

    buf_init(&raw, REQUEST_MAX_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        buf_addf(&raw, "%s\"%s\":%s", i ? "," : "{", good[i][0],
                 strcmp(good[i][0], field) ? good[i][1] : value);
    buf_adds(&raw, "}");
    faults = faults_in(raw.data, out);
    buf_done(&raw);
    return faults;
}

static void assert_has(const char *faults, const char *part, const char *input)
{
    if (!strstr(faults, part))
        fail_msg("%s: \"%s\" lacks \"%s\"", input, faults, part);
}

static size_t lines(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void test_good(void **state)
{
    struct request r;

    (void)state;
    assert_string_equal(
        faults_in(" {" GOOD ",\"ticket_url\":\"https://ACME.zendesk.com/agent/"
                  "tickets/1234\",\"note\":\"a\\r\\nb\\tc\",\"plan\":\"Premium\","
                  "\"license_expired_on\":\"2026-01-31\",\"idempotency_key\":\"k/1\","
                  "\"v\":1}\n",
                  &r),
        "");
    assert_int_equal(r.ticket_id, 1234);
    assert_string_equal(r.email, "jane@example.com");
    assert_int_equal(r.users, 50);
    assert_string_equal(r.requested_by, "agent.smith");
    assert_string_equal(r.ticket_url, "https://ACME.zendesk.com/agent/tickets/1234");
    assert_string_equal(r.note, "a\nb\tc");
    assert_string_equal(r.plan, "premium");
    assert_string_equal(r.license_expired_on, "2026-01-31");
    assert_string_equal(r.idempotency_key, "k/1");
    assert_string_equal(r.resend_of, "");
}

static void test_absent_optional(void **state)
{
    struct request r;

    (void)state;
    assert_string_equal(faults_of("{" GOOD "}", strlen("{" GOOD "}"), &no_rules, &r),
                        "");
    assert_string_equal(r.ticket_url, "");
    assert_string_equal(faults_with("\"ticket_url\":\"\",\"note\":\"\",\"plan\":\"\","
                                    "\"license_expired_on\":\"\",\"v\":\"\","
                                    "\"idempotency_key\":\"\"",
                                    &r),
                        "");
    assert_string_equal(r.ticket_url, "https://acme.zendesk.com/agent/tickets/1234");
    assert_string_equal(r.note, "");
    assert_string_equal(r.plan, "");
    assert_string_equal(r.license_expired_on, "");
    assert_string_equal(r.idempotency_key, "");
}

static void test_numbers(void **state)
{
    static const struct {
        const char *json;
        int64_t users; /* 0: refused */
    } cases[] = {
        {"1", 1},
        {"\"1\"", 1},
        {"50000", 50000},
        {"\"50000\"", 50000},
        {"0", 0},
        {"-1", 0},
        {"-0", 0},
        {"1.0", 0},
        {"1.5", 0},
        {"1e3", 0},
        {"1E3", 0},
        {"1000001", 0},
        {"99999999999999999999", 0},
        {"18446744073709551617", 0},
        {"1e400", 0},
        {"\"0\"", 0},
        {"\"05\"", 0},
        {"\"+5\"", 0},
        {"\"-5\"", 0},
        {"\" 5\"", 0},
        {"\"5 \"", 0},
        {"\"5\\n\"", 0},
        {"\"5\\u0000\"", 0},
        {"\"1,000\"", 0},
        {"\"1e3\"", 0},
        {"\"0x10\"", 0},
        {"\"five\"", 0},
        {"\"\\u0665\"", 0},
        {"\"99999999999999999999999999999999999999999999999999999999999\"", 0},
        {"true", 0},
        {"null", 0},
        {"[5]", 0},
        {"{\"n\":5}", 0},
    };
    struct request r;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *faults = faults_instead("users", cases[i].json, &r);

        if ((faults[0] == '\0') != (cases[i].users != 0))
            fail_msg("%s: %s", cases[i].json, faults);
        assert_int_equal(r.users, cases[i].users);
        if (cases[i].users || !strcmp(cases[i].json, "1e400"))
            continue; /* no double holds 1e400: the text as a whole is refused */
        assert_int_equal(lines(faults), 1);
        assert_int_equal(strncmp(faults, "users: ", 7), 0);
    }
}

static void test_number_limits(void **state)
{
    struct request r;

    (void)state;
    assert_string_equal(faults_instead("ticket_id", "9007199254740991", &r), "");
    assert_int_equal(r.ticket_id, INT64_C(9007199254740991));
    assert_string_equal(faults_instead("ticket_id", "\"9007199254740991\"", &r), "");
    assert_has(faults_instead("ticket_id", "9007199254740992", &r),
               "ticket_id: must be a whole number from 1 to 9007199254740991", "2^53");
    assert_has(faults_instead("ticket_id", "9007199254740993", &r),
               "ticket_id: ", "2^53+1");
    assert_string_equal(faults_instead("users", "50001", &r),
                        "users: 50001 is more than STOPGAP_MAX_USERS allows: at most "
                        "50000\n");
    assert_int_equal(r.users, 50001); /* readable: for the failure issue's title */
    assert_string_equal(
        faults_of("{" GOOD ",\"v\":1}", strlen("{" GOOD ",\"v\":1}"), &no_rules, &r),
        "");
}

/* Every field with every type it does not take; each is named, alone. */
static void test_type_confusion(void **state)
{
    static const char *const names[] = {"ticket_id", "email", "users", "requested_by"};
    static const char *const more[] = {
        "ticket_url", "note", "plan", "license_expired_on", "idempotency_key", "v"};
    static const char *const wrong[] = {"true", "false",   "null",         "[]",
                                        "{}",   "[\"x\"]", "{\"email\":1}"};
    char json[128], start[64];
    struct request r;

    (void)state;
    for (size_t w = 0; w < ARRAY_LEN(wrong); w++) {
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            const char *faults = faults_instead(names[i], wrong[w], &r);

            (void)snprintf(start, sizeof start, "%s: must be a string", names[i]);
            assert_has(faults, start, wrong[w]);
            assert_int_equal(lines(faults), 1);
        }
        for (size_t i = 0; i < ARRAY_LEN(more); i++) {
            (void)snprintf(json, sizeof json, "\"%s\":%s", more[i], wrong[w]);
            (void)snprintf(start, sizeof start, "%s: must be a string", more[i]);
            assert_has(faults_with(json, &r), start, json);
            assert_int_equal(lines(faults_with(json, &r)), 1);
        }
    }
    for (size_t i = 0; i + 1 < ARRAY_LEN(more); i++) {
        (void)snprintf(json, sizeof json, "\"%s\":5", more[i]);
        assert_has(faults_with(json, &r), ": must be a string\n", json);
    }
    assert_has(faults_instead("email", "5", &r), "email: must be a string\n", "5");
    assert_has(faults_instead("requested_by", "5", &r), "requested_by: must be", "5");
}

static void test_texts(void **state)
{
    static const struct {
        const char *json;
        const char *fault; /* NULL: accepted */
    } cases[] = {
        {"\"note\":\"" FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY "\"",
         NULL},
        {"\"note\":\"" FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY
         "x\"",
         "note: 501 characters; at most 500 are allowed"},
        {"\"note\":\"a\\rb\"", "note: the control character U+000D"},
        {"\"note\":\"a\\u0000b\"", "note: the character U+0000"},
        {"\"note\":\"a\\u0001b\"", "note: the control character U+0001"},
        {"\"note\":\"a\\u001b[31m\"", "note: the control character U+001B"},
        {"\"note\":\"a\\u0085b\"", "note: the control character U+0085"},
        {"\"note\":\"a\\u202eb\"", "note: the control character U+202E"},
        {"\"note\":\"\\ud83d\\ude00 ok \xF0\x9F\x98\x80\"", NULL},
        {"\"note\":\"/close @all ```\"", NULL},
        {"\"idempotency_key\":\"" FIFTY FIFTY "0123456789012345678901234567\"", NULL},
        {"\"idempotency_key\":\"" FIFTY FIFTY "01234567890123456789012345678\"",
         "idempotency_key: 129 characters; at most 128"},
        {"\"idempotency_key\":\"a\\nb\"", "idempotency_key: the control character"},
        {"\"idempotency_key\":\"  \"", "idempotency_key: nothing but spaces"},
        {"\"plan\":\"a\\u0007\"", "plan: only printable ASCII"},
        {"\"plan\":\"fr\\u00e9e\"", "plan: only printable ASCII"},
        {"\"plan\":\"free \"", "plan: starts or ends with a space"},
        {"\"plan\":\" free\"", "plan: starts or ends with a space"},
        {"\"plan\":\"" FIFTY "0123456789012\"", NULL},
        {"\"plan\":\"" FIFTY "01234567890123\"", "plan: longer than 63"},
        {"\"license_expired_on\":\"2024-02-29\"", NULL},
        {"\"license_expired_on\":\"2026-02-29\"", "license_expired_on: must be a date"},
        {"\"license_expired_on\":\"2026-2-9\"", "license_expired_on: must be a date"},
        {"\"license_expired_on\":\"31.01.2026\"", "license_expired_on: must be a date"},
        {"\"license_expired_on\":\"2026-01-31T00:00:00Z\"", "license_expired_on: must"},
        {"\"license_expired_on\":\"2026-01-31\\n\"", "got \"2026-01-31\\u{A}\"\n"},
        {"\"v\":1", NULL},
        {"\"v\":\"1\"", NULL},
        {"\"v\":2", "v: this program knows version 1 only; got \"2\""},
        {"\"v\":\"2\"", "v: this program knows version 1 only"},
        {"\"v\":99999999999999999999", "v: this program knows version 1 only"},
        {"\"v\":0", "v: this program knows version 1 only"},
        {"\"v\":1.0", "v: this program knows version 1 only; got \"1.0\""},
    };
    struct request r;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *faults = faults_with(cases[i].json, &r);

        assert_has(faults, cases[i].fault ? cases[i].fault : "", cases[i].json);
        if (lines(faults) != (cases[i].fault != NULL))
            fail_msg("%s: %s", cases[i].json, faults);
    }
}

static void test_requested_by(void **state)
{
    static const struct {
        const char *json, *fault;
    } cases[] = {
        {"\"\"", "requested_by: required, but empty"},
        {"\"   \"", "requested_by: nothing but spaces"},
        {"\"Jos\\u00e9 \\\"J\\\" <x>\"", NULL},
        {"\"" FIFTY FIFTY FIFTY FIFTY FIFTY "01234\"", NULL},
        {"\"" FIFTY FIFTY FIFTY FIFTY FIFTY "012345\"", "requested_by: 256 characters"},
        {"\"a\\nb\"", "requested_by: the control character U+000A"},
        {"\"a\\tb\"", "requested_by: the control character U+0009"},
        {"\"a\\u007f\"", "requested_by: the control character U+007F"},
        {"\"a\\u009f\"", "requested_by: the control character U+009F"},
        {"\"a\\u2028b\"", "requested_by: the control character U+2028"},
        {"\"a\\u2029b\"", "requested_by: the control character U+2029"},
        {"\"a\\u202ab\"", "requested_by: the control character U+202A"},
        {"\"a\\u2069b\"", "requested_by: the control character U+2069"},
        {"\"a\\u0000b\"", "requested_by: the character U+0000"},
    };
    struct request r;
    char wide[2 + 255 * 4 + 1], *p = wide;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *faults = faults_instead("requested_by", cases[i].json, &r);

        assert_has(faults, cases[i].fault ? cases[i].fault : "", cases[i].json);
        assert_int_equal(lines(faults), cases[i].fault != NULL);
    }
    *p++ = '"';
    for (int i = 0; i < 255; i++, p += 4)
        memcpy(p, "\xF0\x9F\x98\x80", 4); /* characters are counted, not bytes */
    memcpy(p, "\"", 2);
    assert_string_equal(faults_instead("requested_by", wide, &r), "");
    assert_int_equal(strlen(r.requested_by), 1020);
}

static void test_email(void **state)
{
    struct request r;

    (void)state;
    assert_string_equal(faults_instead("email", "\"Jane@EXAMPLE.com\"", &r), "");
    assert_string_equal(r.email, "Jane@example.com");
    assert_has(faults_instead("email", "\"a@b.com\\r\\nBcc: c@d.com\"", &r),
               "email: a line break", "CRLF");
    assert_has(faults_instead("email", "\"a@b.com\\u0000@c.com\"", &r),
               "email: the character U+0000", "NUL");
    assert_string_equal(r.email, "");
    assert_has(faults_instead("email", "\"j\\u00e4ne@example.com\"", &r),
               "email: the part before the @ has non-ASCII", "umlaut");
    assert_has(faults_instead("email", "\"\"", &r), "email: required, but empty", "");
}

static void test_ticket_url(void **state)
{
    static const struct {
        const char *url, *fault;
        bool any_host;
    } cases[] = {
        {"https://acme.zendesk.com/agent/tickets/1", NULL, false},
        {"HTTPS://ACME.Zendesk.COM/agent/tickets/1?a=b#c", NULL, false},
        {"https://acme.zendesk.com", NULL, false},
        {"https://acme.zendesk.com:443/x", NULL, false},
        {"https://other.example/tickets/1", NULL, true},
        {"https://other.example/tickets/1", "on the host", false},
        {"http://acme.zendesk.com/1", "start with https://", false},
        {"javascript:alert(1)", "start with https://", false},
        {"//acme.zendesk.com/1", "start with https://", false},
        {"https:acme.zendesk.com", "start with https://", false},
        {"https://", "no valid host", true},
        {"https:///x", "no valid host", true},
        {"https://acme.zendesk.com@evil.example/", "user name", false},
        {"https://acme.zendesk.com:x@evil.example/", "user name", false},
        {"https://evil.example@acme.zendesk.com/", "user name", false},
        {"https://evil.example#@acme.zendesk.com/", "on the host", false},
        {"https://evil.example?@acme.zendesk.com/", "on the host", false},
        {"https://evil.example/@acme.zendesk.com/", "on the host", false},
        {"https://evil.example\\\\@acme.zendesk.com/", "no URL may hold", false},
        {"https://acme.zendesk.com\\\\.evil.example/", "no URL may hold", false},
        {"https://acme.zendesk.com.evil.example/", "on the host", false},
        {"https://evilacme.zendesk.com/", "on the host", false},
        {"https://acme.zendesk.com./", "on the host", false},
        {"https://acme.zendesk.co/", "on the host", false},
        {"https://acme.zendesk.com:/", "port", false},
        {"https://acme.zendesk.com:evil/", "port", false},
        {"https://acme.zendesk.com:443.evil.example/", "port", false},
        {"https://acme.zendesk.com:999999/", "port", false},
        {"https://acme.zendesk.com%2eevil.example/", "no valid host", false},
        {"https://acme.zendesk.com/a b", "no URL may hold", false},
        {" https://acme.zendesk.com/", "no URL may hold", false},
        {"https://acme.zendesk.com/\\t", "no URL may hold", false},
        {"https://acme.zendesk.com/\\r\\nX: y", "no URL may hold", false},
        {"https://acme.zendesk.com/\\u0000", "U+0000", false},
        {"https://acme.zendesk.com/\\u00e9", "no URL may hold", false},
        {"https://acme.zendesk.com/<script>", "no URL may hold", false},
        {"https://acme.zendesk.com/`x`", "no URL may hold", false},
        {"https://\\u0430cme.zendesk.com/", "no URL may hold", false},
    };
    struct request r;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char raw[512];
        const char *faults;

        (void)snprintf(raw, sizeof raw, "{" GOOD ",\"ticket_url\":\"%s\"}",
                       cases[i].url);
        faults =
            faults_of(raw, strlen(raw), cases[i].any_host ? &no_rules : &rules, &r);
        assert_has(faults, cases[i].fault ? cases[i].fault : "", raw);
        if (lines(faults) != (cases[i].fault != NULL))
            fail_msg("%s: %s", raw, faults);
        if (cases[i].fault)
            assert_true(strstr(faults, "ticket_url: ") == faults);
    }
}

static void test_ticket_url_length(void **state)
{
    char raw[2048], path[1100];
    struct request r;

    (void)state;
    for (size_t len = 1023; len <= 1024; len++) {
        memset(path, 'a', sizeof path);
        path[len - strlen("https://acme.zendesk.com/")] = '\0';
        (void)snprintf(raw, sizeof raw,
                       "\"ticket_url\":\"https://acme.zendesk.com/%s\"", path);
        assert_string_equal(faults_with(raw, &r),
                            len == 1023 ? ""
                                        : "ticket_url: longer than 1023 characters\n");
    }
}

static void test_ticket_url_built(void **state)
{
    struct request_rules slashes = {.zendesk_url = "https://acme.zendesk.com//"};
    char huge[700] = "https://";
    struct request_rules long_url = {.zendesk_url = huge};
    struct request r;

    (void)state;
    assert_string_equal(faults_of("{" GOOD "}", strlen("{" GOOD "}"), &slashes, &r),
                        "");
    assert_string_equal(r.ticket_url, "https://acme.zendesk.com/agent/tickets/1234");
    memset(huge + 8, 'a', sizeof huge - 9);
    assert_string_equal(faults_of("{" GOOD "}", strlen("{" GOOD "}"), &long_url, &r),
                        "");
    assert_string_equal(r.ticket_url, "");
    (void)faults_instead("ticket_id", "0", &r);
    assert_string_equal(r.ticket_url, "");
}

static void test_all_faults_at_once(void **state)
{
    struct request r;

    (void)state;
    assert_string_equal(
        faults_in("{\"ticket_id\":\"x\",\"email\":\"nobody\",\"users\":50001,"
                  "\"requested_by\":\"\",\"ticket_url\":\"ftp://x\","
                  "\"note\":\"\\u0007\",\"plan\":5,\"license_expired_on\":\"soon\","
                  "\"idempotency_key\":[],\"v\":3,\"expires_at\":\"2030-01-01\","
                  "\"v\":4}",
                  &r),
        "v: given more than once\n"
        "ticket_id: must be a whole number from 1 to 9007199254740991, written in "
        "digits alone; got \"x\"\n"
        "email: there is no @ in it\n"
        "users: 50001 is more than STOPGAP_MAX_USERS allows: at most 50000\n"
        "requested_by: required, but empty\n"
        "ticket_url: must start with https://\n"
        "note: the control character U+0007 is not allowed\n"
        "plan: must be a string\n"
        "license_expired_on: must be a date that exists, as YYYY-MM-DD; got \"soon\"\n"
        "idempotency_key: must be a string\n"
        "v: this program knows version 1 only; got \"4\"\n"
        "expires_at: unknown field; allowed are ticket_id, email, users, requested_by, "
        "ticket_url, note, plan, license_expired_on, idempotency_key, v\n");
    assert_int_equal(r.users, 50001);
    assert_string_equal(faults_in("{}", &r), "ticket_id: required\nemail: required\n"
                                             "users: required\n"
                                             "requested_by: required\n");
    assert_has(faults_in("{\"email\":\"a@b.cd\",\"users\":7}", &r), "requested_by", "");
    assert_string_equal(r.email, "a@b.cd"); /* what was readable stays */
    assert_int_equal(r.users, 7);
}

static void test_doubled_keys(void **state)
{
    static const struct {
        const char *more, *fault;
    } cases[] = {
        {"\"email\":\"eve@evil.example\"", "email: given more than once\n"},
        {"\"ema\\u0069l\":\"eve@evil.example\"", "email: given more than once\n"},
        {"\"\\u0065mail\":\"jane@example.com\"", "email: given more than once\n"},
        {"\"users\":1,\"users\":2,\"users\":3", "users: given more than once\n"},
        {"\"note\":\"\",\"note\":\"x\"", "note: given more than once\n"},
        {"\"note\" : \"a\\\",\\\"email\\\":\" , \"email\"\n:\t\"jane@example.com\"",
         "email: given more than once\n"},
        {"\"note\":\"\\\\\",\"email\":\"jane@example.com\"",
         "email: given more than once\n"},
        {"\"users\":1,\"plan\":\"a\",\"plan\":\"b\"",
         "users: given more than once\nplan: given more than once\n"},
    };
    struct request r;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (strcmp(faults_with(cases[i].more, &r), cases[i].fault) != 0)
            fail_msg("%s: %s", cases[i].more, faults_with(cases[i].more, &r));
    /* equal keys further in are no matter of ours; nor are keys inside strings */
    assert_string_equal(
        faults_with("\"note\":\"{\\\"email\\\":1,\\\"email\\\":2}\"", &r), "");
    assert_int_equal(lines(faults_with("\"x\":{\"a\":1,\"a\":[{\"email\":2}]}", &r)),
                     1);
    assert_has(faults_with("\"\\ud83d\\ude00\":1,\"\xF0\x9F\x98\x80\":2", &r),
               "\"\xF0\x9F\x98\x80\": given more than once", "emoji");
}

static void test_unknown_fields(void **state)
{
    struct buf more;
    struct request r;
    const char *faults;

    (void)state;
    assert_has(faults_with("\"term_days\":365", &r), "term_days: unknown field", "");
    assert_has(faults_with("\"Email\":\"a@b.cd\"", &r), "Email: unknown field", "");
    assert_has(faults_with("\"\":1", &r), "\"\": unknown field", "");
    assert_has(faults_with("\"a\\nb: fine\":1", &r), "\"a\\u{A}b: fine\": unknown", "");
    assert_has(faults_with("\"\\u202ex\":1", &r), "\"\\u{202E}x\": unknown", "");
    assert_has(faults_with("\"" FIFTY "\":1", &r),
               "\"0123456789012345678901234567890123456789...\": unknown", "");
    buf_init(&more, REQUEST_MAX_BYTES);
    for (int i = 0; i < 500; i++)
        buf_addf(&more, "%s\"k%d\":1,\"k%d\":2", i ? "," : "", i, i);
    faults = faults_with(more.data, &r);
    assert_int_equal(lines(faults), 42);
    assert_has(faults, "request: 480 more unknown fields\n", "");
    assert_has(faults, "request: 480 more keys given more than once\n", "");
    buf_done(&more);
}

/* The longest that there can be: what callers give room for. */
static void test_faults_are_bounded(void **state)
{
    struct buf raw;
    struct request r;
    size_t len;

    (void)state;
    buf_init(&raw, REQUEST_MAX_BYTES);
    buf_adds(&raw, "{\"v\":\"\u2028\"");
    for (char c = 'A'; c <= 'Z'; c++)
        for (int twice = 0; twice < 2; twice++) {
            buf_addf(&raw, ",\"%c", c);
            for (int i = 0; i < 40; i++)
                buf_adds(&raw, "\xE2\x80\xA8");
            buf_adds(&raw, "\":1");
        }
    buf_adds(&raw, "}");
    assert_false(raw.failed);
    len = strlen(faults_of(raw.data, raw.len, &rules, &r));
    assert_in_range(len, 13000, 32768);
    buf_done(&raw);
}

static void test_not_json(void **state)
{
    static const struct {
        const char *raw;
        size_t len; /* 0: strlen */
        const char *fault;
    } cases[] = {
        {"", 0, "request: empty\n"},
        {"   ", 0, "request: not JSON at byte "},
        {"[]", 0, "request: must be one JSON object\n"},
        {"5", 0, "request: must be one JSON object\n"},
        {"\"x\"", 0, "request: must be one JSON object\n"},
        {"null", 0, "request: must be one JSON object\n"},
        {"{", 0, "request: not JSON at byte 1"},
        {"{" GOOD, 0, "request: not JSON at byte "},
        {"{" GOOD "} x", 0, "request: not JSON at byte "},
        {"{" GOOD "}{}", 0, "request: not JSON at byte "},
        {"{" GOOD ",}", 0, "request: not JSON at byte "},
        {"{'a':1}", 0, "request: not JSON at byte 2"},
        {"{\"users\":05}", 0, "request: not JSON at byte "},
        {"{\"users\":+5}", 0, "request: not JSON at byte "},
        {"{\"users\":NaN}", 0, "request: not JSON at byte "},
        {"{\"note\":\"a\nb\"}", 0, "request: not JSON at byte "},
        {"{\"note\":\"\\ud800\"}", 0, "request: not JSON at byte "},
        {"{\"note\":\"\\udc00x\"}", 0, "request: not JSON at byte "},
        {"{\"note\":\"\\ud800\\u0041\"}", 0, "request: not JSON at byte "},
        {"{\"a\\u0000b\":1}", 0, "request: not JSON at byte "},
        {"{\"note\":\"a\0b\"}", 14, "request: not JSON at byte "},
        {"\xEF\xBB\xBF{}", 0, "request: not JSON at byte "},
        {"{\"note\":\"\xFF\"}", 0, "request: not UTF-8 at byte 9 (0xFF)\n"},
        {"{\"note\":\"\xED\xA0\x80\"}", 0, "request: not UTF-8 at byte 9 (0xED)\n"},
        {"{\"note\":\"\xC0\x80\"}", 0, "request: not UTF-8 at byte 9 (0xC0)\n"},
        {"{\"note\":\"\xF0\x9F\x98", 0, "request: not UTF-8 at byte 9 (0xF0)\n"},
    };
    struct request r;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = cases[i].len ? cases[i].len : strlen(cases[i].raw);
        const char *faults = faults_of(cases[i].raw, len, &rules, &r);

        assert_has(faults, cases[i].fault, cases[i].raw);
        assert_int_equal(lines(faults), 1);
    }
}

static void test_size_and_depth(void **state)
{
    char *raw = mem_new(REQUEST_MAX_BYTES + 2, 1);
    struct request r;

    (void)state;
    memset(raw, ' ', REQUEST_MAX_BYTES + 1);
    memcpy(raw, "{" GOOD "}", strlen("{" GOOD "}"));
    assert_string_equal(faults_of(raw, REQUEST_MAX_BYTES, &rules, &r), "");
    assert_string_equal(faults_of(raw, REQUEST_MAX_BYTES + 1, &rules, &r),
                        "request: 16385 bytes long; at most 16384 are allowed\n");
    memset(raw, '[', REQUEST_MAX_BYTES);
    assert_has(faults_of(raw, REQUEST_MAX_BYTES, &rules, &r), "request: not JSON", "");
    for (size_t i = 0; i + 5 <= REQUEST_MAX_BYTES; i += 5)
        memcpy(raw + i, "{\"a\":", 5);
    assert_has(faults_of(raw, REQUEST_MAX_BYTES - 4, &rules, &r), "request: not", "");
    free(raw);
}

static void test_nested(void **state)
{
    struct request r;
    struct buf raw;

    (void)state;
    buf_init(&raw, REQUEST_MAX_BYTES);
    buf_adds(&raw, "{" GOOD ",\"x\":");
    for (int i = 0; i < 2000; i++)
        buf_adds(&raw, "[");
    for (int i = 0; i < 2000; i++)
        buf_adds(&raw, "]");
    buf_adds(&raw, "}");
    assert_has(faults_of(raw.data, raw.len, &rules, &r), "x: unknown field", "");
    buf_done(&raw);
}

/* No start of a good request is one. */
static void test_truncated(void **state)
{
    static const char raw[] = "{" GOOD ",\"note\":\"a\\u00e9\xC3\xA9\"}";
    struct request r;

    (void)state;
    for (size_t len = 0; len < sizeof raw - 1; len++)
        assert_int_equal(lines(faults_of(raw, len, &rules, &r)), 1);
    assert_string_equal(faults_of(raw, sizeof raw - 1, &rules, &r), "");
}

/* The count of faults does not hang on the room for them. */
static void test_small_fault_buffer(void **state)
{
    struct request r;
    struct buf faults;

    (void)state;
    buf_init(&faults, 4);
    assert_int_equal(request_parse("{}", 2, &rules, &r, &faults), -1);
    assert_true(faults.failed);
    buf_done(&faults);
}

static void test_resend(void **state)
{
    static const struct {
        const char *raw, *faults;
    } cases[] = {
        {"{\"resend\":\"" ID26 "\",\"requested_by\":\"jo\"}", ""},
        {"{\"resend\":\"" ID26 "\",\"requested_by\":\"jo\",\"v\":1}", ""},
        {"{\"resend\":\"" ID26 "\"}", "requested_by: required\n"},
        {"{\"resend\":\"\",\"requested_by\":\"jo\"}", "resend: required, but empty\n"},
        {"{\"resend\":5,\"requested_by\":\"jo\"}", "resend: must be a string\n"},
        {"{\"resend\":null,\"requested_by\":\"jo\"}", "resend: must be a string\n"},
        {"{\"resend\":\"short\",\"requested_by\":\"jo\"}",
         "resend: must be a job's id: 26 characters of 0-9 and a-z\n"},
        {"{\"resend\":\"0123456789ABCDEFGHIJKLMNOP\",\"requested_by\":\"jo\"}",
         "resend: must be a job's id: 26 characters of 0-9 and a-z\n"},
        {"{\"resend\":\"" ID26 "\",\"requested_by\":\"jo\",\"users\":5,\"email\":\"\"}",
         "email: not allowed beside resend\nusers: not allowed beside resend\n"},
        {"{\"resend\":\"" ID26 "\",\"resend\":\"" ID26 "\",\"requested_by\":\"jo\"}",
         "resend: given more than once\n"},
        {"{\"resend\":\"" ID26 "\",\"requested_by\":\"jo\",\"v\":2}",
         "v: this program knows version 1 only; got \"2\"\n"},
    };
    const struct request_rules strict = {.zendesk_url = "https://acme.zendesk.com",
                                         .scope_required = true};
    struct request r;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(faults_of(cases[i].raw, strlen(cases[i].raw), &strict, &r),
                            cases[i].faults);
    assert_string_equal(faults_in(cases[0].raw, &r), "");
    assert_string_equal(r.resend_of, ID26);
    assert_string_equal(r.requested_by, "jo");
    assert_string_equal(r.ticket_url, "");
}

static void test_scope_required(void **state)
{
    const struct request_rules strict = {.scope_required = true, .max_users = 100};
    static const char full[] =
        "{" GOOD ",\"plan\":\"premium\",\"license_expired_on\":\"2026-01-31\"}";
    static const char empty[] = "{" GOOD ",\"plan\":\"\",\"license_expired_on\":\"\"}";
    struct request r;

    (void)state;
    assert_string_equal(faults_of(full, strlen(full), &strict, &r), "");
    assert_string_equal(faults_of("{" GOOD "}", strlen("{" GOOD "}"), &strict, &r),
                        "plan: required\nlicense_expired_on: required\n");
    assert_string_equal(
        faults_of(empty, strlen(empty), &strict, &r),
        "plan: required, but empty\nlicense_expired_on: required, but empty\n");
}

/* Licence expired on 2026-01-31: grace ends 02-14, in scope 02-13 to 02-18. */
static void test_scope_window(void **state)
{
    static const struct {
        const char *today, *fault;
    } cases[] = {
        {"2026-01-20", "was not yet over on 2026-01-20"},
        {"2026-02-12", "was not yet over on 2026-02-12"},
        {"2026-02-13", NULL},
        {"2026-02-14", NULL},
        {"2026-02-15", NULL},
        {"2026-02-17", NULL},
        {"2026-02-18", NULL},
        {"2026-02-19", "ended on 2026-02-14, too long before 2026-02-19"},
        {"2027-02-14", "ended on 2026-02-14, too long before 2027-02-14"},
    };
    struct request r = {.plan = "premium", .license_expired_on = "2026-01-31"};
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int64_t late = 0; late < 2; late++) {
            int64_t day;
            int rc;

            assert_true(when_parse_date(cases[i].today, &day));
            err_clear(&e);
            rc = request_check_scope(&r, day * WHEN_DAY_MS + late * (WHEN_DAY_MS - 1),
                                     &e);
            assert_int_equal(rc, cases[i].fault ? -1 : 0);
            assert_int_equal(e.class, rc ? ERR_OUT_OF_SCOPE : ERR_NONE);
            if (rc) {
                assert_has(e.text, cases[i].fault, cases[i].today);
                assert_has(e.text, "the license expired on 2026-01-31", "");
                assert_true(strlen(e.text) < ERR_TEXT_MAX - 1);
            }
        }
    }
}

static void test_scope_plan(void **state)
{
    static const struct {
        const char *plan, *expired_on;
        bool in;
    } cases[] = {
        {"", "", true},
        {"premium", "", true},
        {"free", "", false},
        {"none", "", false},
        {"prospect", "", false},
        {"free", "2026-01-31", false},
        {"trial", "", true},
        {"trial", "2020-01-31", true},
        {"", "2020-01-31", false},
        {"ultimate", "2020-01-31", false},
    };
    struct request r;
    struct err e;
    int64_t day;

    (void)state;
    assert_true(when_parse_date("2026-02-15", &day));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        r = (struct request){0};
        memcpy(r.plan, cases[i].plan, strlen(cases[i].plan) + 1);
        memcpy(r.license_expired_on, cases[i].expired_on,
               strlen(cases[i].expired_on) + 1);
        assert_int_equal(request_check_scope(&r, day * WHEN_DAY_MS, &e),
                         cases[i].in ? 0 : -1);
        if (!cases[i].in)
            assert_int_equal(e.class, ERR_OUT_OF_SCOPE);
    }
    assert_string_equal(faults_with("\"plan\":\"FREE\"", &r), "");
    assert_int_equal(request_check_scope(&r, day * WHEN_DAY_MS, &e), -1);
    assert_has(e.text, "plan free: the organization has no paid plan", "");
    memcpy(r.resend_of, ID26, sizeof r.resend_of); /* its first request was checked */
    assert_int_equal(request_check_scope(&r, day * WHEN_DAY_MS, &e), 0);
}

static void assert_round_trip(const struct request *r)
{
    struct request back;
    struct buf json;
    struct err e = {0};

    buf_init(&json, 65536);
    request_encode(r, &json);
    assert_false(json.failed);
    assert_null(strchr(json.data, '\n'));
    assert_int_equal(request_decode(json.data, json.len, &back, &e), 0);
    assert_memory_equal(&back, r, sizeof back);
    buf_done(&json);
}

static void test_round_trip(void **state)
{
    struct request r;

    (void)state;
    assert_round_trip(&(struct request){0});
    (void)faults_in("{\"resend\":\"" ID26 "\",\"requested_by\":\"jo\"}", &r);
    assert_round_trip(&r);
    (void)faults_with("\"note\":\"a\\n\\\"\\\\</x>\\u00e9\\ud83d\\ude00\","
                      "\"plan\":\"Gold\",\"license_expired_on\":\"2026-01-31\","
                      "\"idempotency_key\":\"k\"",
                      &r);
    assert_string_equal(r.idempotency_key, "k");
    assert_round_trip(&r);
}

/* A random character that may stand in a note: all lengths in UTF-8, and what JSON and
 * Markdown have a meaning for. */
static size_t random_char(char *out)
{
    static const char *const some[] = {"\"",
                                       "\\",
                                       "\n",
                                       "\t",
                                       "`",
                                       "\xC3\xA9",
                                       "\xE2\x82\xAC",
                                       "\xF0\x9F\x98\x80",
                                       "<",
                                       "{{",
                                       "'",
                                       "\xEF\xBF\xBF",
                                       "/",
                                       "\xC2\xA0",
                                       "%s",
                                       "\xF4\x8F\xBF\xBF"};
    const char *s = some[randombytes_uniform(ARRAY_LEN(some))];

    memcpy(out, s, strlen(s));
    return strlen(s);
}

static void test_round_trip_random(void **state)
{
    (void)state;
    for (int n = 0; n < 2000; n++) {
        struct request r = {.ticket_id = (int64_t)randombytes_random() + 1,
                            .users = 1 + (int64_t)randombytes_uniform(1000000)};
        uint32_t chars = randombytes_uniform(250);
        size_t at = 0;

        for (uint32_t i = 0; i < chars; i++)
            at += random_char(r.note + at);
        memcpy(r.requested_by, r.note, at + 1);
        memcpy(r.email, "a@b.cd", 7);
        assert_round_trip(&r);
    }
}

static void test_decode_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "5",
        "{",
        "{\"ticket_id\":\"5\"}",
        "{\"ticket_id\":-5}",
        "{\"ticket_id\":1.5}",
        "{\"email\":5}",
        "{\"email\":null}",
        "{\"note\":\"a\\u0000b\"}",
        "{\"users\":1,\"users\":2}",
        "{\"license_expired_on\":\"2026-01-311\"}",
        "{\"resend\":\"" ID26 "x\"}",
    };
    struct request out;
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        err_clear(&e);
        out = (struct request){.users = 7};
        if (request_decode(bad[i], strlen(bad[i]), &out, &e) != -1)
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(e.class, ERR_BUG);
        assert_int_equal(out.users, 7);
    }
}

static void test_digests(void **state)
{
    char a[REQUEST_DIGEST_LEN + 1], b[REQUEST_DIGEST_LEN + 1];
    struct request base, r;

    (void)state;
    (void)faults_with("\"note\":\"n\",\"idempotency_key\":\"k1\"", &base);
    request_digest(&base, a);
    assert_int_equal(strlen(a), REQUEST_DIGEST_LEN);
    assert_int_equal(strspn(a, "0123456789abcdef"), REQUEST_DIGEST_LEN);

    (void)faults_with("\"idempotency_key\":\"k2\",\"note\":\"n\"", &r);
    request_digest(&r, b);
    assert_string_equal(a, b); /* neither the key nor the order counts */

#define CHANGED(statement)                                                             \
    do {                                                                               \
        r = base;                                                                      \
        statement;                                                                     \
        request_digest(&r, b);                                                         \
        assert_string_not_equal(a, b);                                                 \
    } while (0)
    CHANGED(r.ticket_id++);
    CHANGED(r.users++);
    CHANGED(r.email[0] = 'J');
    CHANGED(r.requested_by[0] = 'x');
    CHANGED(r.ticket_url[0] = '\0');
    CHANGED(r.note[0] = '\0');
    CHANGED(r.plan[0] = 'p');
    CHANGED(r.license_expired_on[0] = '2');
    CHANGED(r.resend_of[0] = '2');
    CHANGED((r.note[0] = '\0', r.plan[0] = 'n')); /* the same bytes, another field */
#undef CHANGED
}

static void test_same_key(void **state)
{
    char a[REQUEST_DIGEST_LEN + 1], b[REQUEST_DIGEST_LEN + 1];
    struct request r;

    (void)state;
    (void)faults_instead("email", "\"jane@EXAMPLE.com\"", &r);
    request_same_key(&r, a);
    (void)faults_with("\"note\":\"x\",\"plan\":\"y\"", &r);
    request_same_key(&r, b);
    assert_string_equal(a, b); /* only ticket, address and count */
    (void)faults_instead("email", "\"Jane@example.com\"", &r);
    request_same_key(&r, b);
    assert_string_not_equal(a, b); /* a local part is its server's business */
    (void)faults_instead("users", "51", &r);
    request_same_key(&r, b);
    assert_string_not_equal(a, b);
    (void)faults_instead("ticket_id", "12345", &r);
    request_same_key(&r, b);
    assert_string_not_equal(a, b);
}

static void test_text_key(void **state)
{
    char a[REQUEST_DIGEST_LEN + 1], b[REQUEST_DIGEST_LEN + 1];

    (void)state;
    request_text_key("", a);
    assert_int_equal(strlen(a), REQUEST_DIGEST_LEN);
    request_text_key("stopgap:{x}\r\n", a);
    request_text_key("stopgap:{x}\r\n", b);
    assert_string_equal(a, b);
    request_text_key("stopgap:{x}\r", b);
    assert_string_not_equal(a, b);
    /* durable: stands in key names, so it may not change between versions */
    request_text_key("abc", a);
    assert_string_equal(a, "e914c07e780a965b630be6a3977082d6");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_absent_optional),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_number_limits),
        cmocka_unit_test(test_type_confusion),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_requested_by),
        cmocka_unit_test(test_email),
        cmocka_unit_test(test_ticket_url),
        cmocka_unit_test(test_ticket_url_length),
        cmocka_unit_test(test_ticket_url_built),
        cmocka_unit_test(test_all_faults_at_once),
        cmocka_unit_test(test_doubled_keys),
        cmocka_unit_test(test_unknown_fields),
        cmocka_unit_test(test_faults_are_bounded),
        cmocka_unit_test(test_not_json),
        cmocka_unit_test(test_size_and_depth),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_small_fault_buffer),
        cmocka_unit_test(test_resend),
        cmocka_unit_test(test_scope_required),
        cmocka_unit_test(test_scope_window),
        cmocka_unit_test(test_scope_plan),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_round_trip_random),
        cmocka_unit_test(test_decode_refuses),
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_same_key),
        cmocka_unit_test(test_text_key),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
