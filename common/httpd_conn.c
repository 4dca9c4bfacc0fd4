/* httpd_conn: one connection: bytes to requests, answers to bytes, and its end. The
 * states are in httpd_internal.h; httpd_conn_advance is the only driver, so that an
 * answer from inside on_request recurses nowhere.
 *
 * While the owner has a request, reading goes on until something comes (it costs
 * nothing, and tells when the client is gone); what comes then waits, and reading
 * stops. So a client can make us hold one request and a few chunks, whatever it sends.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "httpd_internal.h"
#include "mem.h"

#define CHUNK 16384
#define KEEP_CAP 4096              /* a larger buffer goes back after its request */
#define LINGER_MS 2000             /* how long, */
#define LINGER_BYTES (1024 * 1024) /* and for how much, a refused client is read */
#define NEVER UINT64_MAX

/* Only used during the callbacks of one read, hence one for all. */
static _Thread_local char chunk[CHUNK];

static void advance(struct httpd_call *c);

void httpd_conn_due(struct httpd_call *c, uint64_t due)
{
    c->due = due;
    c->late = false;
}

uint64_t httpd_conn_after(const struct httpd_call *c, int64_t ms)
{
    return uv_now(c->h->o.loop) + (uint64_t)ms;
}

/* --- the end ------------------------------------------------------------------------
 */

void httpd_conn_release(struct httpd_call *c)
{
    struct httpd *h = c->h;

    if (!c->gone || c->called)
        return;
    *(c->prev ? &c->prev->next_conn : &h->conns) = c->next_conn;
    if (c->next_conn)
        c->next_conn->prev = c->prev;
    h->count--;
    h->turned_away -= c->turned_away;
    buf_done(&c->in);
    buf_done(&c->next);
    free(c);
    httpd_conn_gone(h);
}

static void on_closed(uv_handle_t *handle)
{
    struct httpd_call *c = handle->data;

    c->gone = true;
    httpd_conn_release(c);
}

void httpd_conn_hang_up(struct httpd_call *c)
{
    if (c->state == HTTPD_CLOSED)
        return;
    httpd_room_turn(c, HTTPD_CLOSED);
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

/* --- reading ------------------------------------------------------------------------
 */

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
    (void)handle;
    (void)hint;
    *out = uv_buf_init(chunk, CHUNK);
}

static void stop_reading(struct httpd_call *c)
{
    c->stopped = true;
    (void)uv_read_stop((uv_stream_t *)&c->tcp);
}

static void take(struct httpd_call *c, const char *bytes, size_t len)
{
    switch (c->state) {
    case HTTPD_IDLE:
    case HTTPD_HEAD:
    case HTTPD_BODY:
        buf_add(&c->in, bytes, len);
        assert(!c->in.failed);
        advance(c);
        break;
    case HTTPD_CALL:
    case HTTPD_ANSWER:
        buf_add(&c->next, bytes, len);
        assert(!c->next.failed);
        stop_reading(c);
        break;
    case HTTPD_LINGER:
        c->drained += len;
        if (c->drained > LINGER_BYTES)
            httpd_conn_hang_up(c);
        break;
    case HTTPD_CLOSED:
        break;
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct httpd_call *c = stream->data;

    if (n > 0) {
        take(c, bytes->base, (size_t)n);
    } else if (n == UV_EOF) {
        c->eof = true;
        if (c->state == HTTPD_LINGER)
            httpd_conn_hang_up(c);
        else
            advance(c);
    } else if (n < 0) {
        httpd_conn_hang_up(c);
    }
}

static void resume_reading(struct httpd_call *c)
{
    if (!c->stopped || c->eof)
        return;
    c->stopped = false;
    if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) < 0)
        httpd_conn_hang_up(c);
}

/* --- after an answer ----------------------------------------------------------------
 */

/* All is said. The write side ends now, the rest a little later: closing at once, with
 * bytes unread, would reset the connection, and the client would never see the answer
 * (RFC 9112 section 9.6). */
static void linger(struct httpd_call *c)
{
    uv_os_fd_t fd;

    if (c->eof || uv_fileno((uv_handle_t *)&c->tcp, &fd) < 0 || shutdown(fd, SHUT_WR)) {
        httpd_conn_hang_up(c);
        return;
    }
    httpd_room_turn(c, HTTPD_LINGER);
    buf_done(&c->in);
    buf_done(&c->next);
    httpd_conn_due(c, httpd_conn_after(c, LINGER_MS));
    resume_reading(c);
}

static void empty(struct buf *b)
{
    size_t max = b->max;

    buf_reset(b);
    if (b->cap <= KEEP_CAP)
        return;
    buf_done(b);
    b->max = max;
}

void httpd_conn_answered(struct httpd_call *c)
{
    if (!c->keep) {
        linger(c);
        return;
    }
    if (c->next.len) {
        struct buf came = c->next;

        c->next = c->in;
        c->in = came;
        empty(&c->next);
    } else {
        empty(&c->in);
    }
    httpd_room_turn(c, HTTPD_IDLE);
    httpd_conn_due(c, httpd_conn_after(c, c->h->o.idle_ms));
    advance(c);
}

/* --- requests -----------------------------------------------------------------------
 */

static const char *text(struct httpd_call *c, struct httpd_slice s)
{
    c->in.data[s.at + s.len] = '\0'; /* the mark behind it, which nobody needs now */
    return c->in.data + s.at;
}

static void fill_request(struct httpd_call *c)
{
    const struct httpd_head *head = &c->head;

    for (size_t i = 0; i < head->field_count; i++) {
        c->fields[i].name = text(c, head->fields[i].name);
        c->fields[i].value = text(c, head->fields[i].value);
    }
    c->request = (struct httpd_request){
        .method = text(c, head->method),
        .path = text(c, head->path),
        .query = text(c, head->query),
        .peer = c->client,
        .fields = c->fields,
        .field_count = head->field_count,
        .body = c->in.data + head->len,
        .body_len = head->body_len,
    };
}

static void dispatch(struct httpd_call *c)
{
    size_t total = c->head.len + c->head.body_len;

    if (c->in.len > total) {
        buf_add(&c->next, c->in.data + total, c->in.len - total);
        assert(!c->next.failed);
        c->in.len = total;
        c->in.data[total] = '\0';
    }
    fill_request(c);
    httpd_conn_find_client(c);
    httpd_room_turn(c, HTTPD_CALL);
    c->called = true;
    httpd_conn_due(c, NEVER);
    c->h->o.on_request(c->h->o.arg, c, &c->request);
}

/* Nothing more can be done with what is there. */
static bool need_more(struct httpd_call *c)
{
    if (!c->eof)
        resume_reading(c);
    else if (c->state == HTTPD_IDLE)
        httpd_conn_hang_up(c);
    else
        httpd_answer_refuse(c, 400, "the request was cut short");
    return false;
}

static bool begin(struct httpd_call *c)
{
    if (!c->in.len)
        return need_more(c);
    httpd_room_turn(c, HTTPD_HEAD);
    c->scan = (struct httpd_scan){0};
    c->whole_by = httpd_conn_after(c, c->h->o.request_ms);
    httpd_conn_due(c, httpd_conn_after(c, c->h->o.head_ms));
    return true;
}

static bool accept_head(struct httpd_call *c)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

    httpd_room_turn(c, HTTPD_BODY);
    httpd_conn_due(c, c->whole_by);
    if (c->head.wants_continue && c->head.body_len && c->in.len == c->head.len &&
        httpd_answer_bytes(c, go_on, sizeof go_on - 1) < 0)
        httpd_conn_hang_up(c);
    return true;
}

static bool read_head(struct httpd_call *c)
{
    int status;
    const char *why;

    switch (httpd_reader_head(&c->scan, c->in.data, c->in.len, c->h->o.body_max,
                              &c->head, &status, &why)) {
    case HTTPD_READ_HEAD:
        return accept_head(c);
    case HTTPD_READ_REFUSED:
        httpd_answer_refuse(c, status, why);
        return false;
    case HTTPD_READ_MORE:
        break;
    }
    return need_more(c);
}

static bool read_body(struct httpd_call *c)
{
    if (c->in.len < c->head.len + c->head.body_len)
        return need_more(c);
    dispatch(c);
    return true;
}

/* One step; false: there is none now. */
static bool step(struct httpd_call *c)
{
    switch (c->state) {
    case HTTPD_IDLE:
        return begin(c);
    case HTTPD_HEAD:
        return read_head(c);
    case HTTPD_BODY:
        return read_body(c);
    case HTTPD_CALL:
    case HTTPD_ANSWER:
    case HTTPD_LINGER:
    case HTTPD_CLOSED:
        break;
    }
    return false;
}

static void advance(struct httpd_call *c)
{
    if (c->running)
        return;
    c->running = true;
    while (step(c))
        ;
    c->running = false;
}

/* --- for the server and the owner ---------------------------------------------------
 */

void httpd_conn_open(struct httpd *h, int fd, const struct network_addr *addr,
                     bool trusted, int status, const char *why)
{
    struct httpd_call *c = mem_new(1, sizeof *c);

    c->h = h;
    c->addr = *addr;
    c->trusted = trusted;
    c->turned_away = why != NULL;
    c->stopped = true;
    c->in.max = c->next.max = HTTPD_HEAD_MAX + h->o.body_max + (size_t)4 * CHUNK;
    network_format(addr, c->peer);
    c->next_conn = h->conns;
    if (h->conns)
        h->conns->prev = c;
    h->conns = c;
    h->count++;
    h->turned_away += c->turned_away;
    h->refs++;
    (void)uv_tcp_init(h->o.loop, &c->tcp); /* opens nothing, cannot fail */
    c->tcp.data = c;
    httpd_conn_due(c, httpd_conn_after(c, h->o.head_ms));
    if (uv_tcp_open(&c->tcp, fd) < 0) {
        (void)close(fd);
        httpd_conn_hang_up(c);
    } else if (why) {
        httpd_answer_refuse(c, status, why);
    } else {
        httpd_room_turn(c, HTTPD_IDLE);
        resume_reading(c);
    }
}

void httpd_conn_expire(struct httpd_call *c)
{
    if (c->state == HTTPD_HEAD)
        httpd_answer_refuse(c, 408, "the head took too long");
    else if (c->state == HTTPD_BODY)
        httpd_answer_refuse(c, 408, "the request took too long");
    else
        httpd_conn_hang_up(c);
}
