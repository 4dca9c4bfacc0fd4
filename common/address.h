/* address: one e-mail address, checked and brought into the form that goes on the wire.
 * Pure. Rules: RFC 5321 section 4.5.3.1 (limits), 4.1.2 (Dot-string only), RFC 5891
 * (IDNA 2008, non-transitional). */
#ifndef STOPGAP_ADDRESS_H
#define STOPGAP_ADDRESS_H

#include "err.h"

#define ADDRESS_MAX 254 /* RFC 5321 4.5.3.1.3: 256 for the path with its brackets */

/* Writes the normal form: local part as given, domain in lower case and as A-labels.
 * Refused, each with its own reason: anything that could start a second header,
 * recipient or line; quoted local parts, comments, routes (% ! :), literals, a
 * non-ASCII local part, a domain without a dot, over-long parts. ERR_INVALID. */
int address_normalise(const char *text, char out[static ADDRESS_MAX + 1],
                      struct err *e) MUST_CHECK;

/* "j***@example.com" for logs and views: first letter of the local part only. */
void address_mask(const char *address, char out[static ADDRESS_MAX + 8]);

/* Splits `Name <a@b>` or `a@b` (a setting's value) into display name (may be empty) and
 * normalised address. */
int address_parse_mailbox(const char *text, char name[static 256],
                          char address[static ADDRESS_MAX + 1],
                          struct err *e) MUST_CHECK;

#endif
