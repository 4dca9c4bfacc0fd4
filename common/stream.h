/* stream: one client connection on the libuv loop: TCP or unix socket, name resolution
 * off the loop, optional TLS (at once, or later for STARTTLS), deadlines. Knows bytes,
 * not protocols. Redis and SMTP stand on it; it never blocks the loop. */
#ifndef STOPGAP_STREAM_H
#define STOPGAP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct buf;
struct uv_loop_s;
struct tls;
struct stream;

struct stream_target {
    const char *host; /* name or address; ignored when path is set */
    int port;
    const char *path;           /* unix socket */
    struct tls *tls;            /* not NULL: TLS at once */
    int64_t connect_timeout_ms; /* resolution, all addresses and the TLS handshake */
};

/* All run from the loop, never from inside stream_open. */
struct stream_events {
    void (*on_open)(void *arg);
    /* len >= 1; the bytes are valid during the call only */
    void (*on_data)(void *arg, const char *bytes, size_t len);
    /* The end, once: refused, reset, orderly close (code 0 text "closed by the peer"),
     * deadline, TLS failure. ERR_TRANSIENT. The stream is dead; the owner calls
     * stream_close (allowed inside). */
    void (*on_end)(void *arg, const struct err *e);
};

/* Starts connecting: every address the name has, one after the other, until one
 * answers. Copies the target's strings. Never NULL; a failure to start is reported
 * through on_end. The owner ends it with stream_close. */
struct stream *stream_open(struct uv_loop_s *loop, const struct stream_target *target,
                           const struct stream_events *events, void *arg);

/* Queues bytes (copied). What one turn of the loop queues leaves as one system call,
 * and one run of TLS records, just before the loop sleeps. A peer that leaves more than
 * 64 MiB unread ends the stream. Before on_open or after on_end: ignored. */
void stream_write(struct stream *s, const void *bytes, size_t len);

/* The same for many bytes: their memory is taken over where that can be, and *bytes is
 * empty after it. */
void stream_give(struct stream *s, struct buf *bytes);

/* Bytes handed to stream_write that the kernel has not taken yet. */
size_t stream_backlog(const struct stream *s);

/* STARTTLS: from here on the connection is TLS for host. on_open runs again once the
 * handshake is complete, within the target's connect_timeout_ms. No byte received in
 * the clear is delivered from now on (RFC 3207 section 4.2; response injection); what
 * on_data brought already in the same call, the owner must drop itself. */
void stream_start_tls(struct stream *s, struct tls *tls, const char *host);

/* One deadline, ms from now; a later call replaces it, 0 removes it. When it passes,
 * on_end runs with "timed out: WHAT" (what is copied). */
void stream_deadline(struct stream *s, int64_t ms, const char *what);

bool stream_is_tls(const struct stream *s);

/* As tls_conn_ends_ms; 0 without TLS. */
int64_t stream_tls_ends_ms(const struct stream *s);

/* Ends it at once; no callback runs after this. What was queued is offered to the
 * kernel once more (a QUIT that nobody waits for). Memory goes when libuv has closed
 * the handles. NULL is fine. */
void stream_close(struct stream *s);

#endif
