/* gitlab_get: see gitlab_get.h. */
#include "gitlab_get.h"

#include "buf.h"
#include "secret.h"
#include "settings.h"

#define TEXT_MAX 8192

void gitlab_get(struct http *h, const struct settings *settings, const char *before,
                const char *after, int64_t timeout_ms, http_fn fn, void *arg)
{
    const char *headers[] = {NULL, "Accept: application/json", NULL};
    struct http_request r = {.method = "GET",
                             .headers = headers,
                             .hide = {settings->gitlab_token.data},
                             .timeout_ms = timeout_ms,
                             .secret = settings->gitlab_require_private};
    struct buf url, token;

    buf_init(&url, TEXT_MAX);
    buf_init(&token, TEXT_MAX);
    buf_addf(&url, "%s/api/v4/%s", settings->gitlab_url, before);
    if (after) {
        buf_add_percent(&url, settings->gitlab_project);
        buf_adds(&url, after);
    }
    buf_addf(&token, "PRIVATE-TOKEN: %s", settings->gitlab_token.data);
    headers[0] = token.data;
    r.url = url.data;
    (void)http_start(h, &r, fn, arg);
    secret_wipe(token.data, token.len);
    buf_done(&token);
    buf_done(&url);
}
