/* network: see network.h. Every address is kept in the 16 bytes of IPv6, so that one
 * comparison serves both families. */
#include "network.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "num.h"

#define MAPPED_BITS 96

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

static bool is_mapped(const struct network_addr *a)
{
    return memcmp(a->bytes, mapped, sizeof mapped) == 0;
}

struct network_addr network_from_bytes(const void *bytes, size_t len)
{
    struct network_addr a = {{0}};

    if (len == 16) {
        memcpy(a.bytes, bytes, 16);
    } else {
        memcpy(a.bytes, mapped, sizeof mapped);
        memcpy(a.bytes + sizeof mapped, bytes, 4);
    }
    return a;
}

bool network_parse_addr(const char *text, size_t len, struct network_addr *out)
{
    char address[NETWORK_TEXT_MAX] = "";
    unsigned char bytes[16];
    bool six = memchr(text, ':', len) != NULL;

    if (len >= sizeof address || memchr(text, '\0', len))
        return false;
    memcpy(address, text, len);
    if (inet_pton(six ? AF_INET6 : AF_INET, address, bytes) != 1)
        return false;
    *out = network_from_bytes(bytes, six ? 16 : 4);
    return true;
}

void network_format(const struct network_addr *a, char out[static NETWORK_TEXT_MAX])
{
    bool four = is_mapped(a);

    (void)inet_ntop(four ? AF_INET : AF_INET6, a->bytes + (four ? sizeof mapped : 0),
                    out, NETWORK_TEXT_MAX);
}

static bool same_bits(const struct network_addr *a, const struct network_addr *b,
                      unsigned int bits)
{
    unsigned int whole = bits / 8, rest = bits % 8;

    if (memcmp(a->bytes, b->bytes, whole) != 0)
        return false;
    return !rest || (a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest) == 0;
}

bool network_same_client(const struct network_addr *a, const struct network_addr *b)
{
    return same_bits(a, b, is_mapped(a) ? 128 : 64);
}

static bool parse_network(const char *text, size_t len, struct network *out)
{
    const char *slash = memchr(text, '/', len);
    size_t host = slash ? (size_t)(slash - text) : len;
    bool six = memchr(text, ':', host) != NULL;
    char digits[4] = "";
    int64_t bits = six ? 128 : 32;

    if (!network_parse_addr(text, host, &out->base))
        return false;
    if (slash) {
        if (len - host - 1 >= sizeof digits)
            return false;
        memcpy(digits, slash + 1, len - host - 1);
        if (!num_parse(digits, 0, bits, &bits))
            return false;
    }
    /* "::ffff:10.0.0.0/8": meant is IPv4, and it would be a part of IPv6. */
    if (six && bits < MAPPED_BITS && is_mapped(&out->base))
        return false;
    out->bits = (unsigned int)bits + (six ? 0 : MAPPED_BITS);
    return true;
}

bool network_list_parse(const char *text, struct network_list *out)
{
    struct network_list got = {0};

    for (const char *p = text, *next; p; p = next) {
        size_t len = strcspn(p, ",");

        next = p[len] ? p + len + 1 : NULL;
        got.items = mem_grow(got.items, (got.count + 1) * sizeof *got.items);
        if (!parse_network(p, len, &got.items[got.count])) {
            network_list_done(&got);
            return false;
        }
        got.count++;
    }
    *out = got;
    return true;
}

bool network_list_has(const struct network_list *list, const struct network_addr *addr)
{
    bool four = is_mapped(addr);

    for (size_t i = 0; i < list->count; i++) {
        const struct network *n = &list->items[i];

        if ((!four || n->bits >= MAPPED_BITS) && same_bits(&n->base, addr, n->bits))
            return true;
    }
    return false;
}

void network_list_done(struct network_list *list)
{
    free(list->items);
    *list = (struct network_list){0};
}
