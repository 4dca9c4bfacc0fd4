/* mime: see mime.h. */
#include "mime.h"

#include <stdint.h>
#include <string.h>

#include "utf8.h"

#define LINE_MAX_QP 76
#define FOLD_AT 76 /* RFC 2047 section 2 for encoded-words; 5322 would allow 78 */
#define WORD_OPEN "=?UTF-8?B?"
#define WORD_CLOSE "?="
#define WORD_COST (sizeof WORD_OPEN + sizeof WORD_CLOSE - 2)
#define BASE64_PER_LINE 57 /* bytes that fill 76 characters */
#define PLAIN_WORD_MAX 60  /* longer ones could not be folded */

bool mime_header_safe(const char *value)
{
    const char *p = value, *end = value + strlen(value);

    while (p < end)
        if (!utf8_printable(utf8_next(&p, end)))
            return false;
    return true;
}

/* One line of quoted-printable on its way out. */
struct qp {
    struct buf *out;
    size_t len;
    char line[LINE_MAX_QP + 2];
};

static void qp_end_line(struct qp *q, const char *ending, size_t len)
{
    memcpy(q->line + q->len, ending, len);
    buf_add(q->out, q->line, q->len + len);
    q->len = 0;
}

/* A place stays free for the soft break's "=", but for the last of a line. */
static void qp_room(struct qp *q, size_t len, bool last)
{
    if (q->len + len > LINE_MAX_QP - (last ? 0 : 1))
        qp_end_line(q, "=\r\n", 3);
}

static void qp_escape(struct qp *q, unsigned char c, bool last)
{
    qp_room(q, 3, last);
    q->line[q->len++] = '=';
    q->line[q->len++] = "0123456789ABCDEF"[c >> 4];
    q->line[q->len++] = "0123456789ABCDEF"[c & 15];
}

/* A blank before a line end would be lost on the way. */
static bool qp_literal(unsigned char c, bool last_of_line)
{
    if (c == ' ' || c == '\t')
        return !last_of_line;
    return c > ' ' && c < 0x7F && c != '=';
}

/* How many characters from here on stand for themselves and fit on this line. One that
 * is left at the end may be the last of its line, which has rules of its own. */
static size_t qp_run(const struct qp *q, const char *text, size_t len)
{
    size_t most = q->len < LINE_MAX_QP - 1 ? LINE_MAX_QP - 1 - q->len : 0, n = 0;

    if (most > len - 1)
        most = len - 1;
    while (n < most && text[n] >= ' ' && text[n] < 0x7F && text[n] != '=')
        n++;
    return n > 0 && text[n] != '\n' && text[n] != '\r' ? n : n > 1 ? n - 1 : 0;
}

void mime_add_qp(struct buf *out, const char *text, size_t len)
{
    struct qp q = {.out = out};

    for (size_t i = 0; i < len; i++) {
        size_t run = qp_run(&q, text + i, len - i);

        memcpy(q.line + q.len, text + i, run);
        q.len += run;
        i += run;
        unsigned char c = (unsigned char)text[i];
        char next = i + 1 < len ? text[i + 1] : '\n';
        bool last = next == '\n' || next == '\r';

        if (c == '\n' || c == '\r') {
            i += c == '\r' && next == '\n' && i + 1 < len;
            qp_end_line(&q, "\r\n", 2);
        } else if (qp_literal(c, last)) {
            qp_room(&q, 1, last);
            q.line[q.len++] = (char)c;
        } else {
            qp_escape(&q, c, last);
        }
    }
    buf_add(out, q.line, q.len);
}

void mime_add_base64(struct buf *out, const void *bytes, size_t len)
{
    const char *p = bytes;

    for (size_t i = 0; i < len; i += BASE64_PER_LINE) {
        size_t n = len - i < BASE64_PER_LINE ? len - i : BASE64_PER_LINE;

        if (i)
            buf_add(out, "\r\n", 2);
        buf_add_base64(out, p + i, n);
    }
}

/* True if value can stand in a header as it is: ASCII whose words can be folded, and
 * nothing that a reader would take for an encoded-word. */
static bool plain(const char *value)
{
    size_t word = 0;

    if (strstr(value, "=?"))
        return false;
    for (const char *p = value; *p; p++) {
        if ((unsigned char)*p >= 0x7F)
            return false;
        word = *p == ' ' ? 0 : word + 1;
        if (word > PLAIN_WORD_MAX)
            return false;
    }
    return true;
}

/* Length of the longest start of p that has whole characters and at most max bytes. */
static size_t whole_chars(const char *p, size_t len, size_t max)
{
    size_t n = len < max ? len : max;

    while (n > 0 && n < len && ((unsigned char)p[n] & 0xC0) == 0x80)
        n--;
    return n;
}

/* Returns the column after it. */
static size_t add_encoded(struct buf *out, const char *value, size_t col)
{
    size_t len = strlen(value);

    for (size_t i = 0; i < len;) {
        size_t room = FOLD_AT - 1 - WORD_COST - (i ? 0 : col);
        size_t n = whole_chars(value + i, len - i, room / 4 * 3);
        size_t start;

        buf_adds(out, i ? "\r\n " : " ");
        start = out->len;
        buf_adds(out, WORD_OPEN);
        buf_add_base64(out, value + i, n);
        buf_adds(out, WORD_CLOSE);
        col = (i ? 1 : col + 1) + (out->len - start);
        i += n;
    }
    return col;
}

/* Words of ASCII, folded before the one that would not fit. */
static void add_plain(struct buf *out, const char *value, size_t col)
{
    const char *p = value + strspn(value, " ");

    while (*p) {
        size_t n = strcspn(p, " ");
        bool fold = col + 1 + n > FOLD_AT;

        buf_adds(out, fold ? "\r\n " : " ");
        buf_add(out, p, n);
        col = (fold ? 0 : col) + 1 + n;
        p += n;
        p += strspn(p, " ");
    }
}

static size_t add_name(struct buf *out, const char *name)
{
    buf_adds(out, name);
    buf_addc(out, ':');
    return strlen(name) + 1;
}

void mime_add_text(struct buf *out, const char *name, const char *value)
{
    size_t col = add_name(out, name);

    if (plain(value))
        add_plain(out, value, col);
    else
        (void)add_encoded(out, value, col); /* nothing follows */
    buf_adds(out, "\r\n");
}

/* The display name's specials of RFC 5322 section 3.2.3; a dot alone is one too. */
static bool needs_quotes(const char *display)
{
    return display[strcspn(display, "()<>[]:;@\\,.\"")] != '\0' || display[0] == ' ' ||
           strstr(display, "  ");
}

static size_t add_quoted(struct buf *out, const char *display, size_t col)
{
    size_t start = out->len;

    buf_adds(out, " \"");
    for (const char *p = display; *p; p++) {
        if (*p == '"' || *p == '\\')
            buf_addc(out, '\\');
        buf_addc(out, *p);
    }
    buf_addc(out, '"');
    return col + (out->len - start);
}

static size_t add_display(struct buf *out, const char *display, size_t col)
{
    size_t len = strlen(display);

    if (!plain(display) || len > PLAIN_WORD_MAX / 2)
        return add_encoded(out, display, col);
    if (needs_quotes(display))
        return add_quoted(out, display, col);
    buf_addc(out, ' ');
    buf_adds(out, display);
    return col + 1 + len;
}

void mime_add_mailbox(struct buf *out, const char *name, const char *display,
                      const char *address)
{
    size_t col = add_name(out, name);
    bool named = display[0] != '\0';

    if (named)
        col = add_display(out, display, col);
    if (named && col + strlen(address) + 3 > FOLD_AT)
        buf_adds(out, "\r\n");
    buf_addc(out, ' ');
    if (named)
        buf_addc(out, '<');
    buf_adds(out, address);
    buf_adds(out, named ? ">\r\n" : "\r\n");
}
