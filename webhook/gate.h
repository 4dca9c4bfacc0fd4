/* gate: who may do what, by bearer token. Tokens are compared in constant time, as
 * hashes of one length. */
#ifndef STOPGAP_GATE_H
#define STOPGAP_GATE_H

#include "err.h"
#include "httpd.h"
#include "settings.h"

enum gate_right {
    GATE_ANYONE,
    GATE_WEBHOOK, /* STOPGAP_WEBHOOK_TOKEN, if that is set: a second factor */
    GATE_SUBMIT,  /* a token of the API */
    GATE_READ,    /* one of those, or the one that reads and resends */
};

/* 0, or -1 with ERR_AUTH (who calls has no such right) or ERR_CONFIG (the API is off:
 * no token of that right is set). Exactly one Authorization header counts. */
int gate_check(enum gate_right right, const struct settings *settings,
               const struct httpd_request *request, struct err *e) MUST_CHECK;

#endif
