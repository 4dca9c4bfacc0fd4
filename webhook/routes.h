/* routes: which call is whose: one table of paths, methods, rights and handlers. */
#ifndef STOPGAP_ROUTES_H
#define STOPGAP_ROUTES_H

#include "httpd.h"

/* For struct httpd_options; arg is the struct receiver. */
void routes_on_request(void *arg, struct httpd_call *call,
                       const struct httpd_request *request);
void routes_on_refused(void *arg, const char *peer, int status, const char *why);

#endif
