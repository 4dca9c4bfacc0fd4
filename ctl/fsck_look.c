/* fsck_look: see fsck_look.h. */
#include "fsck_look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define PAGE 500
#define KEY_MAX 512

/* ---- names ---- */

void fsck_names_add(struct fsck_names *n, const char *bytes, size_t len)
{
    if (n->count == n->room) {
        n->room = n->room ? 2 * n->room : 64;
        n->v = mem_grow(n->v, n->room * sizeof *n->v);
    }
    n->v[n->count++] = mem_dup(bytes, len);
}

void fsck_names_done(struct fsck_names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->v[i]);
    free(n->v);
    *n = (struct fsck_names){0};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* SCAN may name a key twice. */
static void sort_once(struct fsck_names *n)
{
    size_t kept = 0;

    if (n->count)
        qsort(n->v, n->count, sizeof *n->v, by_name);
    for (size_t i = 0; i < n->count; i++) {
        if (kept && strcmp(n->v[kept - 1], n->v[i]) == 0)
            free(n->v[i]);
        else
            n->v[kept++] = n->v[i];
    }
    n->count = kept;
}

bool fsck_look_has_key(const struct fsck_look *l, const char *name, const char *tail)
{
    char text[KEY_MAX];
    const char *key = text;

    (void)snprintf(text, sizeof text, "%s%s", name, tail);
    return l->keys.count &&
           bsearch(&key, l->keys.v, l->keys.count, sizeof *l->keys.v, by_name);
}

/* ---- keys ---- */

struct scanning {
    struct fsck_names *to;
    size_t prefix_len;
    char cursor[32];
};

static void on_keys(void *arg, const struct redisReply *reply)
{
    struct scanning *s = arg;
    const struct redisReply *keys;

    if (reply_count(reply) != 2)
        return;
    (void)snprintf(s->cursor, sizeof s->cursor, "%s", reply_str(reply_at(reply, 0)));
    keys = reply_at(reply, 1);
    for (size_t i = 0; i < reply_count(keys); i++) {
        const struct redisReply *key = reply_at(keys, i);

        if (reply_len(key) > s->prefix_len)
            fsck_names_add(s->to, reply_str(key) + s->prefix_len,
                           reply_len(key) - s->prefix_len);
    }
}

/* The prefix as a pattern: what a queue's name may hold is none of a pattern's signs,
 * and the braces are none either. */
int fsck_look_keys(struct client *c, struct fsck_look *l, struct err *e)
{
    char prefix[QUEUE_KEY_MAX], pattern[QUEUE_KEY_MAX + 1];
    struct scanning s = {.to = &l->keys, .cursor = "0"};

    client_key(c, "", "", prefix);
    s.prefix_len = strlen(prefix);
    (void)snprintf(pattern, sizeof pattern, "%s*", prefix);
    do {
        client_send(
            c, on_keys, &s, 6,
            (const char *[]){"SCAN", s.cursor, "MATCH", pattern, "COUNT", "1000"},
            NULL);
        if (client_wait(c, e))
            return -1;
    } while (strcmp(s.cursor, "0") != 0);
    sort_once(&l->keys);
    return 0;
}

/* ---- places ---- */

struct paging {
    struct fsck_look *look;
    const char *name;
    struct fsck_names *to; /* NULL: places */
    size_t got;
};

static void add_place(struct fsck_look *l, const char *name, const char *id, size_t len)
{
    if (l->place_count == l->place_room) {
        l->place_room = l->place_room ? 2 * l->place_room : 256;
        l->places = mem_grow(l->places, l->place_room * sizeof *l->places);
    }
    l->places[l->place_count++] = (struct fsck_place){mem_dup(id, len), name};
}

static void on_page(void *arg, const struct redisReply *reply)
{
    struct paging *p = arg;

    p->got = reply_count(reply);
    for (size_t i = 0; i < p->got; i++) {
        const struct redisReply *id = reply_at(reply, i);

        if (p->to)
            fsck_names_add(p->to, reply_str(id), reply_len(id));
        else
            add_place(p->look, p->name, reply_str(id), reply_len(id));
    }
}

/* Whoever moves while we read is missed or seen twice, and suspected. */
static int read_ids(struct client *c, struct paging p, const char *command,
                    struct err *e)
{
    char key[QUEUE_KEY_MAX], first[24], last[24];
    size_t at = 0;

    client_key(c, p.name, "", key);
    do {
        (void)snprintf(first, sizeof first, "%zu", at);
        (void)snprintf(last, sizeof last, "%zu", at + PAGE - 1);
        client_send(c, on_page, &p, 4, (const char *[]){command, key, first, last},
                    NULL);
        if (client_wait(c, e))
            return -1;
        at += PAGE;
    } while (p.got == PAGE);
    return 0;
}

static int by_id(const void *a, const void *b)
{
    const struct fsck_place *x = a, *y = b;

    return strcmp(x->id, y->id);
}

int fsck_look_places(struct client *c, struct fsck_look *l, struct err *e)
{
    const struct {
        const char *command, *name;
        struct fsck_names *to;
    } fixed[] = {
        {"LRANGE", "pending", NULL},        {"LRANGE", "solo", NULL},
        {"ZRANGE", "delayed", NULL},        {"ZRANGE", "failed", NULL},
        {"ZRANGE", "done", NULL},           {"ZRANGE", "follow", &l->follow},
        {"ZRANGE", "tell:slack", &l->tell}, {"ZRANGE", "tell:zendesk", &l->tell}};

    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        if (read_ids(c, (struct paging){l, fixed[i].name, fixed[i].to, 0},
                     fixed[i].command, e))
            return -1;
    for (size_t i = 0; i < l->keys.count; i++)
        if (strncmp(l->keys.v[i], "proc:", 5) == 0 &&
            read_ids(c, (struct paging){l, l->keys.v[i], NULL, 0}, "LRANGE", e))
            return -1;
    sort_once(&l->tell);
    if (l->place_count)
        qsort(l->places, l->place_count, sizeof *l->places, by_id);
    return 0;
}

const struct fsck_place *fsck_look_find(const struct fsck_look *l, const char *id,
                                        size_t *count)
{
    size_t low = 0, high = l->place_count;

    while (low < high) { /* the first that is not before it */
        size_t middle = low + (high - low) / 2;

        if (strcmp(l->places[middle].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (*count = 0;
         low + *count < l->place_count && strcmp(l->places[low + *count].id, id) == 0;)
        ++*count;
    return *count ? &l->places[low] : NULL;
}

void fsck_look_done(struct fsck_look *l)
{
    for (size_t i = 0; i < l->place_count; i++)
        free(l->places[i].id);
    free(l->places);
    fsck_names_done(&l->keys);
    fsck_names_done(&l->follow);
    fsck_names_done(&l->tell);
    *l = (struct fsck_look){0};
}
