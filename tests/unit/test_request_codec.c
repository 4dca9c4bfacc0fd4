/* Tests of request_codec: a request's durable form and its digests. */
#include "request_fixture.h"

#include <sodium.h>

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
                                       "\xEF\xBF\xBD",
                                       "/",
                                       "\xC2\xA0",
                                       "%s",
                                       "\xF0\x90\x8D\x88"};
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
        memcpy(r.requested_by, "jo", 3);
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
        "{\"ticket_id\":-5}",
        "{\"ticket_id\":1.5}",
        "{\"email\":5}",
        "{\"email\":null}",
        "{\"note\":\"a\\u0000b\"}",
        "{\"users\":1,\"users\":2}",
        "{\"license_expired_on\":\"2026-01-311\"}",
        "{\"resend\":\"" ID26 "x\"}",
        /* What only whoever writes to Redis could have put there. */
        "{\"email\":\"a@b.cd\\r\\nRCPT TO:<x@y.zz>\"}",
        "{\"email\":\"a@b.cd, x@y.zz\"}",
        "{\"requested_by\":\"sam\\nBcc: x@y.zz\"}",
        "{\"ticket_url\":\"javascript:alert(1)\"}",
        "{\"ticket_url\":\"https://h/ \"}",
        "{\"users\":1000001}",
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
        cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_round_trip_random),
        cmocka_unit_test(test_decode_refuses), cmocka_unit_test(test_digests),
        cmocka_unit_test(test_same_key),       cmocka_unit_test(test_text_key),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
