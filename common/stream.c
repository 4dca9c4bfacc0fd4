/* stream: see stream.h. Writes of one loop turn are gathered and leave as one system
 * call just before the loop sleeps. Not a server, and no retry: owners reconnect. */
#include "stream.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "buf.h"
#include "crash.h"
#include "dial.h"
#include "mem.h"
#include "tls.h"

#define READ_MAX 65536
#define QUEUE_MAX ((size_t)64 << 20) /* bytes a peer may leave unread */
#define KEEP_CAP 8192                /* a larger queue buffer goes back when empty */
#define WHAT_MAX 80

enum state { CONNECTING, HANDSHAKE, OPEN, ENDED };

struct stream {
    uv_loop_t *loop;
    struct stream_events events;
    void *arg;
    enum state state;
    bool closed;       /* by the owner: no callback any more */
    unsigned int refs; /* open handles and requests; the memory goes with the last */

    char *host;
    struct tls *tls_setup;
    int64_t timeout_ms;
    uint64_t connect_by;
    struct dial *dial; /* while CONNECTING */
    uv_stream_t *sock; /* from then on; its memory is dial.c's */
    uv_timer_t handshake;
    uv_timer_t deadline;
    bool last_look; /* the deadline passed; one more poll before it counts */
    char what[WHAT_MAX];

    uv_prepare_t flusher;
    uv_write_t write;
    bool writing;
    int write_fault;    /* the peer takes nothing more; the read side tells the rest */
    struct buf plain;   /* from the owner, not encrypted yet */
    struct buf wire;    /* TLS only: for the socket */
    struct buf sending; /* what `write` points into */
    struct tls_conn *tls;
    bool hello_sent;
};

/* Bytes are handed on or copied before the read callback returns, so all streams of a
 * thread share one. */
static _Thread_local char read_buffer[READ_MAX];

/* --- the end ------------------------------------------------------------------------
 */

static void release(struct stream *s)
{
    if (--s->refs)
        return;
    tls_conn_free(s->tls);
    buf_done(&s->plain);
    buf_done(&s->wire);
    buf_done(&s->sending);
    free(s->host);
    free(s);
}

static void finish(struct stream *s, const struct err *e)
{
    if (s->closed || s->state == ENDED)
        return;
    s->state = ENDED;
    (void)uv_timer_stop(&s->handshake);
    (void)uv_timer_stop(&s->deadline);
    (void)uv_prepare_stop(&s->flusher);
    if (s->sock)
        (void)uv_read_stop(s->sock);
    s->events.on_end(s->arg, e);
}

static void finish_with(struct stream *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void finish_with(struct stream *s, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    struct err e = {0};
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap); /* cut is fine: our own short words */
    va_end(ap);
    (void)err_set(&e, ERR_TRANSIENT, 0, "%s", text);
    finish(s, &e);
}

/* --- writing ------------------------------------------------------------------------
 */

static void clear(struct buf *b)
{
    size_t max = b->max;

    if (b->cap <= KEEP_CAP) {
        buf_reset(b);
        return;
    }
    buf_done(b);
    b->max = max;
}

static void flush(struct stream *s);

/* A reset peer may have said why before: what it sent is still to be read, and the read
 * side reports the end after it. */
static void write_failed(struct stream *s, int fault)
{
    s->write_fault = fault;
    clear(&s->plain);
    clear(&s->wire);
    if (fault != UV_EPIPE && fault != UV_ECONNRESET)
        finish_with(s, "%s", uv_strerror(fault));
}

static void on_written(uv_write_t *req, int status)
{
    struct stream *s = req->data;

    s->writing = false;
    clear(&s->sending);
    if (!s->closed && status < 0)
        write_failed(s, status);
    else if (!s->closed)
        flush(s);
    release(s);
}

/* Hands the rest, from byte `from` on, to libuv; new bytes gather in the other buf. */
static void write_rest(struct stream *s, struct buf *src, size_t from)
{
    struct buf empty = s->sending;
    uv_buf_t rest;
    int rc;

    s->sending = *src;
    *src = empty;
    rest = uv_buf_init(s->sending.data + from, (unsigned int)(s->sending.len - from));
    rc = uv_write(&s->write, s->sock, &rest, 1, on_written);
    if (rc < 0) {
        clear(&s->sending);
        write_failed(s, rc);
        return;
    }
    s->writing = true;
    s->refs++;
}

static void send_now(struct stream *s, struct buf *src)
{
    uv_buf_t all = uv_buf_init(src->data, (unsigned int)src->len);
    int n;

    if (!src->len || s->writing || s->write_fault)
        return;
    n = uv_try_write(s->sock, &all, 1);
    if (n == UV_EAGAIN)
        n = 0;
    if (n < 0)
        write_failed(s, n);
    else if ((size_t)n < src->len)
        write_rest(s, src, (size_t)n);
    else
        clear(src);
}

static void seal(struct stream *s)
{
    struct err e = {0};

    if (!s->plain.len || s->state != OPEN)
        return;
    if (tls_conn_seal(s->tls, s->plain.data, s->plain.len, &s->wire, &e) < 0)
        finish(s, &e);
    clear(&s->plain);
}

static void flush(struct stream *s)
{
    (void)uv_prepare_stop(&s->flusher);
    if (s->state == ENDED)
        return;
    if (s->tls && !s->writing)
        seal(s);
    if (s->plain.failed || s->wire.failed)
        finish_with(s, "the peer left more than %zu MiB unread", QUEUE_MAX >> 20);
    else
        send_now(s, s->tls ? &s->wire : &s->plain);
}

/* --- reading ------------------------------------------------------------------------
 */

static void opened(struct stream *s)
{
    s->state = OPEN;
    (void)uv_timer_stop(&s->handshake);
    s->events.on_open(s->arg);
}

static void tls_bytes(struct stream *s, const char *bytes, size_t len)
{
    struct buf plain = {.max = QUEUE_MAX};
    bool up = false, ended = false;
    struct err e = {0};
    int rc = tls_conn_feed(s->tls, bytes, len, &plain, &s->wire, &up, &ended, &e);

    send_now(s, &s->wire); /* the handshake's next flight, or an alert that says why */
    if (rc < 0)
        finish(s, &e);
    else if (up && s->state == HANDSHAKE)
        opened(s);
    if (plain.len && s->state == OPEN && !s->closed)
        s->events.on_data(s->arg, plain.data, plain.len);
    if (ended)
        finish_with(s, "closed by the peer");
    buf_done(&plain);
}

static void on_flush(uv_prepare_t *h)
{
    struct stream *s = h->data;

    flush(s);
    CRASH_LEFT(s);
    CRASH_LEFT(s->arg);
    if (s->state == HANDSHAKE && !s->hello_sent) {
        s->hello_sent = true;
        tls_bytes(s, NULL, 0);
    }
}

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *out)
{
    (void)h;
    (void)hint;
    *out = uv_buf_init(read_buffer, READ_MAX);
}

static void read_ended(struct stream *s, int code)
{
    if (s->write_fault)
        code = s->write_fault;
    if (code != UV_EOF)
        finish_with(s, "%s", uv_strerror(code));
    else if (s->state == HANDSHAKE)
        finish_with(s, "closed by the peer during the TLS handshake");
    else
        finish_with(s, "closed by the peer");
}

static void on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *bytes)
{
    struct stream *s = h->data;

    if (n < 0)
        read_ended(s, (int)n);
    else if (n > 0 && s->tls)
        tls_bytes(s, bytes->base, (size_t)n);
    else if (n > 0)
        s->events.on_data(s->arg, bytes->base, (size_t)n);
}

/* --- connecting ---------------------------------------------------------------------
 */

static void start_handshake(struct stream *s, struct tls *tls, const char *host)
{
    s->tls = tls_conn_new(tls, host);
    s->state = HANDSHAKE;
    (void)uv_prepare_start(&s->flusher, on_flush);
}

static void on_handshake_late(uv_timer_t *t)
{
    struct stream *s = t->data;

    finish_with(s, "timed out: TLS handshake with %s", s->host);
}

static void limit_handshake(struct stream *s, uint64_t by)
{
    uint64_t now = uv_now(s->loop);

    (void)uv_timer_start(&s->handshake, on_handshake_late, by > now ? by - now : 0, 0);
}

static void on_dialled(void *arg, uv_stream_t *sock, const struct err *e)
{
    struct stream *s = arg;
    int rc;

    s->dial = NULL;
    if (!sock) {
        finish(s, e);
        return;
    }
    s->sock = sock;
    sock->data = s;
    rc = uv_read_start(sock, on_alloc, on_read);
    if (rc < 0) {
        finish_with(s, "%s", uv_strerror(rc));
    } else if (s->tls_setup) {
        limit_handshake(s, s->connect_by);
        start_handshake(s, s->tls_setup, s->host);
    } else {
        opened(s);
    }
}

/* --- for the owner ------------------------------------------------------------------
 */

struct stream *stream_open(struct uv_loop_s *loop, const struct stream_target *target,
                           const struct stream_events *events, void *arg)
{
    struct stream *s = mem_new(1, sizeof *s);

    (void)signal(SIGPIPE, SIG_IGN); /* libuv writes without MSG_NOSIGNAL */
    s->loop = loop;
    s->events = *events;
    s->arg = arg;
    s->host = mem_strdup(target->host ? target->host : "");
    s->tls_setup = target->tls;
    s->timeout_ms = target->connect_timeout_ms;
    s->plain.max = s->wire.max = s->sending.max = QUEUE_MAX;
    s->write.data = s;
    (void)uv_timer_init(loop, &s->handshake); /* these three cannot fail */
    (void)uv_timer_init(loop, &s->deadline);
    (void)uv_prepare_init(loop, &s->flusher);
    s->handshake.data = s->deadline.data = s->flusher.data = s;
    s->refs = 3;
    uv_update_time(loop); /* start-up may have taken long */
    s->connect_by = uv_now(loop) + (uint64_t)s->timeout_ms;
    s->dial = dial_start(loop, target, on_dialled, s);
    return s;
}

static bool takes(const struct stream *s)
{
    return s->state == OPEN && !s->closed && !s->write_fault;
}

void stream_write(struct stream *s, const void *bytes, size_t len)
{
    if (!takes(s) || !len)
        return;
    buf_add(&s->plain, bytes, len);
    (void)uv_prepare_start(&s->flusher, on_flush);
}

void stream_give(struct stream *s, struct buf *bytes)
{
    struct buf empty = s->plain;

    if (!takes(s) || s->plain.len) {
        stream_write(s, bytes->data, bytes->len);
    } else {
        s->plain = *bytes;
        s->plain.max = empty.max;
        empty.max = bytes->max;
        *bytes = empty;
        (void)uv_prepare_start(&s->flusher, on_flush);
    }
    clear(bytes);
}

size_t stream_backlog(const struct stream *s)
{
    size_t queued = s->plain.len + s->wire.len;

    return queued + (s->writing ? uv_stream_get_write_queue_size(s->sock) : 0);
}

void stream_start_tls(struct stream *s, struct tls *tls, const char *host)
{
    if (s->state != OPEN || s->closed || s->tls)
        return;
    buf_add(&s->wire, s->plain.data, s->plain.len); /* still leaves in the clear */
    clear(&s->plain);
    uv_update_time(s->loop);
    limit_handshake(s, uv_now(s->loop) + (uint64_t)s->timeout_ms);
    start_handshake(s, tls, host);
}

/* After a stall of our own process the answer may lie in the socket already: poll once
 * more before calling the peer late. */
static void on_deadline(uv_timer_t *t)
{
    struct stream *s = t->data;

    if (s->last_look) {
        finish_with(s, "timed out: %s", s->what);
        return;
    }
    s->last_look = true;
    (void)uv_timer_start(&s->deadline, on_deadline, 1, 0);
}

void stream_deadline(struct stream *s, int64_t ms, const char *what)
{
    if (s->closed || s->state == ENDED)
        return;
    s->last_look = false;
    if (ms <= 0) {
        (void)uv_timer_stop(&s->deadline);
        return;
    }
    (void)snprintf(s->what, sizeof s->what, "%s", what);
    uv_update_time(s->loop);
    (void)uv_timer_start(&s->deadline, on_deadline, (uint64_t)ms, 0);
}

bool stream_is_tls(const struct stream *s)
{
    return s->tls && s->state == OPEN;
}

int64_t stream_tls_ends_ms(const struct stream *s)
{
    return stream_is_tls(s) ? tls_conn_ends_ms(s->tls) : 0;
}

static void on_closed(uv_handle_t *h)
{
    release(h->data);
}

void stream_close(struct stream *s)
{
    if (!s || s->closed)
        return;
    s->closed = true;
    flush(s); /* a last word, as QUIT; what the kernel does not take at once is lost */
    dial_cancel(s->dial);
    dial_hang_up(s->sock);
    uv_close((uv_handle_t *)&s->handshake, on_closed);
    uv_close((uv_handle_t *)&s->deadline, on_closed);
    uv_close((uv_handle_t *)&s->flusher, on_closed);
}
