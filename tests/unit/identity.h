/* identity: keys and certificates made on the spot, for tests that speak TLS. Include
 * after cmocka.h. */
#ifndef STOPGAP_TEST_IDENTITY_H
#define STOPGAP_TEST_IDENTITY_H

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

struct identity {
    EVP_PKEY *key;
    X509 *cert;
};

static inline void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

/* issuer NULL: signs itself. san NULL: an authority. */
static inline struct identity identity_issue(const struct identity *issuer,
                                             const char *cn, const char *san, long from,
                                             long until)
{
    static long serial = 1;
    struct identity id = {.key = EVP_EC_gen("P-256"), .cert = X509_new()};
    X509_NAME *name = X509_get_subject_name(id.cert);

    (void)X509_set_version(id.cert, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial++);
    (void)X509_gmtime_adj(X509_getm_notBefore(id.cert), from);
    (void)X509_gmtime_adj(X509_getm_notAfter(id.cert), until);
    (void)X509_set_pubkey(id.cert, id.key);
    (void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                     (const unsigned char *)cn, -1, -1, 0);
    (void)X509_set_issuer_name(id.cert,
                               issuer ? X509_get_subject_name(issuer->cert) : name);
    add_extension(id.cert, issuer ? issuer->cert : id.cert, NID_basic_constraints,
                  san ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (san)
        add_extension(id.cert, id.cert, NID_subject_alt_name, san);
    assert_true(X509_sign(id.cert, issuer ? issuer->key : id.key, EVP_sha256()) > 0);
    return id;
}

/* As PEM files; either path may be NULL. */
static inline void identity_write(const struct identity *id, const char *cert_path,
                                  const char *key_path)
{
    FILE *f = cert_path ? fopen(cert_path, "w") : NULL;

    if (f) {
        assert_int_equal(PEM_write_X509(f, id->cert), 1);
        assert_int_equal(fclose(f), 0);
    }
    f = key_path ? fopen(key_path, "w") : NULL;
    if (f) {
        assert_int_equal(PEM_write_PrivateKey(f, id->key, NULL, NULL, 0, NULL, NULL),
                         1);
        assert_int_equal(fclose(f), 0);
    }
}

static inline void identity_free(struct identity *id)
{
    EVP_PKEY_free(id->key);
    X509_free(id->cert);
}

#endif
