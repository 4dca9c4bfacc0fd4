/* smtp: see smtp.h. A mail waits in line, or has a connection: one that was free, or
 * one that is being made for it. The conversation is smtp_session.c's. */
#include "smtp.h"

#include <assert.h>
#include <stdlib.h>
#include <uv.h>

#include "mem.h"
#include "smtp_proto.h"
#include "smtp_session.h"

/* Servers count mails per connection (Exim: 1000) and end it in their own way. */
#define MAILS_PER_CONNECTION 500

/* After a connection could not be made, while others live: mails wait for those. */
#define HOLD_MS 5000

struct conn {
    struct smtp *pool;
    struct smtp_session *session;
    struct smtp_op *op; /* NULL: it has none */
    bool up;            /* was free once: the server lets us in */
    bool probe;         /* made in spite of a hold, which its success ends */
    struct conn *next;
};

struct line { /* first come, first served */
    struct smtp_op *first, *last;
    size_t count;
};

struct smtp_op {
    struct smtp *pool;
    struct smtp_mail mail;
    struct smtp_events events;
    void *arg;
    uint64_t seq;
    uint64_t since_ms;
    int64_t waited_ms; /* -1: still waits */
    bool released;
    struct conn *conn;   /* NULL: in a line */
    struct line *in;     /* which one */
    struct err *refusal; /* in pool->refused: to be told from the loop */
    struct smtp_op *prev, *next;
};

struct smtp {
    struct smtp_options options;
    struct conn *conns;
    int64_t conn_count;
    struct line waiting;
    struct line refused; /* here, before anything was sent */
    uint64_t seq;
    uint64_t hold_until_ms; /* 0: no */
    bool settling;          /* several mails end at once: no new starts in between */
    bool closing;
    uv_timer_t timer; /* tells refusals; ends the hold */
};

static void dispatch(struct smtp *s);

static int64_t at_most(int64_t ms, int64_t longest_ms)
{
    return ms < longest_ms ? ms : longest_ms;
}

struct smtp_timeouts smtp_timeouts_within(int64_t longest_ms)
{
    /* connect and idle are not RFC 5321's: 30 s; servers drop idle clients after 100 s
     * to 5 min, so we go first */
    return (struct smtp_timeouts){
        .connect = at_most(30 * 1000, longest_ms),
        .command = at_most(5 * 60 * 1000, longest_ms),
        .data = at_most(2 * 60 * 1000, longest_ms),
        .body = at_most(3 * 60 * 1000, longest_ms),
        .dot = 10 * 60 * 1000,
        .idle = 60 * 1000,
    };
}

/* --- lines --------------------------------------------------------------------------
 */

static void enqueue(struct line *l, struct smtp_op *op)
{
    op->in = l;
    op->prev = l->last;
    op->next = NULL;
    if (l->last)
        l->last->next = op;
    else
        l->first = op;
    l->last = op;
    l->count++;
}

static void dequeue(struct smtp_op *op)
{
    struct line *l = op->in;

    if (!l)
        return;
    if (op->prev)
        op->prev->next = op->next;
    else
        l->first = op->next;
    if (op->next)
        op->next->prev = op->prev;
    else
        l->last = op->prev;
    l->count--;
    op->in = NULL;
    op->prev = op->next = NULL;
}

/* --- the end of a mail --------------------------------------------------------------
 */

static int64_t waited(const struct smtp_op *op)
{
    return (int64_t)(uv_now(op->pool->options.loop) - op->since_ms);
}

/* Tells the caller; the op is gone after it. */
static void settle(struct smtp_op *op, const struct smtp_result *result)
{
    struct smtp_result r = *result;
    struct smtp_events events = op->events;
    void *arg = op->arg;

    r.waited_ms = op->waited_ms >= 0 ? op->waited_ms : waited(op);
    dequeue(op);
    free(op->refusal);
    free(op);
    events.on_done(arg, &r);
}

static void settle_with(struct smtp_op *op, const struct err *e)
{
    struct smtp_result r = {.err = *e, .stage = SMTP_CONNECT};

    settle(op, &r);
}

static void tell_refused(struct smtp *s)
{
    while (s->refused.first) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): dequeue took the last off */
        struct err e = *s->refused.first->refusal;

        settle_with(s->refused.first, &e);
    }
}

/* --- connections --------------------------------------------------------------------
 */

static void drop(struct conn *c)
{
    struct conn **at = &c->pool->conns;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->pool->conn_count--;
    smtp_session_close(c->session);
    free(c);
}

static void on_timer(uv_timer_t *t)
{
    struct smtp *s = t->data;

    tell_refused(s);
    dispatch(s);
}

static void refuse_soon(struct smtp_op *op, const struct err *e)
{
    op->refusal = mem_new(1, sizeof *e);
    *op->refusal = *e;
    op->conn = NULL;
    enqueue(&op->pool->refused, op);
    (void)uv_timer_start(&op->pool->timer, on_timer, 0, 0);
}

static void give(struct conn *c, struct smtp_op *op)
{
    struct err e = {0};

    c->op = op;
    op->conn = c;
    op->waited_ms = waited(op);
    if (smtp_session_take(c->session, &op->mail, op->released, &e) != 0) {
        c->op = NULL;
        refuse_soon(op, &e);
    }
}

static void on_free(void *arg)
{
    struct conn *c = arg;

    if (c->probe)
        c->pool->hold_until_ms = 0;
    c->probe = false;
    c->up = true;
    if (c->op)
        give(c, c->op);
    dispatch(c->pool);
}

static void on_ready(void *arg)
{
    struct smtp_op *op = ((struct conn *)arg)->op;

    if (op->events.on_ready)
        op->events.on_ready(op->arg);
}

static void on_done(void *arg, const struct smtp_result *result)
{
    struct conn *c = arg;
    struct smtp_op *op = c->op;
    struct smtp *s = c->pool;

    c->op = NULL;
    op->conn = NULL;
    if (smtp_session_served(c->session) >= MAILS_PER_CONNECTION)
        drop(c);
    dispatch(s);
    settle(op, result);
}

/* A server may close a kept connection whenever it likes; that says nothing about it,
 * nor about the mail. The new connection has served nothing, so this is not repeated.
 */
static bool was_stale(const struct conn *c, const struct smtp_result *r)
{
    return c->op && smtp_session_served(c->session) > 0 && r->stage == SMTP_MAIL &&
           (r->err.code == 0 || r->err.code == 421);
}

static void open_for(struct smtp *s, struct smtp_op *op);

/* A connection could not be made: with no other left, whoever waits fails with it. */
static void fail_waiting(struct smtp *s, const struct err *e, uint64_t up_to)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): as in tell_refused */
    while (s->waiting.first && s->waiting.first->seq <= up_to)
        settle_with(s->waiting.first, e);
}

static void on_end(void *arg, const struct smtp_result *result)
{
    struct conn *c = arg;
    struct smtp_op *op = c->op;
    struct smtp *s = c->pool;
    bool stale = was_stale(c, result), was_up = c->up;
    uint64_t up_to = s->seq;
    bool last;

    drop(c);
    last = s->conn_count == 0;
    if (op)
        op->conn = NULL;
    if (stale) {
        open_for(s, op);
        return;
    }
    if (!was_up)
        s->hold_until_ms = uv_now(s->options.loop) + HOLD_MS;
    s->settling = true;
    if (op)
        settle(op, result);
    if (!was_up && last)
        fail_waiting(s, &result->err, up_to);
    s->settling = false;
    dispatch(s);
}

static bool held(const struct smtp *s)
{
    return uv_now(s->options.loop) < s->hold_until_ms;
}

static void open_for(struct smtp *s, struct smtp_op *op)
{
    static const struct smtp_session_events events = {
        .on_free = on_free, .on_ready = on_ready, .on_done = on_done, .on_end = on_end};
    struct conn *c = mem_new(1, sizeof *c);

    c->pool = s;
    c->op = op;
    c->probe = held(s);
    c->next = s->conns;
    op->conn = c;
    s->conns = c;
    s->conn_count++;
    c->session = smtp_session_open(&s->options, &events, c);
}

static struct conn *free_conn(struct smtp *s)
{
    for (struct conn *c = s->conns; c; c = c->next)
        if (!c->op && smtp_session_is_free(c->session))
            return c;
    return NULL;
}

static bool may_open(const struct smtp *s)
{
    if (s->conn_count == 0)
        return true;
    return s->conn_count < s->options.settings->smtp_connections && !held(s);
}

/* Whoever is first in line gets what there is. */
static void dispatch(struct smtp *s)
{
    if (s->settling || s->closing)
        return;
    while (s->waiting.first) {
        struct smtp_op *op = s->waiting.first;
        struct conn *c = free_conn(s);

        if (!c && !may_open(s))
            break;
        dequeue(op);
        if (c)
            give(c, op);
        else
            open_for(s, op);
    }
    if (s->waiting.first && held(s) && !s->refused.first)
        (void)uv_timer_start(&s->timer, on_timer,
                             s->hold_until_ms - uv_now(s->options.loop), 0);
}

/* --- for the owner ------------------------------------------------------------------
 */

struct smtp *smtp_new(const struct smtp_options *options)
{
    struct smtp *s = mem_new(1, sizeof *s);

    s->options = *options;
    (void)uv_timer_init(options->loop, &s->timer); /* cannot fail */
    s->timer.data = s;
    return s;
}

struct smtp_op *smtp_send(struct smtp *s, const struct smtp_mail *mail,
                          const struct smtp_events *events, void *arg)
{
    struct smtp_op *op = mem_new(1, sizeof *op);
    struct err e = {0};

    assert(!s->closing);
    op->pool = s;
    op->mail = *mail;
    op->events = *events;
    op->arg = arg;
    op->seq = ++s->seq;
    op->since_ms = uv_now(s->options.loop);
    op->waited_ms = -1;
    if (smtp_proto_check(mail, &e) != 0) {
        refuse_soon(op, &e);
        return op;
    }
    enqueue(&s->waiting, op);
    dispatch(s);
    return op;
}

void smtp_release(struct smtp_op *op)
{
    op->released = true;
    if (op->conn)
        smtp_session_release(op->conn->session);
}

static void end_op(struct smtp_op *op)
{
    struct smtp_result r = {.stage = SMTP_CONNECT};

    if (op->conn) {
        smtp_session_break(op->conn->session, &r);
        drop(op->conn);
        op->conn = NULL;
    } else {
        (void)err_set(&r.err, ERR_CANCELLED, 0, "mail given up while it waited");
    }
    dispatch(op->pool);
    settle(op, &r);
}

void smtp_cancel(struct smtp_op *op)
{
    end_op(op);
}

size_t smtp_waiting(const struct smtp *s)
{
    return s->waiting.count;
}

static void on_timer_closed(uv_handle_t *h)
{
    free(h->data);
}

void smtp_free(struct smtp *s)
{
    if (!s)
        return;
    s->closing = true;
    /* NOLINTBEGIN(clang-analyzer-unix.Malloc): as in tell_refused, and so drop does */
    while (s->refused.first)
        end_op(s->refused.first);
    while (s->waiting.first)
        end_op(s->waiting.first);
    while (s->conns)
        if (s->conns->op)
            end_op(s->conns->op);
        else
            drop(s->conns);
    /* NOLINTEND(clang-analyzer-unix.Malloc) */
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}
