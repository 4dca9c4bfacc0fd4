/* test_license_gitlab: GitLab license files: what stands in them, when they hold, and
 * the RSA keys that make them. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <sodium.h>

#include "license.h"
#include "license_fixture.h"
#include "license_gitlab.h"
#include "mail.h"
#include "mem.h"
#include "template.h"
#include "when.h"

#define MINUTE INT64_C(60000)
#define BEGIN "--------------------BEGIN GITLAB LICENSE--------------------\n"
#define END "---------------------END GITLAB LICENSE---------------------\n"
#define PASSPHRASE "hush, hush"
#ifndef LICENSES
#ifdef __SANITIZE_ADDRESS__
#define LICENSES 1000 /* all extremes; the plain build has the rest */
#else
#define LICENSES 10000
#endif
#endif

static char folder[64];
static char path[128], public_path[136], pass_path[136], other_path[136];
static struct rsa_key *inner; /* the same, for looking into licenses */
static EVP_PKEY *pkey;        /* the same, for other forms of it */

static const struct secret no_passphrase;

static struct rsa_numbers read_numbers(void)
{
    struct rsa_numbers n = {0};
    struct secret file = {0};
    struct err e;

    assert_int_equal(secret_read_file(&file, path, 16384, true, &e), 0);
    assert_int_equal(
        license_gitlab_pem_read(file.data, file.len, &no_passphrase, &n, &e), 0);
    secret_done(&file);
    return n;
}

/* One key for all tests: making it takes longer than they do. */
static int setup_keys(void **state)
{
    struct rsa_numbers n;
    struct err e;
    FILE *f;

    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/test-license-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/key", folder);
    (void)snprintf(public_path, sizeof public_path, "%s.pub", path);
    (void)snprintf(pass_path, sizeof pass_path, "%s/pass", folder);
    (void)snprintf(other_path, sizeof other_path, "%s/other", folder);
    put(pass_path, PASSPHRASE "\n", strlen(PASSPHRASE) + 1, 0600);
    if (license_keygen(path, "rsa", 2048, &e) != 0)
        return -1;
    key = load(path, NULL);
    n = read_numbers();
    inner = license_gitlab_key_new(&n, &e);
    f = fopen(path, "re");
    if (!f)
        return -1;
    pkey = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    (void)fclose(f);
    return inner && pkey ? 0 : -1;
}

static int teardown_keys(void **state)
{
    (void)state;
    license_key_free(key);
    license_gitlab_key_free(inner);
    EVP_PKEY_free(pkey);
    (void)unlink(path);
    (void)unlink(public_path);
    (void)unlink(pass_path);
    (void)unlink(other_path);
    return rmdir(folder);
}

static int setup(void **state)
{
    (void)state;
    begin_license();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_done(&text);
    return 0;
}

static void verify(struct license_claims *out)
{
    struct err e;

    if (license_verify(key, text.data, text.len, out, &e) != 0)
        fail_msg("%s", e.text);
}

/* ---- what stands in a license ---- */

static void test_key_says_what_it_is(void **state)
{
    (void)state;
    assert_string_equal(license_key_format(key), "gitlab");
    assert_string_equal(license_file_suffix("gitlab"), ".gitlab-license");
    assert_true(license_counts_days("gitlab"));
    assert_false(license_counts_days("stopgap"));
    assert_true(license_key_is_slow(key));
    assert_int_equal(license_key_least_days(key), 2);
    assert_memory_equal(license_key_id(key), "sha256:", 7);
    assert_int_equal(strlen(license_key_id(key)), 39);
}

static void test_claims(void **state)
{
    char date[WHEN_TEXT_MAX];

    (void)state;
    assert_int_equal(claims.issued_ms, INT64_C(1769860800000));
    when_format_iso(claims.starts_ms, date);
    assert_string_equal(date, "2026-01-30T00:00:00Z");
    when_format_iso(claims.expires_ms, date);
    assert_string_equal(date, "2026-02-10T00:00:00Z");
    assert_int_equal(license_time_state(&claims, claims.starts_ms - 1), -1);
    assert_int_equal(license_time_state(&claims, claims.starts_ms), 0);
    assert_int_equal(license_time_state(&claims, NOW), 0);
    assert_int_equal(license_time_state(&claims, claims.expires_ms - 1), 0);
    assert_int_equal(license_time_state(&claims, claims.expires_ms), 1);
}

/* The last instant of a day, and the first of the next. */
static void test_ends_of_days(void **state)
{
    static const struct term cases[] = {
        {"2027-01-31T23:59:59Z", "2027-01-30T00:00:00Z", "2027-02-10T00:00:00Z"},
        {"2027-02-01T00:00:00Z", "2027-01-31T00:00:00Z", "2027-02-11T00:00:00Z"},
        {"2027-04-30T23:59:59Z", "2027-04-29T00:00:00Z", "2027-05-10T00:00:00Z"},
        {"2027-05-01T00:00:00Z", "2027-04-30T00:00:00Z", "2027-05-11T00:00:00Z"},
        {"2027-02-28T23:59:59Z", "2027-02-27T00:00:00Z", "2027-03-10T00:00:00Z"},
        {"2027-03-01T00:00:00Z", "2027-02-28T00:00:00Z", "2027-03-11T00:00:00Z"},
        {"2028-02-28T23:59:59Z", "2028-02-27T00:00:00Z", "2028-03-09T00:00:00Z"},
        {"2028-02-29T00:00:00Z", "2028-02-28T00:00:00Z", "2028-03-10T00:00:00Z"},
        {"2028-02-29T23:59:59Z", "2028-02-28T00:00:00Z", "2028-03-10T00:00:00Z"},
        {"2028-03-01T00:00:00Z", "2028-02-29T00:00:00Z", "2028-03-11T00:00:00Z"},
        {"2028-02-19T23:59:59Z", "2028-02-18T00:00:00Z", "2028-02-29T00:00:00Z"},
        {"2028-02-20T00:00:00Z", "2028-02-19T00:00:00Z", "2028-03-01T00:00:00Z"},
        {"2028-12-31T23:59:59Z", "2028-12-30T00:00:00Z", "2029-01-10T00:00:00Z"},
        {"2029-01-01T00:00:00Z", "2028-12-31T00:00:00Z", "2029-01-11T00:00:00Z"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        has_term(&cases[i]);
}

static void test_round_trip(void **state)
{
    struct license_claims out;

    (void)state;
    sign();
    assert_string_equal(claims.key_id, license_key_id(key));
    verify(&out);
    assert_string_equal(out.id, ID);
    assert_string_equal(out.issuer, "stopgap");
    assert_string_equal(out.email, "jane@example.com");
    assert_int_equal(out.users, 25);
    assert_int_equal(out.ticket_id, 4711);
    assert_int_equal(out.issued_ms, claims.issued_ms);
    assert_int_equal(out.starts_ms, claims.starts_ms);
    assert_int_equal(out.expires_ms, claims.expires_ms);
    assert_string_equal(out.plan, "ultimate");
    assert_true(out.trial);
    assert_string_equal(out.key_id, license_key_id(key));
}

/* The AES key is another each time: whoever needs the same bytes keeps them. */
static void test_never_the_same_twice(void **state)
{
    char *first;

    (void)state;
    sign();
    first = buf_take(&text);
    buf_init(&text, LICENSE_TEXT_MAX);
    sign();
    assert_string_not_equal(text.data, first);
    free(first);
}

static void test_armour(void **state)
{
    size_t longest = 0;

    (void)state;
    sign();
    assert_memory_equal(text.data, BEGIN, strlen(BEGIN));
    assert_string_equal(text.data + text.len - strlen(END), END);
    for (const char *p = text.data, *end; *p; p = end + 1) {
        end = strchr(p, '\n');
        assert_non_null(end);
        if ((size_t)(end - p) > longest)
            longest = (size_t)(end - p);
    }
    assert_int_equal(longest, 60);
}

#define ATTRIBUTES(issued, expires, admins, users_at, end)                             \
    "{\"version\":1,\"licensee\":{\"Name\":\"Emergency license\","                     \
    "\"Company\":\"Emergency license\",\"Email\":\"jane@example.com\"}," issued        \
        expires admins users_at                                                        \
    "\"restrictions\":{\"active_user_count\":25,\"plan\":\"ultimate\","                \
    "\"trial\":true,\"stopgap_license_id\":\"" ID "\",\"stopgap_ticket\":4711,"        \
    "\"stopgap_issuer\":\"stopgap\","                                                  \
    "\"stopgap_signed_at\":\"2026-01-31T12:00:00Z\"}" end
#define ISSUED "\"issued_at\":\"2026-01-30\","
#define EXPIRES "\"expires_at\":\"2026-02-10\","
#define ADMINS "\"notify_admins_at\":\"2026-02-03\","
#define USERS_AT "\"notify_users_at\":\"2026-02-10\","
#define GOOD ATTRIBUTES(ISSUED, EXPIRES, ADMINS, USERS_AT, "}")

static void test_attributes_byte_for_byte(void **state)
{
    struct buf json;

    (void)state;
    buf_init(&json, LICENSE_TEXT_MAX);
    license_gitlab_json_write(&claims, &json);
    assert_string_equal(json.data, GOOD);
    buf_done(&json);
}

static void test_admins_are_told_early_but_not_before_the_start(void **state)
{
    struct buf json;

    (void)state;
    license_claims_make(&claims, key, ID, "s", "a@b.c", 1, 1, NOW, 3);
    buf_init(&json, LICENSE_TEXT_MAX);
    license_gitlab_json_write(&claims, &json);
    assert_non_null(strstr(json.data, "\"notify_admins_at\":\"2026-01-30\""));
    assert_non_null(strstr(json.data, "\"notify_users_at\":\"2026-02-03\""));
    buf_done(&json);
}

static void test_wrong_attributes(void **state)
{
    static const struct {
        const char *json, *words;
    } cases[] = {
        {"", "not a JSON object"},
        {"[]", "not a JSON object"},
        {"{}", "\"version\" is missing"},
        {ATTRIBUTES(ISSUED, "", ADMINS, USERS_AT, "}"), "\"expires_at\" is missing"},
        {ATTRIBUTES("", EXPIRES, ADMINS, USERS_AT, "}"), "\"issued_at\" is missing"},
        {ATTRIBUTES(ISSUED, EXPIRES, "", USERS_AT, "}"), "\"notify_admins_at\" is mis"},
        {ATTRIBUTES(ISSUED, "\"expires_at\":\"2026-02-30\",", ADMINS, USERS_AT, "}"),
         "\"expires_at\" does not read"},
        {ATTRIBUTES(ISSUED, "\"expires_at\":\"soon\",", ADMINS, USERS_AT, "}"),
         "\"expires_at\" does not read"},
        {ATTRIBUTES(ISSUED, "\"expires_at\":null,", ADMINS, USERS_AT, "}"),
         "\"expires_at\" does not read"},
        {ATTRIBUTES("\"issued_at\":1,", EXPIRES, ADMINS, USERS_AT, "}"),
         "\"issued_at\" does not read"},
        {ATTRIBUTES(ISSUED, EXPIRES, ADMINS, "\"notify_users_at\":\"2026-02-09\",",
                    "}"),
         "not what it has to be"},
        {ATTRIBUTES(ISSUED, EXPIRES, ADMINS, USERS_AT,
                    ",\"block_changes_at\":\"2026-02-24\"}"),
         "not what it has to be"},
        {ATTRIBUTES(ISSUED, EXPIRES, ADMINS, USERS_AT, ",\"version\":1}"), "duplicate"},
        {ATTRIBUTES(ISSUED, EXPIRES, ADMINS, USERS_AT, " }"), "not what it has to be"},
        {ATTRIBUTES(ISSUED, EXPIRES, ADMINS, USERS_AT, "}}"), "not a JSON object"},
    };
    struct license_claims out;
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *json = cases[i].json;

        err_clear(&e);
        if (license_gitlab_json_read(json, strlen(json), &out, &e) == 0)
            fail_msg("taken: %s", json);
        expect_words(&e, ERR_INVALID, cases[i].words);
    }
    assert_int_equal(license_gitlab_json_read(GOOD, strlen(GOOD), &out, &e), 0);
    assert_int_equal(out.users, 25);
}

static void test_sign_refuses_what_no_license_may_say(void **state)
{
    struct license_claims bad[7];
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        bad[i] = claims;
    bad[0].expires_ms += DAY;
    bad[1].expires_ms += 1;
    bad[2].expires_ms = bad[2].issued_ms;
    bad[3].starts_ms += DAY;
    bad[4].users = 1000001;
    bad[5].trial = false;
    bad[6].issued_ms = INT64_MAX - 1;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        err_clear(&e);
        if (license_sign(key, &bad[i], &text, &e) == 0)
            fail_msg("signed number %zu", i);
        expect_words(&e, ERR_BUG, "not signed: ");
        assert_int_equal(text.len, 0);
    }
}

static void test_longest_license_fits(void **state)
{
    struct license_claims out;

    (void)state;
    memset(claims.email, 'a', ADDRESS_MAX);
    claims.email[ADDRESS_MAX] = '\0';
    memset(claims.issuer, '"', sizeof claims.issuer - 1);
    claims.users = 1000000;
    claims.ticket_id = (INT64_C(1) << 53) - 1;
    sign();
    verify(&out);
    assert_string_equal(out.issuer, claims.issuer);
}

/* ---- altered licenses ---- */

static void test_every_bit_counts(void **state)
{
    struct license_claims out;
    struct err e;

    (void)state;
    sign();
    for (size_t i = strlen(BEGIN); i < text.len - strlen(END) - 1; i++) {
        char was = text.data[i];

        for (int bit = 0; was != '\n' && bit < 8; bit++) {
            text.data[i] = (char)(was ^ (1 << bit));
            if (license_verify(key, text.data, text.len, &out, &e) == 0)
                fail_msg("byte %zu may be changed", i);
            assert_int_equal(e.class, ERR_INVALID);
        }
        text.data[i] = was;
    }
    verify(&out);
}

static void test_cut_anywhere(void **state)
{
    struct license_claims out;
    struct err e;

    (void)state;
    sign();
    for (size_t len = 0; len < text.len - 1; len++)
        assert_int_equal(license_verify(key, text.data, len, &out, &e), -1);
    expect_invalid(BEGIN END, strlen(BEGIN END), "no GitLab license");
    expect_invalid(BEGIN "e30=\n" END, strlen(BEGIN "e30=\n" END), "no GitLab license");
}

static void test_other_key(void **state)
{
    struct license_key *other;
    struct license_claims out;
    struct err e;

    (void)state;
    sign();
    assert_int_equal(unlink(other_path) == 0 || access(other_path, F_OK) != 0, 1);
    assert_int_equal(license_keygen(other_path, "rsa", 2048, &e), 0);
    other = load(other_path, NULL);
    assert_int_equal(license_verify(other, text.data, text.len, &out, &e), -1);
    expect_words(&e, ERR_INVALID, "made with another key");
    expect_words(&e, ERR_INVALID, license_key_id(other));
    license_key_free(other);
    (void)snprintf(other_path + strlen(other_path), 5, ".pub");
    assert_int_equal(unlink(other_path), 0);
    other_path[strlen(other_path) - 4] = '\0';
}

/* What the envelope of the text in `text` holds under a name, decoded. */
static size_t member_of(const char *name, unsigned char *out, size_t size)
{
    char *b64 = mem_new(text.len, 1), *json = mem_new(text.len, 1), *at, mark[16];
    size_t n = 0;

    for (const char *p = text.data + strlen(BEGIN); *p != '-'; p++)
        if (*p != '\n')
            b64[strlen(b64)] = *p;
    assert_int_equal(sodium_base642bin((unsigned char *)json, text.len, b64,
                                       strlen(b64), NULL, &n, NULL,
                                       sodium_base64_VARIANT_ORIGINAL),
                     0);
    (void)snprintf(mark, sizeof mark, "\"%s\":\"", name);
    at = strstr(json, mark);
    assert_non_null(at);
    at += strlen(mark);
    assert_int_equal(sodium_base642bin(out, size, at, strcspn(at, "\""), NULL, &n, NULL,
                                       sodium_base64_VARIANT_ORIGINAL),
                     0);
    free(json);
    free(b64);
    return n;
}

/* docs/license.md says so, and this proves it: who has one license and the public key
 * can make another, without the private key. Only our own limits remain. */
static void test_what_is_not_protected(void **state)
{
    unsigned char signature[1024], iv[16], aes[16], data[4096];
    struct license_claims more = claims, out;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    struct buf json, envelope;
    int n = 0, rest = 0;
    size_t len;

    (void)state;
    sign();
    len = member_of("key", signature, sizeof signature);
    assert_int_equal(member_of("iv", iv, sizeof iv), 16);
    assert_true(license_gitlab_key_recover(inner, signature, len, aes));
    more.users = 1000000;
    buf_init(&json, LICENSE_TEXT_MAX);
    buf_init(&envelope, LICENSE_TEXT_MAX);
    license_gitlab_json_write(&more, &json);
    assert_int_equal(EVP_EncryptInit_ex2(ctx, EVP_aes_128_cbc(), aes, iv, NULL), 1);
    assert_int_equal(
        EVP_EncryptUpdate(ctx, data, &n, (unsigned char *)json.data, (int)json.len), 1);
    assert_int_equal(EVP_EncryptFinal_ex(ctx, data + n, &rest), 1);
    EVP_CIPHER_CTX_free(ctx);
    buf_adds(&envelope, "{\"data\":\"");
    buf_add_base64(&envelope, data, (size_t)(n + rest));
    buf_adds(&envelope, "\",\"key\":\"");
    buf_add_base64(&envelope, signature, len);
    buf_adds(&envelope, "\",\"iv\":\"");
    buf_add_base64(&envelope, iv, sizeof iv);
    buf_adds(&envelope, "\"}");
    buf_reset(&text);
    buf_adds(&text, BEGIN);
    buf_add_base64(&text, envelope.data, envelope.len);
    buf_adds(&text, "\n" END);
    verify(&out);
    assert_int_equal(out.users, 1000000);
    buf_done(&json);
    buf_done(&envelope);
}

/* ---- the days ---- */

/* Reckoned by the C library, which this project's own calendar does not use. */
static void long_date(int64_t ms, char out[static 64])
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;

    assert_non_null(gmtime_r(&t, &tm));
    assert_true(strftime(out, 64, "%A, %-d %B %Y", &tm) > 0);
}

static void iso_date(int64_t ms, char out[static 16])
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;

    assert_non_null(gmtime_r(&t, &tm));
    assert_int_equal(strftime(out, 16, "%Y-%m-%d", &tm), 10);
}

/* The mail's subject, unfolded, into out: a template puts all dates there. */
static void dates_of_mail(const struct templates *t, char *out, size_t size)
{
    struct mail m = {.job_id = "job1",
                     .from = "a@vendor.example",
                     .to = claims.email,
                     .date_ms = NOW,
                     .ticket_id = claims.ticket_id,
                     .users = claims.users,
                     .issued_ms = claims.issued_ms,
                     .expires_ms = claims.expires_ms,
                     .license = text.data,
                     .license_format = license_key_format(key),
                     .file_name = "ticket-1.gitlab-license"};
    struct buf mail;
    struct err e;
    char *at;
    size_t n = 0;

    buf_init(&mail, MAIL_MAX_BYTES);
    if (mail_build(&m, t, &mail, &e) != 0)
        fail_msg("%s", e.text);
    at = strstr(mail.data, "Subject: ");
    assert_non_null(at);
    for (at += 9; !(at[0] == '\r' && at[2] != ' '); at++)
        if (*at != '\r' && *at != '\n' && n + 1 < size)
            out[n++] = *at;
    out[n] = '\0';
    buf_done(&mail);
}

/* As GitLab's own code looks at it: dates as texts, today by the server's clock. */
static void expect_days(int64_t now_ms, int64_t term_days, const char *said)
{
    char issued[16], expires[16], today[16], wanted[256], first[64], last[64], end[64];
    struct license_claims out;

    verify(&out);
    iso_date(out.starts_ms, issued);
    iso_date(out.expires_ms, expires);
    iso_date(now_ms + term_days * DAY, today);
    assert_string_equal(expires, today); /* the term, and never later */
    for (int64_t offset = -12 * 60; offset <= 14 * 60; offset += 15) {
        int64_t last_minute = out.expires_ms - MINUTE; /* of the server's day */

        iso_date(now_ms + offset * MINUTE, today);
        if (strcmp(today, issued) < 0 || strcmp(today, expires) >= 0)
            fail_msg("at %lld, UTC%+lld min: %s to %s", (long long)now_ms,
                     (long long)offset, issued, expires);
        iso_date(last_minute, today); /* whatever its offset: the date is its own */
        assert_true(strcmp(today, expires) < 0);
    }
    long_date(now_ms - DAY, first);
    long_date(now_ms + (term_days - 1) * DAY, last);
    long_date(now_ms + term_days * DAY, end);
    (void)snprintf(wanted, sizeof wanted,
                   "%s; %s, 00:00 on your server's clock (the last full day is %s)",
                   first, end, last);
    assert_string_equal(said, wanted);
    assert_int_equal(license_time_state(&out, now_ms), 0);
    assert_int_equal(license_time_state(&out, out.expires_ms), 1);
}

/* The n-th moment of signing: the extremes first, then any. */
static int64_t moment(unsigned n)
{
    static const int64_t days[] = {
        20147, /* 2025-02-28, no leap year */
        21243, /* 2028-02-28 */
        21244, /* 2028-02-29 */
        21245, /* 2028-03-01 */
        47540, /* 2100-02-28, no leap year either */
        20818, /* 2026-12-31 */
        20819, /* 2027-01-01 */
        21549, /* 2028-12-31, end of a leap year */
        24855, /* 2038-01-19: the 32-bit second */
    };
    static const int64_t times[] = {0, 1000, DAY / 2, DAY - 1000, DAY - 1};
    unsigned extremes = ARRAY_LEN(days) * ARRAY_LEN(times) * 9;

    if (n < extremes)
        return days[n / 9 / ARRAY_LEN(times)] * DAY + times[n / 9 % ARRAY_LEN(times)];
    return (INT64_C(19723) + (int64_t)(n * 7919U % 40000U)) * DAY +
           (int64_t)(n * 104729U % 86400U) * 1000;
}

static void test_ten_thousand(void **state)
{
    static const int64_t users[] = {1, 2, 999, 50000, 999999, 1000000};
    static const char *const texts[TEMPLATE_COUNT] = {
        "{{start_date}}; {{end_date}}, {{end_time}}",
        "{{license}}{{end_date}}",
        "{{license}}{{end_date}}",
    };
    struct err e;
    struct templates *t = templates_parse(texts, &e);
    char said[256];

    (void)state;
    assert_non_null(t);
    for (unsigned n = 0; n < LICENSES; n++) {
        int64_t now_ms = moment(n), term_days = 2 + n % 9;

        license_claims_make(&claims, key, ID, "stopgap", "jane@example.com",
                            users[n % ARRAY_LEN(users)], 1 + n, now_ms, term_days);
        sign();
        dates_of_mail(t, said, sizeof said);
        expect_days(now_ms, term_days, said);
    }
    templates_free(t);
}

/* ---- keys ---- */

static void put_bio(BIO *bio)
{
    char *content;
    long len = BIO_get_mem_data(bio, &content);

    put(other_path, content, (size_t)len, 0600);
    BIO_free(bio);
}

static void expect_no_key(const char *passphrase_file, const char *words)
{
    struct err e;

    err_clear(&e);
    if (license_key_load(other_path, passphrase_file, &e))
        fail_msg("loaded; wanted: %s", words);
    expect_words(&e, ERR_CONFIG, words);
    assert_non_null(strstr(e.text, other_path));
}

static void expect_same_key(const char *passphrase_file)
{
    struct license_key *k = load(other_path, passphrase_file);

    assert_string_equal(license_key_id(k), license_key_id(key));
    license_key_free(k);
}

static void test_forms_of_a_key(void **state)
{
    BIO *bio = BIO_new(BIO_s_mem());

    (void)state;
    assert_int_equal(
        PEM_write_bio_PrivateKey_traditional(bio, pkey, NULL, NULL, 0, NULL, NULL), 1);
    put_bio(bio);
    expect_same_key(NULL);
    bio = BIO_new(BIO_s_mem());
    assert_int_equal(
        PEM_write_bio_PrivateKey_traditional(bio, pkey, EVP_aes_256_cbc(),
                                             (const unsigned char *)PASSPHRASE,
                                             (int)strlen(PASSPHRASE), NULL, NULL),
        1);
    put_bio(bio);
    expect_same_key(pass_path);
    expect_no_key(NULL, "STOPGAP_LICENSE_KEY_PASSPHRASE_FILE");
    bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, pkey, EVP_aes_256_cbc(),
                                                   PASSPHRASE, (int)strlen(PASSPHRASE),
                                                   NULL, NULL),
                     1);
    put_bio(bio);
    expect_same_key(pass_path);
    expect_no_key(NULL, "STOPGAP_LICENSE_KEY_PASSPHRASE_FILE");
}

static void test_wrong_passphrase(void **state)
{
    char wrong[144];
    BIO *bio;

    (void)state;
    (void)snprintf(wrong, sizeof wrong, "%s.wrong", pass_path);
    put(wrong, "hush\n", 5, 0600);
    bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, pkey, EVP_aes_128_cbc(),
                                                   PASSPHRASE, (int)strlen(PASSPHRASE),
                                                   NULL, NULL),
                     1);
    put_bio(bio);
    expect_no_key(wrong, "the passphrase is another one");
    bio = BIO_new(BIO_s_mem());
    assert_int_equal(
        PEM_write_bio_PrivateKey_traditional(bio, pkey, EVP_aes_256_cbc(),
                                             (const unsigned char *)PASSPHRASE,
                                             (int)strlen(PASSPHRASE), NULL, NULL),
        1);
    put_bio(bio);
    expect_no_key(wrong, "the passphrase is another one");
    put(wrong, "\n", 1, 0600);
    expect_no_key(wrong, "STOPGAP_LICENSE_KEY_PASSPHRASE_FILE");
    assert_int_equal(chmod(pass_path, 0640), 0);
    struct err e;
    assert_null(license_key_load(other_path, pass_path, &e));
    expect_words(&e, ERR_CONFIG, "chmod 600");
    assert_int_equal(chmod(pass_path, 0600), 0);
    assert_int_equal(unlink(wrong), 0);
}

static void test_passphrase_for_a_plain_key(void **state)
{
    struct err e;

    (void)state;
    assert_null(license_key_load(path, pass_path, &e));
    expect_words(&e, ERR_CONFIG, "is not encrypted");
}

static void test_keys_of_other_kinds(void **state)
{
    static const struct {
        const char *type, *words;
    } kinds[] = {{"EC", "an EC key"},
                 {"RSA-PSS", "an RSA-PSS key"},
                 {"ED25519", "an Ed25519 key in PEM"},
                 {"X25519", "an X25519 key"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        BIO *bio = BIO_new(BIO_s_mem());
        EVP_PKEY *k = NULL;
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kinds[i].type, NULL);

        assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
        if (i == 0)
            assert_int_equal(EVP_PKEY_CTX_set_group_name(ctx, "P-256"), 1);
        assert_int_equal(EVP_PKEY_generate(ctx, &k), 1);
        EVP_PKEY_CTX_free(ctx);
        assert_int_equal(
            PEM_write_bio_PKCS8PrivateKey(bio, k, NULL, NULL, 0, NULL, NULL), 1);
        EVP_PKEY_free(k);
        put_bio(bio);
        expect_no_key(NULL, kinds[i].words);
    }
}

static void test_small_key(void **state)
{
    EVP_PKEY *k = EVP_RSA_gen(1024);
    BIO *bio = BIO_new(BIO_s_mem());

    (void)state;
    assert_int_equal(PEM_write_bio_PrivateKey(bio, k, NULL, NULL, 0, NULL, NULL), 1);
    put_bio(bio);
    expect_no_key(NULL, "of 1024 bits; wanted: 2048 to 8192");
    bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, k), 1);
    put_bio(bio);
    expect_no_key(NULL, "holds a public key");
    EVP_PKEY_free(k);
}

static void test_damaged_files(void **state)
{
    struct secret whole = {0};
    struct err e;

    (void)state;
    assert_int_equal(secret_read_file(&whole, path, 16384, true, &e), 0);
    for (size_t len = 12; len < whole.len; len += 97) {
        struct license_key *k;

        put(other_path, whole.data, len, 0600);
        k = license_key_load(other_path, NULL, &e);
        assert_null(k);
        assert_int_equal(e.class, ERR_CONFIG);
    }
    secret_done(&whole);
    static const char *const damaged[] = {
        "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\n!\n-----END RSA PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nMAMCAQA=\n-----END RSA PRIVATE KEY-----\n"};
    for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
        put(other_path, damaged[i], strlen(damaged[i]), 0600);
        expect_no_key(NULL, "damaged");
    }
}

/* Numbers of the good key, one of them changed. */
static void expect_bad_numbers(enum rsa_number which, size_t byte, unsigned char mask,
                               const char *words)
{
    struct rsa_numbers n = read_numbers();
    char *copy = mem_dup(n.bytes.data, n.bytes.len);
    size_t at = byte;
    struct err e;

    for (unsigned i = 0; i < which; i++)
        at += n.len[i];
    copy[at] = (char)(copy[at] ^ mask);
    secret_set(&n.bytes, copy, n.bytes.len);
    err_clear(&e);
    assert_null(license_gitlab_key_new(&n, &e));
    expect_words(&e, ERR_CONFIG, words);
    free(copy);
}

static void test_numbers_that_do_not_fit(void **state)
{
    struct rsa_numbers n = read_numbers();
    char *copy = mem_dup(n.bytes.data, n.bytes.len);
    struct err e;

    (void)state;
    expect_bad_numbers(RSA_E, 0, 1, "bad public exponent");
    expect_bad_numbers(RSA_P, 3, 4, "do not belong together");
    expect_bad_numbers(RSA_Q, 0, 1, "do not belong together");
    expect_bad_numbers(RSA_N, 0, 1, "do not belong together");
    expect_bad_numbers(RSA_E, 0, 2, "do not belong together");
    /* e = 1: everybody's signature would be good. */
    copy[n.len[RSA_N]] = 1;
    memmove(copy + n.len[RSA_N] + 1, copy + n.len[RSA_N] + n.len[RSA_E],
            n.bytes.len - n.len[RSA_N] - n.len[RSA_E]);
    secret_set(&n.bytes, copy, n.bytes.len - n.len[RSA_E] + 1);
    n.len[RSA_E] = 1;
    assert_null(license_gitlab_key_new(&n, &e));
    expect_words(&e, ERR_CONFIG, "bad public exponent");
    free(copy);
}

static void test_public_key(void **state)
{
    struct license_key *k;
    struct license_claims out;
    struct err e;
    struct buf pem;

    (void)state;
    sign();
    k = license_key_load_public(public_path, &e);
    assert_non_null(k);
    assert_string_equal(license_key_id(k), license_key_id(key));
    assert_int_equal(license_verify(k, text.data, text.len, &out, &e), 0);
    buf_init(&pem, 4096);
    license_key_public_text(k, &pem);
    license_key_free(k);
    k = license_key_load_public(pem.data, &e); /* as text */
    assert_non_null(k);
    license_key_free(k);
    buf_done(&pem);
    assert_null(license_key_load_public(path, &e));
    expect_words(&e, ERR_CONFIG, "holds a secret key");
    assert_null(license_key_load(public_path, NULL, &e));
}

static void test_two_owners(void **state)
{
    struct license_key *k = load(path, NULL);

    (void)state;
    assert_ptr_equal(license_key_hold(k), k);
    license_key_free(k);
    assert_string_equal(license_key_id(k), license_key_id(key)); /* ASan's to see */
    license_key_free(k);
}

static void test_keygen(void **state)
{
    struct stat st;
    struct err e;

    (void)state;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(public_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    (void)unlink(other_path);
    assert_int_equal(license_keygen(other_path, "rsa", 1024, &e), -1);
    expect_words(&e, ERR_CONFIG, "2048, 3072 or 4096");
    assert_int_equal(access(other_path, F_OK), -1);
    assert_int_equal(license_keygen(path, "rsa", 2048, &e), -1);
    expect_words(&e, ERR_CONFIG, "is there already");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_key_says_what_it_is),
        T(test_claims),
        T(test_ends_of_days),
        T(test_round_trip),
        T(test_never_the_same_twice),
        T(test_armour),
        T(test_attributes_byte_for_byte),
        T(test_admins_are_told_early_but_not_before_the_start),
        T(test_wrong_attributes),
        T(test_sign_refuses_what_no_license_may_say),
        T(test_longest_license_fits),
        T(test_every_bit_counts),
        T(test_cut_anywhere),
        T(test_other_key),
        T(test_what_is_not_protected),
        T(test_ten_thousand),
        T(test_forms_of_a_key),
        T(test_wrong_passphrase),
        T(test_passphrase_for_a_plain_key),
        T(test_keys_of_other_kinds),
        T(test_small_key),
        T(test_damaged_files),
        T(test_numbers_that_do_not_fit),
        T(test_public_key),
        T(test_two_owners),
        T(test_keygen),
    };
#undef T

    return cmocka_run_group_tests(tests, setup_keys, teardown_keys);
}
