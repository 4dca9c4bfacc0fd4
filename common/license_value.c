/* license_value: see license_value.h. */
#include "license_value.h"

#include <string.h>

#include "when.h"

void license_value_add_text(struct buf *out, const char *text)
{
    buf_addc(out, '"');
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            buf_addf(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            buf_addf(out, "\\u%04x", (unsigned)*text);
        else
            buf_addc(out, *text);
    buf_addc(out, '"');
}

void license_value_add(struct buf *out, enum license_value type, const char *at)
{
    const int64_t *number = (const void *)at;
    char when[WHEN_TEXT_MAX];

    switch (type) {
    case VALUE_TEXT:
        license_value_add_text(out, at);
        break;
    case VALUE_DATE:
        when_format_date(when_day(*number), when);
        license_value_add_text(out, when);
        break;
    case VALUE_MOMENT:
        when_format_iso(*number, when);
        license_value_add_text(out, when);
        break;
    case VALUE_NUMBER:
        buf_add_int(out, *number);
        break;
    case VALUE_BOOL:
        buf_adds(out, *(const bool *)(const void *)at ? "true" : "false");
        break;
    }
}

static bool read_text(const char *text, char *at, size_t size)
{
    if (!text || strlen(text) >= size)
        return false;
    memcpy(at, text, strlen(text) + 1);
    return true;
}

static bool read_date(const char *text, int64_t *out_ms)
{
    int64_t day;

    if (!text || !when_parse_date(text, &day))
        return false;
    *out_ms = day * WHEN_DAY_MS;
    return true;
}

bool license_value_read(const json_t *value, enum license_value type, char *at,
                        size_t size)
{
    const char *text = json_string_value(value);
    int64_t *number = (void *)at;

    switch (type) {
    case VALUE_TEXT:
        return read_text(text, at, size);
    case VALUE_DATE:
        return read_date(text, number);
    case VALUE_MOMENT:
        return text && when_parse_iso(text, number);
    case VALUE_NUMBER:
        *number = json_integer_value(value);
        return json_is_integer(value);
    case VALUE_BOOL:
        *(bool *)(void *)at = json_is_true(value);
        return json_is_boolean(value);
    }
    return false;
}
