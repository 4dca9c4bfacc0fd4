/* json_keys: the members of a JSON object as they stand in its text. A JSON library
 * hands over a map: a key that was given twice, and how a number was written, can only
 * be seen here. No parser: the text must be one that a parser has accepted. */
#ifndef STOPGAP_JSON_KEYS_H
#define STOPGAP_JSON_KEYS_H

#include <stdbool.h>
#include <stddef.h>

/* Slices of the text, as written: the key without its quotes, escapes in place. */
struct json_member {
    const char *key;
    size_t key_len;
    const char *value;
    size_t value_len;
};

/* The next member of the object at *p (first call: the text's start; *p moves on).
 * False at the object's end. Text that is not valid JSON ends it early, no worse. */
bool json_keys_next(const char **p, const char *end, struct json_member *out);

#endif
