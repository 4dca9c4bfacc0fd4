/* seal: texts sealed for where others may read them, and the file of keys for that.
 *
 * XChaCha20-Poly1305 under a random nonce. A sealed text names its key, and opens only
 * in the place for which it was sealed. No socket, no clock; what is sealed, and how
 * keys are changed: docs/queue.md. */
#ifndef STOPGAP_SEAL_H
#define STOPGAP_SEAL_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "err.h"

#define SEAL_KEYS_MAX 16
#define SEAL_ID_LEN 16
#define SEAL_BROKEN (-1)    /* in err.code */
#define SEAL_TEXT_MAX 65536 /* of what can be sealed */

/* Opaque: at least one key. The first seals, each opens. They live in locked, guarded
 * memory. */
struct seal;

/* Where a text stands. */
struct seal_place {
    const char *queue, *job, *field;
};

/* Reads a file of keys (secret_read_file rules): one a line, blank lines and lines with
 * # are skipped. ERR_CONFIG names file and line, never what is in it. e->code: the
 * line; 0 if it is no file of seal keys at all. The caller ends it with seal_free. */
struct seal *seal_load(const char *path, struct err *e) MUST_CHECK;

/* The same of a file's content. */
struct seal *seal_read(const char *text, size_t len, struct err *e) MUST_CHECK;
void seal_free(struct seal *s); /* NULL is fine */

/* The id of the n-th key, from 0 on; NULL past the last. */
const char *seal_key_id(const struct seal *s, size_t n);

/* Appends "sealed:v1:ID:..." of at most SEAL_TEXT_MAX bytes without a NUL. */
void seal_text(const struct seal *s, const struct seal_place *at, const char *text,
               struct buf *out);

/* Whether it is meant to be a sealed text; it need not open. */
bool seal_is_sealed(const char *text);

/* The id of the key that it names; "" if it names none. */
void seal_id_of(const char *sealed, char out[static SEAL_ID_LEN + 1]);

/* *text: the caller's, as it was before. s may be NULL: no keys here. ERR_CONFIG: the
 * key that it names is not here, and what to do; ERR_BUG with code SEAL_BROKEN: it was
 * changed, cut short, or sealed for another place. */
int seal_open(const struct seal *s, const struct seal_place *at, const char *sealed,
              char **text, struct err *e) MUST_CHECK;

/* `keygen --type seal`: writes a new file with one key (secret_write_file rules). */
int seal_keygen(const char *path, struct err *e) MUST_CHECK;

#endif
