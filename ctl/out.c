/* out: see out.h. */
#include "out.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"
#include "utf8.h"
#include "when.h"

#define FIELD_WIDTH 13
#define COLUMN_GAP 2

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

static void add_escaped(struct buf *out, int32_t c)
{
    if (c == '\n')
        buf_adds(out, "\\n");
    else if (c == '\t')
        buf_adds(out, "\\t");
    else if (c < 0x80)
        buf_addf(out, "\\x%02x", (unsigned)c);
    else
        buf_addf(out, "\\u{%x}", (unsigned)c);
}

/* Marks that change the direction of what follows, and characters without width, which
 * make two addresses look the same. */
static bool misleads(int32_t c)
{
    return c == 0x061c || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2060 && c <= 0x2064) || c == 0xfeff ||
           (c >= 0xe0000 && c <= 0xe007f);
}

void out_text(struct buf *out, const char *bytes, size_t len)
{
    const char *p = bytes, *end = bytes + len;

    while (p < end) {
        const char *from = p;
        int32_t c = utf8_next(&p, end);

        if (c < 0)
            buf_addf(out, "\\x%02x", (unsigned)(unsigned char)*p++);
        else if (!utf8_printable(c) || misleads(c))
            add_escaped(out, c);
        else
            buf_add(out, from, (size_t)(p - from));
    }
}

void out_str(struct buf *out, const char *text)
{
    if (text)
        out_text(out, text, strlen(text));
}

void out_time(int64_t ms, char text[static OUT_TIME_MAX])
{
    if (ms > 0)
        when_format_iso(ms, text);
    else
        (void)snprintf(text, OUT_TIME_MAX, "-");
}

void out_span(int64_t ms, char text[static OUT_TIME_MAX])
{
    static const struct {
        int64_t unit, part;
        char unit_name, part_name;
    } forms[] = {
        {DAY, HOUR, 'd', 'h'}, {HOUR, MINUTE, 'h', 'm'}, {MINUTE, SECOND, 'm', 's'}};

    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (ms < forms[i].unit)
            continue;
        (void)snprintf(text, OUT_TIME_MAX, "%lld%c%02lld%c",
                       (long long)(ms / forms[i].unit), forms[i].unit_name,
                       (long long)(ms % forms[i].unit / forms[i].part),
                       forms[i].part_name);
        return;
    }
    if (ms >= 10 * SECOND || ms <= 0)
        (void)snprintf(text, OUT_TIME_MAX, "%llds",
                       ms > 0 ? (long long)(ms / SECOND) : 0);
    else if (ms >= SECOND)
        (void)snprintf(text, OUT_TIME_MAX, "%lld.%llds", (long long)(ms / SECOND),
                       (long long)(ms % SECOND / 100));
    else
        (void)snprintf(text, OUT_TIME_MAX, "%lldms", (long long)ms);
}

bool out_may_colour(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && (!no || !*no) && (!term || strcmp(term, "dumb"));
}

void out_paint(struct buf *out, bool colour, enum out_colour which, const char *text)
{
    static const char *const codes[] = {"32", "90", "33", "31", "1"};

    if (colour)
        buf_addf(out, "\033[%sm%s\033[0m", codes[which], text);
    else
        buf_adds(out, text);
}

/* ---- tables ---- */

static void add_cell(struct out_table *t, char *text)
{
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : 64;
        t->cells = mem_grow(t->cells, t->room * sizeof *t->cells);
    }
    t->cells[t->count++] = text;
}

void out_table_init(struct out_table *t, const char *const *heads, size_t columns)
{
    *t = (struct out_table){.columns = columns};
    for (size_t i = 0; i < columns; i++)
        add_cell(t, mem_strdup(heads[i]));
}

void out_table_cell(struct out_table *t, const char *text)
{
    struct buf escaped;

    buf_init(&escaped, OUT_MAX);
    out_str(&escaped, text && *text ? text : "-");
    add_cell(t, buf_take(&escaped));
    buf_done(&escaped);
}

void out_table_int(struct out_table *t, int64_t n)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%lld", (long long)n);
    out_table_cell(t, text);
}

/* In characters, which is near enough to columns for what stands in our tables. */
static size_t width(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static size_t column_width(const struct out_table *t, size_t column)
{
    size_t widest = 0;

    for (size_t i = column; i < t->count; i += t->columns) {
        size_t w = width(t->cells[i]);

        widest = w > widest ? w : widest;
    }
    return widest;
}

void out_table_add(const struct out_table *t, struct buf *out)
{
    size_t *widths = mem_new(t->columns, sizeof *widths);

    assert(t->columns);
    for (size_t i = 0; i < t->columns; i++)
        widths[i] = column_width(t, i);
    for (size_t i = 0; i < t->count; i++) {
        size_t column = i % t->columns;
        bool last = column + 1 == t->columns;
        size_t pad = last ? 0 : widths[column] - width(t->cells[i]) + COLUMN_GAP;

        buf_addf(out, "%s%*s%s", t->cells[i], (int)pad, "", last ? "\n" : "");
    }
    free(widths);
}

void out_table_done(struct out_table *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = (struct out_table){0};
}

void out_field(struct buf *out, const char *name, const char *text)
{
    if (!text || !*text)
        return;
    buf_addf(out, "%-*s ", FIELD_WIDTH, name);
    out_str(out, text);
    buf_addc(out, '\n');
}

void out_print(const struct buf *text)
{
    (void)fwrite(text->data, 1, text->len, stdout); /* main looks at ferror */
}

void out_json(char *text)
{
    if (!text)
        abort();
    (void)puts(text);
    free(text);
}
