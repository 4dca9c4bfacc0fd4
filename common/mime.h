/* mime: the encodings of a mail: quoted-printable, base64 in lines, header fields with
 * folding and encoded-words. Pure; knows no message. Rules: RFC 5322 section 2.1.1,
 * RFC 2045 sections 6.7 and 6.8, RFC 2047. Every function that adds a header ends it
 * with CRLF; every value must have passed mime_header_safe. */
#ifndef STOPGAP_MIME_H
#define STOPGAP_MIME_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

/* True if value is UTF-8 on one line without controls: it cannot start a second
 * header, whatever it says. */
bool mime_header_safe(const char *value);

/* Lines of at most 76 characters. LF, CRLF and CR in text become CRLF. */
void mime_add_qp(struct buf *out, const char *text, size_t len);

/* Lines of 76 characters, CRLF between them, none at the end. */
void mime_add_base64(struct buf *out, const void *bytes, size_t len);

/* `name: value`, folded at blanks where it can be; as encoded-words when it is not
 * plain ASCII. Runs of blanks count as one. */
void mime_add_text(struct buf *out, const char *name, const char *value);

/* `name: Display <address>`, or just `name: address` when display is "". */
void mime_add_mailbox(struct buf *out, const char *name, const char *display,
                      const char *address);

#endif
