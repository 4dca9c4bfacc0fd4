/* reconcile: what Zendesk's log of a webhook says, held against what the queue knows:
 * which invocations never became a job, why, and what may be done about each. Pure:
 * whoever gathers the facts is reconcile_gather. */
#ifndef STOPGAP_RECONCILE_H
#define STOPGAP_RECONCILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "buf.h"
#include "request.h"
#include "zendesk_reply.h"

enum reconcile_finding {
    RECONCILE_ARRIVED,
    RECONCILE_MISSING,     /* sent, never taken */
    RECONCILE_OLD,         /* the same, a while ago */
    RECONCILE_ACCEPTED,    /* a receiver said 2xx: in its spool, or Redis lost it */
    RECONCILE_REFUSED,     /* for its signature or token */
    RECONCILE_REQUESTER,   /* the ticket has another requester now */
    RECONCILE_LARGE,       /* could never have become a good request */
    RECONCILE_UNSENT,      /* Zendesk held it back: nobody knows what it said */
    RECONCILE_ASKED_AGAIN, /* the same ticket came once more, later */
    RECONCILE_SETTLED,     /* the ticket is solved, closed or gone */
    RECONCILE_FORGOTTEN,   /* so old that its job would be gone */
    RECONCILE_COUNT
};

struct reconcile_item {
    struct zendesk_invocation row; /* the newest of this invocation */
    struct zendesk_attempts attempts;
    int64_t first_ms; /* when the oldest row's attempt ended: about when it was asked */
    size_t place;     /* in the log */
    bool named;       /* on the command line */
    /* What is known of its content; 0 and "" if nothing. */
    int64_t ticket_id;
    char email[ADDRESS_MAX + 1];
    char job_id[JOB_ID_LEN + 1];        /* that it has or would get */
    bool known;                         /* to the queue, under that id */
    char again[JOB_ID_LEN + 1];         /* a later job of the ticket, or "" */
    const struct reconcile_item *later; /* a later invocation of it, or NULL */
    bool ticket_gone;
    struct zendesk_ticket ticket; /* when it was looked at */
    enum reconcile_finding finding;
    bool submitted;
};

struct reconcile_items {
    struct reconcile_item *v; /* newest first, by first_ms */
    size_t count;
};

/* One item for each invocation of the log. */
void reconcile_merge(const struct zendesk_log *log, struct reconcile_items *out);
void reconcile_done(struct reconcile_items *items);

/* The ticket that a request's bytes name; 0: none. */
int64_t reconcile_ticket_of(const char *raw, size_t len);

/* Learns ticket, address and job id from the content, once there is one. */
void reconcile_read_content(struct reconcile_item *item, const char *queue);

/* What is decided against: Redis's clock, and ages. */
struct reconcile_rules {
    int64_t now_ms;
    int64_t retention_ms;
    int64_t old_ms; /* older than this is not submitted by itself; 0: no limit */
};

/* So old that nothing of its job would be left: nobody need ask about it. */
bool reconcile_is_forgotten(const struct reconcile_item *item,
                            const struct reconcile_rules *rules);

/* Sets `later` where it applies, and each finding. As long as a ticket was not looked
 * at, nothing speaks against it. */
void reconcile_judge(struct reconcile_items *items,
                     const struct reconcile_rules *rules);

bool reconcile_is_missing(enum reconcile_finding f); /* somebody has to do something */
bool reconcile_may_submit(const struct reconcile_item *item);

const char *reconcile_name(enum reconcile_finding f);   /* "asked_again" */
const char *reconcile_advice(enum reconcile_finding f); /* "": none */
/* What was found, in words. */
void reconcile_describe(const struct reconcile_item *item, struct buf *out);

#endif
