/* httpd_answer: the bytes of an answer, and their way out. They are made in one buffer
 * of the server's, so that an answer costs no allocation and leaves as one write. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "httpd_internal.h"
#include "mem.h"

#define OUT_KEEP 65536 /* a larger buffer goes back */

struct rest { /* of what the kernel did not take at once */
    uv_write_t req;
    struct httpd_call *call;
    char bytes[];
};

static const struct {
    int status;
    const char *line;
} lines[] = {
    {200, "HTTP/1.1 200 OK\r\n"},
    {202, "HTTP/1.1 202 Accepted\r\n"},
    {204, "HTTP/1.1 204 No Content\r\n"},
    {400, "HTTP/1.1 400 Bad Request\r\n"},
    {401, "HTTP/1.1 401 Unauthorized\r\n"},
    {403, "HTTP/1.1 403 Forbidden\r\n"},
    {404, "HTTP/1.1 404 Not Found\r\n"},
    {405, "HTTP/1.1 405 Method Not Allowed\r\n"},
    {408, "HTTP/1.1 408 Request Timeout\r\n"},
    {409, "HTTP/1.1 409 Conflict\r\n"},
    {411, "HTTP/1.1 411 Length Required\r\n"},
    {413, "HTTP/1.1 413 Content Too Large\r\n"},
    {414, "HTTP/1.1 414 URI Too Long\r\n"},
    {415, "HTTP/1.1 415 Unsupported Media Type\r\n"},
    {417, "HTTP/1.1 417 Expectation Failed\r\n"},
    {422, "HTTP/1.1 422 Unprocessable Content\r\n"},
    {429, "HTTP/1.1 429 Too Many Requests\r\n"},
    {431, "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
    {500, "HTTP/1.1 500 Internal Server Error\r\n"},
    {501, "HTTP/1.1 501 Not Implemented\r\n"},
    {503, "HTTP/1.1 503 Service Unavailable\r\n"},
    {505, "HTTP/1.1 505 HTTP Version Not Supported\r\n"},
};

static void add_line(struct buf *out, int status)
{
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        if (lines[i].status == status) {
            buf_adds(out, lines[i].line);
            return;
        }
    buf_addf(out, "HTTP/1.1 %d Status\r\n", status);
}

/* Made once a second. */
static const char *date(struct httpd *h)
{
    int64_t now = (int64_t)time(NULL);

    if (now != h->date_s || !h->date[0]) {
        h->date_s = now;
        when_format_http(now * 1000, h->date);
    }
    return h->date;
}

static void make(struct httpd *h, int status, const char *type,
                 const char *const *extra, const void *body, size_t len, bool no_body,
                 bool keep)
{
    struct buf *out = &h->out;

    if (out->cap > OUT_KEEP) {
        size_t max = out->max;

        buf_done(out);
        out->max = max;
    }
    buf_reset(out);
    add_line(out, status);
    buf_adds(out, "Date: ");
    buf_adds(out, date(h));
    buf_adds(out, "\r\nContent-Type: ");
    buf_adds(out, type ? type : "application/json");
    if (status != 204) {
        buf_adds(out, "\r\nContent-Length: ");
        buf_add_int(out, (int64_t)len);
    }
    for (; extra && *extra; extra++) {
        buf_adds(out, "\r\n");
        buf_adds(out, *extra);
    }
    buf_adds(out, keep ? "\r\nConnection: keep-alive\r\n\r\n"
                       : "\r\nConnection: close\r\n\r\n");
    if (!no_body && status != 204)
        buf_add(out, body, len);
    assert(!out->failed);
}

/* --- writing ------------------------------------------------------------------------
 */

static void on_written(uv_write_t *req, int status)
{
    struct rest *rest = req->data;
    struct httpd_call *c = rest->call;

    free(rest);
    c->writes--;
    if (status < 0)
        httpd_conn_hang_up(c);
    else if (!c->writes && c->state == HTTPD_ANSWER)
        httpd_conn_answered(c);
}

/* Offers it to the kernel at once; libuv gets a copy of what that leaves. */
int httpd_answer_bytes(struct httpd_call *c, const char *bytes, size_t len)
{
    uv_buf_t all = uv_buf_init((char *)(uintptr_t)bytes, (unsigned int)len);
    int n = uv_try_write((uv_stream_t *)&c->tcp, &all, 1);
    struct rest *rest;

    if (n == UV_EAGAIN)
        n = 0;
    if (n < 0 || (size_t)n == len)
        return n < 0 ? n : 0;
    len -= (size_t)n;
    rest = mem_new(1, sizeof *rest + len);
    memcpy(rest->bytes, bytes + n, len);
    rest->call = c;
    rest->req.data = rest;
    all = uv_buf_init(rest->bytes, (unsigned int)len);
    n = uv_write(&rest->req, (uv_stream_t *)&c->tcp, &all, 1, on_written);
    if (n < 0)
        free(rest);
    else
        c->writes++;
    return n;
}

static void answer(struct httpd_call *c, int status, const char *type,
                   const char *const *extra, const void *body, size_t len, bool no_body)
{
    struct buf *out = &c->h->out;

    make(c->h, status, type, extra, body, len, no_body, c->keep);
    httpd_room_turn(c, HTTPD_ANSWER);
    httpd_conn_due(c, httpd_conn_after(c, c->h->o.request_ms));
    if (httpd_answer_bytes(c, out->data, out->len) < 0)
        httpd_conn_hang_up(c);
    else if (!c->writes)
        httpd_conn_answered(c);
}

/* Without the owner; the connection ends with it. */
void httpd_answer_refuse(struct httpd_call *c, int status, const char *why)
{
    static const char *const later[] = {"Retry-After: 30", NULL};
    struct httpd *h = c->h;
    struct buf body = {.max = 512};

    if (h->o.on_refused)
        h->o.on_refused(h->o.arg, c->peer, status, why);
    if (c->state == HTTPD_CLOSED) /* the owner ended the server inside */
        return;
    c->keep = false;
    buf_addf(&body, "{\"error\":\"%s\"}", why);
    answer(c, status, NULL, status == 429 || status == 503 ? later : NULL, body.data,
           body.len, false);
    buf_done(&body);
}

void httpd_answer(struct httpd_call *c, int status, const char *type,
                  const char *const *extra, const void *body, size_t len)
{
    assert(c->called);
    c->called = false;
    if (c->state == HTTPD_CLOSED) {
        httpd_conn_release(c);
        return;
    }
    c->keep = c->head.keep_alive && !c->h->draining && !(c->eof && !c->next.len);
    answer(c, status, type, extra, body, len, strcmp(c->request.method, "HEAD") == 0);
}
