/* Tests of request_fields: the rule of each field. */
#include "request_fixture.h"

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

static const struct {
    const char *url, *fault;
    bool any_host;
} urls[] = {
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

static void test_ticket_url(void **state)
{
    struct request r;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        char raw[512];
        const char *faults;

        (void)snprintf(raw, sizeof raw, "{" GOOD ",\"ticket_url\":\"%s\"}",
                       urls[i].url);
        faults = faults_of(raw, strlen(raw), urls[i].any_host ? &no_rules : &rules, &r);
        assert_has(faults, urls[i].fault ? urls[i].fault : "", raw);
        if (lines(faults) != (urls[i].fault != NULL))
            fail_msg("%s: %s", raw, faults);
        if (urls[i].fault)
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_number_limits),
        cmocka_unit_test(test_type_confusion),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_requested_by),
        cmocka_unit_test(test_email),
        cmocka_unit_test(test_ticket_url),
        cmocka_unit_test(test_ticket_url_length),
        cmocka_unit_test(test_ticket_url_built),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
