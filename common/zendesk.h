/* zendesk: the Zendesk calls that the programs make, each a question with one callback.
 * Knows paths, credentials and what an answer's status means; how often to ask again is
 * the caller's. Bytes are read by zendesk_reply. API: Zendesk "Webhooks API", "Tickets
 * API", v2. */
#ifndef STOPGAP_ZENDESK_H
#define STOPGAP_ZENDESK_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "settings.h"
#include "zendesk_reply.h"

struct http;
struct zendesk;

/* STOPGAP_ZENDESK_URL, _USER and _TOKEN have to be set; borrowed for its life. */
struct zendesk *zendesk_new(struct http *http, const struct settings *settings,
                            int64_t timeout_ms);

/* After http_free, which ends what is under way. NULL is fine. */
void zendesk_free(struct zendesk *z);

/* Exactly once, from the loop, never from inside the call. ERR_NONE: `out` of the call
 * holds the answer. ERR_AUTH: credentials, rights, or a wrong place; ERR_PERMANENT with
 * code 404: there is no such thing; ERR_RATE_LIMITED: retry_after_ms says for how long;
 * ERR_TRANSIENT: no answer, one that says to come back, or none that can be read. */
typedef void (*zendesk_fn)(void *arg, const struct err *e);

/* A page of the webhook's log from since_ms on, at most a hundred rows: the first, or
 * what follows out->after. Zendesk keeps seven days. */
void zendesk_read_log(struct zendesk *z, const char *webhook_id, int64_t since_ms,
                      struct zendesk_log *out, zendesk_fn fn, void *arg);

/* out: zeroed. */
void zendesk_read_attempts(struct zendesk *z, const char *webhook_id,
                           const char *invocation_id, struct zendesk_attempts *out,
                           zendesk_fn fn, void *arg);

void zendesk_read_ticket(struct zendesk *z, int64_t ticket_id,
                         struct zendesk_ticket *out, zendesk_fn fn, void *arg);

/* Whom the credentials speak for. */
void zendesk_read_me(struct zendesk *z, struct zendesk_user *out, zendesk_fn fn,
                     void *arg);

/* Whether the webhook is "active"; status: ZENDESK_WORD_MAX. */
void zendesk_read_webhook(struct zendesk *z, const char *webhook_id, char *status,
                          zendesk_fn fn, void *arg);

/* *found: an internal comment of the ticket holds `marker`. All of them are looked
 * through, the youngest first, but for what is older than the 1000 youngest. */
void zendesk_find_note(struct zendesk *z, int64_t ticket_id, const char *marker,
                       bool *found, zendesk_fn fn, void *arg);

/* The writing ones leave at most once. ERR_PERMANENT: Zendesk will not have it (422:
 * the ticket is closed; 403: no right to this ticket; 404: there is none). After
 * ERR_NONE, ERR_PERMANENT, ERR_AUTH and ERR_RATE_LIMITED it is known what became of it.
 */
void zendesk_add_note(struct zendesk *z, int64_t ticket_id, const char *text,
                      zendesk_fn fn, void *arg);
void zendesk_add_tag(struct zendesk *z, int64_t ticket_id, const char *tag,
                     zendesk_fn fn, void *arg);

#endif
