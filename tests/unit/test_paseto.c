/* test_paseto: the published test vectors of PASETO v4.public and PASERK k4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "paseto.h"

/* PASETO test vectors, v4.json: one key for all of 4-S. */
#define SEED "b4cbfb43df4ce210727d953e4a713307fa19bb7d9f85041438d9e11b942a3774"
#define PUBLIC "1eb9dbbbbc047c03fd70604e0071f0987e16b28b757225c11f00415d0e20b1a2"
#define PAYLOAD                                                                        \
    "{\"data\":\"this is a signed message\",\"exp\":\"2022-01-01T00:00:00+00:00\"}"
#define FOOTER "{\"kid\":\"zVhMiPBP9fRf2snEcT7gFTioeA9COcNy9DfgL1W60haN\"}"
#define BODY                                                                           \
    "v4.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIiwiZXhwIjoiMjAyMi0wMS0wMV" \
    "QwMDowMDowMCswMDowMCJ9"
#define FOOTER_TEXT                                                                    \
    ".eyJraWQiOiJ6VmhNaVBCUDlmUmYyc25FY1Q3Z0ZUaW9lQTlDT2NOeTlEZmdMMVc2MGhhTiJ9"

static const struct {
    const char *name, *footer, *implicit, *token;
} vectors[] = {
    {"4-S-1", "", "",
     BODY "bg_XBBzds8lTZShVlwwKSgeKpLT3yukTw6JUz3W4h_ExsQV-P0V54zemZDcAxFaSeef1QlXEFtk"
          "qxT1ciiQEDA"},
    {"4-S-2", FOOTER, "",
     BODY "v3Jt8mx_TdM2ceTGoqwrh4yDFn0XsHvvV_D0DtwQxVrJEBMl0F2caAdgnpKlt4p7xBnx1HcO-SP"
          "o8FPp214HDw" FOOTER_TEXT},
    {"4-S-3", FOOTER, "{\"test-vector\":\"4-S-3\"}",
     BODY "NPWciuD3d0o5eXJXG5pJy-DiVEoyPYWs1YSTwWHNJq6DZD3je5gf-0M4JR9ipdUSJbIovzmBECe"
          "aWmaqcaP0DQ" FOOTER_TEXT},
};

/* PASERK test vectors: k4.secret, k4.public, k4.pid. */
static const struct {
    const char *secret, *public_half, *secret_text;
} secrets[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000",
     "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29",
     "k4.secret.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA7aie8zrakLWKjqNAqbw1zZTIVdx3"
     "iQ6Y6wEihi1naKQ"},
    {"707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f",
     "1ce56a48c82ff99162a14bc544612674e5d61fb9317e65d4055780fdbcb4dc35",
     "k4.secret.cHFyc3R1dnd4eXp7fH1-f4CBgoOEhYaHiImKi4yNjo8c5WpIyC_5kWKhS8VEYSZ05dYfuTF"
     "-ZdQFV4D9vLTcNQ"},
    {"707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e90",
     "60fe37571a5d6e7d30b15154ce4a9fb92c70c870848f4ccdf1626588097f73f7",
     "k4.secret.cHFyc3R1dnd4eXp7fH1-f4CBgoOEhYaHiImKi4yNjpBg_jdXGl1ufTCxUVTOSp-5LHDIcIS"
     "PTM3xYmWICX9z9w"},
};

static const struct {
    const char *key, *text, *id;
} publics[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000",
     "k4.public.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
     "k4.pid.S_XQmeEwHbbvRmiyfXfHYpLGjXGzjTRSDoT1YtTakWFE"},
    {"707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f",
     "k4.public.cHFyc3R1dnd4eXp7fH1-f4CBgoOEhYaHiImKi4yNjo8",
     "k4.pid.9ShR3xc8-qVJ_di0tc9nx0IDIqbatdeM2mqLFBJsKRHs"},
    {"707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e90",
     "k4.public.cHFyc3R1dnd4eXp7fH1-f4CBgoOEhYaHiImKi4yNjpA",
     "k4.pid.-nyvbaTz8U6TQz7OZWW-iB3va31iAxIpUgzUcVQVmW9A"},
};

static unsigned char nibble(char c)
{
    return (unsigned char)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void unhex(const char *hex, unsigned char *out)
{
    for (; *hex; hex += 2)
        *out++ = (unsigned char)(nibble(hex[0]) << 4 | nibble(hex[1]));
}

static struct buf bytes(const char *text)
{
    struct buf b;

    buf_init(&b, 1024);
    buf_adds(&b, text);
    return b;
}

static void test_sign_vectors(void **state)
{
    unsigned char secret[PASETO_SECRET_LEN];

    (void)state;
    unhex(SEED PUBLIC, secret);
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        struct buf payload = bytes(PAYLOAD), footer = bytes(vectors[i].footer);
        struct buf implicit = bytes(vectors[i].implicit), out = bytes("");

        paseto_sign(secret, &payload, &footer, &implicit, &out);
        assert_string_equal(out.data, vectors[i].token);
        buf_done(&payload);
        buf_done(&footer);
        buf_done(&implicit);
        buf_done(&out);
    }
}

static void test_verify_vectors(void **state)
{
    unsigned char key[PASETO_PUBLIC_LEN];

    (void)state;
    unhex(PUBLIC, key);
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        struct buf implicit = bytes(vectors[i].implicit), other = bytes("other");
        struct paseto_token t;

        assert_true(paseto_parse(vectors[i].token, strlen(vectors[i].token), &t));
        assert_int_equal(paseto_payload_len(&t), strlen(PAYLOAD));
        assert_memory_equal(t.body.data, PAYLOAD, strlen(PAYLOAD));
        assert_int_equal(t.footer.len, strlen(vectors[i].footer));
        assert_true(paseto_check(&t, key, &implicit));
        assert_false(paseto_check(&t, key, &other));
        key[0] ^= 1;
        assert_false(paseto_check(&t, key, &implicit));
        key[0] ^= 1;
        paseto_token_done(&t);
        buf_done(&implicit);
        buf_done(&other);
    }
}

static void test_refused_tokens(void **state)
{
    static const char *const tokens[] = {
        "",
        "v4.public.",
        "v4.public",
        "v4.public.AAAA", /* shorter than a signature */
        "v4.local.vngXfCISbnKgiP6VWGuOSlYrFYU300fy9ijW33rznDYgxHNPwWluAY2Bgb0z54CUs6aYY"
        "kIJ-bOOOmJHPuX_34Agt_IPlNdGDpRdGNnBz2MpWJvB3cttheEc1uyCEYltj7wBQQYX",
        "v3.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIiwiZXhwIjoiMjAyMi0wMS0"
        "wMVQwMDowMDowMCswMDowMCJ9",
        "V4.public."
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "AAAAAAAAAAAAAAAAAA",
    };
    static const char *const tails[] = {
        ".",   "..",    ".e30.", ".e30.e30", "=",
        "==",  ".e30=", "\n",    " ",        ".e31" /* stray bits */,
        ".e3", "!",     ".+/+/",
    };
    struct paseto_token t;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++)
        assert_false(paseto_parse(tokens[i], strlen(tokens[i]), &t));
    for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
        struct buf b = bytes(vectors[0].token);

        buf_adds(&b, tails[i]);
        if (paseto_parse(b.data, b.len, &t))
            fail_msg("taken: %s", b.data);
        buf_done(&b);
    }
}

/* Every other byte in place of each letter: a token has one spelling only. */
static void test_only_the_alphabet(void **state)
{
    char text[PASETO_PUBLIC_TEXT_LEN + 1];
    unsigned char out[PASETO_PUBLIC_LEN];
    struct paseto_token t;
    struct buf token = bytes(vectors[1].token);

    (void)state;
    (void)snprintf(text, sizeof text, "%s", publics[1].text);
    for (int c = 0; c < 256; c++) {
        bool letter = c && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789-_",
                                  c);

        text[20] = (char)c;
        assert_int_equal(paseto_read_public(text, strlen(publics[1].text), out),
                         letter);
        token.data[20] = (char)c;
        if (c == '.')
            continue; /* moves the footer: refused by its signature */
        if (paseto_parse(token.data, token.len, &t) != letter)
            fail_msg("byte %02x", (unsigned)c);
        if (letter)
            paseto_token_done(&t);
    }
    buf_done(&token);
}

static void test_secret_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
        unsigned char want[PASETO_SECRET_LEN], got[PASETO_SECRET_LEN];
        char text[PASETO_SECRET_TEXT_LEN + 1];

        unhex(secrets[i].secret, want);
        unhex(secrets[i].public_half, want + 32);
        paseto_secret_text(want, text);
        assert_string_equal(text, secrets[i].secret_text);
        assert_true(paseto_read_secret(text, strlen(text), got));
        assert_memory_equal(got, want, sizeof want);
        assert_memory_equal(paseto_public_half(got), want + 32, PASETO_PUBLIC_LEN);
    }
}

static void test_public_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(publics); i++) {
        unsigned char want[PASETO_PUBLIC_LEN], got[PASETO_PUBLIC_LEN];
        char text[PASETO_PUBLIC_TEXT_LEN + 1], id[PASETO_ID_TEXT_LEN + 1];

        unhex(publics[i].key, want);
        paseto_public_text(want, text);
        assert_string_equal(text, publics[i].text);
        assert_true(paseto_read_public(text, strlen(text), got));
        assert_memory_equal(got, want, sizeof want);
        paseto_key_id(want, id);
        assert_string_equal(id, publics[i].id);
    }
}

static void test_refused_keys(void **state)
{
    unsigned char secret[PASETO_SECRET_LEN] = {1, 2, 3};
    unsigned char before[PASETO_SECRET_LEN];
    char text[PASETO_SECRET_TEXT_LEN + 8];

    (void)state;
    memcpy(before, secret, sizeof before);
    for (size_t len = 0; len < PASETO_SECRET_TEXT_LEN; len++)
        assert_false(paseto_read_secret(secrets[1].secret_text, len, secret));
    (void)snprintf(text, sizeof text, "%sAA", secrets[1].secret_text);
    assert_false(paseto_read_secret(text, strlen(text), secret));
    (void)snprintf(text, sizeof text, "%s", secrets[1].secret_text);
    text[1] = '2'; /* k2.secret. */
    assert_false(paseto_read_secret(text, strlen(text), secret));
    (void)snprintf(text, sizeof text, "%s", secrets[1].secret_text);
    text[90] = 'A'; /* the public half is no longer the seed's */
    assert_false(paseto_read_secret(text, strlen(text), secret));
    for (size_t len = 0; len < PASETO_PUBLIC_TEXT_LEN; len++)
        assert_false(paseto_read_public(publics[1].text, len, secret));
    assert_false(paseto_read_public(secrets[1].secret_text, 96, secret));
    assert_memory_equal(secret, before, sizeof before);
}

static void test_generated_keys_differ_and_work(void **state)
{
    unsigned char a[PASETO_SECRET_LEN], b[PASETO_SECRET_LEN];
    char text[PASETO_SECRET_TEXT_LEN + 1];

    (void)state;
    paseto_generate(a);
    paseto_generate(b);
    assert_memory_not_equal(a, b, 32);
    paseto_secret_text(a, text);
    assert_true(paseto_read_secret(text, strlen(text), b));
    assert_memory_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign_vectors),
        cmocka_unit_test(test_verify_vectors),
        cmocka_unit_test(test_refused_tokens),
        cmocka_unit_test(test_only_the_alphabet),
        cmocka_unit_test(test_secret_vectors),
        cmocka_unit_test(test_public_vectors),
        cmocka_unit_test(test_refused_keys),
        cmocka_unit_test(test_generated_keys_differ_and_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
