/* scripted_server: a tiny HTTP/1.1 server on the test's own loop, on a free port. It
 * reads whole requests, keeps them, and lets the test answer, hang up or stay silent.
 * For unit tests of http.c and gitlab.c only. */
#ifndef STOPGAP_SCRIPTED_SERVER_H
#define STOPGAP_SCRIPTED_SERVER_H

#include <assert.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "buf.h"
#include "mem.h"

#define SERVER_REQUESTS_MAX 600

struct server;
struct server_conn {
    uv_tcp_t tcp;
    struct server *server;
    struct buf in;
    struct server_conn *next;
    size_t served; /* requests on this connection */
};
/* request: head and body, NUL-terminated. */
typedef void (*server_fn)(struct server_conn *c, const char *request);

struct server {
    uv_loop_t *loop;
    uv_tcp_t tcp;
    int port;
    int connections;
    size_t count; /* requests */
    char *requests[SERVER_REQUESTS_MAX];
    struct server_conn *conns;
    server_fn handle;
    void *data; /* the test's */
};

static void server_conn_closed(uv_handle_t *handle)
{
    struct server_conn *c = handle->data;

    buf_done(&c->in);
    free(c);
}

/* Hangs up: an orderly close. */
static void server_hang_up(struct server_conn *c)
{
    for (struct server_conn **p = &c->server->conns; *p; p = &(*p)->next)
        if (*p == c) {
            *p = c->next;
            break;
        }
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, server_conn_closed);
}

static void server_written(uv_write_t *write, int status)
{
    (void)status; /* a peer that went away is part of the tests */
    free(write->data);
    free(write);
}

/* Writes bytes as they are. */
static void server_raw(struct server_conn *c, const char *bytes, size_t len)
{
    uv_write_t *write = mem_new(1, sizeof *write);
    uv_buf_t b = uv_buf_init(mem_dup(bytes, len), (unsigned)len);

    write->data = b.base;
    if (uv_write(write, (uv_stream_t *)&c->tcp, &b, 1, server_written))
        server_written(write, 0);
}

/* status: "200 OK"; headers: "" or lines ending in CRLF. */
static void server_reply(struct server_conn *c, const char *status, const char *headers,
                         const char *body)
{
    struct buf out;

    buf_init(&out, 1 << 22);
    buf_addf(&out, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n%s", status,
             strlen(body), headers, body);
    server_raw(c, out.data, out.len);
    buf_done(&out);
}

static void server_alloc(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    (void)handle;
    *out = uv_buf_init(mem_new(size, 1), (unsigned)size);
}

/* Length of the first whole request in the buffer, 0 while there is none. */
static size_t server_whole(const struct buf *in)
{
    const char *end = strstr(in->data, "\r\n\r\n");
    const char *length = strcasestr(in->data, "\r\nContent-Length:");
    size_t total;

    if (!end)
        return 0;
    total = (size_t)(end - in->data) + 4;
    if (length && length < end)
        total += (size_t)strtoul(length + 17, NULL, 10);
    return in->len >= total ? total : 0;
}

static void server_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct server_conn *c = stream->data;
    size_t len;

    if (n > 0)
        buf_add(&c->in, bytes->base, (size_t)n);
    free(bytes->base);
    if (n < 0) {
        server_hang_up(c);
        return;
    }
    while (!uv_is_closing((uv_handle_t *)stream) && (len = server_whole(&c->in))) {
        struct server *s = c->server;
        char *request = mem_dup(c->in.data, len);

        assert(s->count < SERVER_REQUESTS_MAX);
        s->requests[s->count++] = request;
        c->served++;
        buf_consume(&c->in, len);
        s->handle(c, request);
    }
}

static void server_accept(uv_stream_t *stream, int status)
{
    struct server *s = stream->data;
    struct server_conn *c = mem_new(1, sizeof *c);

    assert(status == 0);
    (void)status;
    buf_init(&c->in, 1 << 22);
    c->server = s;
    (void)uv_tcp_init(s->loop, &c->tcp);
    c->tcp.data = c;
    c->next = s->conns;
    s->conns = c;
    s->connections++;
    (void)uv_accept(stream, (uv_stream_t *)&c->tcp);
    (void)uv_read_start((uv_stream_t *)&c->tcp, server_alloc, server_read);
}

static void server_start(struct server *s, uv_loop_t *loop, server_fn handle)
{
    struct sockaddr_in a;
    int len = sizeof a;

    *s = (struct server){.loop = loop, .handle = handle};
    (void)uv_ip4_addr("127.0.0.1", 0, &a);
    (void)uv_tcp_init(loop, &s->tcp);
    s->tcp.data = s;
    (void)uv_tcp_bind(&s->tcp, (const struct sockaddr *)&a, 0);
    (void)uv_listen((uv_stream_t *)&s->tcp, 128, server_accept);
    (void)uv_tcp_getsockname(&s->tcp, (struct sockaddr *)&a, &len);
    s->port = ntohs(a.sin_port);
    uv_unref((uv_handle_t *)&s->tcp);
}

/* Stops listening and hangs up; requests stay readable until server_done. */
static void server_stop(struct server *s)
{
    while (s->conns)
        server_hang_up(s->conns);
    if (!uv_is_closing((uv_handle_t *)&s->tcp))
        uv_close((uv_handle_t *)&s->tcp, NULL);
}

static void server_done(struct server *s)
{
    server_stop(s);
    for (size_t i = 0; i < s->count; i++)
        free(s->requests[i]);
    s->count = 0;
}

#endif
