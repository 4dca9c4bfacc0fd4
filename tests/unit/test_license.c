/* test_license: signing, reading back, refusing; and key files. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "license.h"
#include "license_fixture.h"
#include "mem.h"
#include "paseto.h"
#include "secret.h"
#include "when.h"

/* A published test vector of PASERK, so that every run makes the same license. */
#define SECRET                                                                         \
    "k4.secret.cHFyc3R1dnd4eXp7fH1-f4CBgoOEhYaHiImKi4yNjo8c5WpIyC_5kWKhS8VEYSZ05dYfuT" \
    "F-ZdQFV4D9vLTcNQ"
#define PUBLIC "k4.public.HOVqSMgv-ZFioUvFRGEmdOXWH7kxfmXUBVeA_by03DU"
#define OTHER_PUBLIC "k4.public.YP43Vxpdbn0wsVFUzkqfuSxwyHCEj0zN8WJliAl_c_c"
#define BEGIN "-----BEGIN STOPGAP LICENSE-----\n"
#define END "-----END STOPGAP LICENSE-----\n"

static char folder[64];
static char path[128];
static char public_path[136];

/* Every test starts with a key, claims and nothing signed. */
static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/test-license-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/key", folder);
    (void)snprintf(public_path, sizeof public_path, "%s.pub", path);
    put(path, SECRET "\n", strlen(SECRET "\n"), 0600);
    key = load(path, NULL);
    begin_license();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    license_key_free(key);
    buf_done(&text);
    (void)unlink(path);
    (void)unlink(public_path);
    return rmdir(folder);
}

static void expect_valid(const char *license, size_t len)
{
    struct license_claims out;
    struct err e;

    if (license_verify(key, license, len, &out, &e) != 0)
        fail_msg("%s", e.text);
    assert_string_equal(out.id, claims.id);
    assert_string_equal(out.issuer, claims.issuer);
    assert_string_equal(out.email, claims.email);
    assert_int_equal(out.users, claims.users);
    assert_int_equal(out.ticket_id, claims.ticket_id);
    assert_int_equal(out.issued_ms, claims.issued_ms);
    assert_int_equal(out.starts_ms, claims.starts_ms);
    assert_int_equal(out.expires_ms, claims.expires_ms);
    assert_string_equal(out.plan, "ultimate");
    assert_true(out.trial);
    assert_string_equal(out.key_id, license_key_id(key));
}

/* A license with any payload and footer, properly signed with the test's key. */
static void forge(const char *payload, const char *footer)
{
    unsigned char secret[PASETO_SECRET_LEN];
    const struct buf nothing = {0};
    struct buf p, f;

    assert_true(paseto_read_secret(SECRET, strlen(SECRET), secret));
    buf_init(&p, 65536);
    buf_init(&f, 1024);
    buf_adds(&p, payload);
    buf_adds(&f, footer);
    buf_done(&text);
    buf_init(&text, 65536);
    buf_adds(&text, BEGIN);
    paseto_sign(secret, &p, &f, &nothing, &text);
    buf_adds(&text, "\n" END);
    buf_done(&p);
    buf_done(&f);
}

static void own_footer(char out[static 128])
{
    (void)snprintf(out, 128, "{\"kid\":\"%s\"}", license_key_id(key));
}

static void test_claims(void **state)
{
    (void)state;
    assert_int_equal(claims.issued_ms, INT64_C(1769860800000));
    assert_int_equal(claims.starts_ms, claims.issued_ms - 300000);
    assert_int_equal(claims.expires_ms, claims.issued_ms + 10 * DAY);
    assert_string_equal(claims.plan, "ultimate");
    assert_true(claims.trial);
    license_claims_make(&claims, key, ID, "i", "a@b.c", 1, 1, NOW, 1);
    assert_int_equal(claims.expires_ms, claims.issued_ms + DAY);
}

static void test_time_state(void **state)
{
    (void)state;
    assert_int_equal(license_time_state(&claims, claims.starts_ms - 1), -1);
    assert_int_equal(license_time_state(&claims, claims.starts_ms), 0);
    assert_int_equal(license_time_state(&claims, claims.expires_ms - 1), 0);
    assert_int_equal(license_time_state(&claims, claims.expires_ms), 1);
}

/* The last instant of a day, and the first of the next. */
static void test_ends_of_days(void **state)
{
    static const struct term cases[] = {
        {"2027-01-31T23:59:59Z", "2027-01-31T23:54:59Z", "2027-02-10T23:59:59Z"},
        {"2027-02-01T00:00:00Z", "2027-01-31T23:55:00Z", "2027-02-11T00:00:00Z"},
        {"2027-04-30T23:59:59Z", "2027-04-30T23:54:59Z", "2027-05-10T23:59:59Z"},
        {"2027-05-01T00:00:00Z", "2027-04-30T23:55:00Z", "2027-05-11T00:00:00Z"},
        {"2027-02-28T23:59:59Z", "2027-02-28T23:54:59Z", "2027-03-10T23:59:59Z"},
        {"2027-03-01T00:00:00Z", "2027-02-28T23:55:00Z", "2027-03-11T00:00:00Z"},
        {"2028-02-28T23:59:59Z", "2028-02-28T23:54:59Z", "2028-03-09T23:59:59Z"},
        {"2028-02-29T00:00:00Z", "2028-02-28T23:55:00Z", "2028-03-10T00:00:00Z"},
        {"2028-02-29T23:59:59Z", "2028-02-29T23:54:59Z", "2028-03-10T23:59:59Z"},
        {"2028-03-01T00:00:00Z", "2028-02-29T23:55:00Z", "2028-03-11T00:00:00Z"},
        {"2028-02-19T23:59:59Z", "2028-02-19T23:54:59Z", "2028-02-29T23:59:59Z"},
        {"2028-02-20T00:00:00Z", "2028-02-19T23:55:00Z", "2028-03-01T00:00:00Z"},
        {"2028-12-31T23:59:59Z", "2028-12-31T23:54:59Z", "2029-01-10T23:59:59Z"},
        {"2029-01-01T00:00:00Z", "2028-12-31T23:55:00Z", "2029-01-11T00:00:00Z"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        has_term(&cases[i]);
}

static void test_key_says_what_it_is(void **state)
{
    struct buf b;

    (void)state;
    assert_string_equal(license_key_format(key), "stopgap");
    assert_string_equal(license_file_suffix("stopgap"), ".license");
    assert_memory_equal(license_key_id(key), "k4.pid.", 7);
    assert_int_equal(strlen(license_key_id(key)), 51);
    buf_init(&b, 200);
    license_key_public_text(key, &b);
    assert_string_equal(b.data, PUBLIC "\n");
    buf_done(&b);
}

static void test_round_trip(void **state)
{
    (void)state;
    sign();
    assert_string_equal(claims.key_id, license_key_id(key));
    expect_valid(text.data, text.len);
}

/* A change of one byte of the format must be noticed here: licenses are out there. */
static void test_payload_is_byte_for_byte(void **state)
{
    static const char want[] =
        "{\"iss\":\"stopgap\",\"sub\":\"jane@example.com\",\"aud\":\"self-managed\","
        "\"jti\":\"" ID "\",\"iat\":\"2026-01-31T12:00:00Z\","
        "\"nbf\":\"2026-01-31T11:55:00Z\",\"exp\":\"2026-02-10T12:00:00Z\","
        "\"plan\":\"ultimate\",\"trial\":true,\"users\":25,\"ticket\":4711}";
    char footer[128];
    char *signed_text, *one_line, *to;

    (void)state;
    sign();
    signed_text = buf_take(&text);
    own_footer(footer);
    forge(want, footer); /* Ed25519 is deterministic: the same bytes must come out */
    one_line = mem_new(strlen(signed_text) + 1, 1);
    to = one_line;
    for (const char *p = signed_text + strlen(BEGIN); *p; p++)
        if (*p != '\n')
            *to++ = *p;
    assert_memory_equal(text.data + strlen(BEGIN), one_line,
                        text.len - strlen(BEGIN "\n" END));
    free(one_line);
    free(signed_text);
}

static void test_armour(void **state)
{
    char *end;
    size_t longest = 0;

    (void)state;
    sign();
    assert_memory_equal(text.data, BEGIN, strlen(BEGIN));
    assert_string_equal(text.data + text.len - strlen(END), END);
    for (char *p = text.data; *p; p = end + 1) {
        end = strchr(p, '\n');
        assert_non_null(end);
        if ((size_t)(end - p) > longest)
            longest = (size_t)(end - p);
        for (; p < end; p++)
            assert_true(*p > ' ' - 1 && *p < 127);
    }
    assert_int_equal(longest, 64);
}

static void test_deterministic(void **state)
{
    char *first;

    (void)state;
    sign();
    first = buf_take(&text);
    buf_init(&text, LICENSE_TEXT_MAX);
    sign();
    assert_string_equal(text.data, first);
    free(first);
}

static void test_sign_appends_or_leaves_alone(void **state)
{
    struct license_claims bad = claims;
    struct buf small;
    struct err e;

    (void)state;
    buf_init(&small, 100);
    buf_adds(&small, "before");
    assert_int_equal(license_sign(key, &claims, &small, &e), -1);
    expect_words(&e, ERR_BUG, "does not fit");
    assert_string_equal(small.data, "before");
    assert_false(small.failed);
    buf_done(&small);
    buf_adds(&text, "before\n");
    bad.users = 0;
    assert_int_equal(license_sign(key, &bad, &text, &e), -1);
    assert_string_equal(text.data, "before\n");
    assert_string_equal(bad.key_id, "");
    assert_int_equal(license_sign(key, &claims, &text, &e), 0);
    expect_valid(text.data, text.len);
}

/* Whatever the caller asks for: no license is signed that breaks a rule. */
static void test_sign_refuses_what_no_license_may_say(void **state)
{
    struct license_claims bad[13];
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        bad[i] = claims;
    bad[0].expires_ms += 1;
    bad[1].expires_ms += DAY;
    bad[2].expires_ms = bad[2].issued_ms;
    bad[3].starts_ms -= 1000;
    bad[4].issued_ms += 1;
    bad[5].users = 1000001;
    bad[6].ticket_id = 0;
    bad[7].ticket_id = (INT64_C(1) << 53);
    bad[8].trial = false;
    (void)snprintf(bad[9].plan, sizeof bad[9].plan, "premium");
    (void)snprintf(bad[10].email, sizeof bad[10].email, "a@b.c\nBcc: d@e.f");
    bad[11].issuer[0] = '\0';
    bad[12].id[25] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        err_clear(&e);
        if (license_sign(key, &bad[i], &text, &e) == 0)
            fail_msg("signed number %zu", i);
        expect_words(&e, ERR_BUG, "not signed: ");
        assert_int_equal(text.len, 0);
    }
}

static void test_issuer_is_escaped(void **state)
{
    (void)state;
    (void)snprintf(claims.issuer, sizeof claims.issuer,
                   "A \"B\" \\ \xc3\xa4 </script>,\"users\":9");
    sign();
    expect_valid(text.data, text.len);
}

static void test_issuer_that_is_no_utf8(void **state)
{
    struct err e;

    (void)state;
    (void)snprintf(claims.issuer, sizeof claims.issuer, "a\xff");
    assert_int_equal(license_sign(key, &claims, &text, &e), -1);
    expect_words(&e, ERR_BUG, "does not read back");
    assert_int_equal(text.len, 0);
}

static void test_longest_license_fits(void **state)
{
    (void)state;
    memset(claims.email, 'a', ADDRESS_MAX);
    claims.email[ADDRESS_MAX] = '\0';
    memset(claims.issuer, '"', sizeof claims.issuer - 1);
    claims.users = 1000000;
    claims.ticket_id = (INT64_C(1) << 53) - 1;
    sign();
    expect_valid(text.data, text.len);
}

static void test_text_around_and_other_line_ends(void **state)
{
    struct buf b;

    (void)state;
    sign();
    buf_init(&b, 2 * LICENSE_TEXT_MAX);
    buf_adds(&b, "Dear customer,\r\n-----BEGIN something else-----\r\n\r\n  ");
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\n')
            buf_adds(&b, " \r");
        buf_addc(&b, text.data[i]);
    }
    expect_valid(b.data, b.len - 3); /* no end of line after END */
    buf_adds(&b, "Regards\n" BEGIN "a second one is not looked at\n");
    expect_valid(b.data, b.len);
    buf_done(&b);
}

static void test_no_license(void **state)
{
    static const char *const none[] = {"",
                                       "\n",
                                       "hello",
                                       "-----BEGIN STOPGAP LICENSE----\n",
                                       "> -----BEGIN STOPGAP LICENSE-----\n",
                                       "-----END STOPGAP LICENSE-----\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        expect_invalid(none[i], strlen(none[i]), "no license found");
    expect_invalid(BEGIN, strlen(BEGIN), "is cut");
    expect_invalid(BEGIN "x", strlen(BEGIN "x"), "is cut");
    expect_invalid(BEGIN END, strlen(BEGIN END), "no v4.public token");
    expect_invalid(BEGIN "v4.public.!\n" END, strlen(BEGIN "v4.public.!\n" END),
                   "no v4.public token");
}

static void test_cut_anywhere(void **state)
{
    (void)state;
    sign();
    for (size_t len = 0; len < text.len - 1; len++) {
        struct license_claims out;
        struct err e;
        char *copy = mem_new(len, 1); /* its own block: ASan sees a read past it */

        memcpy(copy, text.data, len);
        assert_int_equal(license_verify(key, copy, len, &out, &e), -1);
        assert_int_equal(e.class, ERR_INVALID);
        free(copy);
    }
}

static void test_every_bit_counts(void **state)
{
    struct license_claims out;
    struct err e;

    (void)state;
    sign();
    for (size_t i = strlen(BEGIN); i < text.len - strlen(END) - 1; i++) {
        char was = text.data[i];

        if (was == '\n')
            continue;
        for (int bit = 0; bit < 8; bit++) {
            text.data[i] = (char)(was ^ (1 << bit));
            if (license_verify(key, text.data, text.len, &out, &e) == 0)
                fail_msg("byte %zu may be changed", i);
            assert_int_equal(e.class, ERR_INVALID);
        }
        text.data[i] = was;
    }
    expect_valid(text.data, text.len);
}

/* What a record gives back: with our key named no byte may differ; with another one's
 * the text may say nothing. */
static void test_recheck(void **state)
{
    struct license_claims other;
    struct err e;

    (void)state;
    sign();
    assert_int_equal(license_recheck(key, "stopgap", text.data, &claims, &e), 0);
    for (size_t i = 0; i < text.len; i++) {
        char was = text.data[i];

        text.data[i] = was == 'A' ? 'B' : 'A';
        assert_int_equal(license_recheck(key, "stopgap", text.data, &claims, &e), -1);
        assert_int_equal(e.class, ERR_PERMANENT);
        text.data[i] = was;
    }
    other = claims;
    other.users++;
    assert_int_equal(license_recheck(key, "stopgap", text.data, &other, &e), -1);

    memcpy(other.key_id, "k4.pid.another", sizeof "k4.pid.another");
    assert_int_equal(license_recheck(key, "stopgap", text.data, &other, &e), 0);
    assert_int_equal(license_recheck(key, "gitlab", text.data, &other, &e), -1);
    text.data[text.len / 2] = ':';
    assert_int_equal(license_recheck(key, "stopgap", text.data, &other, &e), -1);
    assert_int_equal(license_recheck(key, "stopgap", "", &other, &e), -1);
}

static void test_bad_signature_and_other_key(void **state)
{
    struct license_key *other;
    struct license_claims out;
    struct err e;

    (void)state;
    sign();
    text.data[strlen(BEGIN) + 20] ^= 1;
    expect_invalid(text.data, text.len, "the signature does not match");
    text.data[strlen(BEGIN) + 20] ^= 1;
    other = license_key_load_public(OTHER_PUBLIC, &e);
    assert_non_null(other);
    assert_int_equal(license_verify(other, text.data, text.len, &out, &e), -1);
    expect_words(&e, ERR_INVALID, license_key_id(key));
    expect_words(&e, ERR_INVALID, license_key_id(other));
    license_key_free(other);
}

static void test_footer_must_be_ours(void **state)
{
    static const char *const footers[] = {
        "", "{}", "{\"kid\":\"x\"}",
        "{\"kid\":\"k4.sid.HOVqSMgvZFioUvFRGEmdOXWH7kxfmXUBVeAby03DU123\"}",
        "{\"kid\": \"k4.pid.HOVqSMgvZFioUvFRGEmdOXWH7kxfmXUBVeAby03DU12\"}"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(footers); i++) {
        forge("{}", footers[i]);
        expect_invalid(text.data, text.len, "does not say which key");
    }
}

#define GOOD_START                                                                     \
    "{\"iss\":\"stopgap\",\"sub\":\"jane@example.com\",\"aud\":\"self-managed\","      \
    "\"jti\":\"" ID "\",\"iat\":\"2026-01-31T12:00:00Z\","                             \
    "\"nbf\":\"2026-01-31T11:55:00Z\","
#define GOOD_EXP "\"exp\":\"2026-02-10T12:00:00Z\","
#define GOOD_PLAN "\"plan\":\"ultimate\",\"trial\":true,"
#define GOOD_END "\"users\":25,\"ticket\":4711}"

static void test_signed_but_wrong_claims(void **state)
{
    static const struct {
        const char *payload, *words;
    } cases[] = {
        {"", "not a JSON object"},
        {"[]", "not a JSON object"},
        {"{", "not a JSON object"},
        {"{}", "\"iss\" is missing"},
        {"{}{}", "not a JSON object"},
        {GOOD_START GOOD_EXP GOOD_PLAN "\"users\":25}", "\"ticket\" is missing"},
        {GOOD_START GOOD_EXP GOOD_PLAN "\"users\":25,\"users\":25,\"ticket\":4711}",
         "duplicate"},
        {GOOD_START GOOD_EXP GOOD_PLAN "\"more\":1," GOOD_END, "not known here"},
        {GOOD_START GOOD_EXP GOOD_PLAN "\"users\":25.0,\"ticket\":1}", "\"users\""},
        {GOOD_START GOOD_EXP GOOD_PLAN "\"users\":\"25\",\"ticket\":1}", "\"users\""},
        {GOOD_START GOOD_EXP GOOD_PLAN "\"users\":0,\"ticket\":1}", "user count"},
        {GOOD_START GOOD_EXP GOOD_PLAN "\"users\":99999999999999999999,\"ticket\":1}",
         "not a JSON object"},
        {GOOD_START GOOD_EXP GOOD_PLAN "\"users\":1,\"ticket\":9007199254740992}",
         "ticket number"},
        {GOOD_START GOOD_EXP "\"plan\":\"ultimate\",\"trial\":1," GOOD_END,
         "\"trial\""},
        {GOOD_START GOOD_EXP "\"plan\":\"ultimate\",\"trial\":false," GOOD_END,
         "not a trial"},
        {GOOD_START GOOD_EXP "\"plan\":\"premium\",\"trial\":true," GOOD_END,
         "the plan is not"},
        {GOOD_START GOOD_EXP
         "\"plan\":\"ultimate-and-longer\",\"trial\":true," GOOD_END,
         "\"plan\""},
        {GOOD_START "\"exp\":\"2026-02-11T12:00:00Z\"," GOOD_PLAN GOOD_END,
         "1 to 10 days"},
        {GOOD_START "\"exp\":\"2026-02-30T12:00:00Z\"," GOOD_PLAN GOOD_END, "\"exp\""},
        {GOOD_START "\"exp\":1770724800," GOOD_PLAN GOOD_END, "\"exp\""},
    };
    char footer[128];

    (void)state;
    own_footer(footer);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        forge(cases[i].payload, footer);
        expect_invalid(text.data, text.len, cases[i].words);
    }
    forge(GOOD_START GOOD_EXP GOOD_PLAN GOOD_END, footer);
    expect_valid(text.data, text.len);
}

static void test_other_audience(void **state)
{
    char footer[128];

    (void)state;
    own_footer(footer);
    forge("{\"iss\":\"stopgap\",\"sub\":\"a@b.c\",\"aud\":\"elsewhere\"}", footer);
    expect_invalid(text.data, text.len, "\"aud\" does not read");
}

static void test_too_long(void **state)
{
    char *huge = mem_new(20000, 1);
    char footer[128];

    (void)state;
    own_footer(footer);
    memset(huge, ' ', 19999);
    forge(huge, footer);
    expect_invalid(text.data, text.len, "longer than 8192");
    free(huge);
}

static void expect_no_key(const char *passphrase_file, const char *words)
{
    struct err e;
    struct license_key *k;

    err_clear(&e);
    k = license_key_load(path, passphrase_file, &e);
    if (k)
        fail_msg("loaded; wanted: %s", words);
    expect_words(&e, ERR_CONFIG, words);
    assert_non_null(strstr(e.text, path));
    assert_null(strstr(e.text, "cHFyc3R1")); /* no part of a key in any message */
}

static void test_wrong_key_files(void **state)
{
    static const struct {
        const char *content, *words;
    } cases[] = {
        {"", "holds nothing"},
        {" \n\n", "holds nothing"},
        {"garbage", "nothing that is known here as a key"},
        {PUBLIC "\n", "holds a public key"},
        {"k4.secret.", "damaged"},
        {"k4.secret.AAAA", "damaged"},
        {SECRET "A", "damaged"},
        {SECRET "\n" SECRET, "damaged"},
        {"k4.secret-pw.AAAA", "encrypted with a password"},
        {"k2.secret.AAAA", "version 2"},
        {"k4.pid.AAAA", "the id of a key"},
        {"-----BEGIN EC PRIVATE KEY-----\nMHc", "an EC key in PEM"},
        {"-----BEGIN OPENSSH PRIVATE KEY-----\nb3B", "an OpenSSH key"},
        {"-----BEGIN CERTIFICATE-----\nMII", "a certificate"},
        {"-----BEGIN PUBLIC KEY-----\nMCow", "holds a public key"},
        {BEGIN, "a license, not a key"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        put(path, cases[i].content, strlen(cases[i].content), 0600);
        expect_no_key(NULL, cases[i].words);
    }
}

static void test_key_file_rules(void **state)
{
    char *huge = mem_new(20000, 1);

    (void)state;
    put(path, SECRET "\n", strlen(SECRET "\n"), 0640);
    expect_no_key(NULL, "chmod 600");
    memset(huge, 'k', 19999);
    put(path, huge, strlen(huge), 0600);
    expect_no_key(NULL, "longer than");
    free(huge);
    assert_int_equal(unlink(path), 0);
    expect_no_key(NULL, "No such file");
    put(path, "\r\n  " SECRET "  \r\n\r\n", strlen("\r\n  " SECRET "  \r\n\r\n"), 0400);
    license_key_free(load(path, NULL));
}

static void test_passphrase_for_a_plain_key(void **state)
{
    struct err e;

    (void)state;
    put(public_path, "hush\n", strlen("hush\n"), 0600);
    expect_no_key(public_path, "is not encrypted");
    assert_int_equal(unlink(public_path), 0);
    assert_null(license_key_load(path, public_path, &e));
    expect_words(&e, ERR_CONFIG, public_path);
}

static void test_public_key(void **state)
{
    struct license_key *k;
    struct license_claims out;
    struct err e;

    (void)state;
    sign();
    put(public_path, PUBLIC "\n", strlen(PUBLIC "\n"), 0644);
    k = license_key_load_public(public_path, &e);
    assert_non_null(k);
    assert_string_equal(license_key_id(k), license_key_id(key));
    assert_int_equal(license_verify(k, text.data, text.len, &out, &e), 0);
    license_key_free(k);
    k = license_key_load_public(PUBLIC, &e);
    assert_non_null(k);
    license_key_free(k);
    license_key_free(NULL);
}

static void test_wrong_public_keys(void **state)
{
    struct err e;

    (void)state;
    assert_null(license_key_load_public(path, &e));
    expect_words(&e, ERR_CONFIG, "holds a secret key");
    assert_null(strstr(e.text, "cHFyc3R1"));
    assert_null(license_key_load_public("k4.public.AAAA", &e));
    expect_words(&e, ERR_CONFIG, "damaged");
    assert_null(license_key_load_public(public_path, &e));
    expect_words(&e, ERR_CONFIG, "No such file");
    assert_null(license_key_load_public(folder, &e));
    expect_words(&e, ERR_CONFIG, "directory");
    put(public_path, "", strlen(""), 0644);
    assert_null(license_key_load_public(public_path, &e));
    expect_words(&e, ERR_CONFIG, "holds nothing");
}

static void expect_mode(const char *file, mode_t mode)
{
    struct stat st;

    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
}

static void test_keygen(void **state)
{
    struct license_key *k, *p;
    struct err e;

    (void)state;
    assert_int_equal(unlink(path), 0);
    assert_int_equal(license_keygen(path, "ed25519", 0, &e), 0);
    expect_mode(path, 0600);
    expect_mode(public_path, 0644);
    k = load(path, NULL);
    p = license_key_load_public(public_path, &e);
    assert_non_null(p);
    assert_string_equal(license_key_id(k), license_key_id(p));
    assert_string_not_equal(license_key_id(k), license_key_id(key));
    license_key_free(k);
    license_key_free(p);
}

static void test_keygen_never_overwrites(void **state)
{
    struct err e;

    (void)state;
    assert_int_equal(license_keygen(path, "ed25519", 0, &e), -1);
    expect_words(&e, ERR_CONFIG, "is there already");
    assert_int_equal(access(public_path, F_OK), -1);
    license_key_free(load(path, NULL)); /* still the old one */
    assert_int_equal(unlink(path), 0);
    put(public_path, "mine", strlen("mine"), 0644);
    assert_int_equal(license_keygen(path, "ed25519", 0, &e), -1);
    expect_words(&e, ERR_CONFIG, public_path);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(license_keygen("/nowhere/key", "ed25519", 0, &e), -1);
    expect_words(&e, ERR_CONFIG, "No such file");
}

static void test_keygen_types(void **state)
{
    struct err e;

    (void)state;
    assert_int_equal(unlink(path), 0);
    assert_int_equal(license_keygen(path, "dsa", 0, &e), -1);
    expect_words(&e, ERR_CONFIG, "there are \"ed25519\", \"rsa\" and \"seal\"");
    assert_int_equal(license_keygen(path, "ed25519", 2048, &e), -1);
    expect_words(&e, ERR_CONFIG, "no --bits");
    assert_int_equal(access(path, F_OK), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_claims),
        TEST(test_ends_of_days),
        TEST(test_time_state),
        TEST(test_key_says_what_it_is),
        TEST(test_round_trip),
        TEST(test_payload_is_byte_for_byte),
        TEST(test_armour),
        TEST(test_deterministic),
        TEST(test_sign_appends_or_leaves_alone),
        TEST(test_sign_refuses_what_no_license_may_say),
        TEST(test_issuer_is_escaped),
        TEST(test_issuer_that_is_no_utf8),
        TEST(test_longest_license_fits),
        TEST(test_text_around_and_other_line_ends),
        TEST(test_no_license),
        TEST(test_cut_anywhere),
        TEST(test_every_bit_counts),
        TEST(test_recheck),
        TEST(test_bad_signature_and_other_key),
        TEST(test_footer_must_be_ours),
        TEST(test_signed_but_wrong_claims),
        TEST(test_other_audience),
        TEST(test_too_long),
        TEST(test_wrong_key_files),
        TEST(test_key_file_rules),
        TEST(test_passphrase_for_a_plain_key),
        TEST(test_public_key),
        TEST(test_wrong_public_keys),
        TEST(test_keygen),
        TEST(test_keygen_never_overwrites),
        TEST(test_keygen_types),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
