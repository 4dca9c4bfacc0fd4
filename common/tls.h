/* tls: OpenSSL through two memory BIOs: bytes in, bytes out, no socket. The only file
 * that sees <openssl/ssl.h>. */
#ifndef STOPGAP_TLS_H
#define STOPGAP_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

/* What all connections share: trust anchors, TLS 1.2 and up. Loading the system's
 * bundle costs about 100 ms: once, at start. */
struct tls;
struct tls *tls_new(const char *ca_file, struct err *e) MUST_CHECK; /* NULL: system's */
void tls_free(struct tls *t);

/* One client connection. host: checked against the certificate and sent as SNI; an IP
 * address is checked as such. */
struct tls_conn;
struct tls_conn *tls_conn_new(struct tls *t, const char *host);
void tls_conn_free(struct tls_conn *c);

/* Feeds bytes from the wire (len may be 0, to start), appends what must go out to
 * `wire` and what was decrypted to `plain`. Returns 0, or -1 with ERR_TRANSIENT and the
 * verification error in words (certificate, name, date). *up once the handshake is
 * complete; *ended on the peer's close_notify. */
int tls_conn_feed(struct tls_conn *c, const void *bytes, size_t len, struct buf *plain,
                  struct buf *wire, bool *up, bool *ended, struct err *e) MUST_CHECK;

/* When the first certificate of the peer's chain ends, in ms since 1970; 0: not known.
 * Only once up. */
int64_t tls_conn_ends_ms(const struct tls_conn *c);

/* Encrypts bytes, appends to `wire`. Only once up. */
int tls_conn_seal(struct tls_conn *c, const void *bytes, size_t len, struct buf *wire,
                  struct err *e) MUST_CHECK;

/* The same demands on a context that another library made of OpenSSL: keys and digests
 * that are strong enough, and a certificate that names this host. -1: nothing to check,
 * it must not be used. */
int tls_demand(void *ssl_ctx, const char *host) MUST_CHECK;

#endif
