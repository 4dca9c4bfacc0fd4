/* ticket: see ticket.h. */
#include "ticket.h"

#include <string.h>
#include <strings.h>

#include "address.h"
#include "settings.h"
#include "worker.h"

#define LET_THROUGH "; an operator can let it through all the same"
/* Without a word of it for so long, that it was out of reach is old news. */
#define STALE_MS 120000

void ticket_heard(struct worker *w, const struct err *e)
{
    int64_t now_ms = worker_loop_ms(w);

    switch (e->class) {
    case ERR_CANCELLED:
        return;
    case ERR_AUTH:
    case ERR_RATE_LIMITED:
    case ERR_TRANSIENT:
        if (!w->zendesk_down_ms || now_ms - w->zendesk_failed_ms > STALE_MS)
            w->zendesk_down_ms = now_ms;
        w->zendesk_failed_ms = now_ms;
        w->zendesk_why = *e;
        return;
    default: /* it answered */
        w->zendesk_down_ms = 0;
    }
}

void ticket_unheard(struct worker *w, const struct err *why)
{
    w->zendesk_failed_ms = worker_loop_ms(w);
    if (w->zendesk_down_ms)
        return;
    w->zendesk_down_ms = w->zendesk_failed_ms;
    w->zendesk_why = *why;
}

int64_t ticket_patience_ms(const struct worker *w)
{
    int64_t now_ms = worker_loop_ms(w), wait_ms = w->settings->zendesk_wait_ms, left;

    if (!w->zendesk_down_ms || now_ms - w->zendesk_failed_ms > STALE_MS)
        return wait_ms > 0 ? wait_ms : 1; /* it has to be asked to know */
    left = w->zendesk_down_ms + wait_ms - now_ms;
    return left > 0 ? left : 0;
}

/* Zendesk keeps addresses in lower case, and no mail server of today tells people apart
 * by case: all of it is compared without. */
static bool is_same(const char *theirs, const char *ours)
{
    char normal[ADDRESS_MAX + 1];
    struct err e;

    if (address_normalise(theirs, normal, &e))
        return false;
    return !strcasecmp(normal, ours);
}

int ticket_check(const struct zendesk_ticket *ticket, const struct request *r,
                 struct err *e)
{
    char theirs[ADDRESS_MAX + 8] = "", ours[ADDRESS_MAX + 8];

    if (!strcmp(ticket->status, "closed") || !strcmp(ticket->status, "deleted"))
        return err_set(e, ERR_INVALID, 0, "ticket_id: ticket %lld is %s" LET_THROUGH,
                       (long long)r->ticket_id, ticket->status);
    if (!*ticket->requester_email)
        return err_set(e, ERR_INVALID, 0,
                       "email: the requester of ticket %lld has no address" LET_THROUGH,
                       (long long)r->ticket_id);
    if (is_same(ticket->requester_email, r->email))
        return 0;
    address_mask(r->email, ours);
    if (strlen(ticket->requester_email) <= ADDRESS_MAX)
        address_mask(ticket->requester_email, theirs);
    return err_set(e, ERR_INVALID, 0,
                   "email: %s is not the address of the requester of ticket %lld, "
                   "which is %s" LET_THROUGH,
                   ours, (long long)r->ticket_id, theirs);
}
