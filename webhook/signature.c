/* signature: see signature.h. */
#include "signature.h"

#include <sodium.h>
#include <string.h>

#include "num.h"
#include "when.h"

#define MAC_BYTES crypto_auth_hmacsha256_BYTES
#define TEXT_SIZE sodium_base64_ENCODED_LEN(MAC_BYTES, sodium_base64_VARIANT_ORIGINAL)

/* The one value of a header that must be there once; NULL after a fault. */
static const char *need_one(const struct httpd_request *request, const char *name,
                            struct err *e)
{
    size_t count;
    const char *value = httpd_field(request, name, &count);

    if (count == 1)
        return value;
    (void)err_set(e, ERR_AUTH, 0, "%s: %s", name, count ? "given twice" : "missing");
    return NULL;
}

static void sign(const struct secret *secret, const char *timestamp,
                 const struct httpd_request *request, char out[static TEXT_SIZE])
{
    crypto_auth_hmacsha256_state state;
    unsigned char mac[MAC_BYTES];

    (void)crypto_auth_hmacsha256_init(&state, (const unsigned char *)secret->data,
                                      secret->len);
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)timestamp,
                                        strlen(timestamp));
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)request->body,
                                        request->body_len);
    (void)crypto_auth_hmacsha256_final(&state, mac);
    (void)sodium_bin2base64(out, TEXT_SIZE, mac, sizeof mac,
                            sodium_base64_VARIANT_ORIGINAL);
    sodium_memzero(&state, sizeof state);
}

/* Both are always tried, so that the time taken does not say which one holds. */
static bool is_signed(const struct httpd_request *request, const char *timestamp,
                      const char *signature,
                      const struct secret *const secrets[static SIGNATURE_KEYS])
{
    char expected[TEXT_SIZE];
    bool good = false;

    if (strlen(signature) != TEXT_SIZE - 1)
        return false;
    for (size_t i = 0; i < SIGNATURE_KEYS; i++) {
        if (!secrets[i]->len)
            continue;
        sign(secrets[i], timestamp, request, expected);
        good |= sodium_memcmp(signature, expected, TEXT_SIZE - 1) == 0;
    }
    sodium_memzero(expected, sizeof expected);
    return good;
}

static int check_time(const char *timestamp, int64_t max_skew_ms, int64_t now_ms,
                      struct err *e)
{
    char limit[24];
    int64_t at_ms;

    if (!when_parse_iso(timestamp, &at_ms))
        return err_set(e, ERR_AUTH, 0, "the timestamp is no time in UTC");
    if (at_ms >= now_ms - max_skew_ms && at_ms <= now_ms + max_skew_ms)
        return 0;
    num_format_duration(max_skew_ms, limit);
    return err_set(
        e, ERR_AUTH, 0,
        "signed %lld s %s; at most %s is allowed (STOPGAP_WEBHOOK_MAX_SKEW)",
        (long long)((at_ms < now_ms ? now_ms - at_ms : at_ms - now_ms) / 1000),
        at_ms < now_ms ? "ago" : "in the future", limit);
}

int signature_check(const struct httpd_request *request,
                    const struct secret *const secrets[static SIGNATURE_KEYS],
                    int64_t max_skew_ms, int64_t now_ms, struct err *e)
{
    const char *signature = need_one(request, SIGNATURE_HEADER, e);
    const char *timestamp;

    if (!signature)
        return -1;
    timestamp = need_one(request, SIGNATURE_HEADER "-timestamp", e);
    if (!timestamp)
        return -1;
    if (!is_signed(request, timestamp, signature, secrets))
        return err_set(e, ERR_AUTH, 0, "the signature does not hold");
    return check_time(timestamp, max_skew_ms, now_ms, e);
}
