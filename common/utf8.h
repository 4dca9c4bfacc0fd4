/* utf8: one character at a time out of UTF-8 bytes, and which characters may stand in
 * text that people are shown. Pure; knows nothing of fields or messages. */
#ifndef STOPGAP_UTF8_H
#define STOPGAP_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The character at *p, and *p moved past it; -1, *p unmoved, when the bytes before end
 * are no whole character (over-long forms, surrogates and values past U+10FFFF are
 * none). Needs *p < end. */
int32_t utf8_next(const char **p, const char *end);

/* Length of the longest valid start of bytes; len when all of it is UTF-8. */
size_t utf8_valid_len(const char *bytes, size_t len);

/* False for what has no place in one line of shown text: C0 and C1 controls, line and
 * paragraph separators, and the controls that reorder text (U+202A to U+202E, U+2066 to
 * U+2069). */
bool utf8_printable(int32_t c);

#endif
