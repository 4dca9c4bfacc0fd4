/* http_tls: makes libcurl ask of a certificate what tls.h asks. By itself it believes
 * the subject's common name where there are no other names, and leaves it to the
 * system how weak a key may be. */
#ifndef STOPGAP_HTTP_TLS_H
#define STOPGAP_HTTP_TLS_H

#include <curl/curl.h>

#include "err.h"

/* Once for each easy handle. A libcurl without OpenSSL goes on with its own check. */
void http_tls_set_up(CURL *easy);

/* A refused certificate, in the words of tls.h; why: libcurl's. */
void http_tls_explain(CURL *easy, const char *why, struct err *e);

#endif
