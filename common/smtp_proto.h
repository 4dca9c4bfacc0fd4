/* smtp_proto: the bytes of an SMTP conversation: replies in, commands and content out.
 *
 * Pure: no socket, no clock, no state but the reader's; so it can be tested and fuzzed
 * alone. Not here: which command comes when (smtp_session.c). */
#ifndef STOPGAP_SMTP_PROTO_H
#define STOPGAP_SMTP_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "smtp.h"

/* RFC 5321 4.5.3.1.5 says 512; real servers exceed it. A peer that exceeds these is no
 * mail server. */
#define SMTP_LINE_MAX 4096
#define SMTP_LINES_MAX 64

enum smtp_feed {
    SMTP_FEED_MORE,  /* no whole reply yet */
    SMTP_FEED_REPLY, /* one is there: code and text hold until the next feed */
    SMTP_FEED_BAD    /* not SMTP: `fault` says why; the connection is of no use */
};

struct smtp_reader {
    int code;
    struct buf text;   /* the lines without their codes, joined by '\n'; clean UTF-8 */
    const char *fault; /* static text */
    size_t lines;      /* of the reply in work */
    size_t line;       /* where its current line starts in text */
    bool complete;
};

/* Pair: smtp_proto_done. */
void smtp_proto_init(struct smtp_reader *r);
void smtp_proto_done(struct smtp_reader *r);

/* Forgets a half-read reply. */
void smtp_proto_restart(struct smtp_reader *r);

/* Takes bytes up to the end of one reply; *used is how many. */
enum smtp_feed smtp_proto_feed(struct smtp_reader *r, const char *bytes, size_t len,
                               size_t *used);

/* True in the middle of a reply. */
bool smtp_proto_inside(const struct smtp_reader *r);

/* What the server offers in its answer to EHLO. */
struct smtp_offer {
    bool pipelining, starttls, dsn, eightbit, size;
    bool auth, auth_plain, auth_login;
    int64_t size_max; /* 0: no limit announced */
};

/* text: as smtp_reader has it; the first line (the greeting) offers nothing. */
void smtp_proto_offer(const char *text, struct smtp_offer *offer);

/* What cannot be sent to any server: an address or ENVID that could start a second
 * argument, command or recipient, or is not ASCII. -1 with ERR_INVALID. */
int smtp_proto_check(const struct smtp_mail *mail, struct err *e) MUST_CHECK;

/* Appends the content as it goes over the wire, final dot included: CRLF everywhere
 * (also for lone CR and LF: two servers that read them differently would see two
 * different mails), dots doubled. Returns its size as RFC 1870 counts it: without
 * doubled and final dots. */
size_t smtp_proto_stuff(struct buf *out, const char *data, size_t len);

bool smtp_proto_is_8bit(const char *data, size_t len);

/* Commands, with only those parameters that the server offers. size: 0 = not known. */
void smtp_proto_mail(struct buf *out, const struct smtp_offer *offer,
                     const struct smtp_mail *mail, size_t size, bool eightbit);
void smtp_proto_rcpt(struct buf *out, const struct smtp_offer *offer,
                     const struct smtp_mail *mail);

/* The PLAIN message (RFC 4616) in base64, no line end. */
void smtp_proto_auth_plain(struct buf *out, const char *user, const char *password,
                           size_t password_len);

#endif
