/* http: HTTP requests through libcurl's multi interface on the libuv loop. Knows URLs,
 * headers and bytes, not GitLab. The only file that sees <curl/curl.h>. */
#ifndef STOPGAP_HTTP_H
#define STOPGAP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct uv_loop_s;
struct http;
struct http_op;

struct http_request {   /* strings are copied */
    const char *method; /* "GET", "POST", "PUT" */
    const char *url;
    const char *const *headers; /* "Name: value", NULL-terminated; secrets allowed: they
                                   are sent to this URL's host only, no redirects */
    const char *body;           /* or NULL */
    size_t body_len;
    int64_t timeout_ms; /* whole request; starts when the request starts */
};

struct http_response {
    struct err err; /* ERR_NONE: an answer came, whatever its status. ERR_TRANSIENT: no
                       (whole) answer; code 0; curl's words */
    int status;     /* 0: no answer */
    const char *body; /* NUL-terminated, capped at 1 MiB; valid during the callback */
    size_t body_len;
    int64_t retry_after_ms; /* Retry-After (seconds or HTTP date), else RateLimit-Reset;
                               0 absent; clamped to a day */
    int next_page;          /* X-Next-Page, 0 absent */
    bool connected;         /* false: the request certainly never left */
};

/* Exactly once, from the loop, never from inside http_start. */
typedef void (*http_fn)(void *arg, const struct http_response *response);

/* ca_file NULL: system's. ERR_CONFIG if curl cannot be set up. */
struct http *http_new(struct uv_loop_s *loop, const char *ca_file,
                      struct err *e) MUST_CHECK;

/* Running requests get their callback with ERR_CANCELLED inside this call. */
void http_free(struct http *h);

/* Never NULL. */
struct http_op *http_start(struct http *h, const struct http_request *request,
                           http_fn fn, void *arg);

#endif
