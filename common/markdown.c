/* markdown: see markdown.h. */
#include "markdown.h"

#include <stdint.h>
#include <string.h>

#include "utf8.h"

#define CLEAN_MAX 262144
#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */
#define ELLIPSIS "\xE2\x80\xA6"
#define FENCE_MIN 3

static bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

/* Adds the character at *p in a harmless form, moves *p past it. */
static void take_char(struct buf *out, const char **p, const char *end,
                      const char *line_end)
{
    const char *from = *p;
    int32_t c;

    if (is_line_end(*from)) {
        *p += from[0] == '\r' && from + 1 < end && from[1] == '\n' ? 2 : 1;
        buf_adds(out, line_end);
        return;
    }
    c = utf8_next(p, end);
    if (c < 0)
        (*p)++;
    if (c == '\t')
        buf_addc(out, ' ');
    else if (c < 0 || !utf8_printable(c))
        buf_adds(out, REPLACEMENT);
    else
        buf_add(out, from, (size_t)(*p - from));
}

/* How many characters from here on are harmless as they are. */
static size_t harmless(const char *text, size_t len)
{
    size_t n = 0;

    while (n < len && text[n] >= ' ' && text[n] < 0x7F)
        n++;
    return n;
}

/* At most max characters, then an ellipsis. */
static void clean(struct buf *out, const char *text, size_t len, const char *line_end,
                  size_t max)
{
    const char *p = text, *end = text + len;
    size_t run;

    for (size_t i = 0; p < end && i < max; i += run ? run : 1) {
        run = (size_t)(end - p) < max - i ? (size_t)(end - p) : max - i;
        run = harmless(p, run);
        buf_add(out, p, run);
        p += run;
        if (run == 0)
            take_char(out, &p, end, line_end);
    }
    if (p < end)
        buf_adds(out, ELLIPSIS);
}

static size_t longest_run(const struct buf *b)
{
    size_t longest = 0, run = 0;

    for (size_t i = 0; i < b->len; i++) {
        run = b->data[i] == '`' ? run + 1 : 0;
        if (run > longest)
            longest = run;
    }
    return longest;
}

static void add_ticks(struct buf *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_addc(out, '`');
}

/* A reader takes one blank off each end if both are there. */
static bool needs_blanks(const struct buf *b)
{
    char first = b->data[0], last = b->data[b->len - 1];

    return first == '`' || last == '`' || (first == ' ' && last == ' ');
}

void markdown_span(struct buf *out, const char *text, size_t max)
{
    struct buf b;
    size_t ticks;

    buf_init(&b, CLEAN_MAX);
    clean(&b, text, strlen(text), " ", max);
    if (b.data[strspn(b.data, " ")] == '\0') {
        buf_reset(&b);
        buf_addc(&b, '-');
    }
    ticks = longest_run(&b) + 1;
    add_ticks(out, ticks);
    buf_adds(out, needs_blanks(&b) ? " " : "");
    buf_add(out, b.data, b.len);
    buf_adds(out, needs_blanks(&b) ? " " : "");
    add_ticks(out, ticks);
    if (b.failed)
        out->failed = true;
    buf_done(&b);
}

static void add_fence(struct buf *out, const struct buf *content)
{
    size_t ticks = longest_run(content) + 1;

    if (ticks < FENCE_MIN)
        ticks = FENCE_MIN;
    add_ticks(out, ticks);
    buf_addc(out, '\n');
    buf_add(out, content->data, content->len);
    if (content->len && content->data[content->len - 1] != '\n')
        buf_addc(out, '\n');
    add_ticks(out, ticks);
    buf_adds(out, "\n\n");
    if (content->failed)
        out->failed = true;
}

void markdown_fence(struct buf *out, const char *text, size_t len)
{
    struct buf b;

    buf_init(&b, CLEAN_MAX);
    clean(&b, text, len, "\n", SIZE_MAX);
    add_fence(out, &b);
    buf_done(&b);
}

static void escape_char(struct buf *out, const char **p, const char *end)
{
    const char *from = *p;
    int32_t c = utf8_next(p, end);

    if (c < 0)
        (*p)++;
    if (c == '\\')
        buf_adds(out, "\\\\");
    else if (c == '\n' || (c >= 0 && utf8_printable(c)))
        buf_add(out, from, (size_t)(*p - from));
    else
        for (; from < *p; from++)
            buf_addf(out, "\\x%02X", (unsigned)(unsigned char)*from);
}

void markdown_fence_bytes(struct buf *out, const char *bytes, size_t len, size_t max)
{
    const char *p = bytes, *end = bytes + (len < max ? len : max);
    struct buf b;

    buf_init(&b, CLEAN_MAX);
    while (p < end)
        escape_char(&b, &p, end);
    add_fence(out, &b);
    buf_done(&b);
}

void markdown_plain_line(struct buf *out, const char *text)
{
    struct buf b;
    const char *p;
    const char *gap = "";

    buf_init(&b, CLEAN_MAX);
    clean(&b, text, strlen(text), " ", SIZE_MAX);
    for (p = b.data + strspn(b.data, " "); *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");

        buf_adds(out, gap);
        buf_add(out, p, n);
        p += n;
        gap = " ";
    }
    buf_done(&b);
}

bool markdown_plain_url(const char *url)
{
    size_t scheme = !strncmp(url, "https://", 8)  ? 8
                    : !strncmp(url, "http://", 7) ? 7
                                                  : 0;
    const char *rest = url + scheme;

    return scheme && *rest && *rest != '/' &&
           rest[strspn(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "0123456789-._~/:?=&%#+")] == '\0';
}

/* Length of the run that could open or close a fence in this line, its character in
 * *c; 0 when there is none. */
static size_t fence_run(const char *line, size_t len, char *c, size_t *at)
{
    size_t i = 0, n = 0;

    while (i < len && i < 3 && line[i] == ' ')
        i++;
    if (i == len || (line[i] != '`' && line[i] != '~'))
        return 0;
    *c = line[i];
    while (i + n < len && line[i + n] == *c)
        n++;
    *at = i + n;
    return n >= FENCE_MIN ? n : 0;
}

static bool only_blanks(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] != ' ' && p[i] != '\t')
            return false;
    return true;
}

/* True if the line belongs to a fence. */
static bool track_fence(struct markdown_walk *w, const char *line, size_t len)
{
    char c = 0;
    size_t after = 0;
    size_t run = fence_run(line, len, &c, &after);
    bool inside = w->fence_len > 0;

    if (inside && run >= w->fence_len && c == w->fence &&
        only_blanks(line + after, len - after)) {
        w->fence_len = 0;
        return true;
    }
    if (inside || run == 0 || (c == '`' && memchr(line + after, '`', len - after)))
        return inside;
    w->fence = c;
    w->fence_len = run;
    return true;
}

bool markdown_next_line(struct markdown_walk *w, const char **line, size_t *len,
                        bool *code)
{
    const char *from = w->next;
    size_t n = strcspn(from, "\r\n");

    if (!*from)
        return false;
    w->next = from + n;
    if (w->next[0] == '\r' && w->next[1] == '\n')
        w->next++;
    if (*w->next)
        w->next++;
    *line = from;
    *len = n;
    *code = track_fence(w, from, n);
    return true;
}
