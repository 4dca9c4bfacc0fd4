/* dial: see dial.h. */
#include "dial.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <uv.h>

#include "buf.h"
#include "mem.h"
#include "stream.h"

#define KEEPALIVE_S 30

struct sock {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } h;
    uv_connect_t connect;
    struct dial *dial; /* NULL: given up, or handed over */
};

struct dial {
    uv_loop_t *loop;
    dial_fn fn;
    void *arg;
    bool over;
    unsigned int refs; /* the timer and the resolver; the memory goes with the last */
    char *host;
    char *where; /* for error texts */
    uint64_t by; /* when all must be done */
    uv_timer_t timer;
    uv_getaddrinfo_t resolve;
    struct addrinfo *addresses;
    const struct addrinfo *next;
    unsigned int left; /* addresses from next on */
    int fault;         /* libuv's code: why the latest address failed */
    struct sock *sock; /* being connected */
};

static void next_address(struct dial *d);

/* --- sockets ------------------------------------------------------------------------
 */

static void on_sock_closed(uv_handle_t *h)
{
    free((char *)h - offsetof(struct sock, h));
}

void dial_hang_up(struct uv_stream_s *sock)
{
    if (sock)
        uv_close((uv_handle_t *)sock, on_sock_closed);
}

static void drop_sock(struct dial *d)
{
    if (!d->sock)
        return;
    d->sock->dial = NULL;
    dial_hang_up(&d->sock->h.stream);
    d->sock = NULL;
}

/* --- the end ------------------------------------------------------------------------
 */

static void release(struct dial *d)
{
    if (--d->refs)
        return;
    uv_freeaddrinfo(d->addresses);
    free(d->host);
    free(d->where);
    free(d);
}

static void on_timer_closed(uv_handle_t *h)
{
    release(h->data);
}

void dial_cancel(struct dial *d)
{
    if (!d || d->over)
        return;
    d->over = true;
    drop_sock(d);
    (void)uv_cancel((uv_req_t *)&d->resolve);
    uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}

static void fail(struct dial *d, const char *what, const char *name, const char *why)
{
    struct err e;

    (void)err_set(&e, ERR_TRANSIENT, 0, "%s %s%s%s", what, name, why ? ": " : "",
                  why ? why : "");
    dial_cancel(d);
    d->fn(d->arg, NULL, &e);
}

/* --- addresses ----------------------------------------------------------------------
 */

static void on_timer(uv_timer_t *t)
{
    struct dial *d = t->data;

    if (!d->fault && (!d->sock || !d->next)) {
        fail(d, "timed out: connect to", d->where, NULL);
        return;
    }
    if (d->sock)
        d->fault = UV_ETIMEDOUT;
    drop_sock(d);
    next_address(d);
}

/* The next address is tried from the loop, since this may be inside dial_start. */
static void give_up_address(struct dial *d, int fault)
{
    drop_sock(d);
    d->fault = fault;
    (void)uv_timer_start(&d->timer, on_timer, 0, 0);
}

static void on_connect(uv_connect_t *req, int status)
{
    struct sock *k = req->data;
    struct dial *d = k->dial;

    if (!d)
        return;
    if (status < 0) {
        give_up_address(d, status);
        return;
    }
    if (k->h.handle.type == UV_TCP) {
        (void)uv_tcp_nodelay(&k->h.tcp, 1);
        (void)uv_tcp_keepalive(&k->h.tcp, 1, KEEPALIVE_S);
    }
    k->dial = NULL;
    d->sock = NULL;
    dial_cancel(d);
    d->fn(d->arg, &k->h.stream, NULL);
}

static struct sock *sock_new(struct dial *d)
{
    struct sock *k = mem_new(1, sizeof *k);

    k->connect.data = k;
    k->dial = d;
    return k;
}

static void try_address(struct dial *d, const struct sockaddr *to)
{
    struct sock *k = sock_new(d);
    int rc = uv_tcp_init(d->loop, &k->h.tcp);

    if (rc < 0) {
        free(k);
        give_up_address(d, rc);
        return;
    }
    d->sock = k;
    rc = uv_tcp_connect(&k->connect, &k->h.tcp, to, on_connect);
    if (rc < 0)
        give_up_address(d, rc);
}

/* A silent address may use only its share of the time, so that the others get theirs.
 */
static void next_address(struct dial *d)
{
    const struct addrinfo *ai = d->next;
    uint64_t now = uv_now(d->loop);
    uint64_t rest = d->by > now ? d->by - now : 0;

    if (!ai) {
        fail(d, "cannot connect to", d->where, uv_strerror(d->fault));
        return;
    }
    d->fault = 0;
    (void)uv_timer_start(&d->timer, on_timer, rest / d->left, 0);
    d->next = ai->ai_next;
    d->left--;
    try_address(d, ai->ai_addr);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct dial *d = req->data;

    d->addresses = list;
    if (!d->over && status < 0) {
        fail(d, "cannot resolve", d->host, uv_strerror(status));
    } else if (!d->over) {
        d->next = list;
        for (const struct addrinfo *ai = list; ai; ai = ai->ai_next)
            d->left++;
        d->fault = UV_EAI_NODATA;
        next_address(d);
    }
    release(d);
}

static void resolve(struct dial *d, int port)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char service[16];
    int rc;

    (void)snprintf(service, sizeof service, "%d", port);
    rc = uv_getaddrinfo(d->loop, &d->resolve, on_resolved, d->host, service, &hints);
    if (rc < 0)
        give_up_address(d, rc);
    else
        d->refs++;
}

static void connect_host(struct dial *d, int port)
{
    struct sockaddr_in6 v6;
    struct sockaddr_in v4;

    if (uv_ip4_addr(d->host, port, &v4) == 0)
        try_address(d, (const struct sockaddr *)&v4);
    else if (uv_ip6_addr(d->host, port, &v6) == 0)
        try_address(d, (const struct sockaddr *)&v6);
    else
        resolve(d, port);
}

static void connect_path(struct dial *d, const char *path)
{
    struct sock *k;

    if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path) {
        give_up_address(d, UV_ENAMETOOLONG); /* libuv would cut it */
        return;
    }
    d->sock = k = sock_new(d);
    (void)uv_pipe_init(d->loop, &k->h.pipe, 0); /* cannot fail */
    uv_pipe_connect(&k->connect, &k->h.pipe, path, on_connect);
}

static char *name_of(const struct stream_target *t)
{
    struct buf b = {.max = ERR_TEXT_MAX};

    if (t->path)
        buf_adds(&b, t->path);
    else
        buf_addf(&b, strchr(t->host, ':') ? "[%s]:%d" : "%s:%d", t->host, t->port);
    return buf_take(&b);
}

struct dial *dial_start(struct uv_loop_s *loop, const struct stream_target *target,
                        dial_fn fn, void *arg)
{
    struct dial *d = mem_new(1, sizeof *d);
    uint64_t ms = (uint64_t)target->connect_timeout_ms;

    d->loop = loop;
    d->fn = fn;
    d->arg = arg;
    d->host = mem_strdup(target->host);
    d->where = name_of(target);
    d->by = uv_now(loop) + ms;
    d->resolve.data = d;
    (void)uv_timer_init(loop, &d->timer); /* cannot fail */
    d->timer.data = d;
    d->refs = 1;
    (void)uv_timer_start(&d->timer, on_timer, ms, 0);
    if (target->path)
        connect_path(d, target->path);
    else
        connect_host(d, target->port);
    return d;
}
