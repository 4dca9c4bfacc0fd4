/* forget_needle: see forget_needle.h. */
#include "forget_needle.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "mem.h"

#define TYPED_MAX                                                                      \
    320 /* bytes: longer than any address, also before its domain's IDNA */

/* ASCII alone: what else a text may be stays as it is. */
static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_letter_or_digit(char c)
{
    c = lower(c);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* How the sign in the middle may be written: plain, in a URL or form, in JSON. */
static void add(struct forget_needle *n, const char *address)
{
    static const char *const ats[] = {"@", "%40", "\\u0040"};
    const char *at = strrchr(address, '@');

    for (size_t i = 0; i < ARRAY_LEN(ats); i++) {
        char *to = n->v[n->count++];

        (void)snprintf(to, sizeof n->v[0], "%.*s%s%s", (int)(at - address), address,
                       ats[i], at + 1);
        for (; *to; to++)
            *to = lower(*to);
    }
}

bool forget_needle_make(const char *text, struct forget_needle *out)
{
    const char *at = strrchr(text, '@');
    struct err e;

    *out = (struct forget_needle){.count = 0};
    if (!at || at == text || !at[1] || strlen(text) > TYPED_MAX ||
        strpbrk(text, " \t\r\n"))
        return false;
    add(out, text);
    if (address_normalise(text, out->normal, &e)) {
        out->normal[0] = '\0'; /* one that no request can have brought to a mail */
    } else if (strcasecmp(text, out->normal) != 0) {
        add(out, out->normal);
    }
    return true;
}

/* A quote in front belongs to an address, unless the same closes it. */
static bool begins_here(const char *bytes, const char *hit, const char *end, size_t len)
{
    char before;

    if (hit == bytes)
        return true;
    before = hit[-1];
    if (before == '\'')
        return hit + len < end && hit[len] == '\'';
    return !before ||
           (!is_letter_or_digit(before) && !strchr(".!#$%&*+-?^_{|}~", before));
}

static bool ends_here(const char *after, const char *end)
{
    if (after == end)
        return true;
    if (*after == '.')
        return after + 1 == end || !is_letter_or_digit(after[1]);
    return !is_letter_or_digit(*after) && *after != '-' && *after != '_';
}

static bool is_in(const char *needle, const char *bytes, size_t size)
{
    const char *end = bytes + size;
    size_t len = strlen(needle);

    for (const char *p = bytes; (size_t)(end - p) >= len; p++) {
        size_t i = 0;

        while (i < len && lower(p[i]) == needle[i])
            i++;
        if (i == len && begins_here(bytes, p, end, len) && ends_here(p + len, end))
            return true;
    }
    return false;
}

bool forget_needle_in(const struct forget_needle *n, const char *bytes, size_t len)
{
    for (size_t i = 0; i < n->count; i++)
        if (is_in(n->v[i], bytes, len))
            return true;
    return false;
}
