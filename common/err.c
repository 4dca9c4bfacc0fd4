/* err: see err.h. No allocation, no logging. */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

/* Cuts a half character off the end and turns control characters into spaces. */
static void tidy(char *text)
{
    size_t len = strlen(text);

    if (len == ERR_TEXT_MAX - 1) {
        while (len > 0 && ((unsigned char)text[len - 1] & 0xC0) == 0x80)
            len--;
        if (len > 0 && (unsigned char)text[len - 1] >= 0xC0)
            len--;
        else
            len = strlen(text);
        text[len] = '\0';
    }
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7F)
            *p = ' ';
    while (len > 0 && text[len - 1] == ' ')
        text[--len] = '\0';
}

int err_set(struct err *e, enum err_class class, int code, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap); /* cut on purpose, see err.h */
    va_end(ap);
    tidy(text);
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

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text / 2, fmt, ap); /* the wrapped text keeps room */
    va_end(ap);
    len = strlen(text);
    (void)snprintf(text + len, sizeof text - len, ": %.*s",
                   (int)(sizeof text - len - 3), e->text);
    tidy(text);
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
