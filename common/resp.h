/* resp: Redis's wire format, RESP2: commands to bytes, bytes to replies. hiredis's
 * reader does the parsing; this is the only file that sees hiredis. No socket. */
#ifndef STOPGAP_RESP_H
#define STOPGAP_RESP_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

struct redisReply; /* hiredis's; read it with the functions below */

enum reply_type { REPLY_NIL, REPLY_INT, REPLY_STRING, REPLY_ARRAY };
enum reply_type
reply_type(const struct redisReply *r);        /* a status counts as a string */
int64_t reply_int(const struct redisReply *r); /* an integer, or a string that is one;
                                                  0 otherwise */
const char *
reply_str(const struct redisReply *r); /* NUL-terminated; "" if not a string */
size_t reply_len(const struct redisReply *r);
size_t reply_count(const struct redisReply *r); /* 0 if not an array */
const struct redisReply *reply_at(const struct redisReply *r, size_t i); /* i < count */

/* The server's words if the whole reply is an error, otherwise NULL. */
const char *reply_error(const struct redisReply *r);

void reply_free(struct redisReply *r);

/* A command is its length followed by that many arguments. */
void resp_add_length(struct buf *out, size_t arguments);
void resp_add(struct buf *out, const void *bytes, size_t len);

/* Takes a server's bytes as they come. max: bytes of memory that one reply may take. */
struct resp;
struct resp *resp_new(size_t max);
void resp_free(struct resp *p);

void resp_feed(struct resp *p, const char *bytes, size_t len);

/* 1: *out is the next reply, for reply_free. 0: more bytes are needed. -1: what came is
 * not RESP, or one reply would take more than 64 MiB; nothing more can be read. */
int resp_next(struct resp *p, struct redisReply **out, struct err *e) MUST_CHECK;

#endif
