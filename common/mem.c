/* mem: see mem.h. */
#include "mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *p)
{
    if (!p) {
        (void)fputs("level=error event=out_of_memory\n", stderr);
        abort();
    }
    return p;
}

void *mem_new(size_t count, size_t size)
{
    return checked(calloc(count ? count : 1, size ? size : 1));
}

void *mem_grow(void *p, size_t size)
{
    return checked(realloc(p, size ? size : 1));
}

char *mem_dup(const char *s, size_t len)
{
    char *copy = mem_new(len + 1, 1);

    if (len)
        memcpy(copy, s, len);
    return copy;
}

char *mem_strdup(const char *s)
{
    return s ? mem_dup(s, strlen(s)) : NULL;
}

void mem_set(char **slot, const char *s)
{
    char *copy = mem_strdup(s);

    free(*slot);
    *slot = copy;
}
