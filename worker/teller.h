/* teller: people are told what became of a job, in Slack and on the ticket. Each
 * channel has a set of its own in Redis, its own lane and retries, and one item under
 * way at a time; nothing else waits for it. What is due, and once only, is
 * tell_take.lua's; the words are tell.h's; how a channel is used is teller_send.c's. */
#ifndef STOPGAP_TELLER_H
#define STOPGAP_TELLER_H

#include <stdbool.h>

#include "queue.h"
#include "worker.h"

struct teller;
struct teller_channel;

struct teller *teller_new(struct worker *w);

/* At each beat; first: the first one of this connection. due: a follow-up is, perhaps
 * of a job that is late. */
void teller_beat(struct teller *t, bool first, bool due);

/* A job has ended: there may be something to tell. */
void teller_poke(struct teller *t);

/* Something is under way. worker_task_ended is called when it is over. */
bool teller_busy(const struct teller *t);

/* Begins nothing any more. */
void teller_stop(struct teller *t);

/* Only with nothing under way and after the loop has closed its timers. */
void teller_free(struct teller *t);

/* ---- for teller_send.c ---- */

struct teller_item {
    struct worker *worker;
    struct teller_channel *channel;
    struct job job;
    char *id, *event;
    char token[24];
    int64_t earlier_intent_ms, tries, since_ms;
    bool probes; /* of its lane */
    bool found;  /* the note is there */
    struct queue_write write;
    struct queue_told told; /* how it ends */
    struct buf words;
    void (*saved)(struct teller_item *it);
};

/* What each channel does with an item: ends in one call of teller_heard or teller_wait.
 */
void teller_send_slack(struct teller_item *it);
void teller_send_note(struct teller_item *it);

/* unknown: it failed, but may have been told, in part or whole. */
void teller_heard(struct teller_item *it, const struct err *e, bool unknown);

/* Comes again after that. Its intent stays. */
void teller_wait(struct teller_item *it, int64_t delay_ms);

/* Writes the intent anew, then runs `then`; an item that cannot be saved ends. */
void teller_renew_intent(struct teller_item *it, void (*then)(struct teller_item *it));

#endif
