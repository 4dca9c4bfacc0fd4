/* httpd: see httpd.h. The listener, who is let in, one sweep for all deadlines, and the
 * ends. Accepts by itself instead of through libuv, which, when the process is out of
 * descriptors, closes whoever waits without a word. */
#include "httpd.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "httpd_internal.h"
#include "log.h"
#include "mem.h"

#define BACKLOG 511
#define ACCEPTS_A_TURN 64
#define SWEEP_MAX_MS 250
#define OUT_MAX ((size_t)64 << 20)

/* --- the ends -----------------------------------------------------------------------
 */

static void unref(struct httpd *h)
{
    if (--h->refs)
        return;
    network_list_done(&h->trusted);
    buf_done(&h->out);
    free(h);
}

static void on_listener_closed(uv_handle_t *handle)
{
    unref(handle->data);
}

static void on_sweep_closed(uv_handle_t *handle)
{
    unref(handle->data);
}

static void stop_listening(struct httpd *h)
{
    if (h->fd < 0)
        return;
    uv_close((uv_handle_t *)&h->listener, on_listener_closed);
    (void)close(h->fd);
    h->fd = -1;
}

static void on_sweep(uv_timer_t *timer);

/* By way of the loop, whoever ended the last connection. */
static void tell_idle_soon(struct httpd *h)
{
    if (h->on_idle && !h->count && !h->freed)
        (void)uv_timer_start(&h->sweep, on_sweep, 0, 0);
}

void httpd_conn_gone(struct httpd *h)
{
    tell_idle_soon(h);
    unref(h);
}

/* --- deadlines ----------------------------------------------------------------------
 */

/* After a stall of our own process the bytes may lie in the socket already: one more
 * poll before a client is called late. */
static void look_at(struct httpd_call *c, uint64_t now)
{
    if (now < c->due)
        return;
    if (c->late)
        httpd_conn_expire(c);
    c->late = true;
}

static void on_connection(uv_poll_t *poll, int status, int events);

static void tell_idle(struct httpd *h)
{
    void (*on_idle)(void *arg) = h->on_idle;

    h->on_idle = NULL;
    if (on_idle)
        on_idle(h->o.arg);
}

static void on_sweep(uv_timer_t *timer)
{
    struct httpd *h = timer->data;
    uint64_t now = uv_now(h->o.loop);

    /* none goes away inside: that takes a turn of the loop */
    for (struct httpd_call *c = h->conns; c; c = c->next_conn)
        look_at(c, now);
    if (h->paused && h->fd >= 0) {
        h->paused = false;
        (void)uv_poll_start(&h->listener, UV_READABLE, on_connection);
    } else if (!h->conns && !h->freed) {
        (void)uv_timer_stop(&h->sweep);
        tell_idle(h);
    }
}

static void sweep_on(struct httpd *h)
{
    int64_t every = h->o.head_ms < h->o.idle_ms ? h->o.head_ms : h->o.idle_ms;

    if (uv_is_active((uv_handle_t *)&h->sweep))
        return;
    every = (every < h->o.request_ms ? every : h->o.request_ms) / 8;
    every = every < 2 ? 2 : every > SWEEP_MAX_MS ? SWEEP_MAX_MS : every;
    (void)uv_timer_start(&h->sweep, on_sweep, (uint64_t)every, (uint64_t)every);
}

/* --- who is let in ------------------------------------------------------------------
 */

static struct network_addr address_of(const struct sockaddr_storage *from)
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)from;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)from;

    return from->ss_family == AF_INET6 ? network_from_bytes(&six->sin6_addr, 16)
                                       : network_from_bytes(&four->sin_addr, 4);
}

static void tell_closed(struct httpd *h, const struct network_addr *addr, int status,
                        const char *why)
{
    char peer[NETWORK_TEXT_MAX];

    network_format(addr, peer);
    if (h->o.on_refused)
        h->o.on_refused(h->o.arg, peer, status, why);
}

/* Nobody is left waiting before the door: a proxy can do something with a 503. Those
 * turned away take no place of the others, and few of them are kept to be told. */
static void let_in(struct httpd *h, int fd, const struct sockaddr_storage *from)
{
    struct network_addr addr = address_of(from);
    bool trusted = network_list_has(&h->trusted, &addr);
    const char *why = NULL;
    int status = 0;

    if (!trusted && httpd_room_held(h, &addr) >= h->o.max_per_peer) {
        status = 429;
        why = "too many connections from one address";
    } else if (!httpd_room_make(h, &addr)) {
        status = 503;
        why = "too many connections";
    }
    if (h->freed) {
        (void)close(fd);
    } else if (why && h->turned_away >= HTTPD_TURNED_AWAY_MAX) {
        (void)close(fd);
        tell_closed(h, &addr, status, why);
    } else {
        httpd_conn_open(h, fd, &addr, trusted, status, why);
    }
}

/* Out of descriptors or memory: those who wait stay in the kernel's queue. */
static void pause_listening(struct httpd *h, int code)
{
    h->paused = true;
    (void)uv_poll_stop(&h->listener);
    sweep_on(h);
    if (!h->pause_told)
        log_msg(LOG_WARN, "httpd", "accepts no connections for now: %s",
                strerror(code));
    h->pause_told = true;
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct httpd *h = poll->data;

    (void)status; /* accept tells the same, and why */
    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN && h->fd >= 0; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        int fd = accept4(h->fd, (struct sockaddr *)&from, &len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED || errno == EPROTO))
            continue;
        if (fd < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK)
                pause_listening(h, errno);
            return;
        }
        h->pause_told = false;
        sweep_on(h);
        let_in(h, fd, &from);
    }
}

/* --- start --------------------------------------------------------------------------
 */

static int cannot(const struct httpd_options *o, int code, struct err *e)
{
    return err_set(e, ERR_CONFIG, 0, "cannot listen on %s port %d: %s", o->host,
                   o->port, uv_strerror(code));
}

/* A socket that listens, its port in *port; or libuv's code. */
static int listen_on(const struct sockaddr *addr, socklen_t len, int *port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } bound = {.six = {0}};
    socklen_t bound_len = sizeof bound;
    int one = 1, zero = 0, code;
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    /* handed on to what is accepted */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (addr->sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(fd, addr, len) || listen(fd, BACKLOG) ||
        getsockname(fd, &bound.any, &bound_len)) {
        code = -errno;
        (void)close(fd);
        return code;
    }
    *port = ntohs(bound.any.sa_family == AF_INET6 ? bound.six.sin6_port
                                                  : bound.four.sin_port);
    return fd;
}

static int open_listener(struct httpd *h, struct err *e)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    uv_getaddrinfo_t req;
    char port[16];
    int rc;

    (void)snprintf(port, sizeof port, "%d", h->o.port);
    rc = uv_getaddrinfo(h->o.loop, &req, NULL, h->o.host, port, &hints);
    if (rc < 0)
        return cannot(&h->o, rc, e);
    h->fd = listen_on(req.addrinfo->ai_addr, req.addrinfo->ai_addrlen, &h->port);
    uv_freeaddrinfo(req.addrinfo);
    if (h->fd < 0)
        return cannot(&h->o, h->fd, e);
    rc = uv_poll_init(h->o.loop, &h->listener, h->fd);
    if (rc < 0) {
        (void)close(h->fd);
        return cannot(&h->o, rc, e);
    }
    return 0;
}

struct httpd *httpd_new(const struct httpd_options *options, struct err *e)
{
    struct httpd *h = mem_new(1, sizeof *h);

    h->o = *options;
    h->out.max = OUT_MAX;
    h->refs = 1;
    if (options->trusted && options->trusted[0] &&
        !network_list_parse(options->trusted, &h->trusted)) {
        (void)err_set(e, ERR_CONFIG, 0, "not all of these are networks: %s",
                      options->trusted);
        unref(h);
        return NULL;
    }
    if (open_listener(h, e)) {
        unref(h);
        return NULL;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* libuv writes without MSG_NOSIGNAL */
    (void)uv_timer_init(h->o.loop, &h->sweep);
    h->refs = 2;
    h->listener.data = h->sweep.data = h;
    h->o.host = h->o.trusted = NULL;
    (void)uv_poll_start(&h->listener, UV_READABLE, on_connection);
    return h;
}

/* --- for the owner ------------------------------------------------------------------
 */

int httpd_port(const struct httpd *h)
{
    return h->port;
}

size_t httpd_connections(const struct httpd *h)
{
    return h->count;
}

void httpd_drain(struct httpd *h, void (*on_idle)(void *arg))
{
    if (h->draining)
        return;
    h->draining = true;
    h->on_idle = on_idle;
    stop_listening(h);
    for (struct httpd_call *c = h->conns; c; c = c->next_conn)
        if (c->state == HTTPD_IDLE)
            httpd_conn_hang_up(c);
    tell_idle_soon(h);
}

void httpd_free(struct httpd *h)
{
    if (!h || h->freed)
        return;
    h->freed = true;
    stop_listening(h);
    for (struct httpd_call *c = h->conns; c; c = c->next_conn)
        httpd_conn_hang_up(c);
    uv_close((uv_handle_t *)&h->sweep, on_sweep_closed);
}

const char *httpd_field(const struct httpd_request *request, const char *name,
                        size_t *count)
{
    const char *value = NULL;
    size_t n = 0;

    for (size_t i = 0; i < request->field_count; i++)
        if (strcasecmp(request->fields[i].name, name) == 0 && n++ == 0)
            value = request->fields[i].value;
    if (count)
        *count = n;
    return value;
}
