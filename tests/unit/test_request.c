/* Tests of request: the JSON around the fields, and all faults at once. */
#include "request_fixture.h"

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
        {"{\"users\":5\0}", 12, "request: not JSON at byte 10 (0x00)\n"},
        {"{\"users\":5}\0", 12, "request: not JSON at byte 11 (0x00)\n"},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_absent_optional),
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
