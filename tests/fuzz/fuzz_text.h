/* fuzz_text: judges of text for the fuzz targets, written apart from common/, so that a
 * mistake there is not made here as well. */
#ifndef STOPGAP_TESTS_FUZZ_TEXT_H
#define STOPGAP_TESTS_FUZZ_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The character at p and in *len its bytes, by the table of Unicode's "Well-Formed
 * UTF-8 Byte Sequences"; -1: none. */
static inline int32_t text_char(const unsigned char *p, size_t left, size_t *len)
{
    static const struct {
        unsigned char from, to, from2, to2;
        size_t len;
        unsigned char mask;
    } rows[] = {{0x00, 0x7F, 0, 0, 1, 0x7F},       {0xC2, 0xDF, 0x80, 0xBF, 2, 0x1F},
                {0xE0, 0xE0, 0xA0, 0xBF, 3, 0x0F}, {0xE1, 0xEC, 0x80, 0xBF, 3, 0x0F},
                {0xED, 0xED, 0x80, 0x9F, 3, 0x0F}, {0xEE, 0xEF, 0x80, 0xBF, 3, 0x0F},
                {0xF0, 0xF0, 0x90, 0xBF, 4, 0x07}, {0xF1, 0xF3, 0x80, 0xBF, 4, 0x07},
                {0xF4, 0xF4, 0x80, 0x8F, 4, 0x07}};
    size_t row = 0;
    int32_t c;

    while (row < sizeof rows / sizeof *rows &&
           (*p < rows[row].from || *p > rows[row].to))
        row++;
    if (row == sizeof rows / sizeof *rows || left < rows[row].len)
        return -1;
    *len = rows[row].len;
    c = *p & rows[row].mask;
    for (size_t i = 1; i < *len; i++) {
        unsigned char low = i == 1 ? rows[row].from2 : 0x80;
        unsigned char high = i == 1 ? rows[row].to2 : 0xBF;

        if (p[i] < low || p[i] > high)
            return -1;
        c = c << 6 | (p[i] & 0x3F);
    }
    return c;
}

/* Moves the cursor, ends the line, or turns what follows it round. */
static inline bool text_acts(int32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x2028 && c <= 0x202E) ||
           (c >= 0x2066 && c <= 0x2069);
}

/* UTF-8 in which no character acts; `but` are those that may. */
static inline bool text_tame(const char *bytes, size_t len, const char *but)
{
    const unsigned char *p = (const unsigned char *)bytes, *end = p + len;
    size_t n = 0;

    for (; p < end; p += n) {
        int32_t c = text_char(p, (size_t)(end - p), &n);

        if (c < 0 || (text_acts(c) && !(c && c < 0x80 && strchr(but, c))))
            return false;
    }
    return true;
}

static inline bool text_utf8(const char *bytes, size_t len)
{
    const unsigned char *p = (const unsigned char *)bytes, *end = p + len;
    size_t n = 0;

    for (; p < end; p += n)
        if (text_char(p, (size_t)(end - p), &n) < 0)
            return false;
    return true;
}

static inline bool text_line(const char *text)
{
    return text_tame(text, strlen(text), "");
}

#endif
