/* fuzz_input: cuts fuzz data into NUL-terminated fields: each ends at a 0xFF byte or
 * at the end of the data. */
#ifndef STOPGAP_TESTS_FUZZ_INPUT_H
#define STOPGAP_TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define PROMISE(condition)                                                             \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);    \
            abort();                                                                   \
        }                                                                              \
    } while (0)

struct fuzz_input {
    const uint8_t *p;
    size_t left;
};

/* The next field; the caller frees it. NULs inside become 0xFE. */
static inline char *fuzz_field(struct fuzz_input *in)
{
    const uint8_t *end = in->left ? memchr(in->p, 0xFF, in->left) : NULL;
    size_t len = end ? (size_t)(end - in->p) : in->left;
    char *field = mem_dup((const char *)in->p, len);

    for (size_t i = 0; i < len; i++)
        if (!field[i])
            field[i] = (char)0xFE;
    in->p += len + (end != NULL);
    in->left -= len + (end != NULL);
    return field;
}

#endif
