/* spool: requests on the local disk while Redis does not take them. One file each,
 * durable before it counts, oldest first, bounded in number. Knows ids and bytes, not
 * requests, and no Redis.
 *
 * Files are written, read and removed off the loop. A file's name is its order, the id
 * and a digest of the bytes; what is in it says its length and digest, so that half a
 * file is known as such. One process owns the folder at a time. */
#ifndef STOPGAP_SPOOL_H
#define STOPGAP_SPOOL_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

struct uv_loop_s;
struct spool;

/* Makes the folder (0700) if it is not there, takes its lock, removes what a killed
 * process left unfinished, lists the rest. Blocking: start only. ERR_CONFIG when it
 * cannot be used: not a folder, others may write into it, in use by another process. */
struct spool *spool_open(struct uv_loop_s *loop, const char *folder, size_t max,
                         struct err *e) MUST_CHECK;

/* Callbacks that still wait get ERR_CANCELLED inside this call; a write under way ends
 * by itself, as if the process had been killed after it. NULL is fine. */
void spool_free(struct spool *s);

/* Exactly once, from the loop, never from inside the call. */
typedef void (*spool_fn)(void *arg, const struct err *e);

/* ERR_NONE: file and folder are on the disk. Bytes that are there under that id
 * are not written again. ERR_LIMIT: the spool is full; ERR_TRANSIENT: the disk's
 * reason. Copies raw. */
void spool_put(struct spool *s, const char *id, const void *raw, size_t len,
               spool_fn fn, void *arg);

size_t spool_count(const struct spool *s);
bool spool_has(const struct spool *s, const char *id);
bool spool_writable(const struct spool *s); /* when last tried, and not full */

/* If the last write failed: tries again whether one succeeds. For spool_writable. */
void spool_probe(struct spool *s);

/* The oldest, e->class ERR_NONE: id and raw are valid during the call; raw NULL: it was
 * only still to be removed, and is. ERR_INVALID: it did not read; it was set aside as
 * NAME.bad and counts no more. ERR_PERMANENT: somebody took it away. ERR_TRANSIENT: the
 * disk's reason; it stays, behind all others. */
typedef void (*spool_read_fn)(void *arg, const char *id, const char *raw, size_t len,
                              const struct err *e);

/* Reads the oldest, which must be there; one read at a time. */
void spool_read(struct spool *s, spool_read_fn fn, void *arg);

/* Removes what was read last: Redis has it. After ERR_TRANSIENT it is still there,
 * behind all others; when its turn comes only this is tried again. */
void spool_drop(struct spool *s, spool_fn fn, void *arg);

#endif
