/* spool_list: what waits in the spool, in the order in which it is to be queued. Names
 * only: no files, no loop. Part of spool.c, which alone includes this. */
#ifndef STOPGAP_SPOOL_LIST_H
#define STOPGAP_SPOOL_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "spool_file.h"

struct spool_entry {
    struct spool_name name;
    bool sent; /* Redis has it; only its file is left */
};

struct spool_list {
    struct spool_entry *entries; /* entries[first] is next */
    size_t first, end, room;
};

/* At its place by age. */
void spool_list_add(struct spool_list *l, const struct spool_name *n);

/* At the end, whatever its age; spool_list_sort is to follow. */
void spool_list_append(struct spool_list *l, const struct spool_name *n, bool sent);
void spool_list_sort(struct spool_list *l);

void spool_list_remove(struct spool_list *l, const struct spool_name *n);

/* Behind all others: it does not stand in their way. */
void spool_list_defer(struct spool_list *l, const struct spool_name *n, bool sent);

size_t spool_list_count(const struct spool_list *l);

/* digest: NULL for any. */
bool spool_list_has(const struct spool_list *l, const char *id, const char *digest);

void spool_list_done(struct spool_list *l);

#endif
