/* gate: see gate.h. */
#include "gate.h"

#include <sodium.h>
#include <string.h>
#include <strings.h>

#define HASH_BYTES 32

static void hash(const void *bytes, size_t len, unsigned char out[static HASH_BYTES])
{
    (void)crypto_generichash(out, HASH_BYTES, bytes, len, NULL, 0);
}

/* Every token is looked at, so that the time taken does not say which one fits. */
static bool fits(const struct secret *const *tokens, size_t count, const char *given)
{
    unsigned char theirs[HASH_BYTES], ours[HASH_BYTES];
    bool good = false;

    hash(given, strlen(given), theirs);
    for (size_t i = 0; i < count; i++) {
        if (!tokens[i]->len)
            continue;
        hash(tokens[i]->data, tokens[i]->len, ours);
        good |= sodium_memcmp(theirs, ours, HASH_BYTES) == 0;
    }
    sodium_memzero(theirs, sizeof theirs);
    sodium_memzero(ours, sizeof ours);
    return good;
}

static bool any_set(const struct secret *const *tokens, size_t count)
{
    bool set = false;

    for (size_t i = 0; i < count; i++)
        set |= tokens[i]->len > 0;
    return set;
}

/* What follows "Bearer" in the one Authorization header; NULL after a fault. */
static const char *bearer(const struct httpd_request *request, struct err *e)
{
    static const char scheme[] = "Bearer ";
    size_t count;
    const char *value = httpd_field(request, "authorization", &count);

    if (count == 1 && !strncasecmp(value, scheme, sizeof scheme - 1))
        return value + sizeof scheme - 1;
    (void)err_set(e, ERR_AUTH, 0, "Authorization: %s",
                  count == 0   ? "missing; allowed: Bearer and a token"
                  : count == 1 ? "another scheme than Bearer"
                               : "given twice");
    return NULL;
}

static int check(const struct secret *const *tokens, size_t count,
                 const struct httpd_request *request, struct err *e)
{
    const char *given = bearer(request, e);

    if (!given)
        return -1;
    if (fits(tokens, count, given))
        return 0;
    return err_set(e, ERR_AUTH, 0, "Authorization: not a token that may do this");
}

int gate_check(enum gate_right right, const struct settings *settings,
               const struct httpd_request *request, struct err *e)
{
    const struct secret *api[] = {&settings->api_token, &settings->api_token_2,
                                  &settings->api_read_token};
    const struct secret *webhook[] = {&settings->webhook_token};
    size_t count = right == GATE_READ ? 3 : 2;

    if (right == GATE_ANYONE)
        return 0;
    if (right == GATE_WEBHOOK)
        return webhook[0]->len ? check(webhook, 1, request, e) : 0;
    if (!any_set(api, count))
        return err_set(e, ERR_CONFIG, 0, "the API is off: no token for it is set");
    return check(api, count, request, e);
}
