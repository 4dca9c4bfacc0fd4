/* buf: growable bytes with a mandatory ceiling and a sticky failure.
 *
 * Ten appends, one check. Past the ceiling an append changes nothing and sets
 * `failed`; it stays set until buf_reset. The content is always NUL-terminated (the
 * NUL is not counted). Text encodings that many parts need (hex, base64) live here. */
#ifndef STOPGAP_BUF_H
#define STOPGAP_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct buf {
    char *data; /* never NULL after buf_init; NULL after buf_take until it grows */
    size_t len;
    size_t cap;
    size_t max;
    bool failed;
};

/* max: the most bytes it may ever hold. Pair: buf_done. */
void buf_init(struct buf *b, size_t max);

/* Frees the content; a zeroed buf is fine. Leaves a zeroed buf. */
void buf_done(struct buf *b);

/* Empties it and clears `failed`; keeps the memory. */
void buf_reset(struct buf *b);

void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_adds(struct buf *b, const char *text);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_add_int(struct buf *b, int64_t n);

/* Standard alphabet with padding, one line (RFC 4648 section 4). */
void buf_add_base64(struct buf *b, const void *bytes, size_t len);

/* URL-safe alphabet without padding (RFC 4648 section 5), as PASETO wants. */
void buf_add_base64url(struct buf *b, const void *bytes, size_t len);

/* Percent-encodes all but RFC 3986's unreserved characters: a path segment, or a value
 * in a query ('/' becomes %2F). */
void buf_add_percent(struct buf *b, const char *text);

void buf_add_hex(struct buf *b, const void *bytes, size_t len);

/* Drops the first n bytes (n <= len): for reading from a network. */
void buf_consume(struct buf *b, size_t n);

/* Hands the NUL-terminated content over; the caller frees it. The buf is empty after.
 */
char *buf_take(struct buf *b);

#endif
