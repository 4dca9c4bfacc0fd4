/* buf: see buf.h. */
#include "buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "num.h"

#define FIRST_CAP 256

void buf_init(struct buf *b, size_t max)
{
    size_t cap = max < FIRST_CAP ? max : FIRST_CAP;

    *b = (struct buf){.data = mem_new(cap + 1, 1), .cap = cap, .max = max};
}

void buf_done(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = '\0';
}

static bool grow(struct buf *b, size_t n)
{
    size_t cap = b->cap;

    if (b->failed || n > b->max || b->len > b->max - n) {
        b->failed = true;
        return false;
    }
    while (cap < b->len + n)
        cap = cap < FIRST_CAP ? FIRST_CAP : cap * 2;
    if (cap > b->max)
        cap = b->max;
    b->data = mem_grow(b->data, cap + 1);
    b->cap = cap;
    return true;
}

/* Makes room for n more bytes and a NUL, or fails. */
static inline bool reserve(struct buf *b, size_t n)
{
    return (n <= b->cap - b->len && b->data && !b->failed) || grow(b, n);
}

void buf_add(struct buf *b, const void *bytes, size_t len)
{
    if (!reserve(b, len))
        return;
    if (len)
        memcpy(b->data + b->len, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *text)
{
    buf_add(b, text, strlen(text));
}

void buf_addc(struct buf *b, char c)
{
    if (!reserve(b, 1))
        return;
    b->data[b->len++] = c;
    b->data[b->len] = '\0';
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    size_t room;
    int n;

    if (!reserve(b, 0))
        return;
    room = b->cap - b->len;
    va_start(ap, fmt);
    n = vsnprintf(b->data + b->len, room + 1, fmt, ap);
    va_end(ap);
    if (n < 0 || !reserve(b, (size_t)n)) {
        b->failed = true;
        b->data[b->len] = '\0';
        return;
    }
    if ((size_t)n > room) {
        va_start(ap, fmt);
        (void)vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap); /* length known */
        va_end(ap);
    }
    b->len += (size_t)n;
}

void buf_add_int(struct buf *b, int64_t n)
{
    char digits[24];
    size_t len = num_format(n, digits);

    buf_add(b, digits, len);
}

static void add_base64(struct buf *b, const uint8_t *in, size_t len,
                       const char *alphabet, bool padded)
{
    char *out;

    if (!reserve(b, len / 3 * 4 + (len % 3 ? padded ? 4 : len % 3 + 1 : 0)))
        return;
    out = b->data + b->len;
    for (size_t i = 0; i < len; i += 3) {
        size_t have = len - i < 3 ? len - i : 3;
        uint32_t word = (uint32_t)in[i] << 16;

        if (have > 1)
            word |= (uint32_t)in[i + 1] << 8;
        if (have > 2)
            word |= in[i + 2];
        for (size_t k = 0; k < 4; k++)
            if (k <= have)
                *out++ = alphabet[(word >> (18 - 6 * k)) & 63];
            else if (padded)
                *out++ = '=';
    }
    *out = '\0';
    b->len = (size_t)(out - b->data);
}

void buf_add_base64(struct buf *b, const void *bytes, size_t len)
{
    add_base64(b, bytes, len,
               "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
               true);
}

void buf_add_base64url(struct buf *b, const void *bytes, size_t len)
{
    add_base64(b, bytes, len,
               "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
               false);
}

void buf_add_percent(struct buf *b, const char *text)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst"
                                     "uvwxyz0123456789-._~"; /* RFC 3986 2.3 */

    for (; *text; text++) {
        if (strchr(unreserved, *text))
            buf_addc(b, *text);
        else
            buf_addf(b, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

void buf_add_hex(struct buf *b, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    if (!reserve(b, 2 * len))
        return;
    for (size_t i = 0; i < len; i++) {
        buf_addc(b, "0123456789abcdef"[p[i] >> 4]);
        buf_addc(b, "0123456789abcdef"[p[i] & 15]);
    }
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->len);
    if (n == 0)
        return; /* after buf_take there is no memory to move */
    b->len -= n;
    memmove(b->data, b->data + n, b->len);
    b->data[b->len] = '\0';
}

char *buf_take(struct buf *b)
{
    char *data = b->data ? b->data : mem_new(1, 1);

    *b = (struct buf){.max = b->max};
    return data;
}
