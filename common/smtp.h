/* smtp: sends single mails through one server over a small pool of kept connections.
 *
 * Not here: what a reply means for a job (common/verdict.h gives the class, task.c the
 * outcome), and what a mail looks like (common/mail.h). RFC 5321, 2920 (PIPELINING),
 * 3207 (STARTTLS), 4954 (AUTH), 3461 (DSN), 1870 (SIZE). */
#ifndef STOPGAP_SMTP_H
#define STOPGAP_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "settings.h"
#include "verdict.h"

struct uv_loop_s;
struct tls;
struct smtp;
struct smtp_op;

struct smtp_timeouts { /* ms */
    int64_t connect, command, data, body, dot, idle;
};

/* RFC 5321 4.5.3.2, but none above longest_ms: except for the answer to the final dot,
 * where giving up makes duplicates. */
struct smtp_timeouts smtp_timeouts_within(int64_t longest_ms);

struct smtp_options {
    struct uv_loop_s *loop;
    const struct settings *settings; /* borrowed for the life of the client */
    struct tls *tls;
    struct smtp_timeouts timeouts;
};

struct smtp_result {
    struct err err;           /* ERR_NONE: the server took the mail */
    enum smtp_stage stage;    /* where it ended; SMTP_DOT: the final dot left, so with
                                 class ERR_AMBIGUOUS the outcome is unknown */
    bool dot_sent;            /* false: safe to send again anywhere */
    char reply[ERR_TEXT_MAX]; /* the server's last words, code included; "" if none */
    int64_t waited_ms;        /* for a connection of the pool */
};

struct smtp_mail {    /* borrowed until the done callback */
    const char *from; /* envelope */
    const char *to;
    const char *envid; /* DSN, or NULL */
    const char *data;  /* CRLF line ends, not dot-stuffed */
    size_t len;
};

struct smtp_events {
    /* The server answered 354 and waits for the content. Nothing of the content has
     * left; it leaves when smtp_release has been called (before or after this). May be
     * NULL. */
    void (*on_ready)(void *arg);
    /* Exactly once, never from inside smtp_send. The op is gone after it. */
    void (*on_done)(void *arg, const struct smtp_result *result);
};

struct smtp *smtp_new(const struct smtp_options *options);

/* Waiting and running mails get their callback with ERR_CANCELLED inside this call
 * (class ERR_AMBIGUOUS if the dot was out). */
void smtp_free(struct smtp *s);

/* Never NULL; queued when all connections are busy, first come first served. What no
 * server can take (ERR_INVALID), or this one cannot (ERR_PERMANENT: larger than it
 * said, 8-bit), is refused before anything is sent. A connection that cannot be made
 * fails the mail that asked for it, and with no other left all that wait. */
struct smtp_op *smtp_send(struct smtp *s, const struct smtp_mail *mail,
                          const struct smtp_events *events, void *arg);

/* The content with its final dot may leave. */
void smtp_release(struct smtp_op *op);

/* Ends it: on_done runs inside the call with ERR_CANCELLED, or ERR_AMBIGUOUS when the
 * dot was out. */
void smtp_cancel(struct smtp_op *op);

size_t smtp_waiting(const struct smtp *s);

#endif
