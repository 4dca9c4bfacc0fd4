/* flatjson: see flatjson.h. RFC 8259. */
#include "flatjson.h"

#include <string.h>

#include "num.h"
#include "utf8.h"

#define DEPTH_MAX 64
#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* --- characters --- */

/* Appends the character at p, or U+FFFD for a byte that starts none. Returns how many
 * bytes it took. */
static size_t add_character(struct buf *out, const char *p, const char *end)
{
    const char *next = p;

    if (utf8_next(&next, end) > 0) {
        buf_add(out, p, (size_t)(next - p));
        return (size_t)(next - p);
    }
    buf_adds(out, REPLACEMENT);
    return 1;
}

static void add_code_point(struct buf *out, uint32_t c)
{
    char b[4];

    if (c == 0 || (c >= 0xD800 && c <= 0xDFFF)) {
        buf_adds(out, REPLACEMENT);
    } else if (c < 0x80) {
        buf_addc(out, (char)c);
    } else if (c < 0x800) {
        b[0] = (char)(0xC0 | c >> 6);
        b[1] = (char)(0x80 | (c & 0x3F));
        buf_add(out, b, 2);
    } else if (c < 0x10000) {
        b[0] = (char)(0xE0 | c >> 12);
        b[1] = (char)(0x80 | (c >> 6 & 0x3F));
        b[2] = (char)(0x80 | (c & 0x3F));
        buf_add(out, b, 3);
    } else {
        b[0] = (char)(0xF0 | c >> 18);
        b[1] = (char)(0x80 | (c >> 12 & 0x3F));
        b[2] = (char)(0x80 | (c >> 6 & 0x3F));
        b[3] = (char)(0x80 | (c & 0x3F));
        buf_add(out, b, 4);
    }
}

/* --- writing --- */

/* Neither escaped nor part of a longer character. */
static bool is_plain(char c)
{
    return (signed char)c >= 0x20 && c != 0x7F && c != '"' && c != '\\';
}

void flatjson_add_string(struct buf *out, const char *text)
{
    const char *end = text + strlen(text);

    buf_addc(out, '"');
    while (text < end) {
        const char *run = text;

        while (text < end && is_plain(*text))
            text++;
        buf_add(out, run, (size_t)(text - run));
        if (text == end)
            break;
        if (*text == '\n')
            buf_adds(out, "\\n");
        else if (*text == '"' || *text == '\\')
            buf_add(out, *text == '"' ? "\\\"" : "\\\\", 2);
        else if ((unsigned char)*text < 0x20 || *text == 0x7F)
            buf_addf(out, "\\u%04x", (unsigned)*text);
        else
            text += add_character(out, text, end) - 1;
        text++;
    }
    buf_addc(out, '"');
}

/* --- reading --- */

void flatjson_init(struct flatjson *j, const char *text, size_t len)
{
    *j = (struct flatjson){.p = text, .end = text + len};
}

static bool fail(struct flatjson *j)
{
    j->bad = true;
    return false;
}

char flatjson_peek(struct flatjson *j)
{
    while (j->p < j->end &&
           (*j->p == ' ' || *j->p == '\n' || *j->p == '\r' || *j->p == '\t'))
        j->p++;
    return j->bad || j->p == j->end ? '\0' : *j->p;
}

static bool take(struct flatjson *j, char c)
{
    if (flatjson_peek(j) != c || j->bad)
        return false;
    j->p++;
    return true;
}

bool flatjson_open(struct flatjson *j, char bracket)
{
    if (!take(j, bracket))
        return fail(j);
    j->fresh = true;
    return true;
}

/* True if another member follows; passes the comma, or the closing bracket. */
static bool more(struct flatjson *j, char closing)
{
    bool fresh = j->fresh;

    j->fresh = false;
    if (j->bad || take(j, closing))
        return false;
    return fresh || take(j, ',') ? true : fail(j);
}

/* The string at p, whose first quote is next. */
static bool scan_string(struct flatjson *j, struct flatjson_span *out)
{
    const char *p = j->p + 1;

    for (; p < j->end && *p != '"'; p++) {
        if ((unsigned char)*p < 0x20)
            return fail(j);
        if (*p == '\\' && ++p == j->end)
            break;
    }
    if (p == j->end)
        return fail(j);
    *out = (struct flatjson_span){j->p + 1, (size_t)(p - j->p - 1)};
    j->p = p + 1;
    return true;
}

bool flatjson_key(struct flatjson *j, struct flatjson_span *key)
{
    if (!more(j, '}'))
        return false;
    if (flatjson_peek(j) != '"')
        return fail(j);
    return scan_string(j, key) && (take(j, ':') || fail(j));
}

bool flatjson_item(struct flatjson *j)
{
    return more(j, ']') && (flatjson_peek(j) || fail(j));
}

static bool take_word(struct flatjson *j, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(j->end - j->p) < len || memcmp(j->p, word, len) != 0)
        return false;
    j->p += len;
    return true;
}

static void skip_number(struct flatjson *j)
{
    const char *first = j->p;

    while (j->p < j->end && *j->p && strchr("0123456789+-.eE", *j->p))
        j->p++;
    if (j->p == first)
        (void)fail(j);
}

/* NOLINTNEXTLINE(misc-no-recursion): DEPTH_MAX at most */
static void skip(struct flatjson *j, int depth)
{
    struct flatjson_span ignored;

    if (depth > DEPTH_MAX) {
        (void)fail(j);
        return;
    }
    switch (flatjson_peek(j)) {
    case '{':
        (void)flatjson_open(j, '{');
        while (flatjson_key(j, &ignored))
            skip(j, depth + 1);
        break;
    case '[':
        (void)flatjson_open(j, '[');
        while (flatjson_item(j))
            skip(j, depth + 1);
        break;
    case '"':
        (void)scan_string(j, &ignored);
        break;
    default:
        if (!take_word(j, "null") && !take_word(j, "true") && !take_word(j, "false"))
            skip_number(j);
    }
}

void flatjson_skip(struct flatjson *j)
{
    skip(j, 0);
}

bool flatjson_string(struct flatjson *j, struct flatjson_span *out)
{
    if (flatjson_peek(j) == '"')
        return scan_string(j, out);
    flatjson_skip(j);
    return false;
}

bool flatjson_int(struct flatjson *j, int64_t *out)
{
    char digits[24];
    const char *first;
    size_t len;

    (void)flatjson_peek(j);
    first = j->p;
    flatjson_skip(j);
    len = (size_t)(j->p - first);
    if (j->bad || len >= sizeof digits)
        return false;
    memcpy(digits, first, len);
    digits[len] = '\0';
    return num_parse(digits, INT64_MIN, INT64_MAX, out);
}

bool flatjson_bool(struct flatjson *j, bool *out)
{
    char first = flatjson_peek(j);

    flatjson_skip(j);
    if (j->bad || (first != 't' && first != 'f'))
        return false;
    *out = first == 't';
    return true;
}

bool flatjson_end(struct flatjson *j)
{
    (void)flatjson_peek(j);
    return !j->bad && j->p == j->end;
}

bool flatjson_is(const struct flatjson_span *s, const char *text)
{
    return s->len == strlen(text) && !memcmp(s->at, text, s->len);
}

/* --- escapes --- */

/* The number of four hexadecimal digits at p; -1 if they are none. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t n = 0;

    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdefABCDEF";
        const char *d = p[i] ? strchr(digits, p[i]) : NULL;

        if (!d)
            return -1;
        n = n * 16 + (int32_t)(d - digits) - (d - digits > 15 ? 6 : 0);
    }
    return n;
}

/* p: behind "\u". Returns where to go on. */
static const char *add_unicode(struct buf *out, const char *p, const char *end)
{
    int32_t high = hex4(p, end), low;

    if (high < 0) {
        buf_adds(out, REPLACEMENT);
        return p;
    }
    p += 4;
    if (high < 0xD800 || high > 0xDBFF || end - p < 6 || p[0] != '\\' || p[1] != 'u') {
        add_code_point(out, (uint32_t)high);
        return p;
    }
    low = hex4(p + 2, end);
    if (low < 0xDC00 || low > 0xDFFF) {
        buf_adds(out, REPLACEMENT);
        return p;
    }
    add_code_point(out, (uint32_t)(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)));
    return p + 6;
}

void flatjson_decode(const struct flatjson_span *s, struct buf *out)
{
    static const char names[] = "bfnrt", controls[] = "\b\f\n\r\t";
    const char *p = s->at, *end = s->at + s->len;

    while (p < end) {
        const char *run = p, *name;

        while (p < end && is_plain(*p))
            p++;
        buf_add(out, run, (size_t)(p - run));
        if (p == end)
            break;
        if (*p != '\\') {
            p += add_character(out, p, end);
            continue;
        }
        if (++p == end)
            break;
        name = *p ? strchr(names, *p) : NULL;
        if (name)
            buf_addc(out, controls[name - names]);
        else if (*p == 'u') {
            p = add_unicode(out, p + 1, end);
            continue;
        } else
            (void)add_character(out, p, p + 1); /* '"', '\\', '/' */
        p++;
    }
}
