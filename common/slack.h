/* slack: one message to the incoming webhook of a Slack channel. Knows the form of the
 * call and what its answers mean; what is said is tell.h's, how often is the caller's.
 * API: Slack "Sending messages using incoming webhooks". */
#ifndef STOPGAP_SLACK_H
#define STOPGAP_SLACK_H

#include <stdbool.h>

#include "err.h"
#include "settings.h"

struct http;
struct slack;

/* STOPGAP_SLACK_WEBHOOK_URL has to be set; borrowed for its life. */
struct slack *slack_new(struct http *http, const struct settings *settings);

/* After http_free, which ends what is under way. NULL is fine. */
void slack_free(struct slack *s);

/* Exactly once, from the loop, never from inside the call. unknown: it failed, but may
 * be in the channel. ERR_AUTH: the webhook is no more; ERR_PERMANENT: it will not have
 * this message. */
typedef void (*slack_fn)(void *arg, const struct err *e, bool unknown);

/* text: mrkdwn. */
void slack_post(struct slack *s, const char *text, slack_fn fn, void *arg);

/* Whether the webhook would take a message, without one: Slack refuses an empty request
 * with other words than a webhook that is gone. */
void slack_probe(struct slack *s, slack_fn fn, void *arg);

#endif
