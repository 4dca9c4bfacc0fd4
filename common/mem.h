/* mem: allocation that does not fail.
 *
 * Out of memory ends the program with a line on stderr: jobs are durable and leases
 * recover them, and every input is bounded, so a peer cannot cause it. Nothing else
 * in the project calls malloc. */
#ifndef STOPGAP_MEM_H
#define STOPGAP_MEM_H

#include <stddef.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Zeroed memory for count items; free() releases it. */
void *mem_new(size_t count, size_t size) __attribute__((malloc, returns_nonnull));

/* Like realloc; the new part is not zeroed. */
void *mem_grow(void *p, size_t size) __attribute__((returns_nonnull));

/* A copy the caller frees; NULL stays NULL. */
char *mem_strdup(const char *s);

/* A NUL-terminated copy of len bytes the caller frees. */
char *mem_dup(const char *s, size_t len) __attribute__((returns_nonnull));

/* Frees *slot and puts a copy of s (or NULL) there. */
void mem_set(char **slot, const char *s);

#endif
