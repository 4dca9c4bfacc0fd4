/* What stopgapctl prints of hostile bytes, as text, field and table: nothing in it
 * moves the cursor, ends the line, hides or reorders; and what was escaped can be told
 * apart from what was not. First byte: what colours and columns there are.
 *
 * Links: ctl/out */
#include <stdbool.h>

#include "fuzz_input.h"
#include "fuzz_text.h"
#include "out.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static bool hides(int32_t c)
{
    return (c >= 0x200B && c <= 0x200F) || (c >= 0x2060 && c <= 0x2064) ||
           c == 0xFEFF || (c >= 0xE0000 && c <= 0xE007F) || c == 0x061C;
}

/* UTF-8 in which nothing acts and nothing is hidden, but for the line ends of ours. */
static void check_tame(const struct buf *b, const char *but)
{
    const unsigned char *p = (const unsigned char *)b->data, *end = p + b->len;
    size_t n;

    PROMISE(!b->failed && text_tame(b->data, b->len, but));
    for (; p < end; p += n)
        PROMISE(!hides(text_char(p, (size_t)(end - p), &n)));
}

static void check_text(const char *bytes, size_t len)
{
    struct buf out;
    bool plain = text_tame(bytes, len, "");

    buf_init(&out, OUT_MAX);
    out_text(&out, bytes, len);
    check_tame(&out, "");
    PROMISE(out.len >= len);
    if (plain && out.len == len)
        PROMISE(!memcmp(out.data, bytes, len)); /* what is harmless stays */
    buf_done(&out);
}

static void check_field(const char *text)
{
    struct buf out;

    buf_init(&out, OUT_MAX);
    out_field(&out, "Name", text);
    out_str(&out, NULL);
    PROMISE(!!*text == !!out.len);
    out_print(&out);
    out_json(mem_strdup("{}"));
    if (out.len) {
        PROMISE(!strncmp(out.data, "Name          ", 14));
        PROMISE(strchr(out.data, '\n') == out.data + out.len - 1);
        check_tame(&out, "\n");
    }
    buf_done(&out);
}

/* As many lines as rows, whatever the cells hold. */
static void check_table(char *const cells[], size_t count, size_t columns)
{
    static const char *const heads[] = {"A", "B", "C", "D"};
    struct out_table t;
    struct buf out;
    size_t lines = 0;

    out_table_init(&t, heads, columns);
    for (size_t i = 0; i < count; i++)
        out_table_cell(&t, i % 5 == 4 ? NULL : cells[i]);
    while (t.count % columns)
        out_table_int(&t, -42);
    buf_init(&out, OUT_MAX);
    out_table_add(&t, &out);
    check_tame(&out, "\n");
    for (const char *p = out.data; *p; p++)
        lines += *p == '\n';
    PROMISE(lines == t.count / columns);
    buf_done(&out);
    out_table_done(&t);
}

static void check_times(int64_t ms)
{
    char text[OUT_TIME_MAX];

    out_time(ms, text);
    PROMISE(text_line(text) && text[0] && strlen(text) < sizeof text);
    out_span(ms, text);
    PROMISE(text_line(text) && text[0] && strlen(text) < sizeof text);
    PROMISE(ms > 0 || !strcmp(text, "0s"));
}

static void check_paint(const char *text, unsigned how)
{
    struct buf out, plain;

    buf_init(&out, OUT_MAX);
    buf_init(&plain, OUT_MAX);
    out_str(&plain, text);
    out_paint(&out, how & 1, (enum out_colour)(how / 2 % 5), plain.data);
    PROMISE(how & 1 ? !strncmp(out.data, "\033[", 2) && strstr(out.data, plain.data)
                    : !strcmp(out.data, plain.data));
    buf_done(&out);
    buf_done(&plain);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    PROMISE(freopen("/dev/null", "w", stdout) && !out_may_colour());
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data + 1, size - 1};
    char *cells[8];
    int64_t ms = 0;

    if (!size)
        return 0;
    check_text((const char *)data, size);
    memcpy(&ms, data, size < sizeof ms ? size : sizeof ms);
    check_times(ms % INT64_C(253402300800000));
    for (size_t i = 0; i < 8; i++)
        cells[i] = fuzz_field(&in);
    check_field(cells[0]);
    check_paint(cells[0], data[0]);
    check_table(cells, 8, data[0] % 4 + 1);
    for (size_t i = 0; i < 8; i++)
        free(cells[i]);
    return 0;
}
