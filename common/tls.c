/* tls: see tls.h. Bytes go in and out through memory BIOs, so that the event loop owns
 * the socket and nothing here can block. Not a server, no client certificates. */
#include "tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mem.h"

#define READ_CHUNK 16384 /* the largest TLS record */
#define DETAIL_MAX 300
#define SECURITY_LEVEL 2 /* of OpenSSL: 112 bits; no SHA-1, no RSA under 2048 */

struct tls {
    SSL_CTX *ctx;
};

struct tls_conn {
    SSL *ssl;
    BIO *from_wire; /* owned by ssl */
    BIO *to_wire;   /* owned by ssl */
    char *host;
    bool unchecked; /* the name could not be set up for checking: never go on */
    char detail[DETAIL_MAX]; /* which certificate was refused */
};

/* OpenSSL's own words for the oldest queued error; empties the queue. */
static const char *queued_reason(void)
{
    unsigned long code = ERR_get_error();
    const char *words = code ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return words ? words : "unknown reason";
}

/* Remembers subject and end date of the certificate that fails: with the reason alone
 * nobody can tell which one of a chain it was. */
static int note_refused(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_conn *c = SSL_get_app_data(ssl);
    X509 *cert = X509_STORE_CTX_get_current_cert(store);
    BIO *text;
    int n;

    if (ok || !cert)
        return ok;
    text = BIO_new(BIO_s_mem());
    if (!text)
        return ok;
    (void)X509_NAME_print_ex(text, X509_get_subject_name(cert), 0, XN_FLAG_ONELINE);
    (void)BIO_puts(text, ", valid until ");
    (void)ASN1_TIME_print(text, X509_get0_notAfter(cert));
    n = BIO_read(text, c->detail, DETAIL_MAX - 1);
    c->detail[n > 0 ? n : 0] = '\0';
    BIO_free(text);
    return ok;
}

/* A system may ask for more. */
static void demand_strength(SSL_CTX *ctx)
{
    if (SSL_CTX_get_security_level(ctx) < SECURITY_LEVEL)
        SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
}

struct tls *tls_new(const char *ca_file, struct err *e)
{
    struct tls *t = mem_new(1, sizeof *t);
    int ok;

    ERR_clear_error();
    t->ctx = SSL_CTX_new(TLS_client_method());
    if (!t->ctx || !SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION)) {
        (void)err_set(e, ERR_BUG, 0, "OpenSSL cannot be set up: %s", queued_reason());
        goto out;
    }
    demand_strength(t->ctx);
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, note_refused);
    SSL_CTX_set_mode(t->ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
    ok = ca_file ? SSL_CTX_load_verify_locations(t->ctx, ca_file, NULL)
                 : SSL_CTX_set_default_verify_paths(t->ctx);
    if (ok == 1)
        return t;
    (void)err_set(e, ERR_CONFIG, 0, "no trusted certificates in %s: %s",
                  ca_file ? ca_file : "the system's bundle", queued_reason());
out:
    tls_free(t);
    return NULL;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    free(t);
}

/* An address is looked for among the certificate's addresses, anything else among its
 * names, not in its subject (RFC 9525 section 2: any text may stand there). An empty
 * name would switch OpenSSL's check off. *is_name: it is no address. */
static bool demand(X509_VERIFY_PARAM *param, const char *host, bool *is_name)
{
    if (!*host)
        return false;
    *is_name = X509_VERIFY_PARAM_set1_ip_asc(param, host) != 1;
    if (!*is_name)
        return true;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
}

/* Told to the server, unless it is an address (RFC 6066 forbids those in SNI). */
static bool set_name(SSL *ssl, const char *host)
{
    bool is_name = false;

    return demand(SSL_get0_param(ssl), host, &is_name) &&
           (!is_name || SSL_set_tlsext_host_name(ssl, host) == 1);
}

/* A rooted name; certificates never have the dot. */
static char *without_dot(const char *host)
{
    size_t len = strlen(host);

    return mem_dup(host, len && host[len - 1] == '.' ? len - 1 : len);
}

int tls_demand(void *ssl_ctx, const char *host)
{
    char *name = without_dot(host);
    bool is_name, good = demand(SSL_CTX_get0_param(ssl_ctx), name, &is_name);

    demand_strength(ssl_ctx);
    ERR_clear_error();
    free(name);
    return good ? 0 : -1;
}

struct tls_conn *tls_conn_new(struct tls *t, const char *host)
{
    struct tls_conn *c = mem_new(1, sizeof *c);

    c->host = without_dot(host);
    c->ssl = SSL_new(t->ctx);
    c->from_wire = BIO_new(BIO_s_mem());
    c->to_wire = BIO_new(BIO_s_mem());
    if (!c->ssl || !c->from_wire || !c->to_wire)
        abort(); /* out of memory, as in mem.c */
    SSL_set_bio(c->ssl, c->from_wire, c->to_wire);
    (void)SSL_set_app_data(c->ssl, c);
    SSL_set_connect_state(c->ssl);
    c->unchecked = !set_name(c->ssl, c->host);
    ERR_clear_error();
    return c;
}

void tls_conn_free(struct tls_conn *c)
{
    if (!c)
        return;
    SSL_free(c->ssl);
    ERR_clear_error();
    free(c->host);
    free(c);
}

static int fail(struct tls_conn *c, struct err *e)
{
    long verdict = SSL_get_verify_result(c->ssl);
    const char *reason = queued_reason();

    if (verdict == X509_V_OK)
        return err_set(e, ERR_TRANSIENT, 0, "TLS with %s: %s", c->host, reason);
    return err_set(e, ERR_TRANSIENT, 0, "certificate of %s refused: %s (%s)", c->host,
                   X509_verify_cert_error_string(verdict), c->detail);
}

static void drain(struct tls_conn *c, struct buf *wire)
{
    char *bytes;
    long len = BIO_get_mem_data(c->to_wire, &bytes);

    if (len > 0)
        buf_add(wire, bytes, (size_t)len);
    (void)BIO_reset(c->to_wire);
}

/* True if OpenSSL merely wants more bytes. */
static bool wants_more(struct tls_conn *c, int rc)
{
    return SSL_get_error(c->ssl, rc) == SSL_ERROR_WANT_READ;
}

static int open_records(struct tls_conn *c, struct buf *plain, bool *ended,
                        struct err *e)
{
    char chunk[READ_CHUNK];
    int n;

    while ((n = SSL_read(c->ssl, chunk, READ_CHUNK)) > 0)
        buf_add(plain, chunk, (size_t)n);
    if (SSL_get_error(c->ssl, n) == SSL_ERROR_ZERO_RETURN)
        *ended = true;
    else if (!wants_more(c, n))
        return fail(c, e);
    return 0;
}

static int advance(struct tls_conn *c, struct buf *plain, bool *up, bool *ended,
                   struct err *e)
{
    int rc;

    if (!SSL_is_init_finished(c->ssl)) {
        rc = SSL_do_handshake(c->ssl);
        if (rc != 1)
            return wants_more(c, rc) ? 0 : fail(c, e);
    }
    *up = true;
    return open_records(c, plain, ended, e);
}

int tls_conn_feed(struct tls_conn *c, const void *bytes, size_t len, struct buf *plain,
                  struct buf *wire, bool *up, bool *ended, struct err *e)
{
    int rc;

    if (c->unchecked)
        return err_set(e, ERR_TRANSIENT, 0, "TLS: \"%s\" is no name to check", c->host);
    ERR_clear_error();
    if (len && BIO_write(c->from_wire, bytes, (int)len) != (int)len)
        return fail(c, e);
    rc = advance(c, plain, up, ended, e);
    drain(c, wire);
    return rc;
}

static int64_t ends_ms(const X509 *cert)
{
    struct tm end;

    if (!ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end))
        return 0;
    return (int64_t)timegm(&end) * 1000;
}

int64_t tls_conn_ends_ms(const struct tls_conn *c)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(c->ssl);
    int64_t first = 0;

    for (int i = 0; i < sk_X509_num(chain); i++) {
        int64_t ms = ends_ms(sk_X509_value(chain, i));

        if (ms && (!first || ms < first))
            first = ms;
    }
    return first;
}

int tls_conn_seal(struct tls_conn *c, const void *bytes, size_t len, struct buf *wire,
                  struct err *e)
{
    size_t done;

    ERR_clear_error();
    if (len && SSL_write_ex(c->ssl, bytes, len, &done) != 1)
        return fail(c, e);
    drain(c, wire);
    return 0;
}
