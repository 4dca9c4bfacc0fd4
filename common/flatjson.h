/* flatjson: strings written into a body, and documents read in one pass without a tree.
 *
 * For the hot path only: a tree of an issue costs 50 us, a pass over it 4. Strict about
 * structure, so that a cut document is never taken for a whole one. Pure. */
#ifndef STOPGAP_FLATJSON_H
#define STOPGAP_FLATJSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/* Appends text as a JSON string with its quotes. Bytes that are not UTF-8 become
 * U+FFFD: GitLab refuses a body that holds them. */
void flatjson_add_string(struct buf *out, const char *text);

struct flatjson_span { /* bytes of the document, escapes and all */
    const char *at;
    size_t len;
};

/* A position in a document. After the first fault `bad` stays set and every call says
 * no. */
struct flatjson {
    const char *p, *end;
    bool fresh; /* right behind the bracket of an object or array */
    bool bad;
};

/* text: borrowed as long as the reader and its spans are used. */
void flatjson_init(struct flatjson *j, const char *text, size_t len);

/* The first character of the value that comes next; 0 if there is none. */
char flatjson_peek(struct flatjson *j);

/* Enters an object ('{') or array ('['). */
bool flatjson_open(struct flatjson *j, char bracket);

/* Inside an object: true with the next key, and one of flatjson_string, flatjson_int,
 * flatjson_bool, flatjson_skip, flatjson_open has to follow; false at its end (which is
 * passed). */
bool flatjson_key(struct flatjson *j, struct flatjson_span *key);

/* The same inside an array. */
bool flatjson_item(struct flatjson *j);

/* Takes the value. False, with the value skipped, if it has another type. */
bool flatjson_string(struct flatjson *j, struct flatjson_span *out);
bool flatjson_int(struct flatjson *j, int64_t *out);
bool flatjson_bool(struct flatjson *j, bool *out);
void flatjson_skip(struct flatjson *j);

/* True if all of the text was one good document. */
bool flatjson_end(struct flatjson *j);

bool flatjson_is(const struct flatjson_span *s, const char *text);

/* Appends what the escapes stand for, as valid UTF-8 without NUL. */
void flatjson_decode(const struct flatjson_span *s, struct buf *out);

#endif
