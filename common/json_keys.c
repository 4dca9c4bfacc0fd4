/* json_keys: see json_keys.h. Iterative: depth of nesting costs nothing. */
#include "json_keys.h"

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

/* From an opening quote to after the closing one. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\')
            p++;
    return p < end ? p + 1 : end;
}

/* To the comma or brace that ends a value, whatever is nested in it. */
static const char *skip_value(const char *p, const char *end)
{
    size_t depth = 0;

    while (p < end) {
        if (*p == '"') {
            p = skip_string(p, end);
            continue;
        }
        if (depth == 0 && (*p == ',' || *p == '}'))
            return p;
        if (*p == '{' || *p == '[')
            depth++;
        else if (*p == '}' || *p == ']')
            depth--;
        p++;
    }
    return end;
}

bool json_keys_next(const char **p, const char *end, struct json_member *out)
{
    const char *s = skip_space(*p, end), *key, *value;

    if (s == end || (*s != '{' && *s != ','))
        return false;
    key = skip_space(s + 1, end);
    if (key == end || *key != '"')
        return false;
    s = skip_string(key, end);
    out->key = key + 1;
    out->key_len = s - key < 2 ? 0 : (size_t)(s - key - 2);
    s = skip_space(s, end);
    if (s == end || *s != ':')
        return false;
    value = skip_space(s + 1, end);
    s = skip_value(value, end);
    *p = s;
    while (s > value && skip_space(s - 1, s) == s)
        s--;
    out->value = value;
    out->value_len = (size_t)(s - value);
    return true;
}
