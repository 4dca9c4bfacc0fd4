/* httpd: a small HTTP/1.1 server on the libuv loop: listens, bounds its clients in
 * number, size and time, and hands whole requests to its owner one by one. What a
 * request means is the owner's; TLS is a proxy's. The bytes are read by httpd_reader.
 *
 * Framing is strict (RFC 9112): whatever two programs could read in two ways is refused
 * and the connection closed. */
#ifndef STOPGAP_HTTPD_H
#define STOPGAP_HTTPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct uv_loop_s;
struct httpd;
struct httpd_call; /* a request that waits for its answer */

struct httpd_field {
    const char *name; /* as sent; NUL-terminated */
    const char *value;
};

struct httpd_request {
    const char *method; /* "POST"; case matters (RFC 9110 section 9.1) */
    const char *path;   /* "/v1/requests"; no escapes are undone */
    const char *query;  /* after '?', or "" */
    const char *peer;   /* address of the client; of the one before it if a trusted
                           proxy says so */
    const struct httpd_field *fields;
    size_t field_count;
    const char *body; /* NUL-terminated; may hold NULs */
    size_t body_len;
};

/* The value of a field whose name may differ in case; NULL when there is none, *count
 * (may be NULL) says how many there are. */
const char *httpd_field(const struct httpd_request *request, const char *name,
                        size_t *count);

/* A whole request, from the loop. The owner answers it exactly once with httpd_answer,
 * now or later; the request stays as it is until then, also when the client goes away
 * meanwhile. */
typedef void (*httpd_fn)(void *arg, struct httpd_call *call,
                         const struct httpd_request *request);

/* What was answered without the owner (400, 408, 413, 429, ...), and when: for
 * counting. May be NULL. */
typedef void (*httpd_refused_fn)(void *arg, const char *peer, int status,
                                 const char *why);

struct httpd_options {
    struct uv_loop_s *loop;
    const char *host;       /* address to listen on */
    int port;               /* 0: any; httpd_port tells */
    size_t max_connections; /* then who waits longest for a head gives its place, */
    int64_t grace_ms;       /* unless that is no longer than this */
    size_t max_per_peer;    /* of one address that is not trusted */
    const char
        *trusted;    /* networks of proxies, as in STOPGAP_TRUSTED_PROXIES, or NULL */
    size_t body_max; /* more: 413, before any of it is read */
    int64_t head_ms; /* hard deadlines, each counted from its begin: a head, */
    int64_t request_ms; /* head and body, */
    int64_t idle_ms;    /* and the wait for the next request */
    httpd_fn on_request;
    httpd_refused_fn on_refused;
    void *arg;
};

/* ERR_CONFIG with the address and the reason when it cannot listen. Copies the
 * strings. */
struct httpd *httpd_new(const struct httpd_options *options, struct err *e) MUST_CHECK;

int httpd_port(const struct httpd *h);
size_t httpd_connections(const struct httpd *h);

/* No new connections and no new requests; running ones are still answered, each with
 * "Connection: close". on_idle runs once, from the loop, when the last has been. */
void httpd_drain(struct httpd *h, void (*on_idle)(void *arg));

/* Ends everything at once; answers that come later are dropped. Memory goes when libuv
 * has closed the handles and every call was answered. NULL is fine. */
void httpd_free(struct httpd *h);

/* body is copied. extra: further header lines ("Retry-After: 30"), NULL-terminated, or
 * NULL. Content-Length, Date and Connection are added. type NULL: application/json. */
void httpd_answer(struct httpd_call *call, int status, const char *type,
                  const char *const *extra, const void *body, size_t len);

#endif
