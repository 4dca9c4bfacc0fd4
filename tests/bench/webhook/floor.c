/* floor: the least that a receiver can cost in the benchmark: one libuv loop that finds
 * the end of a request and answers 202. Checks nothing and keeps nothing. Prints its
 * port; ends with its stdin. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "mem.h"

#define IN_MAX 16384

struct client {
    uv_tcp_t tcp;
    size_t len;
    char in[IN_MAX + 1];
};

static uv_loop_t loop;
static uv_tcp_t listener;

/* As long as the receiver's own answer. */
static char answer[] =
    "HTTP/1.1 202 Accepted\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    "Content-Type: application/json\r\nContent-Length: 61\r\n"
    "Connection: keep-alive\r\n\r\n"
    "{\"job_id\":\"01K0000000000000000000000\",\"status\":\"queued\"}    \n";

static void fail(const char *what, int code)
{
    (void)fprintf(stderr, "floor: %s: %s\n", what, uv_strerror(code));
    exit(1);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
    struct client *c = handle->data;

    (void)hint;
    *out = uv_buf_init(c->in + c->len, (unsigned int)(IN_MAX - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct client *c = stream->data;
    uv_buf_t out = uv_buf_init(answer, sizeof answer - 1);
    const char *end, *length;

    (void)bytes;
    if (n < 0) {
        uv_close((uv_handle_t *)stream, on_closed);
        return;
    }
    c->len += (size_t)n;
    c->in[c->len] = '\0';
    end = strstr(c->in, "\r\n\r\n");
    length = strstr(c->in, "Content-Length: ");
    if (!end || !length ||
        c->len < (size_t)(end + 4 - c->in) + strtoul(length + 16, NULL, 10))
        return;
    c->len = 0;
    if (uv_try_write(stream, &out, 1) != (int)out.len)
        fail("a client does not read", UV_EAGAIN);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct client *c = mem_new(1, sizeof *c);

    if (status < 0)
        fail("listen", status);
    (void)uv_tcp_init(&loop, &c->tcp);
    c->tcp.data = c;
    if (uv_accept(server, (uv_stream_t *)&c->tcp) || uv_tcp_nodelay(&c->tcp, 1) ||
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read))
        fail("accept", UV_EIO);
}

static void on_stdin_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
    static char bytes[16];

    (void)handle;
    (void)hint;
    *out = uv_buf_init(bytes, sizeof bytes);
}

static void on_stdin(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    (void)stream;
    (void)bytes;
    if (n < 0)
        uv_stop(&loop);
}

int main(void)
{
    struct sockaddr_storage own;
    int len = sizeof own;
    uv_pipe_t end;

    (void)uv_loop_init(&loop);
    (void)uv_ip4_addr("127.0.0.1", 0, (struct sockaddr_in *)&own);
    (void)uv_tcp_init(&loop, &listener);
    if (uv_tcp_bind(&listener, (struct sockaddr *)&own, 0) ||
        uv_listen((uv_stream_t *)&listener, 128, on_connection) ||
        uv_tcp_getsockname(&listener, (struct sockaddr *)&own, &len))
        fail("listen", UV_EADDRINUSE);
    (void)printf("%d\n", ntohs(((struct sockaddr_in *)&own)->sin_port));
    (void)fflush(stdout);
    (void)uv_pipe_init(&loop, &end, 0);
    if (uv_pipe_open(&end, 0) ||
        uv_read_start((uv_stream_t *)&end, on_stdin_alloc, on_stdin))
        fail("stdin", UV_EIO);
    return uv_run(&loop, UV_RUN_DEFAULT) < 0;
}
