/* license_gitlab: the format "gitlab": the license file that GitLab imports. Attributes
 * as JSON under a fresh AES key, and that key under the RSA key's private half. So no
 * two licenses are the same, also with equal claims. */
#include "license_gitlab.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define IV_LEN 16

/* What the envelope holds. */
struct envelope {
    struct buf data;
    struct buf key;
    struct buf iv;
};

static const struct {
    const char *name;
    size_t offset;
} members[] = {{"data", offsetof(struct envelope, data)},
               {"key", offsetof(struct envelope, key)},
               {"iv", offsetof(struct envelope, iv)}};

static void envelope_init(struct envelope *v)
{
    buf_init(&v->data, LICENSE_TEXT_MAX);
    buf_init(&v->key, LICENSE_TEXT_MAX);
    buf_init(&v->iv, LICENSE_TEXT_MAX);
}

static void envelope_done(struct envelope *v)
{
    buf_done(&v->data);
    buf_done(&v->key);
    buf_done(&v->iv);
}

static struct buf *member(struct envelope *v, size_t i)
{
    return (struct buf *)(void *)((char *)v + members[i].offset);
}

/* AES-128-CBC with PKCS#7 padding, one way or the other. */
static bool run_cipher(bool encrypt, const unsigned char *key, const unsigned char *iv,
                       const struct buf *in, struct buf *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    unsigned char *bytes = mem_new(in->len + EVP_MAX_BLOCK_LENGTH, 1);
    int n = 0, rest = 0;
    bool fine = ctx &&
                EVP_CipherInit_ex2(ctx, EVP_aes_128_cbc(), key, iv, encrypt, NULL) &&
                EVP_CipherUpdate(ctx, bytes, &n, (const unsigned char *)in->data,
                                 (int)in->len) &&
                EVP_CipherFinal_ex(ctx, bytes + n, &rest);

    if (fine)
        buf_add(out, bytes, (size_t)n + (size_t)rest);
    EVP_CIPHER_CTX_free(ctx);
    free(bytes);
    return fine;
}

static void write_envelope(struct envelope *v, struct buf *body)
{
    struct buf json;

    buf_init(&json, LICENSE_TEXT_MAX);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        buf_addf(&json, "%s\"%s\":\"", i ? "," : "{", members[i].name);
        buf_add_base64(&json, member(v, i)->data, member(v, i)->len);
        buf_addc(&json, '"');
    }
    buf_addc(&json, '}');
    buf_add_base64(body, json.data, json.len);
    body->failed |= json.failed;
    buf_done(&json);
}

static int sign(const void *own, const struct license_claims *c, struct buf *body,
                struct err *e)
{
    unsigned char aes[LICENSE_GITLAB_AES_LEN], iv[IV_LEN];
    struct envelope v;
    struct buf json;
    int result = -1;

    envelope_init(&v);
    buf_init(&json, LICENSE_TEXT_MAX);
    randombytes_buf(aes, sizeof aes);
    randombytes_buf(iv, sizeof iv);
    buf_add(&v.iv, iv, sizeof iv);
    license_gitlab_json_write(c, &json);
    if (!run_cipher(true, aes, iv, &json, &v.data)) {
        (void)err_set(e, ERR_BUG, 0, "OpenSSL does not encrypt with AES-128-CBC");
        goto out;
    }
    if (license_gitlab_key_sign(own, aes, &v.key, e) != 0)
        goto out;
    write_envelope(&v, body);
    if (json.failed || v.data.failed || body->failed)
        (void)err_set(e, ERR_BUG, 0, "the license does not fit");
    else
        result = 0;
out:
    envelope_done(&v);
    buf_done(&json);
    secret_wipe(aes, sizeof aes);
    return result;
}

/* Strict: one text for the same bytes. */
static bool add_decoded(struct buf *out, const char *text, size_t len)
{
    unsigned char *bytes = mem_new(len + 1, 1);
    const char *end = NULL;
    size_t n = 0;
    bool fine = sodium_base642bin(bytes, len, text, len, NULL, &n, &end,
                                  sodium_base64_VARIANT_ORIGINAL) == 0 &&
                end == text + len;

    if (fine)
        buf_add(out, bytes, n);
    free(bytes);
    return fine && !out->failed;
}

static bool read_members(const json_t *root, struct envelope *v)
{
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        const json_t *value = json_object_get(root, members[i].name);

        if (!json_is_string(value) ||
            !add_decoded(member(v, i), json_string_value(value),
                         json_string_length(value)))
            return false;
    }
    return json_object_size(root) == ARRAY_LEN(members) && v->iv.len == IV_LEN;
}

static bool read_envelope(const char *body, size_t len, struct envelope *v)
{
    json_t *root = NULL;
    struct buf json;
    bool fine;

    buf_init(&json, LICENSE_TEXT_MAX);
    fine = add_decoded(&json, body, len);
    if (fine)
        root = json_loadb(json.data, json.len, JSON_REJECT_DUPLICATES, NULL);
    fine = json_is_object(root) && read_members(root, v);
    json_decref(root);
    buf_done(&json);
    return fine;
}

static int open_envelope(const struct rsa_key *k, const struct envelope *v,
                         struct buf *json, struct err *e)
{
    unsigned char aes[LICENSE_GITLAB_AES_LEN];

    if (!license_gitlab_key_recover(k, v->key.data, v->key.len, aes))
        return err_set(e, ERR_INVALID, 0,
                       "the signature does not match: the license was altered, or made "
                       "with another key; it was checked with %s",
                       license_gitlab_key_id(k));
    if (!run_cipher(false, aes, (const unsigned char *)v->iv.data, &v->data, json))
        return err_set(e, ERR_INVALID, 0,
                       "the license does not decrypt: it was altered or cut");
    return 0;
}

static int verify(const void *own, const char *body, size_t len,
                  struct license_claims *out, struct err *e)
{
    struct license_claims c = {0};
    struct envelope v;
    struct buf json;
    int result = -1;

    envelope_init(&v);
    buf_init(&json, LICENSE_TEXT_MAX);
    if (!read_envelope(body, len, &v)) {
        (void)err_set(e, ERR_INVALID, 0,
                      "what stands between the license's lines is no GitLab license: "
                      "damaged or cut");
        goto out;
    }
    if (open_envelope(own, &v, &json, e) != 0 ||
        license_gitlab_json_read(json.data, json.len, &c, e) != 0)
        goto out;
    memcpy(c.key_id, license_gitlab_key_id(own),
           strlen(license_gitlab_key_id(own)) + 1);
    *out = c;
    result = 0;
out:
    envelope_done(&v);
    buf_done(&json);
    return result;
}

static void *read_secret(const char *text, size_t len, const struct secret *passphrase,
                         struct err *e)
{
    struct rsa_numbers numbers = {0};

    if (license_gitlab_pem_read(text, len, passphrase, &numbers, e) != 0)
        return NULL;
    return license_gitlab_key_new(&numbers, e);
}

static void *read_public(const char *text, size_t len, struct err *e)
{
    const struct secret none = {0};

    return read_secret(text, len, &none, e);
}

static void key_free(void *own)
{
    license_gitlab_key_free(own);
}

static void key_id(const void *own, char out[static LICENSE_KEY_ID_MAX])
{
    memcpy(out, license_gitlab_key_id(own), strlen(license_gitlab_key_id(own)) + 1);
}

static void public_text(const void *own, struct buf *out)
{
    license_gitlab_key_public(own, out);
}

const struct license_format license_format_gitlab = {
    .name = "gitlab",
    .file_suffix = ".gitlab-license",
    .key_type = "rsa",
    .begin = "--------------------BEGIN GITLAB LICENSE--------------------",
    .end = "---------------------END GITLAB LICENSE---------------------",
    .line_width = 60,
    .counts_days = true,
    .slow = true,
    .least_term_days = 2,
    .recognise = license_gitlab_pem_half,
    .read_secret = read_secret,
    .read_public = read_public,
    .key_free = key_free,
    .key_id = key_id,
    .public_text = public_text,
    .generate = license_gitlab_key_generate,
    .set_times = license_gitlab_json_times,
    .sign = sign,
    .verify = verify,
};
