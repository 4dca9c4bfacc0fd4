/* paseto: PASETO v4.public tokens and PASERK k4 key texts on libsodium's Ed25519.
 *
 * Knows bytes, not licenses: payload and footer are opaque here. Pure. Formats: PASETO
 * "Protocol Version 4" and PASERK's "secret", "public" and "pid" types; proved by their
 * published test vectors. Every text is decoded strictly: no padding, no stray bits. */
#ifndef STOPGAP_PASETO_H
#define STOPGAP_PASETO_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

#define PASETO_SECRET_PREFIX "k4.secret."
#define PASETO_PUBLIC_PREFIX "k4.public."
#define PASETO_ID_PREFIX "k4.pid."

#define PASETO_SECRET_LEN 64 /* 32 bytes of seed, 32 of public key */
#define PASETO_PUBLIC_LEN 32
#define PASETO_SIGNATURE_LEN 64

/* Text lengths without the NUL. */
#define PASETO_SECRET_TEXT_LEN 96
#define PASETO_PUBLIC_TEXT_LEN 53
#define PASETO_ID_TEXT_LEN 51

/* A token taken apart; nothing in it is proved yet. Pair: paseto_parse,
 * paseto_token_done. */
struct paseto_token {
    struct buf body; /* the payload, then the signature */
    struct buf footer;
};

/* A new key from the system's random source. The caller wipes it. */
void paseto_generate(unsigned char secret[static PASETO_SECRET_LEN]);

/* Texts of keys. The caller wipes the secret one. */
void paseto_secret_text(const unsigned char secret[static PASETO_SECRET_LEN],
                        char out[static PASETO_SECRET_TEXT_LEN + 1]);
void paseto_public_text(const unsigned char public_half[static PASETO_PUBLIC_LEN],
                        char out[static PASETO_PUBLIC_TEXT_LEN + 1]);
void paseto_key_id(const unsigned char public_half[static PASETO_PUBLIC_LEN],
                   char out[static PASETO_ID_TEXT_LEN + 1]);

/* False: not such a text. For a secret also when its public half is not the one that
 * its seed gives: signing with such a key would give the seed away. */
bool paseto_read_secret(const char *text, size_t len,
                        unsigned char secret[static PASETO_SECRET_LEN]) MUST_CHECK;
bool paseto_read_public(const char *text, size_t len,
                        unsigned char public_half[static PASETO_PUBLIC_LEN]) MUST_CHECK;

/* The public half of a secret key (borrowed from it). */
const unsigned char *
paseto_public_half(const unsigned char secret[static PASETO_SECRET_LEN]);

/* Appends the token to out. implicit: bytes that are signed but not in the token. */
void paseto_sign(const unsigned char secret[static PASETO_SECRET_LEN],
                 const struct buf *payload, const struct buf *footer,
                 const struct buf *implicit, struct buf *out);

/* Takes a token apart. False: not of the form of a v4.public token; nothing to free. */
bool paseto_parse(const char *text, size_t len, struct paseto_token *out) MUST_CHECK;
void paseto_token_done(struct paseto_token *t);

/* True if the signature is that of the public half over all of it. */
bool paseto_check(const struct paseto_token *t,
                  const unsigned char public_half[static PASETO_PUBLIC_LEN],
                  const struct buf *implicit) MUST_CHECK;

/* Length of the payload in t->body. */
size_t paseto_payload_len(const struct paseto_token *t);

#endif
