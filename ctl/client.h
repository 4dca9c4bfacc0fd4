/* client: Redis for a program that does one thing after the other: a small synchronous
 * face on the asynchronous client, with a loop of its own. For ctl only. */
#ifndef STOPGAP_CLIENT_H
#define STOPGAP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "queue.h"

struct uv_loop_s;
struct client;

/* Connects, within a few seconds. NULL: *e says which address and why. settings are
 * borrowed for its life. */
struct client *client_open(const struct settings *settings, struct err *e) MUST_CHECK;

/* One without Redis: client_loop, client_await, client_wake and client_pause only. */
struct client *client_offline(struct err *e) MUST_CHECK;
void client_close(struct client *c); /* NULL is fine */

/* A key of the queue: see queue_key. */
void client_key(const struct client *c, const char *name, const char *tail,
                char out[static QUEUE_KEY_MAX]);

/* Runs only when Redis answered; the reply is valid inside. It may send more. */
typedef void (*client_fn)(void *arg, const struct redisReply *reply);

/* Sends a command without waiting (arguments are copied); lens may be NULL. */
void client_send(struct client *c, client_fn fn, void *arg, int argc,
                 const char *const *argv, const size_t *lens);

/* Until everything sent has been answered. -1: the first thing that went wrong. */
int client_wait(struct client *c, struct err *e) MUST_CHECK;

/* Redis's clock. */
int client_now(struct client *c, int64_t *out_ms, struct err *e) MUST_CHECK;

/* Milliseconds of this process's loop: for spans. */
int64_t client_loop_ms(struct client *c);

/* Where settings say that Redis is, for people; no password. */
void client_where(const struct settings *settings, char *out, size_t size);

/* Lets time pass while the connection is kept. */
void client_pause(struct client *c, int64_t ms);

/* For another outside system of the same program: on one loop the connection to Redis
 * lives on while that one is waited for. */
struct uv_loop_s *client_loop(struct client *c);
void client_await(struct client *c, const bool *done);
void client_wake(struct client *c); /* by whoever has set what is awaited */

/* What was sent before is with as many replicas as STOPGAP_REDIS_WAIT says. -1: it is
 * not known to be. */
int client_confirm(struct client *c, struct err *e) MUST_CHECK;

/* An operator's scripts; the answer's words as in queue.h. */
struct client_answer {
    char word[24];
    char detail[64];
};
int client_requeue(struct client *c, const struct queue_requeue *what,
                   struct client_answer *out, struct err *e) MUST_CHECK;
int client_resend(struct client *c, const char *id, const struct queue_by *by,
                  struct client_answer *out, struct err *e) MUST_CHECK;
int client_discard(struct client *c, const char *id, const struct queue_by *by,
                   struct client_answer *out, struct err *e) MUST_CHECK;
int client_submit(struct client *c, const struct queue_submit *request,
                  struct err *e) MUST_CHECK;
int client_forget(struct client *c, const struct queue_forget *what,
                  struct client_answer *out, struct err *e) MUST_CHECK;
/* reason NULL: resume. *changed: it was paused until now. */
int client_pause_queue(struct client *c, const char *reason, const struct queue_by *by,
                       bool *changed, struct err *e) MUST_CHECK;

/* Sends a check without waiting; the texts of what are copied. fn runs only when Redis
 * answered. */
typedef void (*client_findings_fn)(void *arg, const struct queue_findings *f);
void client_check(struct client *c, const struct queue_check *what,
                  client_findings_fn fn, void *arg);

#endif
