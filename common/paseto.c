/* paseto: see paseto.h. */
#include "paseto.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define HEADER "v4.public."
#define ID_HASH_LEN 33 /* BLAKE2b-264: 44 letters without padding */

_Static_assert(PASETO_SECRET_LEN == crypto_sign_SECRETKEYBYTES, "Ed25519");
_Static_assert(PASETO_PUBLIC_LEN == crypto_sign_PUBLICKEYBYTES, "Ed25519");
_Static_assert(PASETO_SIGNATURE_LEN == crypto_sign_BYTES, "Ed25519");

void paseto_generate(unsigned char secret[static PASETO_SECRET_LEN])
{
    unsigned char public_half[PASETO_PUBLIC_LEN];

    /* Without it the random source may not be there yet. */
    if (sodium_init() < 0 || crypto_sign_keypair(public_half, secret) != 0)
        sodium_misuse();
}

const unsigned char *
paseto_public_half(const unsigned char secret[static PASETO_SECRET_LEN])
{
    return secret + PASETO_SECRET_LEN - PASETO_PUBLIC_LEN;
}

static void encode(const char *prefix, const unsigned char *bytes, size_t len,
                   char *out, size_t out_len)
{
    size_t start = strlen(prefix);

    memcpy(out, prefix, start);
    sodium_bin2base64(out + start, out_len + 1 - start, bytes, len,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* libsodium takes a byte above 127 for '_', which would make other spellings of a token
 * hold: bytes outside ASCII are refused before. */
static bool from_base64(const char *text, size_t len, unsigned char *out, size_t max,
                        size_t *got)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] > 0x7f)
            return false;
    return sodium_base642bin(out, max, text, len, NULL, got, NULL,
                             sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0;
}

/* True if text is the prefix and exactly want bytes in URL-safe base64. */
static bool decode(const char *prefix, const char *text, size_t len, unsigned char *out,
                   size_t want)
{
    size_t start = strlen(prefix);
    size_t got = 0;

    return len > start && memcmp(text, prefix, start) == 0 &&
           from_base64(text + start, len - start, out, want, &got) && got == want;
}

void paseto_secret_text(const unsigned char secret[static PASETO_SECRET_LEN],
                        char out[static PASETO_SECRET_TEXT_LEN + 1])
{
    encode(PASETO_SECRET_PREFIX, secret, PASETO_SECRET_LEN, out,
           PASETO_SECRET_TEXT_LEN);
}

void paseto_public_text(const unsigned char public_half[static PASETO_PUBLIC_LEN],
                        char out[static PASETO_PUBLIC_TEXT_LEN + 1])
{
    encode(PASETO_PUBLIC_PREFIX, public_half, PASETO_PUBLIC_LEN, out,
           PASETO_PUBLIC_TEXT_LEN);
}

void paseto_key_id(const unsigned char public_half[static PASETO_PUBLIC_LEN],
                   char out[static PASETO_ID_TEXT_LEN + 1])
{
    char hashed[sizeof PASETO_ID_PREFIX - 1 + PASETO_PUBLIC_TEXT_LEN + 1] =
        PASETO_ID_PREFIX;
    unsigned char hash[ID_HASH_LEN];

    paseto_public_text(public_half, hashed + strlen(PASETO_ID_PREFIX));
    (void)crypto_generichash(hash, sizeof hash, (const unsigned char *)hashed,
                             sizeof hashed - 1, NULL, 0);
    encode(PASETO_ID_PREFIX, hash, sizeof hash, out, PASETO_ID_TEXT_LEN);
}

bool paseto_read_secret(const char *text, size_t len,
                        unsigned char secret[static PASETO_SECRET_LEN])
{
    unsigned char given[PASETO_SECRET_LEN];
    unsigned char derived[PASETO_SECRET_LEN];
    unsigned char public_half[PASETO_PUBLIC_LEN];
    bool fine = decode(PASETO_SECRET_PREFIX, text, len, given, sizeof given) &&
                crypto_sign_seed_keypair(public_half, derived, given) == 0 &&
                sodium_memcmp(given, derived, sizeof given) == 0;

    if (fine)
        memcpy(secret, given, sizeof given);
    sodium_memzero(given, sizeof given);
    sodium_memzero(derived, sizeof derived);
    return fine;
}

bool paseto_read_public(const char *text, size_t len,
                        unsigned char public_half[static PASETO_PUBLIC_LEN])
{
    unsigned char given[PASETO_PUBLIC_LEN];

    if (!decode(PASETO_PUBLIC_PREFIX, text, len, given, sizeof given))
        return false;
    memcpy(public_half, given, sizeof given);
    return true;
}

static void add_length(struct buf *out, size_t n)
{
    unsigned char le[8];

    for (size_t i = 0; i < sizeof le; i++)
        le[i] = (unsigned char)((uint64_t)n >> (8 * i));
    buf_add(out, le, sizeof le);
}

static void add_piece(struct buf *out, const void *bytes, size_t len)
{
    add_length(out, len);
    buf_add(out, bytes, len);
}

/* Pre-authentication encoding: what is signed, with the length before every piece, so
 * that no two different tokens give the same bytes. The caller frees it. */
static struct buf signed_bytes(const char *payload, size_t len,
                               const struct buf *footer, const struct buf *implicit)
{
    size_t pieces = 4;
    struct buf b;

    buf_init(&b, (pieces + 1) * 8 + strlen(HEADER) + len + footer->len + implicit->len);
    add_length(&b, pieces);
    add_piece(&b, HEADER, strlen(HEADER));
    add_piece(&b, payload, len);
    add_piece(&b, footer->data, footer->len);
    add_piece(&b, implicit->data, implicit->len);
    assert(!b.failed);
    return b;
}

void paseto_sign(const unsigned char secret[static PASETO_SECRET_LEN],
                 const struct buf *payload, const struct buf *footer,
                 const struct buf *implicit, struct buf *out)
{
    unsigned char signature[PASETO_SIGNATURE_LEN];
    struct buf input = signed_bytes(payload->data, payload->len, footer, implicit);
    struct buf body;

    (void)crypto_sign_detached(signature, NULL, (const unsigned char *)input.data,
                               input.len, secret);
    buf_init(&body, payload->len + sizeof signature);
    buf_add(&body, payload->data, payload->len);
    buf_add(&body, signature, sizeof signature);
    buf_adds(out, HEADER);
    buf_add_base64url(out, body.data, body.len);
    if (footer->len) {
        buf_addc(out, '.');
        buf_add_base64url(out, footer->data, footer->len);
    }
    buf_done(&body);
    buf_done(&input);
}

/* False for an empty part too: without a footer there is no dot. */
static bool decode_part(const char *text, size_t len, struct buf *out)
{
    unsigned char *bytes = mem_new(len, 1);
    size_t got = 0;
    bool fine = len > 0 && from_base64(text, len, bytes, len, &got);

    if (fine) {
        buf_init(out, got);
        buf_add(out, bytes, got);
    }
    free(bytes);
    return fine;
}

bool paseto_parse(const char *text, size_t len, struct paseto_token *out)
{
    struct paseto_token t = {0};
    size_t start = strlen(HEADER);
    const char *body, *dot;
    bool fine;

    if (len < start || memcmp(text, HEADER, start) != 0)
        return false;
    body = text + start;
    dot = memchr(body, '.', len - start);
    fine = decode_part(body, dot ? (size_t)(dot - body) : len - start, &t.body) &&
           t.body.len >= PASETO_SIGNATURE_LEN;
    if (dot)
        fine = fine && decode_part(dot + 1, (size_t)(text + len - dot - 1), &t.footer);
    if (fine)
        *out = t;
    else
        paseto_token_done(&t);
    return fine;
}

void paseto_token_done(struct paseto_token *t)
{
    buf_done(&t->body);
    buf_done(&t->footer);
}

size_t paseto_payload_len(const struct paseto_token *t)
{
    return t->body.len - PASETO_SIGNATURE_LEN;
}

bool paseto_check(const struct paseto_token *t,
                  const unsigned char public_half[static PASETO_PUBLIC_LEN],
                  const struct buf *implicit)
{
    size_t len = paseto_payload_len(t);
    struct buf input = signed_bytes(t->body.data, len, &t->footer, implicit);
    bool fine = crypto_sign_verify_detached((const unsigned char *)t->body.data + len,
                                            (const unsigned char *)input.data,
                                            input.len, public_half) == 0;

    buf_done(&input);
    return fine;
}
