/* httpd_client: whose request it is when it comes through proxies. Only what a trusted
 * one says counts, so the addresses are read from the last to the first: each was
 * written by the proxy that the next one names. */
#include <string.h>
#include <strings.h>

#include "httpd_internal.h"

static void trim(const char **from, const char **to)
{
    while (*from < *to && (**from == ' ' || **from == '\t'))
        ++*from;
    while (*to > *from && ((*to)[-1] == ' ' || (*to)[-1] == '\t'))
        --*to;
}

/* "192.0.2.1", "192.0.2.1:4711", "2001:db8::1" or "[2001:db8::1]:4711". */
static bool parse_element(const char *from, const char *to, struct network_addr *out)
{
    const char *colon = memchr(from, ':', (size_t)(to - from));

    if (from < to && *from == '[') {
        const char *end = memchr(from, ']', (size_t)(to - from));

        return end && network_parse_addr(from + 1, (size_t)(end - from - 1), out);
    }
    if (colon && !memchr(colon + 1, ':', (size_t)(to - colon - 1)))
        to = colon;
    return network_parse_addr(from, (size_t)(to - from), out);
}

/* From the list's end on; false once the search is over. */
static bool walk(struct httpd_call *c, const char *list)
{
    const char *to = list + strlen(list);

    for (;;) {
        const char *from = memrchr(list, ',', (size_t)(to - list));
        const char *begin = from ? from + 1 : list;
        struct network_addr addr;

        trim(&begin, &to);
        if (!parse_element(begin, to, &addr))
            return false;
        network_format(&addr, c->client);
        if (!network_list_has(&c->h->trusted, &addr))
            return false;
        if (!from)
            return true;
        to = from;
    }
}

void httpd_conn_find_client(struct httpd_call *c)
{
    memcpy(c->client, c->peer, sizeof c->client);
    if (!c->trusted)
        return;
    for (size_t i = c->request.field_count; i-- > 0;)
        if (strcasecmp(c->fields[i].name, "X-Forwarded-For") == 0 &&
            !walk(c, c->fields[i].value))
            return;
}
