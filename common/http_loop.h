/* http_loop: curl's multi interface on the libuv loop: its sockets, its timer, and who
 * is told when a transfer has ended. Knows no request. For http.c only. */
#ifndef STOPGAP_HTTP_LOOP_H
#define STOPGAP_HTTP_LOOP_H

#include <curl/curl.h>

struct uv_loop_s;
struct http_loop;

/* The transfer of easy ended with rc; it is still in the multi handle. From the loop,
 * never from inside a call of curl: it may add, remove and close. */
typedef void (*http_loop_fn)(CURL *easy, CURLcode rc);

struct http_loop *http_loop_open(struct uv_loop_s *loop, http_loop_fn fn);

void http_loop_add(struct http_loop *l, CURL *easy);
void http_loop_remove(struct http_loop *l, CURL *easy);

/* Every transfer has been removed. No callback runs after this; the memory goes when
 * libuv has closed the handles. */
void http_loop_close(struct http_loop *l);

#endif
