/* test_signature: whose deliveries are taken. The vectors were made by other programs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "mem.h"
#include "signature.h"
#include "when.h"

#define SECRET "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="
#define TIME "2026-01-02T03:04:05Z"
#define BODY "{\"ticket_id\":\"42\",\"email\":\"jane@example.com\",\"users\":\"30\"}"
#define SIGNED "g1n/RFdkPDM42iuOZvq/BLcPv7D2w2nae7YDhdwFlwY="
#define HOUR INT64_C(3600000)

static struct secret first, second;

static int64_t at(const char *text)
{
    int64_t ms;

    assert_true(when_parse_iso(text, &ms));
    return ms;
}

static int check_fields(const struct httpd_field *fields, size_t count,
                        const char *body, size_t len, int64_t now_ms, struct err *e)
{
    const struct secret *secrets[] = {&first, &second};
    const struct httpd_request request = {.method = "POST",
                                          .path = "/zendesk",
                                          .query = "",
                                          .fields = fields,
                                          .field_count = count,
                                          .body = body,
                                          .body_len = len};

    return signature_check(&request, secrets, HOUR, now_ms, e);
}

static int check(const char *time, const char *body, const char *signature,
                 int64_t now_ms, struct err *e)
{
    const struct httpd_field fields[] = {
        {"Host", "hooks.example.com"},
        {"X-Zendesk-Webhook-Signature", signature},
        {"X-Zendesk-Webhook-Signature-Timestamp", time}};

    return check_fields(fields, ARRAY_LEN(fields), body, strlen(body), now_ms, e);
}

/* Made in one piece, over what the caller has put together. */
static void make(const char *key, const void *message, size_t len, char out[static 64])
{
    crypto_auth_hmacsha256_state state;
    unsigned char mac[crypto_auth_hmacsha256_BYTES];

    (void)crypto_auth_hmacsha256_init(&state, (const unsigned char *)key, strlen(key));
    (void)crypto_auth_hmacsha256_update(&state, message, len);
    (void)crypto_auth_hmacsha256_final(&state, mac);
    (void)sodium_bin2base64(out, 64, mac, sizeof mac, sodium_base64_VARIANT_ORIGINAL);
}

static int setup(void **state)
{
    (void)state;
    secret_set(&first, SECRET, strlen(SECRET));
    secret_done(&second);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    secret_done(&first);
    secret_done(&second);
    return 0;
}

static void test_vectors(void **state)
{
    struct err e;

    (void)state;
    assert_int_equal(check(TIME, BODY, SIGNED, at(TIME), &e), 0);
    assert_int_equal(
        check(TIME, "", "1xsiPKGHFyXedEmvxNaOg4VQ2U4XjHcPMETpJymjCkg=", at(TIME), &e),
        0);
}

/* Over body and timestamp, as an old page of Zendesk's had it. */
static void test_old_order_is_refused(void **state)
{
    static const char secret[] = "HRkRd4BeOAoUkfZr-mhauJT64rvBASlJRoIyPsd3zeA=";
    struct err e;

    (void)state;
    secret_set(&first, secret, strlen(secret));
    assert_int_equal(check("2021-07-25T10:00:00Z", "{\"say\": \"hello\"}",
                           "tRDSF7URY8BLCDlaBcQ7FHu051Zk+aAB0NKMP53teMw=",
                           at("2021-07-25T10:00:00Z"), &e),
                     -1);
    assert_string_equal(e.text, "the signature does not hold");
}

static void test_every_changed_bit(void **state)
{
    char time[] = TIME, body[] = BODY, signature[] = SIGNED;
    struct {
        char *text;
        size_t len;
    } parts[] = {
        {time, strlen(time)}, {body, strlen(body)}, {signature, strlen(SIGNED)}};
    struct httpd_field fields[] = {{"x-zendesk-webhook-signature", signature},
                                   {"x-zendesk-webhook-signature-timestamp", time}};
    struct err e;

    (void)state;
    for (size_t part = 0; part < ARRAY_LEN(parts); part++)
        for (size_t bit = 0; bit < parts[part].len * 8; bit++) {
            char *byte = &parts[part].text[bit / 8];
            char was = *byte;

            *byte = (char)(*byte ^ 1 << bit % 8);
            assert_int_equal(check_fields(fields, 2, body, strlen(BODY), at(TIME), &e),
                             -1);
            assert_int_equal(e.class, ERR_AUTH);
            *byte = was;
        }
    assert_int_equal(check_fields(fields, 2, body, strlen(BODY), at(TIME), &e), 0);
}

/* A body is signed as it is, NULs and all; a byte more or less is another one. */
static void test_whole_body(void **state)
{
    static const char message[] = TIME "{\0\xFF}";
    const char *body = message + strlen(TIME);
    char text[64];
    const struct httpd_field made[] = {{"x-zendesk-webhook-signature", text},
                                       {"x-zendesk-webhook-signature-timestamp", TIME}};
    struct err e;

    (void)state;
    make(SECRET, message, sizeof message - 1, text);
    assert_int_equal(check_fields(made, 2, body, 4, at(TIME), &e), 0);
    assert_int_equal(check_fields(made, 2, body, 3, at(TIME), &e), -1);
    assert_int_equal(check_fields(made, 2, body, 5, at(TIME), &e), -1);
}

static void test_headers(void **state)
{
    const struct httpd_field fields[] = {
        {"x-zendesk-webhook-signature-timestamp", TIME},
        {"x-zendesk-webhook-signature", SIGNED},
        {"x-zendesk-webhook-signature-timestamp", TIME}};
    const struct httpd_field twice[] = {{"x-zendesk-webhook-signature", SIGNED},
                                        {"X-ZENDESK-WEBHOOK-SIGNATURE", SIGNED},
                                        fields[0]};
    size_t len = strlen(BODY);
    struct err e;

    (void)state;
    assert_int_equal(check_fields(fields, 2, BODY, len, at(TIME), &e), 0);
    assert_int_equal(check_fields(fields, 1, BODY, len, at(TIME), &e), -1);
    assert_string_equal(e.text, "x-zendesk-webhook-signature: missing");
    assert_int_equal(check_fields(fields + 1, 1, BODY, len, at(TIME), &e), -1);
    assert_string_equal(e.text, "x-zendesk-webhook-signature-timestamp: missing");
    assert_int_equal(check_fields(fields, 3, BODY, len, at(TIME), &e), -1);
    assert_string_equal(e.text, "x-zendesk-webhook-signature-timestamp: given twice");
    assert_int_equal(check_fields(twice, 3, BODY, len, at(TIME), &e), -1);
    assert_string_equal(e.text, "x-zendesk-webhook-signature: given twice");
}

static void test_signature_texts(void **state)
{
    static const char *const bad[] = {
        "",
        "g1n/RFdkPDM42iuOZvq/BLcPv7D2w2nae7YDhdwFlwY",  /* no padding */
        "g1n_RFdkPDM42iuOZvq_BLcPv7D2w2nae7YDhdwFlwY=", /* the other alphabet */
        "g1n/RFdkPDM42iuOZvq/BLcPv7D2w2nae7YDhdwFlwZ=", /* the same bytes, unused bits
                                                         */
        SIGNED "=",
        SIGNED " ",
        SIGNED "," SIGNED,
        "8359ff4457643c3338da2b8e66fabf04b70fbfb0f6c369da7bb60385dc059706"};
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(check(TIME, BODY, bad[i], at(TIME), &e), -1);
        assert_string_equal(e.text, "the signature does not hold");
    }
}

static void test_two_secrets(void **state)
{
    static const char other[] = "another secret of 24 byt";
    struct err e;

    (void)state;
    secret_set(&second, other, strlen(other));
    assert_int_equal(check(TIME, BODY, SIGNED, at(TIME), &e), 0);
    secret_set(&first, other, strlen(other));
    assert_int_equal(check(TIME, BODY, SIGNED, at(TIME), &e), -1);
    secret_set(&second, SECRET, strlen(SECRET));
    assert_int_equal(check(TIME, BODY, SIGNED, at(TIME), &e), 0);
    secret_done(&second);
    assert_int_equal(check(TIME, BODY, SIGNED, at(TIME), &e), -1);
}

/* What an empty key signs is not taken, since a setting that is not set is no key. */
static void test_no_secret(void **state)
{
    char text[64];
    struct err e;

    (void)state;
    make("", TIME BODY, strlen(TIME BODY), text);
    secret_done(&first);
    assert_int_equal(check(TIME, BODY, text, at(TIME), &e), -1);
    assert_string_equal(e.text, "the signature does not hold");
}

static void test_skew(void **state)
{
    struct err e;

    (void)state;
    assert_int_equal(check(TIME, BODY, SIGNED, at(TIME) + HOUR, &e), 0);
    assert_int_equal(check(TIME, BODY, SIGNED, at(TIME) - HOUR, &e), 0);
    assert_int_equal(check(TIME, BODY, SIGNED, at(TIME) + HOUR + 1, &e), -1);
    assert_string_equal(e.text, "signed 3600 s ago; at most 1h is allowed "
                                "(STOPGAP_WEBHOOK_MAX_SKEW)");
    assert_int_equal(check(TIME, BODY, SIGNED, at(TIME) - HOUR - 1000, &e), -1);
    assert_string_equal(e.text, "signed 3601 s in the future; at most 1h is allowed "
                                "(STOPGAP_WEBHOOK_MAX_SKEW)");
}

/* Signed rightly, but over a text that is no time. */
static void test_time_texts(void **state)
{
    static const char *const bad[] = {"",
                                      "1767323045",
                                      "2026-01-02 03:04:05Z",
                                      "2026-01-02T03:04:05",
                                      "2026-02-30T03:04:05Z",
                                      "2026-01-02T03:04:05+01:00",
                                      "2026-01-02T03:04:05Zx"};
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char message[256], text[64];

        (void)snprintf(message, sizeof message, "%s" BODY, bad[i]);
        make(SECRET, message, strlen(message), text);
        assert_int_equal(check(bad[i], BODY, text, at(TIME), &e), -1);
        assert_string_equal(e.text, "the timestamp is no time in UTC");
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_vectors),
        T(test_old_order_is_refused),
        T(test_every_changed_bit),
        T(test_whole_body),
        T(test_headers),
        T(test_signature_texts),
        T(test_two_secrets),
        T(test_no_secret),
        T(test_skew),
        T(test_time_texts),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
