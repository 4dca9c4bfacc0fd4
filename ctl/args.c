/* args: see args.h. */
#include "args.h"

#include <string.h>

#include "num.h"
#include "when.h"

#define SPAN_MAX_S 86400

/* The walk over argv. */
struct walk {
    char **argv;
    int argc;
    int at;
    int operands;
    const struct arg_option *own;
    const struct arg_option *global;
};

static const struct arg_option *find(const struct arg_option *table, const char *name,
                                     size_t len)
{
    for (; table && table->name; table++)
        if (strlen(table->name) == len && strncmp(table->name, name, len) == 0)
            return table;
    return NULL;
}

/* The next word, if the option may have it as its value. */
static const char *next_value(struct walk *w, enum arg_kind kind)
{
    int64_t ms;

    if (w->at >= w->argc)
        return NULL;
    if (kind == ARG_SPAN && !args_span(w->argv[w->at], &ms))
        return NULL;
    return w->argv[w->at++];
}

static int set_flag(const struct arg_option *o, const char *value, struct err *e)
{
    if (value)
        return err_set(e, ERR_CONFIG, 0, "--%s takes no value", o->name);
    *(bool *)o->to = true;
    return 0;
}

static int set_value(struct walk *w, const struct arg_option *o, const char *value,
                     struct err *e)
{
    const char **to = o->to;
    int64_t ms;

    if (*to && find(w->own, o->name, strlen(o->name)))
        return err_set(e, ERR_CONFIG, 0, "--%s is given twice", o->name);
    if (!value)
        value = next_value(w, o->kind);
    if (!value && o->kind == ARG_TEXT)
        return err_set(e, ERR_CONFIG, 0, "--%s needs a value", o->name);
    if (value && o->kind == ARG_SPAN && !args_span(value, &ms))
        return err_set(e, ERR_CONFIG, 0,
                       "--%s: \"%s\" is neither seconds nor a duration as 2m", o->name,
                       value);
    *to = value ? value : "";
    return 0;
}

static int take_option(struct walk *w, const char *text, struct err *e)
{
    size_t len = strcspn(text, "=");
    const char *value = text[len] ? text + len + 1 : NULL;
    const struct arg_option *o = find(w->own, text, len);

    if (!o)
        o = find(w->global, text, len);
    if (!o)
        return err_set(e, ERR_CONFIG, 0, "there is no option --%.*s here", (int)len,
                       text);
    return o->kind == ARG_FLAG ? set_flag(o, value, e) : set_value(w, o, value, e);
}

static void take_rest(struct walk *w)
{
    while (w->at < w->argc)
        w->argv[w->operands++] = w->argv[w->at++];
}

int args_parse(char **argv, int argc, bool first_only, const struct arg_option *own,
               const struct arg_option *global, struct err *e)
{
    struct walk w = {.argv = argv, .argc = argc, .own = own, .global = global};

    while (w.at < argc) {
        char *word = argv[w.at++];

        if (strcmp(word, "--") == 0) {
            take_rest(&w);
        } else if (strncmp(word, "--", 2) == 0) {
            if (take_option(&w, word + 2, e))
                return -1;
        } else if (*word == '-' && word[1]) {
            return err_set(e, ERR_CONFIG, 0, "there is no option %s", word);
        } else {
            argv[w.operands++] = word;
            if (first_only)
                take_rest(&w);
        }
    }
    return w.operands;
}

int args_since(const char *text, int64_t now_ms, int64_t *out_ms, struct err *e)
{
    int64_t n;

    if (num_parse_duration(text, &n)) {
        *out_ms = n < now_ms ? now_ms - n : 0;
        return 0;
    }
    if (when_parse_date(text, &n)) {
        *out_ms = n * WHEN_DAY_MS;
        return 0;
    }
    if (when_parse_iso(text, out_ms))
        return 0;
    return err_set(e, ERR_CONFIG, 0,
                   "\"%s\" is no time: write how long ago (2h, 3d), a day "
                   "(2026-01-31) or an instant (2026-01-31T12:00:00Z)",
                   text);
}

bool args_span(const char *text, int64_t *out_ms)
{
    int64_t seconds;

    if (num_parse(text, 0, SPAN_MAX_S, &seconds)) {
        *out_ms = seconds * 1000;
        return true;
    }
    return num_parse_duration(text, out_ms);
}
