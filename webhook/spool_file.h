/* spool_file: one request as a file: its name, its content, and the blocking system
 * calls that make it durable. Part of spool.c, which alone includes this. */
#ifndef STOPGAP_SPOOL_FILE_H
#define STOPGAP_SPOOL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "job.h"

#define SPOOL_DIGEST_LEN 32 /* hex characters */
#define SPOOL_NAME_MAX 96
#define SPOOL_RAW_MAX ((size_t)1024 * 1024)

struct spool_name {
    uint64_t order; /* microseconds since 1970 when it came, made unique */
    char id[JOB_ID_LEN + 1];
    char digest[SPOOL_DIGEST_LEN + 1]; /* of the bytes */
};

void spool_digest(const void *raw, size_t len, char out[static SPOOL_DIGEST_LEN + 1]);

void spool_name_print(const struct spool_name *n, char out[static SPOOL_NAME_MAX]);
bool spool_name_parse(const char *text, struct spool_name *out);

/* A name under which nothing counts yet. */
bool spool_name_is_unfinished(const char *text);

/* Writes, syncs, renames, syncs the folder. On -1 nothing of it is left that counts. */
int spool_file_write(int folder, const struct spool_name *n, const void *raw,
                     size_t len, struct err *e) MUST_CHECK;

/* Appends the bytes. ERR_INVALID: not whole, or not ours. ERR_PERMANENT: it is not
 * there any more. ERR_TRANSIENT: the disk's reason. */
int spool_file_read(int folder, const struct spool_name *n, struct buf *raw,
                    struct err *e) MUST_CHECK;

/* Not there is fine. */
int spool_file_remove(int folder, const struct spool_name *n, struct err *e) MUST_CHECK;

/* Whether a write succeeds; leaves nothing. */
int spool_file_probe(int folder, struct err *e) MUST_CHECK;

/* Renames it to NAME.bad. */
int spool_file_set_aside(int folder, const struct spool_name *n,
                         struct err *e) MUST_CHECK;

#endif
