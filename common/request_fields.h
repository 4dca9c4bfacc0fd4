/* request_fields: the fields of a request, in one table, each with its rule. Private to
 * request.c, which knows JSON; here is only what a field's text may be. */
#ifndef STOPGAP_REQUEST_FIELDS_H
#define STOPGAP_REQUEST_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "request.h"

#define REQUEST_FIELD_COUNT 11
#define REQUEST_SHOWN_CHARS 40
#define REQUEST_SHOWN_MAX                                                              \
    (REQUEST_SHOWN_CHARS * sizeof "\\u{10FFFF}" + sizeof "\"...\"")

/* Where a field belongs. */
enum form { FORM_REQUEST = 1, FORM_RESEND = 2, FORM_BOTH = 3 };

/* NEED_FOR_SCOPE: only with STOPGAP_SCOPE_REQUIRED. */
enum need { NEED_NEVER, NEED_ALWAYS, NEED_FOR_SCOPE };

struct request_parse {
    const struct request_rules *rules;
    struct request *out;
    struct buf *faults;
    size_t faults_seen; /* the buffer may be too small for all */
    bool resend;        /* the other form: {"resend": ID, ...} */
    bool stored;        /* read back: the same rules, but parts may be missing, of one
                           that was refused; and the URL may be one that we built */
};

struct request_field {
    const char *name;
    enum form form;
    enum need need;
    bool number; /* a JSON number is welcome, as well as a string */
    size_t at;   /* in struct request, where the rule is one of length and characters */
    size_t max_chars;
    /* text: NUL-terminated, never empty, without other NULs; a number as written */
    void (*read)(struct request_parse *p, const struct request_field *f,
                 const char *text);
};

/* Adds the line `FIELD: TEXT`. */
void request_fields_fault(struct request_parse *p, const char *field, const char *fmt,
                          ...) PRINTF_LIKE(3, 4);

/* Foreign text for a fault line: quoted, cut, nothing in it that ends or hides a line.
 * Returns out. */
const char *request_fields_show(char out[static REQUEST_SHOWN_MAX], const char *text,
                                size_t len);

extern const struct request_field request_fields[REQUEST_FIELD_COUNT];

/* Fills ticket_url in from the settings; nothing without an URL and a ticket. */
void request_fields_build_url(struct request_parse *p);

#endif
