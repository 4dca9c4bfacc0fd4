/* desk: Zendesk for a program that does one thing after the other: each question waits
 * for its answer, asks again where that helps, and a failure says what to mend. */
#ifndef STOPGAP_DESK_H
#define STOPGAP_DESK_H

#include "client.h"
#include "settings.h"
#include "zendesk_reply.h"

struct desk;

/* On the client's loop; both borrowed for its life. */
struct desk *desk_open(struct client *client, const struct settings *settings,
                       struct err *e) MUST_CHECK;
void desk_close(struct desk *d); /* before client_close; NULL is fine */

/* All rows since then, of at most a hundred pages: more is ERR_LIMIT. */
int desk_log(struct desk *d, int64_t since_ms, struct zendesk_log *out,
             struct err *e) MUST_CHECK;

int desk_attempts(struct desk *d, const char *invocation_id,
                  struct zendesk_attempts *out, struct err *e) MUST_CHECK;

/* 1: found. 0: there is no such ticket (any more). -1: *e. */
int desk_ticket(struct desk *d, int64_t ticket_id, struct zendesk_ticket *out,
                struct err *e) MUST_CHECK;

#endif
