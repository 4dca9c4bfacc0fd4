/* license_format: the seam between license.c and the formats, one line each of the
 * table in license_key.c. For license*.c alone; everyone else uses license.h. */
#ifndef STOPGAP_LICENSE_FORMAT_H
#define STOPGAP_LICENSE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "license.h"
#include "secret.h"

enum key_half { KEY_FOREIGN, KEY_SECRET, KEY_PUBLIC };

struct license_format {
    const char *name;        /* "stopgap" */
    const char *file_suffix; /* ".license" */
    const char *key_type;    /* for keygen: "ed25519" */
    const char *begin;       /* the lines around the license */
    const char *end;
    size_t line_width;
    bool counts_days;        /* license_counts_days */
    bool slow;               /* license_key_is_slow */
    int64_t least_term_days; /* license_key_least_days */

    /* Whether text looks like one of this format's keys, and which half. */
    enum key_half (*recognise)(const char *text, size_t len);

    /* Read a key; the result is `own` of struct license_key. NULL: e is set, without
     * the file's name. passphrase: empty when the operator gave none. */
    void *(*read_secret)(const char *text, size_t len, const struct secret *passphrase,
                         struct err *e);
    void *(*read_public)(const char *text, size_t len, struct err *e);
    void (*key_free)(void *own);

    void (*key_id)(const void *own, char out[static LICENSE_KEY_ID_MAX]);
    void (*public_text)(const void *own, struct buf *out);

    /* A new key's file, for keygen. bits 0: the default. */
    int (*generate)(int64_t bits, struct secret *file, struct err *e);

    /* Sets start and end from the moment of issue. */
    void (*set_times)(struct license_claims *c, int64_t term_days);

    /* What stands between the lines; license.c wraps it. */
    int (*sign)(const void *own, const struct license_claims *c, struct buf *body,
                struct err *e);

    /* body: what stood between the lines, without white space. Checks the signature
     * before it looks at a claim. Fills all of *out; license.c checks the limits. */
    int (*verify)(const void *own, const char *body, size_t len,
                  struct license_claims *out, struct err *e);
};

/* By its name in a record; an unknown one is the first. */
const struct license_format *license_format_named(const char *name);

struct license_key {
    const struct license_format *format;
    bool can_sign;
    int owners;
    char id[LICENSE_KEY_ID_MAX];
    void *own;
};

/* Moves both ends inwards past white space. */
void license_trim(const char **text, size_t *len);

extern const struct license_format license_format_paseto;
extern const struct license_format license_format_gitlab;

#endif
