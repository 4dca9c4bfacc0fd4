/* ticket: whether Zendesk can be asked, and what its ticket says of a request. Knows no
 * job: what follows from it is step_validate's. */
#ifndef STOPGAP_TICKET_H
#define STOPGAP_TICKET_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "request.h"
#include "zendesk_reply.h"

struct worker;

/* What came of asking Zendesk anything. */
void ticket_heard(struct worker *w, const struct err *e);

/* Its lane is closed, so nobody asks: it is as far out of reach as it was. */
void ticket_unheard(struct worker *w, const struct err *why);

/* How long a job should still wait for a Zendesk that is out of reach; 0: it has been
 * so for long enough. */
int64_t ticket_patience_ms(const struct worker *w);

/* The request and the ticket agree; else ERR_INVALID that says why not. */
int ticket_check(const struct zendesk_ticket *ticket, const struct request *r,
                 struct err *e) MUST_CHECK;

#endif
