/* smtp_session: see smtp_session.h. Here: the connection's life, its bytes and its end;
 * the conversation itself is the table in smtp_steps.c.
 *
 * The final dot: the content leaves in one piece with CRLF.CRLF at its end. As long as
 * the kernel has not taken the last byte, no server can have seen the end of the mail,
 * and it is safe to send again; over TLS the last record is then incomplete and cannot
 * be read at all. From there on a lost connection is ambiguous. */
#include "smtp_session.h"

#include <stdlib.h>
#include <string.h>

#include "crash.h"
#include "mem.h"
#include "secret.h"
#include "smtp_steps.h"

#define COMMAND_MAX 8192
#define CONTENT_MAX ((size_t)48 << 20) /* what the stream can hold, with room */

bool smtp_session_dot_out(const struct smtp_session *s)
{
    return s->content_sent && stream_backlog(s->stream) == 0;
}

enum smtp_stage smtp_session_stage(const struct smtp_session *s)
{
    if (s->state == SMTP_CONTENT)
        return smtp_session_dot_out(s) ? SMTP_DOT : SMTP_BODY;
    return smtp_steps[s->state].stage;
}

void smtp_session_verdict(const struct smtp_session *s, int code, struct err *e)
{
    verdict_smtp_reply(smtp_session_stage(s), code, s->reader.text.data, e);
}

/* --- going on -----------------------------------------------------------------------
 */

void smtp_session_go(struct smtp_session *s, enum smtp_state next)
{
    const struct smtp_step *step = &smtp_steps[next];
    int64_t ms = 0;

    s->state = next;
    if (step->timeout)
        memcpy(&ms, (const char *)&s->options->timeouts + step->timeout, sizeof ms);
    (void)uv_timer_stop(&s->clock);
    stream_deadline(s->stream, ms, "waiting for an answer");
    if (step->enter)
        step->enter(s);
}

/* Bytes that came before the question cannot be its answer. */
static bool may_write(struct smtp_session *s)
{
    if (s->unread > 0 || smtp_proto_inside(&s->reader))
        s->early = true;
    return !s->early;
}

struct buf *smtp_session_command(struct smtp_session *s)
{
    buf_reset(&s->command);
    return &s->command;
}

void smtp_session_say(struct smtp_session *s)
{
    if (may_write(s))
        stream_write(s->stream, s->command.data, s->command.len);
}

void smtp_session_say_text(struct smtp_session *s, const char *text)
{
    buf_adds(smtp_session_command(s), text);
    smtp_session_say(s);
}

void smtp_session_say_secret(struct smtp_session *s)
{
    buf_adds(&s->command, "\r\n");
    smtp_session_say(s);
    secret_wipe(s->command.data, s->command.len);
}

/* RFC 5321 gives each block of content its time, and the answer another, longer one:
 * as long as bytes move, the time for the answer starts anew. */
static void on_content_clock(uv_timer_t *t)
{
    struct smtp_session *s = t->data;
    size_t left = stream_backlog(s->stream);

    if (left > 0 && left >= s->backlog) {
        smtp_session_over(s, NULL, "timed out: it takes no more of the content");
        return;
    }
    stream_deadline(s->stream, s->options->timeouts.dot, "waiting for an answer");
    s->backlog = left;
    if (left == 0)
        (void)uv_timer_stop(t);
}

void smtp_session_say_content(struct smtp_session *s)
{
    uint64_t ms = (uint64_t)s->options->timeouts.body;

    if (!may_write(s))
        return;
    s->content_sent = true;
    s->content.len = CRASH_PART(s->stream, "smtp.half", s->content.len);
    stream_give(s->stream, &s->content);
    CRASH_SENT(s->stream, "smtp.dot");
    s->backlog = stream_backlog(s->stream);
    (void)uv_timer_start(&s->clock, on_content_clock, ms, ms);
}

void smtp_session_finish(struct smtp_session *s, const struct err *e,
                         enum smtp_stage stage, enum smtp_state next)
{
    struct smtp_result r = {.stage = stage, .dot_sent = s->content_sent};

    if (e)
        r.err = *e;
    memcpy(r.reply, s->last.text, sizeof r.reply);
    s->served++;
    s->mail = NULL;
    s->content_sent = false;
    err_clear(&s->refusal);
    smtp_session_go(s, next);
    s->events.on_done(s->arg, &r);
}

/* --- the end ------------------------------------------------------------------------
 */

/* Cuts the connection and settles what became of the mail. The stream is closed first:
 * that may still hand over what was written a moment ago. */
static void cut(struct smtp_session *s, struct smtp_result *r)
{
    stream_close(s->stream);
    (void)uv_timer_stop(&s->clock);
    *r = (struct smtp_result){
        .stage = smtp_session_stage(s),
        .dot_sent = smtp_session_dot_out(s),
    };
    memcpy(r->reply, s->last.text, sizeof r->reply);
    s->stream = NULL;
    s->state = SMTP_OVER;
}

void smtp_session_over(struct smtp_session *s, const struct err *e, const char *why)
{
    struct smtp_result r;

    if (s->state == SMTP_OVER)
        return;
    cut(s, &r);
    if (s->refusal.class != ERR_NONE) {
        r.err = s->refusal;
        r.stage = s->refused_at;
    } else if (e) {
        r.err = *e;
    } else {
        verdict_smtp_lost(r.stage, why, &r.err);
    }
    s->events.on_end(s->arg, &r);
}

void smtp_session_break(struct smtp_session *s, struct smtp_result *result)
{
    cut(s, result);
    if (result->dot_sent)
        verdict_smtp_lost(SMTP_DOT, "given up while waiting", &result->err);
    else
        (void)err_set(&result->err, ERR_CANCELLED, 0, "mail given up at %s",
                      smtp_stage_name(result->stage));
}

static void on_clock_closed(uv_handle_t *h)
{
    struct smtp_session *s = h->data;

    smtp_proto_done(&s->reader);
    buf_done(&s->command);
    buf_done(&s->content);
    free(s);
}

void smtp_session_close(struct smtp_session *s)
{
    if (!s)
        return;
    if (smtp_session_is_free(s))
        stream_write(s->stream, "QUIT\r\n", 6);
    stream_close(s->stream);
    s->stream = NULL;
    s->state = SMTP_OVER;
    uv_close((uv_handle_t *)&s->clock, on_clock_closed);
}

/* --- what the stream reports --------------------------------------------------------
 */

static void on_open(void *arg)
{
    struct smtp_session *s = arg;

    smtp_session_go(s, s->state == SMTP_TLS ? SMTP_HELLO : SMTP_GREETED);
}

static void on_reply(struct smtp_session *s)
{
    char *text = s->reader.text.data;

    if (s->state != SMTP_HELLO) /* there the lines are read apart */
        for (char *p = strchr(text, '\n'); p; p = strchr(p, '\n'))
            *p = ' ';
    smtp_steps_hide_login(s);
    text = s->reader.text.data;
    /* not an error: err_set cuts between characters */
    (void)err_set(&s->last, ERR_NONE, 0, "%d %s", s->reader.code, text);
    smtp_steps[s->state].reply(s, s->reader.code);
    if (s->early)
        smtp_session_over(s, NULL, "it answered before it was asked");
}

static void on_data(void *arg, const char *bytes, size_t len)
{
    struct smtp_session *s = arg;
    size_t used;

    s->unread = len;
    while (s->unread > 0 && s->state != SMTP_OVER) {
        enum smtp_feed feed =
            smtp_proto_feed(&s->reader, bytes + (len - s->unread), s->unread, &used);

        s->unread -= used;
        if (feed == SMTP_FEED_BAD)
            smtp_session_over(s, NULL, s->reader.fault);
        else if (feed == SMTP_FEED_REPLY)
            on_reply(s);
    }
    s->unread = 0;
}

static void on_end(void *arg, const struct err *e)
{
    smtp_session_over(arg, NULL, e->text);
}

/* --- for the owner ------------------------------------------------------------------
 */

struct smtp_session *smtp_session_open(const struct smtp_options *options,
                                       const struct smtp_session_events *events,
                                       void *arg)
{
    static const struct stream_events stream_events = {
        .on_open = on_open, .on_data = on_data, .on_end = on_end};
    const struct smtp_url *url = &options->settings->smtp;
    struct stream_target target = {
        .host = url->host,
        .port = url->port,
        .tls = url->implicit_tls ? options->tls : NULL,
        .connect_timeout_ms = options->timeouts.connect,
    };
    struct smtp_session *s = mem_new(1, sizeof *s);

    s->options = options;
    s->events = *events;
    s->arg = arg;
    smtp_proto_init(&s->reader);
    buf_init(&s->command, COMMAND_MAX);
    buf_init(&s->content, CONTENT_MAX);
    (void)uv_timer_init(options->loop, &s->clock); /* cannot fail */
    s->clock.data = s;
    s->stream = stream_open(options->loop, &target, &stream_events, s);
    return s;
}

bool smtp_session_is_free(const struct smtp_session *s)
{
    return s->state == SMTP_FREE && s->unread == 0 && !smtp_proto_inside(&s->reader);
}

void smtp_session_facts(const struct smtp_session *s, struct smtp_session_facts *out)
{
    *out = (struct smtp_session_facts){.tls = stream_is_tls(s->stream),
                                       .pipelining = s->offer.pipelining,
                                       .tls_ends_ms = stream_tls_ends_ms(s->stream),
                                       .size_max = s->offer.size_max};
}

unsigned int smtp_session_served(const struct smtp_session *s)
{
    return s->served;
}

int smtp_session_take(struct smtp_session *s, const struct smtp_mail *mail,
                      bool released, struct err *e)
{
    bool eightbit = smtp_proto_is_8bit(mail->data, mail->len);
    const struct smtp_offer *offer = &s->offer;

    buf_reset(&s->content);
    s->size = smtp_proto_stuff(&s->content, mail->data, mail->len);
    if (s->content.failed)
        return err_set(e, ERR_PERMANENT, 0, "the mail is too large (%zu bytes)",
                       mail->len);
    if (offer->size_max > 0 && s->size > (size_t)offer->size_max)
        return err_set(e, ERR_PERMANENT, 0,
                       "the mail has %zu bytes, the mail server takes %lld", s->size,
                       (long long)offer->size_max);
    if (eightbit && !offer->eightbit)
        return err_set(e, ERR_PERMANENT, 0,
                       "the mail has 8-bit characters, the mail server takes none");
    s->eightbit = eightbit;
    s->mail = mail;
    s->released = released;
    smtp_session_go(s, SMTP_SENDER);
    return 0;
}

void smtp_session_release(struct smtp_session *s)
{
    s->released = true;
    if (s->state == SMTP_READY)
        smtp_session_go(s, SMTP_CONTENT);
}
