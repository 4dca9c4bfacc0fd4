/* httpd_room: who gives its place when all are taken. Connections that wait for a head
 * stand in two lines, those without a byte and those with a part of one, each with the
 * longest wait first. A request that has begun to be worked on keeps its place. */
#include <sys/socket.h>

#include "httpd_internal.h"
#include "log.h"

#define LOOKS_MAX                                                                      \
    64 /* at clients whose bytes have come meanwhile, for one newcomer                 \
        */

static void leave(struct httpd_call *c)
{
    struct httpd_line *l = c->line;

    if (!l)
        return;
    *(c->ahead ? &c->ahead->behind : &l->first) = c->behind;
    *(c->behind ? &c->behind->ahead : &l->last) = c->ahead;
    c->line = NULL;
}

static void join(struct httpd_call *c, struct httpd_line *l)
{
    c->line = l;
    c->ahead = l->last;
    c->behind = NULL;
    *(l->last ? &l->last->behind : &l->first) = c;
    l->last = c;
    c->waits_since = uv_now(c->h->o.loop);
}

void httpd_room_turn(struct httpd_call *c, enum httpd_state state)
{
    c->state = state;
    leave(c);
    if (state == HTTPD_IDLE)
        join(c, &c->h->idle);
    else if (state == HTTPD_HEAD)
        join(c, &c->h->heads);
}

/* Bytes that lie in the socket: it is we who are late. */
static bool has_sent(const struct httpd_call *c)
{
    uv_os_fd_t fd;
    char byte;

    return !uv_fileno((const uv_handle_t *)&c->tcp, &fd) &&
           recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* The longest wait in a line; of that client only, unless addr is NULL. */
static struct httpd_call *longest(const struct httpd *h, const struct httpd_line *l,
                                  const struct network_addr *addr)
{
    uint64_t now = uv_now(h->o.loop);
    int looks = 0;

    for (struct httpd_call *c = l->first; c && looks < LOOKS_MAX; c = c->behind) {
        if (now - c->waits_since < (uint64_t)h->o.grace_ms)
            return NULL;
        if (addr && !network_same_client(&c->addr, addr))
            continue;
        if (!has_sent(c))
            return c;
        looks++;
    }
    return NULL;
}

static struct httpd_call *find(const struct httpd *h, const struct network_addr *addr)
{
    struct httpd_call *c = longest(h, &h->idle, addr);

    return c ? c : longest(h, &h->heads, addr);
}

size_t httpd_room_held(const struct httpd *h, const struct network_addr *addr)
{
    size_t n = 0;

    for (const struct httpd_call *c = h->conns; c; c = c->next_conn)
        n += !c->turned_away && network_same_client(&c->addr, addr);
    return n;
}

static size_t waiting(const struct httpd *h, const struct network_addr *addr)
{
    size_t n = 0;

    for (const struct httpd_call *c = h->conns; c; c = c->next_conn)
        n += c->line && network_same_client(&c->addr, addr);
    return n;
}

/* Where more wait than at the address of the longest wait, the newcomer takes a place
 * of his own address, and nobody who has begun a head goes for him: so a flood from one
 * side, a trusted proxy's too, pushes no slow sender out. */
static struct httpd_call *choose(const struct httpd *h,
                                 const struct network_addr *newcomer)
{
    struct httpd_call *c = find(h, NULL), *own;

    if (!c || waiting(h, newcomer) <= waiting(h, &c->addr))
        return c;
    own = find(h, newcomer);
    return own || c->line == &h->heads ? own : c;
}

static void tell(struct httpd *h)
{
    if (!h->full_told)
        log_msg(LOG_WARN, "connections",
                "all %zu places are taken: those who wait longest give theirs",
                h->o.max_connections);
    h->full_told = true;
}

/* One who has begun a head is told; there is nothing to say to the others. */
static void give(struct httpd_call *c)
{
    struct httpd *h = c->h;
    bool tell_it = c->state == HTTPD_HEAD && h->turned_away < HTTPD_TURNED_AWAY_MAX;

    c->turned_away = true;
    h->turned_away++;
    if (tell_it)
        httpd_answer_refuse(c, 503, "too many connections");
    else
        httpd_conn_hang_up(c);
}

bool httpd_room_make(struct httpd *h, const struct network_addr *newcomer)
{
    size_t taken = h->count - h->turned_away;
    struct httpd_call *c;

    if (taken < h->o.max_connections) {
        h->full_told = h->full_told && taken > h->o.max_connections / 2;
        return true;
    }
    c = choose(h, newcomer);
    if (!c)
        return false;
    tell(h);
    give(c);
    return true;
}
