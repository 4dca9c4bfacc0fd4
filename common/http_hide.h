/* http_hide: our secrets in what a server says, struck out before anybody hears it:
 * words of refusals go into logs, issues and messages. Only as they were sent, not in
 * another encoding. */
#ifndef STOPGAP_HTTP_HIDE_H
#define STOPGAP_HTTP_HIDE_H

#include <stddef.h>

/* Shorter ones could be words that mean no harm. */
#define HTTP_HIDE_LEAST 8

/* secret may be NULL. */
void http_hide(char *text, size_t len, const char *secret);

#endif
