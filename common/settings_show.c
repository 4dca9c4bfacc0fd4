/* settings_show: the settings as people and programs see them. No secret passes here:
 * a kind's show writes none. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "settings_internal.h"

#define VALUE_MAX 16384
#define NAME_COLUMN 36
#define VALUE_COLUMN 40

static const char *const origin_names[] = {
    [SETTING_DEFAULT] = "default",       [SETTING_ENVIRONMENT] = "environment",
    [SETTING_ENV_FILE] = "env file",     [SETTING_SECRET_FILE] = "secret file",
    [SETTING_CREDENTIAL] = "credential",
};

static const char *origin_of(const struct settings *s, size_t i)
{
    return origin_names[s->origins ? s->origins[i] : SETTING_DEFAULT];
}

/* Empty when there is none. */
static void show_value(const struct settings *s, size_t i, struct buf *out)
{
    const struct setting *row = &settings_table[i];

    buf_reset(out);
    row->kind->show(row, (const char *)s + row->at, out);
    if (!out->len && row->flags & SETTING_SECRET && s->origins &&
        s->origins[i] != SETTING_DEFAULT)
        buf_adds(out, "(secret, set)"); /* another program's: set, but not kept */
}

static void print_table(const struct settings *s, unsigned programs, struct buf *out)
{
    struct buf value;

    buf_init(&value, VALUE_MAX);
    for (size_t i = 0; i < settings_count; i++) {
        if (!(settings_table[i].programs & programs))
            continue;
        show_value(s, i, &value);
        buf_addf(out, "%-*s %-*s %s\n", NAME_COLUMN, settings_table[i].name,
                 VALUE_COLUMN, value.len ? value.data : "-", origin_of(s, i));
    }
    buf_done(&value);
}

static json_t *describe(const struct settings *s, size_t i, struct buf *value)
{
    show_value(s, i, value);
    return json_pack("{s:s?, s:b, s:s}", "value", value->len ? value->data : NULL,
                     "default", !s->origins || s->origins[i] == SETTING_DEFAULT,
                     "source", origin_of(s, i));
}

static void print_json(const struct settings *s, unsigned programs, struct buf *out)
{
    json_t *all = json_object();
    struct buf value;
    char *text;

    buf_init(&value, VALUE_MAX);
    for (size_t i = 0; i < settings_count; i++)
        if (settings_table[i].programs & programs)
            (void)json_object_set_new(all, settings_table[i].name,
                                      describe(s, i, &value));
    text = json_dumps(all, JSON_INDENT(2));
    if (!text)
        abort(); /* out of memory */
    buf_addf(out, "%s\n", text);
    free(text);
    buf_done(&value);
    json_decref(all);
}

void settings_print(const struct settings *s, enum program program, bool json,
                    struct buf *out)
{
    (json ? print_json : print_table)(s, program, out);
}

void settings_help(enum program program, struct buf *out)
{
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *row = &settings_table[i];

        if (!(row->programs & (unsigned)program))
            continue;
        buf_addf(out, "  %s%s%s\n      %s\n      ", row->name,
                 row->fallback                        ? "="
                 : row->needed_by & (unsigned)program ? " (required)"
                                                      : "",
                 row->fallback ? row->fallback : "", row->meaning);
        settings_allowed(row, out);
        buf_addc(out, '\n');
    }
}
