/* reconcile_gather: see reconcile_gather.h. The queue is looked at in the order in
 * which a request moves through it (inbox, then jobs), so that none slips by. */
#include "reconcile_gather.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "mem.h"

#define INBOX_PAGE 500
#define INBOX_MOST 20000  /* entries that are looked through */
#define AT_ONCE 500       /* questions to Redis */
#define UNKNOWN_MOST 1000 /* Zendesk answers a hundred questions a minute */

/* ---- what waits in the inbox ---- */

struct waiting {
    char id[JOB_ID_LEN + 1];
    int64_t ticket_id;
};

struct inbox {
    struct waiting *v;
    size_t count;
    size_t page;
};

static void on_inbox(void *arg, const struct redisReply *reply)
{
    struct inbox *in = arg;

    in->page = reply_count(reply);
    in->v = mem_grow(in->v, (in->count + in->page + 1) * sizeof *in->v);
    for (size_t i = 0; i < in->page; i++) {
        const char *text = reply_str(reply_at(reply, i));
        size_t len = reply_len(reply_at(reply, i));
        struct waiting *w = &in->v[in->count];

        if (len <= JOB_ID_LEN || text[JOB_ID_LEN] != ' ')
            continue;
        memcpy(w->id, text, JOB_ID_LEN);
        w->id[JOB_ID_LEN] = '\0';
        w->ticket_id = reconcile_ticket_of(text + JOB_ID_LEN + 1, len - JOB_ID_LEN - 1);
        in->count += job_id_valid(w->id);
    }
}

static int by_waiting_id(const void *a, const void *b)
{
    return strcmp(((const struct waiting *)a)->id, ((const struct waiting *)b)->id);
}

/* From the oldest end, where workers take: what goes meanwhile is a job by then. */
static int read_inbox(struct client *c, struct inbox *in, struct err *e)
{
    char key[QUEUE_KEY_MAX], from[24], to[24];

    client_key(c, "inbox", "", key);
    for (int at = 0; at < INBOX_MOST; at += INBOX_PAGE) {
        (void)snprintf(from, sizeof from, "%d", at);
        (void)snprintf(to, sizeof to, "%d", at + INBOX_PAGE - 1);
        client_send(c, on_inbox, in, 4, (const char *[]){"LRANGE", key, from, to},
                    NULL);
        if (client_wait(c, e))
            return -1;
        if (in->page < INBOX_PAGE)
            break;
    }
    if (in->count)
        qsort(in->v, in->count, sizeof *in->v, by_waiting_id);
    return 0;
}

static void look_in_inbox(const struct inbox *in, struct reconcile_item *item)
{
    const struct waiting *found = NULL;
    struct waiting key;

    memcpy(key.id, item->job_id, sizeof key.id);
    if (in->count)
        found = bsearch(&key, in->v, in->count, sizeof *in->v, by_waiting_id);
    if (found) {
        item->known = true;
        item->ticket_id = found->ticket_id;
    }
}

/* ---- which are known ---- */

static void on_exists(void *arg, const struct redisReply *reply)
{
    struct reconcile_item *item = arg;

    item->known = item->known || reply_int(reply) > 0;
}

/* Looks at those that are not known yet. A view proves nothing: a receiver writes it
 * beside the request, of which the answer, or Redis, may then have been lost. */
static int look_up(struct client *c, const struct inbox *in,
                   struct reconcile_items *items, struct err *e)
{
    for (size_t i = 0; i < items->count; i++) {
        struct reconcile_item *item = &items->v[i];
        char job[QUEUE_KEY_MAX], forgotten[QUEUE_KEY_MAX];

        if (!item->known)
            look_in_inbox(in, item);
        if (!item->known) {
            client_key(c, "job:", item->job_id, job);
            client_key(c, "forgotten:", item->job_id, forgotten);
            client_send(c, on_exists, item, 3,
                        (const char *[]){"EXISTS", job, forgotten}, NULL);
        }
        if (i % AT_ONCE == AT_ONCE - 1 && client_wait(c, e))
            return -1;
    }
    return client_wait(c, e);
}

/* ---- what is known of the others ---- */

static int read_contents(const struct reconcile_sources *from,
                         struct reconcile_items *items, struct err *e)
{
    size_t asked = 0;

    for (size_t i = 0; i < items->count; i++) {
        struct reconcile_item *item = &items->v[i];

        if (item->known || reconcile_is_forgotten(item, from->rules))
            continue;
        if (asked++ == UNKNOWN_MOST)
            return err_set(e, ERR_LIMIT, 0,
                           "more than %d invocations have not arrived: a shorter "
                           "--since makes it less; nothing was submitted",
                           UNKNOWN_MOST);
        if (desk_attempts(from->desk, item->row.id, &item->attempts, e))
            return -1;
        reconcile_read_content(item, from->queue);
    }
    return 0;
}

/* "ticket" is there once a worker has read the request. */
static void on_ticket(void *arg, const struct redisReply *reply)
{
    struct reconcile_item *item = arg;
    const struct redisReply *raw = reply_count(reply) == 2 ? reply_at(reply, 1) : NULL;

    if (!raw)
        return;
    item->ticket_id = reply_int(reply_at(reply, 0));
    if (item->ticket_id <= 0)
        item->ticket_id = reconcile_ticket_of(reply_str(raw), reply_len(raw));
}

/* Tickets of what has arrived after the oldest that has not: a younger request of the
 * same ticket is the one that counts, also while it waits for a worker. */
static int read_known_tickets(struct client *c, struct reconcile_items *items,
                              struct err *e)
{
    size_t end = items->count;

    while (end && (items->v[end - 1].known || !items->v[end - 1].ticket_id))
        end--;
    for (size_t i = 0; i < end; i++) {
        struct reconcile_item *item = &items->v[i];
        char job[QUEUE_KEY_MAX];

        if (item->known && !item->ticket_id) {
            client_key(c, "job:", item->job_id, job);
            client_send(c, on_ticket, item, 4,
                        (const char *[]){"HMGET", job, "ticket", "raw"}, NULL);
        }
        if (i % AT_ONCE == AT_ONCE - 1 && client_wait(c, e))
            return -1;
    }
    return client_wait(c, e);
}

static void on_later_job(void *arg, const struct redisReply *reply)
{
    struct reconcile_item *item = arg;
    const char *id = reply_count(reply) ? reply_str(reply_at(reply, 0)) : "";

    if (job_id_valid(id))
        memcpy(item->again, id, JOB_ID_LEN + 1);
}

static int read_later_jobs(struct client *c, struct reconcile_items *items,
                           struct err *e)
{
    for (size_t i = 0; i < items->count; i++) {
        struct reconcile_item *item = &items->v[i];
        char key[QUEUE_KEY_MAX], ticket[24], since[24];

        if (item->known || !item->ticket_id)
            continue;
        (void)snprintf(ticket, sizeof ticket, "%lld", (long long)item->ticket_id);
        (void)snprintf(since, sizeof since, "%lld", (long long)item->first_ms);
        client_key(c, "ticket:", ticket, key);
        client_send(
            c, on_later_job, item, 7,
            (const char *[]){"ZREVRANGEBYSCORE", key, "+inf", since, "LIMIT", "0", "1"},
            NULL);
    }
    return client_wait(c, e);
}

static int read_tickets(struct desk *desk, struct reconcile_items *items, struct err *e)
{
    for (size_t i = 0; i < items->count; i++) {
        struct reconcile_item *item = &items->v[i];
        int found = 1;

        if (item->ticket_id && reconcile_is_missing(item->finding))
            found = desk_ticket(desk, item->ticket_id, &item->ticket, e);
        if (found < 0)
            return -1;
        item->ticket_gone = found == 0;
    }
    return 0;
}

/* ---- all of it ---- */

static bool is_named(const struct reconcile_sources *from, const char *id)
{
    for (int i = 0; i < from->count; i++)
        if (strcmp(from->names[i], id) == 0)
            return true;
    return false;
}

static bool has_item(const struct reconcile_items *items, const char *id)
{
    for (size_t i = 0; i < items->count; i++)
        if (strcmp(items->v[i].row.id, id) == 0)
            return true;
    return false;
}

static int keep_named(const struct reconcile_sources *from,
                      struct reconcile_items *items, struct err *e)
{
    size_t kept = 0;

    for (int i = 0; i < from->count; i++)
        if (!has_item(items, from->names[i]))
            return err_set(e, ERR_PERMANENT, 0,
                           "Zendesk's log has no invocation %s in this time; nothing "
                           "was submitted",
                           from->names[i]);
    for (size_t i = 0; i < items->count; i++)
        if (is_named(from, items->v[i].row.id)) {
            items->v[kept] = items->v[i];
            items->v[kept++].named = true;
        }
    items->count = kept;
    return 0;
}

static int look(const struct reconcile_sources *from, struct reconcile_items *items,
                struct err *e)
{
    struct inbox in = {0};
    int rc = -1;

    for (size_t i = 0; i < items->count; i++)
        reconcile_read_content(&items->v[i], from->queue);
    if (read_inbox(from->client, &in, e) || look_up(from->client, &in, items, e) ||
        read_contents(from, items, e) || look_up(from->client, &in, items, e) ||
        read_known_tickets(from->client, items, e) ||
        read_later_jobs(from->client, items, e))
        goto out;
    reconcile_judge(items, from->rules);
    if (read_tickets(from->desk, items, e))
        goto out;
    reconcile_judge(items, from->rules);
    rc = 0;
out:
    free(in.v);
    return rc;
}

int reconcile_gather(const struct reconcile_sources *from, struct reconcile_items *out,
                     struct err *e)
{
    struct zendesk_log log = {0};
    struct reconcile_items items;

    if (desk_log(from->desk, from->since_ms, &log, e))
        return -1;
    reconcile_merge(&log, &items);
    zendesk_log_done(&log);
    if ((from->count && keep_named(from, &items, e)) || look(from, &items, e)) {
        reconcile_done(&items);
        return -1;
    }
    *out = items;
    return 0;
}
