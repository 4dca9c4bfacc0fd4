/* num: see num.h. */
#include "num.h"

#include <stdio.h>
#include <string.h>

#include "mem.h"

static const struct {
    const char *name;
    int64_t ms;
} units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

/* Reads digits up to the first other character. */
static const char *digits(const char *text, int64_t *out)
{
    const char *p = text;
    int64_t n = 0;

    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, *p - '0', &n))
            return NULL;
    if (p == text)
        return NULL;
    *out = n;
    return p;
}

bool num_parse(const char *text, int64_t min, int64_t max, int64_t *out)
{
    bool negative = text[0] == '-';
    int64_t n;
    const char *end = digits(text + negative, &n);

    if (!end || *end)
        return false;
    if (negative)
        n = -n;
    if (n < min || n > max)
        return false;
    *out = n;
    return true;
}

bool num_parse_duration(const char *text, int64_t *out_ms)
{
    int64_t n;
    const char *unit = digits(text, &n);

    if (!unit)
        return false;
    if (!*unit && n == 0) {
        *out_ms = 0;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (strcmp(unit, units[i].name) != 0)
            continue;
        if (__builtin_mul_overflow(n, units[i].ms, &n))
            return false;
        *out_ms = n;
        return true;
    }
    return false;
}

size_t num_format(int64_t n, char out[static 24])
{
    char text[24];
    char *p = text + sizeof text;
    uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    size_t len;

    *--p = '\0';
    do {
        *--p = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (n < 0)
        *--p = '-';
    len = (size_t)(text + sizeof text - p);
    memcpy(out, p, len);
    return len - 1;
}

void num_format_duration(int64_t ms, char out[static 24])
{
    size_t i = 0;

    while (i < ARRAY_LEN(units) - 1 && (ms < units[i].ms || ms % units[i].ms))
        i++;
    (void)snprintf(out, 24, "%lld%s", (long long)(ms / units[i].ms), units[i].name);
}
