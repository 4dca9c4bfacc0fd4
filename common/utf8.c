/* utf8: see utf8.h. Byte ranges: RFC 3629 section 4. */
#include "utf8.h"

/* Bytes in the character that starts with lead, and the least value it may have: a
 * smaller one is an over-long form. 0: no character starts so. */
static size_t sequence(unsigned char lead, int32_t *bits, int32_t *least)
{
    if (lead < 0xC2 || lead > 0xF4)
        return 0;
    if (lead < 0xE0) {
        *bits = lead & 0x1F;
        *least = 0x80;
        return 2;
    }
    if (lead < 0xF0) {
        *bits = lead & 0x0F;
        *least = 0x800;
        return 3;
    }
    *bits = lead & 0x07;
    *least = 0x10000;
    return 4;
}

int32_t utf8_next(const char **p, const char *end)
{
    const unsigned char *s = (const unsigned char *)*p;
    int32_t c = 0, least = 0;
    size_t len;

    if (s[0] < 0x80) {
        (*p)++;
        return s[0];
    }
    len = sequence(s[0], &c, &least);
    if (len == 0 || (size_t)(end - *p) < len)
        return -1;
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return -1;
        c = c * 64 + (s[i] & 0x3F);
    }
    if (c < least || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return -1;
    *p += len;
    return c;
}

size_t utf8_valid_len(const char *bytes, size_t len)
{
    const char *p = bytes, *end = bytes + len;

    while (p < end)
        if ((unsigned char)*p < 0x80)
            p++; /* most of it */
        else if (utf8_next(&p, end) < 0)
            break;
    return (size_t)(p - bytes);
}

bool utf8_printable(int32_t c)
{
    if (c < 0x20 || (c >= 0x7F && c <= 0x9F))
        return false;
    return !(c >= 0x2028 && c <= 0x202E) && !(c >= 0x2066 && c <= 0x2069);
}
