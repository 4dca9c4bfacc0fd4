/* http_tls: see http_tls.h. */
#include "http_tls.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "tls.h"

/* The host of the URL under way, without an IPv6 address's brackets; NULL: none. */
static char *host_of(CURL *easy)
{
    CURLU *parts = curl_url();
    char *url = NULL, *host = NULL, *out = NULL;
    size_t bracket;

    (void)curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url);
    if (url && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
        bracket = *host == '[';
        out = mem_dup(host + bracket, strcspn(host + bracket, "]"));
    }
    curl_free(host);
    curl_url_cleanup(parts);
    return out;
}

static CURLcode on_context(CURL *easy, void *ssl_ctx, void *arg)
{
    char *host = host_of(easy);
    int rc = host ? tls_demand(ssl_ctx, host) : -1;

    (void)arg;
    free(host);
    return rc ? CURLE_PEER_FAILED_VERIFICATION : CURLE_OK;
}

void http_tls_set_up(CURL *easy)
{
    const char *backend = curl_version_info(CURLVERSION_NOW)->ssl_version;

    if (backend && strncmp(backend, "OpenSSL/", 8) == 0)
        (void)curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_context);
}

void http_tls_explain(CURL *easy, const char *why, struct err *e)
{
    static const char prefix[] = "SSL certificate problem: ";
    char *host = host_of(easy);

    if (strncmp(why, prefix, sizeof prefix - 1) == 0)
        why += sizeof prefix - 1;
    (void)err_set(e, ERR_TRANSIENT, 0, "certificate of %s refused: %s",
                  host ? host : "the server", why);
    free(host);
}
