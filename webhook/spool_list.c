/* spool_list: see spool_list.h. An array that is used up from its front. */
#include "spool_list.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

static void make_room(struct spool_list *l)
{
    if (l->end < l->room)
        return;
    if (l->first > l->end / 2) {
        memmove(l->entries, l->entries + l->first,
                (l->end - l->first) * sizeof *l->entries);
        l->end -= l->first;
        l->first = 0;
        return;
    }
    l->room = l->room ? l->room * 2 : 64;
    l->entries = mem_grow(l->entries, l->room * sizeof *l->entries);
}

void spool_list_append(struct spool_list *l, const struct spool_name *n, bool sent)
{
    make_room(l);
    l->entries[l->end++] = (struct spool_entry){.name = *n, .sent = sent};
}

/* Writes end nearly in the order in which they began. */
void spool_list_add(struct spool_list *l, const struct spool_name *n)
{
    struct spool_entry added = {.name = *n};
    size_t at;

    make_room(l);
    for (at = l->end++; at > l->first && l->entries[at - 1].name.order > n->order; at--)
        l->entries[at] = l->entries[at - 1];
    l->entries[at] = added;
}

static int by_order(const void *a, const void *b)
{
    const struct spool_entry *x = a, *y = b;

    return x->name.order < y->name.order ? -1 : x->name.order > y->name.order;
}

void spool_list_sort(struct spool_list *l)
{
    if (l->end > l->first)
        qsort(l->entries + l->first, l->end - l->first, sizeof *l->entries, by_order);
}

/* Mostly the first. */
void spool_list_remove(struct spool_list *l, const struct spool_name *n)
{
    size_t at = l->first;

    while (at < l->end && l->entries[at].name.order != n->order)
        at++;
    if (at == l->end)
        return;
    memmove(l->entries + l->first + 1, l->entries + l->first,
            (at - l->first) * sizeof *l->entries);
    l->first++;
}

void spool_list_defer(struct spool_list *l, const struct spool_name *n, bool sent)
{
    struct spool_name name = *n; /* may be one of those that move */

    spool_list_remove(l, &name);
    spool_list_append(l, &name, sent);
}

size_t spool_list_count(const struct spool_list *l)
{
    return l->end - l->first;
}

bool spool_list_has(const struct spool_list *l, const char *id, const char *digest)
{
    for (size_t i = l->first; i < l->end; i++)
        if (!strcmp(l->entries[i].name.id, id) &&
            (!digest || !strcmp(l->entries[i].name.digest, digest)))
            return true;
    return false;
}

void spool_list_done(struct spool_list *l)
{
    free(l->entries);
}
