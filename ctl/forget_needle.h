/* forget_needle: does text hold somebody's address, in any of the spellings in which a
 * request may have brought it? Pure. */
#ifndef STOPGAP_FORGET_NEEDLE_H
#define STOPGAP_FORGET_NEEDLE_H

#include <stdbool.h>
#include <stddef.h>

#include "address.h"
#include "queue.h"

struct forget_needle {
    char normal[ADDRESS_MAX + 1]; /* as a request's address is kept; "": it is none */
    char v[QUEUE_FORGET_ADDRESSES][1024]; /* what is looked for, in lower case */
    size_t count;
};

/* false: text is nothing that could be an address. */
bool forget_needle_make(const char *text, struct forget_needle *out) MUST_CHECK;

/* Not where it is the end or the start of a longer address. */
bool forget_needle_in(const struct forget_needle *n, const char *bytes, size_t len);

#endif
