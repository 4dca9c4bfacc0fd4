/* gitlab_get: one question to GitLab's API about the project of the settings, with the
 * settings' token. Reads only; what the answer means is the caller's. */
#ifndef STOPGAP_CTL_GITLAB_GET_H
#define STOPGAP_CTL_GITLAB_GET_H

#include <stdint.h>

#include "http.h"

struct settings;

/* GET of /api/v4/BEFORE[PROJECT][AFTER]; the project, percent-encoded, stands there
 * only if after is not NULL. fn runs once, later, or when h is freed. The token is
 * wiped from the request's own memory. */
void gitlab_get(struct http *h, const struct settings *settings, const char *before,
                const char *after, int64_t timeout_ms, http_fn fn, void *arg);

#endif
