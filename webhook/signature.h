/* signature: is a delivery signed by our webhook in Zendesk, and lately? Looks at bytes
 * only: nothing of the body is parsed before this has said yes. Pure: the time is the
 * caller's. */
#ifndef STOPGAP_SIGNATURE_H
#define STOPGAP_SIGNATURE_H

#include <stdint.h>

#include "err.h"
#include "httpd.h"
#include "secret.h"

#define SIGNATURE_KEYS 2
#define SIGNATURE_HEADER "x-zendesk-webhook-signature"

/* base64(HMAC-SHA256(secret's text, timestamp header || raw body)), compared in
 * constant time with that of each secret; an empty one signs nothing. Exactly one
 * signature and one timestamp, which is UTC and within max_skew_ms of now_ms, either
 * way. Returns -1 with ERR_AUTH and a reason that tells nothing to who does not hold a
 * secret. */
int signature_check(const struct httpd_request *request,
                    const struct secret *const secrets[static SIGNATURE_KEYS],
                    int64_t max_skew_ms, int64_t now_ms, struct err *e) MUST_CHECK;

#endif
