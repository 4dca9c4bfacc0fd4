/* license_gitlab_pem: RSA keys in PEM, to numbers. Plain keys are read without OpenSSL,
 * whose decoders leave copies of the key in memory that they give back unwiped; keys
 * with a passphrase by those of its functions that wipe. */
#include "license_gitlab.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define TAG_INTEGER 0x02
#define TAG_BITS 0x03
#define TAG_BYTES 0x04
#define TAG_OID 0x06
#define TAG_SEQUENCE 0x30

/* A stretch of DER. */
struct der {
    const unsigned char *at;
    size_t left;
};

/* Numbers on their way into locked memory. */
struct collected {
    unsigned char bytes[RSA_NUMBER_COUNT * RSA_NUMBER_MAX];
    size_t used;
    size_t len[RSA_NUMBER_COUNT];
    size_t count;
};

/* Cuts the next value off *in, if it has this tag. */
static bool take(struct der *in, unsigned char tag, struct der *inside)
{
    size_t head = 2, len;

    if (in->left < head || in->at[0] != tag)
        return false;
    len = in->at[1];
    if (len & 0x80) {
        size_t more = len & 0x7f;

        if (more < 1 || more > 2 || in->left < head + more)
            return false;
        len = more == 1 ? in->at[2] : (size_t)(in->at[2] << 8 | in->at[3]);
        head += more;
    }
    if (in->left - head < len)
        return false;
    *inside = (struct der){in->at + head, len};
    in->at += head + len;
    in->left -= head + len;
    return true;
}

/* A positive INTEGER, turned round. */
static bool take_number(struct der *in, struct collected *c)
{
    struct der number;

    if (!take(in, TAG_INTEGER, &number) || !number.left || number.at[0] & 0x80)
        return false;
    while (number.left && !number.at[0]) {
        number.at++;
        number.left--;
    }
    if (!number.left || number.left > RSA_NUMBER_MAX || c->count == RSA_NUMBER_COUNT)
        return false;
    for (size_t i = number.left; i > 0; i--)
        c->bytes[c->used++] = number.at[i - 1];
    c->len[c->count++] = number.left;
    return true;
}

static int damaged(struct err *e)
{
    return err_set(e, ERR_CONFIG, 0, "begins like an RSA key in PEM but is damaged");
}

static int take_numbers(struct der in, size_t count, struct collected *c, struct err *e)
{
    while (count > 0 && take_number(&in, c))
        count--;
    return count == 0 && in.left == 0 ? 0 : damaged(e);
}

/* RSAPrivateKey of RFC 8017; version 0: two primes. */
static int read_pkcs1(struct der in, struct collected *c, struct err *e)
{
    struct der key, version;

    if (!take(&in, TAG_SEQUENCE, &key) || in.left ||
        !take(&key, TAG_INTEGER, &version) || version.left != 1)
        return damaged(e);
    if (version.at[0])
        return err_set(e, ERR_CONFIG, 0,
                       "holds an RSA key of more than two primes; wanted: one of two");
    return take_numbers(key, RSA_NUMBER_COUNT, c, e);
}

/* RSAPublicKey. */
static int read_pkcs1_public(struct der in, struct collected *c, struct err *e)
{
    struct der key;

    if (!take(&in, TAG_SEQUENCE, &key) || in.left)
        return damaged(e);
    return take_numbers(key, 2, c, e);
}

/* AlgorithmIdentifier: must name RSA. */
static int take_algorithm(struct der *in, struct err *e)
{
    static const struct {
        const char *oid;
        const char *words; /* NULL: what is wanted */
    } kinds[] = {
        {"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", NULL},
        {"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a", "an RSA-PSS key"},
        {"\x2a\x86\x48\x86\xf7\x0d\x01\x03\x01", "a DH key"},
        {"\x2a\x86\x48\xce\x3d\x02\x01", "an EC key"},
        {"\x2a\x86\x48\xce\x38\x04\x01", "a DSA key"},
        {"\x2b\x65\x6e", "an X25519 key"},
        {"\x2b\x65\x6f", "an X448 key"},
        {"\x2b\x65\x70",
         "an Ed25519 key in PEM (for its licenses PASERK text is wanted: "
         "`stopgapctl keygen`)"},
        {"\x2b\x65\x71", "an Ed448 key"},
    };
    const char *words = "a key of a kind that is not known here";
    struct der algorithm, oid;

    if (!take(in, TAG_SEQUENCE, &algorithm) || !take(&algorithm, TAG_OID, &oid))
        return damaged(e);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (oid.left == strlen(kinds[i].oid) &&
            memcmp(oid.at, kinds[i].oid, oid.left) == 0)
            words = kinds[i].words;
    return words
               ? err_set(e, ERR_CONFIG, 0, "holds %s; wanted in PEM: an RSA key", words)
               : 0;
}

/* PrivateKeyInfo of RFC 5208; attributes may follow. */
static int read_pkcs8(struct der in, struct collected *c, struct err *e)
{
    struct der info, version, key;

    if (!take(&in, TAG_SEQUENCE, &info) || in.left ||
        !take(&info, TAG_INTEGER, &version))
        return damaged(e);
    if (take_algorithm(&info, e) != 0)
        return -1;
    return take(&info, TAG_BYTES, &key) ? read_pkcs1(key, c, e) : damaged(e);
}

/* SubjectPublicKeyInfo of RFC 5280. */
static int read_spki(struct der in, struct collected *c, struct err *e)
{
    struct der info, key;

    if (!take(&in, TAG_SEQUENCE, &info) || in.left)
        return damaged(e);
    if (take_algorithm(&info, e) != 0)
        return -1;
    if (!take(&info, TAG_BITS, &key) || info.left || key.left < 1 || key.at[0])
        return damaged(e);
    return read_pkcs1_public((struct der){key.at + 1, key.left - 1}, c, e);
}

/* ---- with a passphrase ---- */

static int undecryptable(struct err *e)
{
    ERR_clear_error();
    return err_set(e, ERR_CONFIG, 0,
                   "does not decrypt: the passphrase is another one, the file is "
                   "damaged, or this OpenSSL does not have its cipher");
}

/* EncryptedPrivateKeyInfo of RFC 5958. */
static int read_encrypted(struct der in, const struct secret *passphrase,
                          struct collected *c, struct err *e)
{
    const unsigned char *at = in.at;
    X509_SIG *box = d2i_X509_SIG(NULL, &at, (long)in.left);
    PKCS8_PRIV_KEY_INFO *info = NULL;
    unsigned char *bytes = NULL;
    int len = 0, result;

    if (box)
        info = PKCS8_decrypt(box, passphrase->data, (int)passphrase->len);
    if (info)
        len = i2d_PKCS8_PRIV_KEY_INFO(info, &bytes);
    result =
        len > 0 ? read_pkcs8((struct der){bytes, (size_t)len}, c, e) : undecryptable(e);
    OPENSSL_clear_free(bytes, len > 0 ? (size_t)len : 0);
    PKCS8_PRIV_KEY_INFO_free(info);
    X509_SIG_free(box);
    return result;
}

static int give_passphrase(char *out, int size, int rwflag, void *arg)
{
    const struct secret *passphrase = arg;

    (void)rwflag;
    if (passphrase->len > (size_t)size)
        return -1;
    memcpy(out, passphrase->data, passphrase->len);
    return (int)passphrase->len;
}

/* OpenSSL's own old form: "Proc-Type: 4,ENCRYPTED" within the lines. */
static int read_old_encrypted(const char *text, size_t len,
                              const struct secret *passphrase, struct collected *c,
                              struct err *e)
{
    struct secret copy = *passphrase; /* OpenSSL's callback knows no const */
    BIO *in = BIO_new_mem_buf(text, (int)len);
    unsigned char *bytes = NULL;
    struct err inner;
    long n = 0;
    int result = -1;

    if (in && PEM_bytes_read_bio_secmem(&bytes, &n, NULL, PEM_STRING_RSA, in,
                                        give_passphrase, &copy) == 1)
        result = read_pkcs1((struct der){bytes, (size_t)n}, c, &inner);
    /* Another passphrase may decrypt, to nonsense: its padding is one byte in 256. */
    if (result != 0)
        (void)undecryptable(e);
    OPENSSL_secure_clear_free(bytes, n > 0 ? (size_t)n : 0);
    BIO_free(in);
    return result;
}

/* ---- PEM ---- */

#define DASHES "-----"

enum pem { PEM_PKCS1, PEM_PKCS8, PEM_ENCRYPTED, PEM_SPKI, PEM_PKCS1_PUBLIC, PEM_NONE };

static const struct {
    const char *name;
    enum key_half half;
    int (*read)(struct der in, struct collected *c, struct err *e);
} pems[PEM_NONE] = {
    [PEM_PKCS1] = {"RSA PRIVATE KEY" DASHES, KEY_SECRET, read_pkcs1},
    [PEM_PKCS8] = {"PRIVATE KEY" DASHES, KEY_SECRET, read_pkcs8},
    [PEM_ENCRYPTED] = {"ENCRYPTED PRIVATE KEY" DASHES, KEY_SECRET, NULL},
    [PEM_SPKI] = {"PUBLIC KEY" DASHES, KEY_PUBLIC, read_spki},
    [PEM_PKCS1_PUBLIC] = {"RSA PUBLIC KEY" DASHES, KEY_PUBLIC, read_pkcs1_public},
};

static bool begins(const char *text, size_t len, const char *with)
{
    return len >= strlen(with) && memcmp(text, with, strlen(with)) == 0;
}

/* *begin, *end: what stands between the lines. */
static enum pem find_pem(const char *text, size_t len, const char **begin,
                         const char **end)
{
    static const char first[] = DASHES "BEGIN ", last[] = DASHES "END ";

    if (!begins(text, len, first))
        return PEM_NONE;
    *begin = text + strlen(first);
    for (unsigned i = 0; i < PEM_NONE; i++) {
        size_t n = strlen(pems[i].name);

        if (!begins(*begin, len - strlen(first), pems[i].name))
            continue;
        *begin += n;
        *end = memmem(*begin, (size_t)(text + len - *begin), last, strlen(last));
        if (!*end || text + len != *end + strlen(last) + n ||
            memcmp(*end + strlen(last), pems[i].name, n) != 0)
            *end = *begin; /* an empty key: damaged */
        return (enum pem)i;
    }
    return PEM_NONE;
}

enum key_half license_gitlab_pem_half(const char *text, size_t len)
{
    const char *begin, *end;
    enum pem kind = find_pem(text, len, &begin, &end);

    return kind == PEM_NONE ? KEY_FOREIGN : pems[kind].half;
}

static int check_passphrase(bool encrypted, const struct secret *passphrase,
                            struct err *e)
{
    if (encrypted && !passphrase->len)
        return err_set(e, ERR_CONFIG, 0,
                       "holds an encrypted key; wanted besides: a file with its "
                       "passphrase, named in STOPGAP_LICENSE_KEY_PASSPHRASE_FILE");
    if (!encrypted && passphrase->len)
        return err_set(e, ERR_CONFIG, 0,
                       "holds a key that is not encrypted, yet a passphrase is given; "
                       "leave STOPGAP_LICENSE_KEY_PASSPHRASE_FILE unset, or encrypt it "
                       "(openssl pkcs8 -topk8)");
    return 0;
}

static int read_body(enum pem kind, const char *text, size_t len,
                     const struct secret *passphrase, struct collected *c,
                     struct err *e)
{
    unsigned char *bytes = mem_new(len + 1, 1);
    const char *end = NULL;
    struct der in = {.at = bytes};
    int result;

    if (sodium_base642bin(bytes, len, text, len, " \t\r\n", &in.left, &end,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        end != text + len)
        result = damaged(e);
    else if (kind == PEM_ENCRYPTED)
        result = read_encrypted(in, passphrase, c, e);
    else
        result = pems[kind].read(in, c, e);
    secret_wipe(bytes, len + 1);
    free(bytes);
    return result;
}

int license_gitlab_pem_read(const char *text, size_t len,
                            const struct secret *passphrase, struct rsa_numbers *out,
                            struct err *e)
{
    const char *begin = NULL, *end = NULL;
    enum pem kind = find_pem(text, len, &begin, &end);
    size_t n = (size_t)(end - begin);
    struct collected c = {.count = 0};
    bool old;
    int result;

    assert(kind != PEM_NONE); /* license_gitlab_pem_half has said so */
    old = kind == PEM_PKCS1 && memmem(begin, n, "Proc-Type:", 10);
    result = check_passphrase(old || kind == PEM_ENCRYPTED, passphrase, e);
    if (result == 0)
        result = old ? read_old_encrypted(text, len, passphrase, &c, e)
                     : read_body(kind, begin, n, passphrase, &c, e);
    if (result == 0) {
        secret_set(&out->bytes, c.bytes, c.used);
        memcpy(out->len, c.len, sizeof c.len);
    }
    secret_wipe(&c, sizeof c);
    return result;
}
