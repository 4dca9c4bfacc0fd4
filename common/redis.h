/* redis: the one Redis client, for all three programs: RESP2 on our own stream.
 * Reconnects by itself with jitter, asks Sentinel, authenticates, selects, loads
 * scripts. Knows commands and replies (resp.h), not keys. */
#ifndef STOPGAP_REDIS_H
#define STOPGAP_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "resp.h"
#include "settings.h"

struct uv_loop_s;
struct tls;
struct redis;

/* A Lua script. Its SHA1 is learnt by SCRIPT LOAD on each connect; NOSCRIPT (failover,
 * SCRIPT FLUSH) falls back to EVAL of the source, per call. */
struct redis_script {
    const char *name;
    const char *source;
};

#define REDIS_REPLY_MAX                                                                \
    ((size_t)64 << 20) /* a thousand jobs at once, each with its request */

struct redis_options {
    struct uv_loop_s *loop;
    const struct redis_url *url;        /* borrowed for the life of the client */
    struct tls *tls;                    /* for rediss:// */
    const char *client_name;            /* CLIENT SETNAME; best effort */
    const struct redis_script *scripts; /* borrowed; may be NULL */
    size_t script_count;
    int64_t timeout_ms; /* a reply that takes longer ends the connection; a blocking
                           command's own timeout is added (redis_call_blocking) */
    size_t reply_max;   /* memory for one reply; 0: REDIS_REPLY_MAX */
    /* Up: connected, authenticated, scripts known; commands may be sent (also inside).
     * Runs after every reconnect. */
    void (*on_up)(void *arg);
    /* Down: the connection ended or could not be made; another try is under way (after
     * up to 5 s; with ERR_AUTH, which an operator must mend, never before 2.5 s). Every
     * pending command has had its callback before. */
    void (*on_down)(void *arg, const struct err *e);
    void *arg;
};

/* Exactly once per accepted command, from the loop, never from inside the call.
 * reply is NULL when e->class is not ERR_NONE: an error reply (e->text is the server's
 * line, class by verdict_redis, e->code 0) or a lost connection (e->code is
 * REDIS_LOST: the command may have taken effect). The reply is valid during the
 * callback only. */
#define REDIS_LOST 1
typedef void (*redis_fn)(void *arg, const struct redisReply *reply,
                         const struct err *e);

/* Starts connecting at once. Never NULL. */
struct redis *redis_new(const struct redis_options *options);

/* Ends it: pending commands get their callback with ERR_CANCELLED and REDIS_LOST inside
 * this call, nothing runs after it. Allowed inside any callback. NULL is fine. */
void redis_free(struct redis *r);

/* A reply cannot be one to its command: the connection is ended, as if it had broken.
 * Allowed inside any callback. */
void redis_distrust(struct redis *r, const struct err *why);

bool redis_is_up(const struct redis *r);

/* HOST:PORT of the server that Sentinel named last; "" without Sentinel, and before it
 * has. Borrowed until the next turn of the loop. */
const char *redis_server(const struct redis *r);

/* Sends one command (binary safe; arguments are copied). lens may be NULL: strlen.
 * Returns -1, e set, callback never runs: not up. */
int redis_call(struct redis *r, redis_fn fn, void *arg, int argc,
               const char *const *argv, const size_t *lens, struct err *e) MUST_CHECK;

/* The same for BLMOVE and the like: wait_ms is added to the reply's deadline. */
int redis_call_blocking(struct redis *r, redis_fn fn, void *arg, int argc,
                        const char *const *argv, int64_t wait_ms,
                        struct err *e) MUST_CHECK;

/* EVALSHA of scripts[index] with numkeys keys followed by arguments in argv. After
 * NOSCRIPT the source is sent behind what is under way already. */
int redis_eval(struct redis *r, redis_fn fn, void *arg, size_t index, int numkeys,
               int argc, const char *const *argv, const size_t *lens,
               struct err *e) MUST_CHECK;

#endif
