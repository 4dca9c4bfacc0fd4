/* secret: short secrets (tokens, passwords, keys) in locked, guarded memory, and files
 * that hold them. The home of "owner-only or refused". */
#ifndef STOPGAP_SECRET_H
#define STOPGAP_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

/* Zeroed = empty. The bytes are NUL-terminated. */
struct secret {
    char *data; /* sodium_malloc memory, read-only once set; NULL when empty */
    size_t len;
};

/* Copies bytes in (wiping what was there). The caller wipes its own copy. */
void secret_set(struct secret *s, const void *bytes, size_t len);

/* Wipes and frees. */
void secret_done(struct secret *s);

bool secret_equal(const struct secret *s, const void *bytes,
                  size_t len); /* constant time */

/* Wipes memory the compiler may not optimise away. */
void secret_wipe(void *p, size_t len);

/* Reads a whole file of at most max bytes. Refused with ERR_CONFIG, naming the file
 * and the mend ("chmod 600 FILE"), when it is not a regular file, is readable or
 * writable by group or others, or belongs to neither this user nor root. Blocking:
 * start-up and HUP only. strip: one trailing newline is dropped. An empty file gives
 * an empty secret. A file that only an ACL for this user opens (systemd's
 * credentials) is fine; so is a symbolic link to a fine file. */
int secret_read_file(struct secret *s, const char *path, size_t max, bool strip,
                     struct err *e) MUST_CHECK;

/* Writes a new file with mode 0600, fsynced; refuses to overwrite. */
int secret_write_file(const char *path, const void *bytes, size_t len,
                      struct err *e) MUST_CHECK;

/* The same with mode 0644, for the public half of a key. */
int secret_write_public_file(const char *path, const void *bytes, size_t len,
                             struct err *e) MUST_CHECK;

#endif
