/* mail: the license e-mail as RFC 5322 bytes. Pure and deterministic: equal input gives
 * equal bytes, which is what lets a retry be the same message. */
#ifndef STOPGAP_MAIL_H
#define STOPGAP_MAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

#define MAIL_MAX_BYTES 262144

struct templates; /* template.h */

/* All borrowed for the call. */
struct mail {
    const char *job_id;
    const char *from;     /* STOPGAP_MAIL_FROM, may carry a display name */
    const char *reply_to; /* or NULL */
    const char *to;       /* normalised address */
    int64_t date_ms;
    int64_t serial; /* part of the Message-ID: a resend by a person is a new one */
    int64_t ticket_id;
    int64_t users;
    int64_t issued_ms;
    int64_t expires_ms;
    const char *license;        /* text, ASCII, LF */
    const char *license_format; /* "stopgap" or "gitlab" */
    const char *file_name;      /* "ticket-42.license" */
    bool sample;                /* it says of itself that it is no license */
};

/* `<hash-of-job-serial-recipient@domain-of-from>` into out (without folding). A `from`
 * that does not read gives the domain "invalid"; mail_build refuses it. */
void mail_message_id(const struct mail *m, char out[static 320]);

/* The whole message: CRLF line ends, no dot-stuffing (the SMTP client does that), ends
 * with CRLF. ERR_INVALID if a value could break out of its header (never stripped),
 * ERR_CONFIG if a sender does not read or a template renders to something unusable;
 * out is then empty. */
int mail_build(const struct mail *m, const struct templates *t, struct buf *out,
               struct err *e) MUST_CHECK;

#endif
