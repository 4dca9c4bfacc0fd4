/* zendesk_reply: what Zendesk answered, read from bytes that may be anything. Pure.
 * Everything here fails with ERR_TRANSIENT when the answer is cut, is not JSON, or
 * lacks what the caller has to know; out-parameters are then untouched. */
#ifndef STOPGAP_ZENDESK_REPLY_H
#define STOPGAP_ZENDESK_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define ZENDESK_ID_MAX 128 /* of an invocation: opaque text */
#define ZENDESK_WORD_MAX 32
#define ZENDESK_ADDRESS_MAX 320

/* A row of a webhook's activity log. An invocation has one for each change of its
 * status, so its id may come more than once. */
struct zendesk_invocation {
    char id[ZENDESK_ID_MAX + 1];
    char status[ZENDESK_WORD_MAX]; /* "success", "circuit broken", ... */
    int code;                      /* that the receiver answered; 0: none */
    int64_t at_ms;                 /* when the attempt ended; 0: not told */
};

/* Rows of all pages read so far; zeroed = none. */
struct zendesk_log {
    struct zendesk_invocation *v;
    size_t count;
    char *after; /* cursor of the page that follows; NULL: that was the last */
};
void zendesk_log_done(struct zendesk_log *log);

/* A page, added to what is there. */
int zendesk_reply_log(const char *body, size_t len, struct zendesk_log *out,
                      struct err *e) MUST_CHECK;

/* The attempts to deliver one invocation. Zeroed = none. */
struct zendesk_attempts {
    size_t count;
    int code;      /* of the newest answer; 0: there was none */
    bool accepted; /* an attempt was answered with 2xx */
    char *payload; /* what was sent, byte for byte, owned; NULL: nothing ever was */
    size_t payload_len;
};
void zendesk_attempts_done(struct zendesk_attempts *a);

/* invocation_id: of which they have to be. */
int zendesk_reply_attempts(const char *body, size_t len, const char *invocation_id,
                           struct zendesk_attempts *out, struct err *e) MUST_CHECK;

struct zendesk_ticket {
    char status[ZENDESK_WORD_MAX];             /* "open", "solved", "closed", ... */
    char requester_email[ZENDESK_ADDRESS_MAX]; /* "": has none */
};

/* An answer that has the requester beside the ticket (include=users). */
int zendesk_reply_ticket(const char *body, size_t len, int64_t ticket_id,
                         struct zendesk_ticket *out, struct err *e) MUST_CHECK;

/* Whom the credentials speak for. */
struct zendesk_user {
    char role[ZENDESK_WORD_MAX]; /* "agent", "admin", "end-user" */
    bool suspended;
};

/* role "": nobody, since Zendesk took no notice of the credentials. */
int zendesk_reply_user(const char *body, size_t len, struct zendesk_user *out,
                       struct err *e) MUST_CHECK;

/* status: "active", "inactive". */
int zendesk_reply_webhook(const char *body, size_t len,
                          char status[static ZENDESK_WORD_MAX],
                          struct err *e) MUST_CHECK;

/* A page of a ticket's comments. */
struct zendesk_comments {
    bool found;  /* an internal one holds the marker */
    char *after; /* owned; cursor of the page that follows; NULL: that was the last */
};
int zendesk_reply_comments(const char *body, size_t len, const char *marker,
                           struct zendesk_comments *out, struct err *e) MUST_CHECK;

#endif
