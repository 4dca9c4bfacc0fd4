/* reconcile: see reconcile.h. The table of findings is the policy: what counts as
 * missing, what is submitted by itself, and what only when a person names it. */
#include "reconcile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "job.h"
#include "mem.h"
#include "out.h"

enum submit { NEVER, BY_NAME, BY_ITSELF };

static const struct {
    const char *name;
    bool missing;
    enum submit submit;
    const char *words;
    const char *advice;
} findings[RECONCILE_COUNT] = {
    [RECONCILE_ARRIVED] = {"arrived", false, NEVER, "arrived", ""},
    [RECONCILE_MISSING] = {"missing", true, BY_ITSELF, "never arrived",
                           "add --submit to put them onto the list"},
    [RECONCILE_OLD] =
        {"old", true, BY_NAME, "never arrived, more than a day ago",
         "the customer may have been helped by hand: look at the ticket, then "
         "--submit with --since, or with their names"},
    [RECONCILE_ACCEPTED] =
        {"accepted", true, BY_NAME, "taken by a receiver, but not in the queue",
         "they may wait in the receiver's spool (STOPGAP_SPOOL_DIR) and come by "
         "themselves; if Redis has lost data, look for the ticket in the tracker "
         "first, then --submit with their names"},
    [RECONCILE_REFUSED] =
        {"refused", true, BY_NAME, "refused with 401",
         "is STOPGAP_WEBHOOK_SECRET the webhook's, and STOPGAP_WEBHOOK_TOKEN what it "
         "sends? Mend that, then --submit with their names"},
    [RECONCILE_REQUESTER] =
        {"requester", true, BY_NAME, "the ticket has another requester now",
         "somebody is to ask again from the ticket, or --submit with their names"},
    [RECONCILE_LARGE] = {"large", true, NEVER, "too large for a request",
                         "look at the trigger's body: it is to send short fields only"},
    [RECONCILE_UNSENT] = {"unsent", true, NEVER, "never sent: Zendesk held it back",
                          "what they said is in no log: an agent has to set the tag "
                          "license_request again, on "
                          "tickets with license_queued and no license"},
    [RECONCILE_ASKED_AGAIN] = {"asked_again", false, BY_NAME, "asked for again since",
                               ""},
    [RECONCILE_SETTLED] = {"settled", false, BY_NAME, "its ticket is ", ""},
    [RECONCILE_FORGOTTEN] = {"forgotten", false, NEVER,
                             "older than STOPGAP_RETENTION: a job would be gone", ""},
};

bool reconcile_is_missing(enum reconcile_finding f)
{
    return findings[f].missing;
}

const char *reconcile_name(enum reconcile_finding f)
{
    return findings[f].name;
}

const char *reconcile_advice(enum reconcile_finding f)
{
    return findings[f].advice;
}

bool reconcile_may_submit(const struct reconcile_item *item)
{
    return findings[item->finding].submit >= (item->named ? BY_NAME : BY_ITSELF);
}

void reconcile_describe(const struct reconcile_item *item, struct buf *out)
{
    buf_adds(out, findings[item->finding].words);
    if (item->finding == RECONCILE_SETTLED)
        buf_adds(out, item->ticket_gone ? "gone" : item->ticket.status);
    if (item->finding == RECONCILE_ASKED_AGAIN && *item->again)
        buf_addf(out, ": job %s", item->again);
    else if (item->finding == RECONCILE_ASKED_AGAIN && item->later->known)
        buf_addf(out, ": job %s", item->later->job_id);
    else if (item->finding == RECONCILE_ASKED_AGAIN)
        buf_addf(out, ": invocation %s", item->later->row.id);
}

/* ---- from rows to invocations ---- */

/* Rows of one invocation side by side, the newest first. */
static int by_id(const void *a, const void *b)
{
    const struct reconcile_item *x = a, *y = b;
    int order = strcmp(x->row.id, y->row.id);

    if (order)
        return order;
    if (x->row.at_ms != y->row.at_ms)
        return x->row.at_ms < y->row.at_ms ? 1 : -1;
    return x->place < y->place ? -1 : 1;
}

static int newest_first(const void *a, const void *b)
{
    const struct reconcile_item *x = a, *y = b;

    if (x->first_ms != y->first_ms)
        return x->first_ms < y->first_ms ? 1 : -1;
    return x->place < y->place ? -1 : 1;
}

void reconcile_merge(const struct zendesk_log *log, struct reconcile_items *out)
{
    size_t kept = 0;

    out->v = mem_new(log->count + 1, sizeof *out->v);
    for (size_t i = 0; i < log->count; i++) {
        out->v[i].row = log->v[i];
        out->v[i].place = i;
    }
    qsort(out->v, log->count, sizeof *out->v, by_id);
    for (size_t i = 0; i < log->count; i++) {
        int64_t at_ms = out->v[i].row.at_ms;

        if (!kept || strcmp(out->v[kept - 1].row.id, out->v[i].row.id) != 0)
            out->v[kept++] = out->v[i];
        out->v[kept - 1].first_ms = at_ms;
    }
    qsort(out->v, kept, sizeof *out->v, newest_first);
    out->count = kept;
}

void reconcile_done(struct reconcile_items *items)
{
    for (size_t i = 0; i < items->count; i++)
        zendesk_attempts_done(&items->v[i].attempts);
    free(items->v);
    *items = (struct reconcile_items){0};
}

/* ---- content ---- */

/* Only the format's own rules: what is wrong with it the worker says. */
static const struct request_rules no_rules = {.max_users = 1000000};

static void parse(const char *raw, size_t len, struct request *out)
{
    struct buf faults;

    *out = (struct request){.ticket_id = 0};
    buf_init(&faults, 1 << 16);
    if (raw && request_parse(raw, len, &no_rules, out, &faults))
        buf_reset(&faults); /* what was readable is there all the same */
    buf_done(&faults);
}

int64_t reconcile_ticket_of(const char *raw, size_t len)
{
    struct request request;

    parse(raw, len, &request);
    return request.ticket_id;
}

/* As the receiver does it: the content's own key, else the invocation's id. */
void reconcile_read_content(struct reconcile_item *item, const char *queue)
{
    struct request request;

    parse(item->attempts.payload, item->attempts.payload_len, &request);
    item->ticket_id = request.ticket_id;
    memcpy(item->email, request.email, sizeof item->email);
    job_id_of_key(queue,
                  *request.idempotency_key ? request.idempotency_key : item->row.id,
                  item->job_id);
}

/* ---- findings ---- */

static bool is_before(const struct reconcile_item *item, int64_t now_ms, int64_t age_ms)
{
    return item->first_ms < now_ms - age_ms;
}

bool reconcile_is_forgotten(const struct reconcile_item *item,
                            const struct reconcile_rules *rules)
{
    return is_before(item, rules->now_ms, rules->retention_ms);
}

static bool is_settled(const struct reconcile_item *item)
{
    return item->ticket_gone || !strcmp(item->ticket.status, "solved") ||
           !strcmp(item->ticket.status, "closed") ||
           !strcmp(item->ticket.status, "deleted");
}

/* Zendesk writes an address as somebody typed it. */
static bool is_of_requester(const struct reconcile_item *item)
{
    char now[ADDRESS_MAX + 1];
    struct err e;

    return !*item->email || !*item->ticket.status ||
           (address_normalise(item->ticket.requester_email, now, &e) == 0 &&
            strcasecmp(item->email, now) == 0);
}

static int last_code(const struct reconcile_item *item)
{
    return item->attempts.code ? item->attempts.code : item->row.code;
}

/* What can be told without the ticket. */
static enum reconcile_finding judge_early(const struct reconcile_item *item,
                                          const struct reconcile_rules *rules)
{
    if (item->known)
        return RECONCILE_ARRIVED;
    if (reconcile_is_forgotten(item, rules))
        return RECONCILE_FORGOTTEN;
    if (!item->attempts.payload)
        return RECONCILE_UNSENT;
    if (last_code(item) == 413 || item->attempts.payload_len > REQUEST_MAX_BYTES)
        return RECONCILE_LARGE;
    if (*item->again || item->later)
        return RECONCILE_ASKED_AGAIN;
    return RECONCILE_MISSING;
}

static enum reconcile_finding judge(const struct reconcile_item *item,
                                    const struct reconcile_rules *rules)
{
    enum reconcile_finding early = judge_early(item, rules);

    if (early != RECONCILE_MISSING)
        return early;
    if (is_settled(item))
        return RECONCILE_SETTLED;
    if (item->attempts.accepted)
        return RECONCILE_ACCEPTED;
    if (last_code(item) == 401)
        return RECONCILE_REFUSED;
    if (!is_of_requester(item))
        return RECONCILE_REQUESTER;
    if (rules->old_ms && is_before(item, rules->now_ms, rules->old_ms))
        return RECONCILE_OLD;
    return RECONCILE_MISSING;
}

/* The next younger invocation of the same ticket. */
static const struct reconcile_item *find_later(const struct reconcile_items *items,
                                               size_t at)
{
    const struct reconcile_item *item = &items->v[at];

    for (size_t i = at; item->ticket_id && i-- > 0;)
        if (items->v[i].ticket_id == item->ticket_id)
            return &items->v[i];
    return NULL;
}

void reconcile_judge(struct reconcile_items *items, const struct reconcile_rules *rules)
{
    for (size_t i = 0; i < items->count; i++) {
        items->v[i].later = find_later(items, i);
        items->v[i].finding = judge(&items->v[i], rules);
    }
}
