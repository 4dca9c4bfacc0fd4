/* http: HTTP requests through libcurl's multi interface on the libuv loop. Knows URLs,
 * headers and bytes, not GitLab. Only http*.c see <curl/curl.h>. */
#ifndef STOPGAP_HTTP_H
#define STOPGAP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct uv_loop_s;
struct http;
struct http_op;

#define HTTP_BODY_MAX ((size_t)1024 * 1024)
#define HTTP_HEADERS_MAX 8 /* of a request */
#define HTTP_HIDE_MAX 2

struct http_request {   /* strings are copied */
    const char *method; /* "GET", "POST", "PUT". A POST leaves at most once, also when a
                           kept connection turns out to be dead; the others may be sent
                           again by curl */
    const char *url;
    const char *const *headers; /* "Name: value", NULL-terminated; secrets allowed: they
                                   are sent to this URL's host only, no redirects */
    const char *body;           /* or NULL */
    size_t body_len;
    int64_t timeout_ms;              /* whole request; starts when the request starts */
    bool once;                       /* as a POST: leaves at most once */
    const char *hide[HTTP_HIDE_MAX]; /* secrets in it, or NULL: a server that says them
                                        again is heard saying stars */
    bool secret; /* never over plain http, except to this machine: ERR_AUTH */
};

struct http_response {
    struct err err; /* ERR_NONE: an answer came, whatever its status. ERR_TRANSIENT: no
                       (whole) answer; code 0; curl's words */
    int status;     /* 0: no answer */
    const char *body; /* NUL-terminated, capped at HTTP_BODY_MAX; valid during the
                         callback */
    size_t body_len;
    int64_t retry_after_ms; /* Retry-After (seconds or HTTP date), else RateLimit-Reset;
                               0 absent; clamped to a day */
    int next_page;          /* X-Next-Page, 0 absent */
    const char *location;   /* where a redirect points to; "" */
    bool connected;         /* false: the request certainly never left */
    bool too_large;         /* the error is that the answer passed HTTP_BODY_MAX */
};

/* Exactly once, from the loop, never from inside http_start. */
typedef void (*http_fn)(void *arg, const struct http_response *response);

/* ca_file NULL: system's. ERR_CONFIG if curl cannot be set up. */
struct http *http_new(struct uv_loop_s *loop, const char *ca_file,
                      struct err *e) MUST_CHECK;

/* What the last answer showed besides, for those who watch: the server's clock, and
 * when the first certificate of its chain ends. 0: not known. From this call on
 * certificates are looked at. */
struct http_seen {
    int64_t date_ms, tls_ends_ms;
};
void http_watch(struct http *h);
void http_seen(const struct http *h, struct http_seen *out);

/* Running requests get their callback with ERR_CANCELLED inside this call. May be
 * called from a callback. */
void http_free(struct http *h);

/* Never NULL. The loop is the caller's bound on how many run at once: nothing waits in
 * here, since the timeout would run meanwhile. */
struct http_op *http_start(struct http *h, const struct http_request *request,
                           http_fn fn, void *arg);

/* Ends it: the callback runs inside the call with ERR_CANCELLED. */
void http_cancel(struct http_op *op);

#endif
