/* err: see err.h. No allocation, no logging. */
#include "err.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "utf8.h"

static const char *const class_names[ERR_CLASS_COUNT] = {
    [ERR_NONE] = "none",
    [ERR_INVALID] = "invalid",
    [ERR_OUT_OF_SCOPE] = "out_of_scope",
    [ERR_PERMANENT] = "permanent",
    [ERR_AUTH] = "auth",
    [ERR_RATE_LIMITED] = "rate_limited",
    [ERR_TRANSIENT] = "transient",
    [ERR_AMBIGUOUS] = "ambiguous",
    [ERR_LIMIT] = "limit",
    [ERR_POISON] = "poison",
    [ERR_CANCELLED] = "cancelled",
    [ERR_CONFIG] = "config",
    [ERR_BUG] = "bug",
};

/* One line of UTF-8: what cannot be shown becomes a blank, bytes that are no UTF-8 a
 * question mark. cut: the text lost its end, so half a character there goes. */
static void tidy(char *text, bool cut)
{
    const char *p = text, *end = text + strlen(text);
    char *out = text;

    while (p < end) {
        const char *start = p;
        int32_t c = utf8_next(&p, end);

        if (c < 0 && cut && end - p < 4 && (unsigned char)*p >= 0xC0)
            break;
        if (c < 0)
            p++;
        if (c >= 0 && utf8_printable(c)) {
            memmove(out, start, (size_t)(p - start));
            out += p - start;
        } else {
            *out++ = c < 0 ? '?' : ' ';
        }
    }
    while (out > text && out[-1] == ' ')
        out--;
    *out = '\0';
}

int err_set(struct err *e, enum err_class class, int code, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof text, fmt, ap); /* cut on purpose, see err.h */
    va_end(ap);
    tidy(text, n >= ERR_TEXT_MAX);
    e->class = class;
    e->code = code;
    e->retry_after_ms = 0;
    memcpy(e->text, text, sizeof text);
    return -1;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list ap;
    size_t len;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, ERR_TEXT_MAX / 2, fmt, ap); /* the wrapped text keeps room */
    va_end(ap);
    tidy(text, n >= ERR_TEXT_MAX / 2);
    len = strlen(text);
    n = snprintf(text + len, sizeof text - len, ": %s", e->text);
    tidy(text, n >= (int)(sizeof text - len));
    memcpy(e->text, text, sizeof text);
    return -1;
}

void err_clear(struct err *e)
{
    e->class = ERR_NONE;
    e->code = 0;
    e->retry_after_ms = 0;
    e->text[0] = '\0';
}

const char *err_class_name(enum err_class class)
{
    return class < ERR_CLASS_COUNT ? class_names[class] : "unknown";
}

enum err_class err_class_parse(const char *name)
{
    for (unsigned i = 0; i < ERR_CLASS_COUNT; i++)
        if (!strcmp(name, class_names[i]))
            return (enum err_class)i;
    return ERR_CLASS_COUNT;
}
