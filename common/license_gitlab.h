/* license_gitlab: what the license_gitlab*.c files share, and nobody else includes: the
 * numbers of an RSA key, what is done with one, and the attributes of a license. The
 * format in prose: docs/license.md. */
#ifndef STOPGAP_LICENSE_GITLAB_H
#define STOPGAP_LICENSE_GITLAB_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "license_format.h"
#include "secret.h"

#define LICENSE_GITLAB_AES_LEN 16

enum rsa_number { RSA_N, RSA_E, RSA_D, RSA_P, RSA_Q, RSA_DP, RSA_DQ, RSA_QI };
#define RSA_NUMBER_COUNT ((size_t)RSA_QI + 1)
#define RSA_NUMBER_MAX 1024 /* bytes: 8192 bits */

/* All in one locked piece, each with its lowest byte first, which is how OpenSSL takes
 * them. Of a public key n and e alone. Release with secret_done(&bytes). */
struct rsa_numbers {
    struct secret bytes;
    size_t len[RSA_NUMBER_COUNT];
};

/* Which half of an RSA key in PEM the text looks like. */
enum key_half license_gitlab_pem_half(const char *text, size_t len);

/* PKCS#1, PKCS#8, encrypted or not; a public key as SPKI or PKCS#1. What is read is of
 * the right form; whether it is a good key is looked at in license_gitlab_key_new. */
int license_gitlab_pem_read(const char *text, size_t len,
                            const struct secret *passphrase, struct rsa_numbers *out,
                            struct err *e) MUST_CHECK;

struct rsa_key;

/* Takes the numbers over, also on failure. NULL: not a key to sign licenses with. */
struct rsa_key *license_gitlab_key_new(struct rsa_numbers *numbers, struct err *e);
void license_gitlab_key_free(struct rsa_key *k);

const char *license_gitlab_key_id(const struct rsa_key *k);
void license_gitlab_key_public(const struct rsa_key *k, struct buf *out);

/* Appends the AES key as the private half makes it: PKCS#1 v1.5, type 1. */
int license_gitlab_key_sign(const struct rsa_key *k,
                            const unsigned char aes[static LICENSE_GITLAB_AES_LEN],
                            struct buf *out, struct err *e) MUST_CHECK;

/* The way back, by the public half. */
bool license_gitlab_key_recover(const struct rsa_key *k, const void *bytes, size_t len,
                                unsigned char aes[static LICENSE_GITLAB_AES_LEN]);

/* bits: 2048, 3072 or 4096. */
int license_gitlab_key_generate(int64_t bits, struct secret *file, struct err *e);

void license_gitlab_json_times(struct license_claims *c, int64_t term_days);
void license_gitlab_json_write(const struct license_claims *c, struct buf *out);

/* Every attribute must be there, readable, and what license_gitlab_json_write would
 * write for these claims; nothing else may. */
int license_gitlab_json_read(const char *text, size_t len, struct license_claims *out,
                             struct err *e) MUST_CHECK;

#endif
