/* fuzz_input: cuts fuzz data into fields: each ends at a 0xFF byte or at the end of the
 * data. */
#ifndef STOPGAP_TESTS_FUZZ_INPUT_H
#define STOPGAP_TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* A folder of this process's own, in memory if that can be had. */
static inline void fuzz_folder(char out[static 64])
{
    (void)snprintf(out, 64, "%s/fuzz-XXXXXX",
                   access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    PROMISE(mkdtemp(out));
}

/* The next field as it is, of *len bytes, with a NUL after it; the caller frees it. */
static inline char *fuzz_bytes(struct fuzz_input *in, size_t *len)
{
    const uint8_t *end = in->left ? memchr(in->p, 0xFF, in->left) : NULL;
    char *field;

    *len = end ? (size_t)(end - in->p) : in->left;
    field = mem_dup((const char *)in->p, *len);
    in->p += *len + (end != NULL);
    in->left -= *len + (end != NULL);
    return field;
}

/* The next field as text; the caller frees it. NULs inside become 0xFE. */
static inline char *fuzz_field(struct fuzz_input *in)
{
    size_t len;
    char *field = fuzz_bytes(in, &len);

    for (size_t i = 0; i < len; i++)
        if (!field[i])
            field[i] = (char)0xFE;
    return field;
}

#endif
