/* settings_env: the lines of an env file. A subset of systemd's EnvironmentFile that
 * means the same there: what other readers of such files take differently (a lone
 * backslash, an open #) has to be quoted. Pure; knows no setting. */
#include <string.h>

#include "settings_internal.h"

struct env_line {
    const char *file;
    unsigned number;
    struct setting_faults *faults;
};

static bool wrong(const struct env_line *l, const char *why)
{
    settings_fault(l->faults, l->file, "line %u: %s", l->number, why);
    return false;
}

static char *skip_blanks(char *p)
{
    return p + strspn(p, " \t");
}

static void cut_blanks(char *text)
{
    size_t len = strlen(text);

    while (len && strchr(" \t\r", text[len - 1]))
        text[--len] = '\0';
}

/* Takes the quotes off, in place. */
static bool unquote(const struct env_line *l, char *value)
{
    char quote = value[0], *out = value, *p = value + 1;

    for (; *p && *p != quote; p++) {
        if (quote == '"' && *p == '\\') {
            if (!p[1] || !strchr("\"\\$`", p[1]))
                return wrong(l, "within double quotes a \\ may only stand before "
                                "\" \\ $ or `");
            p++;
        }
        *out++ = *p;
    }
    if (!*p)
        return wrong(l, "a quote is not closed on its line");
    if (p[1])
        return wrong(l, "text after the closing quote");
    *out = '\0';
    return true;
}

static bool plain(const struct env_line *l, const char *value)
{
    if (strpbrk(value, "\\\"'"))
        return wrong(l, "a value with a quote or a \\ in it must be quoted as a whole");
    if (strstr(value, " #") || strstr(value, "\t#"))
        return wrong(l, "a # after a blank: a comment needs its own line, a value with "
                        "# in it needs quotes");
    return true;
}

static bool is_name(const char *text)
{
    size_t len =
        strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

    return len && !text[len] && !(text[0] >= '0' && text[0] <= '9');
}

/* Splits in place. False for a blank line, a comment, or a fault. */
static bool split(const struct env_line *l, char *text, char **name, char **value)
{
    char *equals;

    *name = skip_blanks(text);
    cut_blanks(*name);
    if (!**name || **name == '#' || **name == ';')
        return false;
    equals = strchr(*name, '=');
    if (equals)
        *equals = '\0';
    cut_blanks(*name);
    if (!equals || !is_name(*name))
        return wrong(l, "not of the form NAME=value");
    *value = skip_blanks(equals + 1);
    return **value == '"' || **value == '\'' ? unquote(l, *value) : plain(l, *value);
}

void settings_parse_env(char *text, settings_line_fn on_line, void *arg,
                        const char *file, struct setting_faults *f)
{
    struct env_line l = {.file = file, .faults = f};
    char *rest = text, *line, *name, *value = NULL;

    while ((line = strsep(&rest, "\n"))) {
        l.number++;
        if (split(&l, line, &name, &value))
            on_line(arg, name, value, l.number);
    }
}
