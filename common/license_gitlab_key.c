/* license_gitlab_key: RSA keys on OpenSSL. The private half is given to OpenSSL for one
 * signature at a time: what it makes of a key stays in its heap, unlocked, for as long
 * as it has the key. Why that is worth a tenth of a millisecond: docs/license.md. */
#include "license_gitlab.h"

#include <assert.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define BITS_MIN 2048
#define BITS_MAX (8 * RSA_NUMBER_MAX)
#define BITS_DEFAULT 4096
#define EXPONENT_MAX 8 /* bytes; OpenSSL takes no more with long keys */
#define ID_START "sha256:"
#define ID_BYTES 16

struct rsa_key {
    struct rsa_numbers numbers;
    EVP_PKEY *public_half; /* safe on several threads: it only recovers */
    char id[sizeof ID_START + 2 * (size_t)ID_BYTES];
};

static const char *const param_names[RSA_NUMBER_COUNT] = {
    [RSA_N] = OSSL_PKEY_PARAM_RSA_N,
    [RSA_E] = OSSL_PKEY_PARAM_RSA_E,
    [RSA_D] = OSSL_PKEY_PARAM_RSA_D,
    [RSA_P] = OSSL_PKEY_PARAM_RSA_FACTOR1,
    [RSA_Q] = OSSL_PKEY_PARAM_RSA_FACTOR2,
    [RSA_DP] = OSSL_PKEY_PARAM_RSA_EXPONENT1,
    [RSA_DQ] = OSSL_PKEY_PARAM_RSA_EXPONENT2,
    [RSA_QI] = OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
};

static unsigned char *number(const struct rsa_numbers *n, enum rsa_number which)
{
    size_t at = 0;

    for (unsigned i = 0; i < which; i++)
        at += n->len[i];
    return (unsigned char *)n->bytes.data + at;
}

static bool has_private(const struct rsa_numbers *n)
{
    return n->len[RSA_D] > 0;
}

/* OpenSSL's form of the first `count` numbers, which it reads from where they are. */
static EVP_PKEY *make_pkey(const struct rsa_numbers *n, size_t count)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM params[RSA_NUMBER_COUNT + 1];
    EVP_PKEY *pkey = NULL;

    for (unsigned i = 0; i < count; i++)
        params[i] = OSSL_PARAM_construct_BN(param_names[i],
                                            number(n, (enum rsa_number)i), n->len[i]);
    params[count] = OSSL_PARAM_construct_end();
    if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey,
                          count > 2 ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY,
                          params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    return pkey;
}

/* ---- what is done with a key ---- */

int license_gitlab_key_sign(const struct rsa_key *k,
                            const unsigned char aes[static LICENSE_GITLAB_AES_LEN],
                            struct buf *out, struct err *e)
{
    EVP_PKEY *pkey = make_pkey(&k->numbers, RSA_NUMBER_COUNT);
    EVP_PKEY_CTX *ctx = pkey ? EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL) : NULL;
    unsigned char bytes[RSA_NUMBER_MAX];
    size_t n = sizeof bytes;
    int result = 0;

    /* Without a digest the bytes are signed as they are. */
    if (!ctx || EVP_PKEY_sign_init(ctx) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) != 1 ||
        EVP_PKEY_sign(ctx, bytes, &n, aes, LICENSE_GITLAB_AES_LEN) != 1)
        result = err_set(e, ERR_BUG, 0, "OpenSSL does not sign with this RSA key");
    else
        buf_add(out, bytes, n);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return result;
}

bool license_gitlab_key_recover(const struct rsa_key *k, const void *bytes, size_t len,
                                unsigned char aes[static LICENSE_GITLAB_AES_LEN])
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->public_half, NULL);
    unsigned char out[RSA_NUMBER_MAX];
    size_t n = sizeof out;
    bool fine = ctx && len == (size_t)EVP_PKEY_get_size(k->public_half) &&
                EVP_PKEY_verify_recover_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
                EVP_PKEY_verify_recover(ctx, out, &n, bytes, len) == 1 &&
                n == LICENSE_GITLAB_AES_LEN;

    if (fine)
        memcpy(aes, out, LICENSE_GITLAB_AES_LEN);
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return fine;
}

/* ---- whether it is one to sign with ---- */

static int check_size(const struct rsa_numbers *n, struct err *e)
{
    const unsigned char *modulus = number(n, RSA_N), *exponent = number(n, RSA_E);
    int bits = (int)n->len[RSA_N] * 8;

    for (unsigned top = modulus[n->len[RSA_N] - 1]; !(top & 0x80); top <<= 1)
        bits--;
    if (bits < BITS_MIN || bits > BITS_MAX)
        return err_set(e, ERR_CONFIG, 0,
                       "holds an RSA key of %d bits; wanted: %d to %d", bits, BITS_MIN,
                       BITS_MAX);
    /* With an exponent of 1 everybody's signature is good. */
    if (n->len[RSA_E] > EXPONENT_MAX || !(exponent[0] & 1) ||
        (n->len[RSA_E] == 1 && exponent[0] == 1))
        return err_set(
            e, ERR_CONFIG, 0,
            "holds an RSA key with a bad public exponent; wanted: an odd one "
            "from 3 up (65537 in all that OpenSSL makes)");
    return 0;
}

static bool primes_fit(const struct rsa_numbers *n)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *p = BN_lebin2bn(number(n, RSA_P), (int)n->len[RSA_P], NULL);
    BIGNUM *q = BN_lebin2bn(number(n, RSA_Q), (int)n->len[RSA_Q], NULL);
    BIGNUM *modulus = BN_lebin2bn(number(n, RSA_N), (int)n->len[RSA_N], NULL);
    BIGNUM *product = BN_new();
    bool fit = ctx && p && q && modulus && product && BN_is_odd(p) && BN_is_odd(q) &&
               BN_mul(product, p, q, ctx) && BN_cmp(product, modulus) == 0;

    BN_clear_free(p);
    BN_clear_free(q);
    BN_clear_free(product);
    BN_free(modulus);
    BN_CTX_free(ctx);
    return fit;
}

/* A damaged key must be found at the start, not by the first customer. */
static int self_test(const struct rsa_key *k, struct err *e)
{
    unsigned char aes[LICENSE_GITLAB_AES_LEN], back[LICENSE_GITLAB_AES_LEN];
    struct buf made;
    bool fine;

    buf_init(&made, RSA_NUMBER_MAX);
    randombytes_buf(aes, sizeof aes);
    fine = primes_fit(&k->numbers) && license_gitlab_key_sign(k, aes, &made, e) == 0 &&
           license_gitlab_key_recover(k, made.data, made.len, back) &&
           memcmp(aes, back, sizeof aes) == 0;
    buf_done(&made);
    return fine ? 0
                : err_set(e, ERR_CONFIG, 0,
                          "holds an RSA key whose numbers do not belong together: "
                          "damaged");
}

static void set_id(struct rsa_key *k)
{
    unsigned char hash[crypto_hash_sha256_BYTES], *der = NULL;
    int len = i2d_PUBKEY(k->public_half, &der);

    assert(len > 0);
    (void)crypto_hash_sha256(hash, der, (unsigned long long)len); /* always 0 */
    memcpy(k->id, ID_START, sizeof ID_START);
    (void)sodium_bin2hex(k->id + strlen(ID_START), sizeof k->id - strlen(ID_START),
                         hash, ID_BYTES);
    OPENSSL_free(der);
}

struct rsa_key *license_gitlab_key_new(struct rsa_numbers *numbers, struct err *e)
{
    struct rsa_key *k = mem_new(1, sizeof *k);
    int result = check_size(numbers, e);

    k->numbers = *numbers;
    *numbers = (struct rsa_numbers){0};
    if (result == 0) {
        k->public_half = make_pkey(&k->numbers, 2);
        if (!k->public_half)
            result = err_set(e, ERR_CONFIG, 0, "holds an RSA key that OpenSSL refuses");
    }
    if (result == 0 && has_private(&k->numbers))
        result = self_test(k, e);
    if (result != 0) {
        license_gitlab_key_free(k);
        ERR_clear_error();
        return NULL;
    }
    set_id(k);
    return k;
}

void license_gitlab_key_free(struct rsa_key *k)
{
    if (!k)
        return;
    secret_done(&k->numbers.bytes);
    EVP_PKEY_free(k->public_half);
    free(k);
}

const char *license_gitlab_key_id(const struct rsa_key *k)
{
    return k->id;
}

static void add_bio(struct buf *out, BIO *bio)
{
    char *text;
    long len = BIO_get_mem_data(bio, &text);

    buf_add(out, text, (size_t)len);
}

void license_gitlab_key_public(const struct rsa_key *k, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());

    if (bio && PEM_write_bio_PUBKEY(bio, k->public_half) == 1)
        add_bio(out, bio);
    else
        out->failed = true;
    BIO_free(bio);
}

int license_gitlab_key_generate(int64_t bits, struct secret *file, struct err *e)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    EVP_PKEY *pkey = NULL;
    int result = 0;
    char *text;
    long len;

    if (bits == 0)
        bits = BITS_DEFAULT;
    if (bits != 2048 && bits != 3072 && bits != 4096)
        result = err_set(e, ERR_CONFIG, 0,
                         "--bits: wanted: 2048, 3072 or 4096 (the default)");
    else if (!bio || !(pkey = EVP_RSA_gen((size_t)bits)) ||
             PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) != 1)
        result = err_set(e, ERR_BUG, 0, "OpenSSL does not make an RSA key");
    else if ((len = BIO_get_mem_data(bio, &text)) > 0)
        secret_set(file, text, (size_t)len);
    EVP_PKEY_free(pkey);
    BIO_free(bio);
    return result;
}
