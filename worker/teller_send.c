/* teller_send: how an item is told in each channel. A note is one PUT that appends, so
 * after an attempt with an unknown outcome the ticket is read first; its tag may be
 * added as often as need be. Slack has no such means: what may be there already says
 * so. */
#include "teller.h"

#include "settings.h"
#include "slack.h"
#include "tell.h"
#include "ticket.h"
#include "zendesk.h"

/* ---- Slack ---- */

static void on_posted(void *arg, const struct err *e, bool unknown)
{
    teller_heard(arg, e, unknown);
}

void teller_send_slack(struct teller_item *it)
{
    const struct tell t = {.job = &it->job,
                           .event = it->event,
                           .mask = it->worker->settings->slack_mask,
                           .again = it->earlier_intent_ms > 0};
    struct buf text;

    buf_init(&text, TELL_TEXT_MAX);
    tell_slack_text(&t, &text);
    slack_post(it->worker->slack, text.data, on_posted, it);
    buf_done(&text);
}

/* ---- the ticket ---- */

static struct tell note_of(const struct teller_item *it)
{
    return (struct tell){.job = &it->job, .event = it->event};
}

/* A limit on writing says nothing of reading. */
static void heard(struct teller_item *it, const struct err *e, bool unknown)
{
    if (e->class != ERR_RATE_LIMITED)
        ticket_heard(it->worker, e);
    teller_heard(it, e, unknown);
}

/* The note is there: its intent has to stay until all of it is done. */
static void on_tagged(void *arg, const struct err *e)
{
    heard(arg, e, true);
}

static void add_tag(struct teller_item *it)
{
    const struct tell t = note_of(it);
    const struct err none = {.class = ERR_NONE};
    const char *tag = tell_is(&t, "done")     ? "license_sent"
                      : tell_is(&t, "failed") ? "license_failed"
                                              : NULL;

    if (tag)
        zendesk_add_tag(it->worker->zendesk, it->job.request.ticket_id, tag, on_tagged,
                        it);
    else
        heard(it, &none, false);
}

static void on_added(void *arg, const struct err *e)
{
    struct teller_item *it = arg;

    if (e->class != ERR_NONE)
        heard(it, e,
              e->class != ERR_PERMANENT && e->class != ERR_AUTH &&
                  e->class != ERR_RATE_LIMITED);
    else
        add_tag(it);
}

static void add_note(struct teller_item *it)
{
    const struct tell t = note_of(it);
    struct buf text;

    buf_init(&text, TELL_TEXT_MAX);
    tell_note_text(&t, &text);
    zendesk_add_note(it->worker->zendesk, it->job.request.ticket_id, text.data,
                     on_added, it);
    buf_done(&text);
}

static void look_later(struct teller_item *it)
{
    teller_wait(it, it->worker->settings->zendesk_settle_ms);
}

static void on_looked(void *arg, const struct err *e)
{
    struct teller_item *it = arg;
    const struct worker *w = it->worker;
    int64_t settle_ms = w->settings->zendesk_settle_ms;
    int64_t left_ms = it->earlier_intent_ms + settle_ms - worker_now_ms(w);

    if (e->class != ERR_NONE)
        heard(it, e, true);
    else if (it->found)
        add_tag(it);
    else if (left_ms > settle_ms) /* the clock was set back: it counts from now on */
        teller_renew_intent(it, look_later);
    else if (left_ms > 0)
        teller_wait(it, left_ms);
    else
        teller_renew_intent(it, add_note);
}

void teller_send_note(struct teller_item *it)
{
    const struct tell t = note_of(it);
    struct buf marker;

    if (!it->earlier_intent_ms) {
        add_note(it);
        return;
    }
    buf_init(&marker, 256);
    tell_marker(&t, &marker);
    zendesk_find_note(it->worker->zendesk, it->job.request.ticket_id, marker.data,
                      &it->found, on_looked, it);
    buf_done(&marker);
}
