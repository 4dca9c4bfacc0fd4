/* redis: see redis.h. Replies come in the order of the commands: a ring of what is
 * pending is all the bookkeeping there is. */
#include "redis.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "backoff.h"
#include "buf.h"
#include "mem.h"
#include "num.h"
#include "stream.h"
#include "tls.h"
#include "verdict.h"

#define RETRY_BASE_MS 50
#define RETRY_CAP_MS 5000
#define SENTINEL_TIMEOUT_MS 1000
#define COMMAND_MAX ((size_t)64 << 20)
#define SHA_LEN 40
#define NO_SCRIPT SIZE_MAX
#define FIRST_RING 16
#define KEEP_CAP 65536

struct pending {
    redis_fn fn;
    void *arg;
    int64_t allow_ms; /* for the reply, from when it is this one's turn */
    size_t script;    /* of an EVALSHA, to fall back on its source; else NO_SCRIPT */
    size_t arguments; /* of that EVALSHA after its SHA */
    size_t tail_len;  /* their bytes, in `tails` */
};

struct redis {
    struct redis_options o;
    struct stream *stream; /* NULL between two tries */
    struct resp *resp;
    bool up;
    bool proven; /* this connection answered one command of our user's */
    bool closing;
    uint64_t up_since;
    int64_t tries; /* that failed in a row */

    struct pending *ring; /* size is a power of two */
    size_t ring_size;
    size_t head;
    size_t count;
    struct buf tails; /* of pending EVALSHAs, in order, from tails_head on */
    size_t tails_head;
    struct buf command; /* the one being written */

    char (*sha)[SHA_LEN + 1]; /* by script */
    size_t loaded;

    char *master; /* as told by Sentinel */
    int master_port;
    unsigned int sentinel; /* which to ask next */

    uv_timer_t retry;
    uv_timer_t late;
    uint64_t head_since;
    uint64_t late_due;
    bool last_look; /* overdue; one more poll before it counts */
    unsigned int handles;
};

static void lose(struct redis *r, const struct err *why);
static void connect_now(struct redis *r);

/* --- pending commands ---------------------------------------------------------------
 */

static struct pending *at(struct redis *r, size_t i)
{
    return &r->ring[(r->head + i) & (r->ring_size - 1)];
}

static void grow(struct redis *r)
{
    size_t size = r->ring_size ? r->ring_size * 2 : FIRST_RING;
    struct pending *ring = mem_new(size, sizeof *ring);

    for (size_t i = 0; i < r->count; i++)
        ring[i] = *at(r, i);
    free(r->ring);
    r->ring = ring;
    r->ring_size = size;
    r->head = 0;
}

static void on_late(uv_timer_t *t)
{
    struct redis *r = t->data;
    uint64_t now = uv_now(r->o.loop);
    uint64_t due;
    struct err e;

    if (!r->count)
        return;
    due = r->head_since + (uint64_t)at(r, 0)->allow_ms;
    if (now < due || !r->last_look) {
        /* After a stall of our own the reply may lie in the socket: poll once more. */
        r->last_look = now >= due;
        r->late_due = now < due ? due : now + 1;
        (void)uv_timer_start(t, on_late, r->late_due - now, 0);
        return;
    }
    (void)err_set(&e, ERR_TRANSIENT, 0, "timed out: no reply from Redis for %lld ms",
                  (long long)at(r, 0)->allow_ms);
    lose(r, &e);
}

/* One timer for the oldest command. It is left running when it would fire early: that
 * is cheaper than setting it for each. */
static void watch_head(struct redis *r)
{
    uint64_t due;

    r->head_since = uv_now(r->o.loop);
    r->last_look = false;
    if (!r->count)
        return;
    due = r->head_since + (uint64_t)at(r, 0)->allow_ms;
    if (uv_is_active((uv_handle_t *)&r->late) && r->late_due <= due)
        return;
    r->late_due = due;
    (void)uv_timer_start(&r->late, on_late, due - r->head_since, 0);
}

static void push(struct redis *r, const struct pending *p)
{
    if (r->count == r->ring_size)
        grow(r);
    *at(r, r->count++) = *p;
    if (r->count == 1)
        watch_head(r);
}

static struct pending pop(struct redis *r)
{
    struct pending p = *at(r, 0);

    r->head = (r->head + 1) & (r->ring_size - 1);
    r->count--;
    watch_head(r);
    return p;
}

static void drop_tail(struct redis *r, size_t len)
{
    r->tails_head += len;
    if (r->tails_head == r->tails.len) {
        buf_reset(&r->tails);
        r->tails_head = 0;
    } else if (r->tails_head > KEEP_CAP && r->tails_head > r->tails.len / 2) {
        buf_consume(&r->tails, r->tails_head);
        r->tails_head = 0;
    }
}

static void fail_pending(struct redis *r, const struct err *e)
{
    while (r->count) {
        struct pending p = pop(r);

        p.fn(p.arg, NULL, e);
    }
    buf_reset(&r->tails);
    r->tails_head = 0;
}

/* --- sending ------------------------------------------------------------------------
 */

/* Hands the gathered command to the stream; the stream gathers in turn what one loop
 * turn brings. */
static void send_command(struct redis *r, const struct pending *p)
{
    stream_write(r->stream, r->command.data, r->command.len);
    if (r->command.cap > KEEP_CAP)
        buf_done(&r->command);
    r->command.max = COMMAND_MAX;
    push(r, p);
}

static void add_arguments(struct buf *out, int argc, const char *const *argv,
                          const size_t *lens)
{
    for (int i = 0; i < argc; i++)
        resp_add(out, argv[i], lens ? lens[i] : strlen(argv[i]));
}

static int send_argv(struct redis *r, const struct pending *p, int argc,
                     const char *const *argv, const size_t *lens, struct err *e)
{
    buf_reset(&r->command);
    resp_add_length(&r->command, (size_t)argc);
    add_arguments(&r->command, argc, argv, lens);
    if (r->command.failed)
        return err_set(e, ERR_BUG, 0, "a Redis command of more than %zu MiB",
                       COMMAND_MAX >> 20);
    send_command(r, p);
    return 0;
}

static int not_up(struct err *e)
{
    return err_set(e, ERR_TRANSIENT, 0, "no connection to Redis");
}

static int call(struct redis *r, redis_fn fn, void *arg, int argc,
                const char *const *argv, const size_t *lens, int64_t wait_ms,
                struct err *e)
{
    struct pending p = {.fn = fn,
                        .arg = arg,
                        .allow_ms = r->o.timeout_ms + wait_ms,
                        .script = NO_SCRIPT};

    return r->up ? send_argv(r, &p, argc, argv, lens, e) : not_up(e);
}

int redis_call(struct redis *r, redis_fn fn, void *arg, int argc,
               const char *const *argv, const size_t *lens, struct err *e)
{
    return call(r, fn, arg, argc, argv, lens, 0, e);
}

int redis_call_blocking(struct redis *r, redis_fn fn, void *arg, int argc,
                        const char *const *argv, int64_t wait_ms, struct err *e)
{
    return call(r, fn, arg, argc, argv, NULL, wait_ms, e);
}

static void send_script(struct redis *r, const struct pending *p, const char *verb,
                        const char *what, const char *tail, size_t tail_len)
{
    buf_reset(&r->command);
    resp_add_length(&r->command, p->arguments + 2);
    resp_add(&r->command, verb, strlen(verb));
    resp_add(&r->command, what, strlen(what));
    buf_add(&r->command, tail, tail_len);
    send_command(r, p);
}

int redis_eval(struct redis *r, redis_fn fn, void *arg, size_t index, int numkeys,
               int argc, const char *const *argv, const size_t *lens, struct err *e)
{
    size_t from = r->tails.len;
    struct pending p = {.fn = fn,
                        .arg = arg,
                        .allow_ms = r->o.timeout_ms,
                        .script = index,
                        .arguments = (size_t)argc + 1};
    char keys[16];

    if (!r->up)
        return not_up(e);
    (void)snprintf(keys, sizeof keys, "%d", numkeys);
    resp_add(&r->tails, keys, strlen(keys));
    add_arguments(&r->tails, argc, argv, lens);
    if (r->tails.failed) {
        r->tails.failed = false;
        r->tails.len = from;
        return err_set(e, ERR_BUG, 0, "Redis scripts under way hold more than %zu MiB",
                       r->tails.max >> 20);
    }
    p.tail_len = r->tails.len - from;
    send_script(r, &p, "EVALSHA", r->sha[index], r->tails.data + from, p.tail_len);
    return 0;
}

/* The same again by source. It is not fallen back on twice. */
static void send_source(struct redis *r, struct pending p, const char *tail)
{
    const char *source = r->o.scripts[p.script].source;
    size_t len = p.tail_len;

    p.script = NO_SCRIPT;
    p.tail_len = 0;
    send_script(r, &p, "EVAL", source, tail, len);
}

/* --- replies ------------------------------------------------------------------------
 */

/* Apart from deliver(), so that a good reply does not pay for a struct err. */
static __attribute__((noinline)) void
deliver_error(struct redis *r, const struct pending *p, const char *words)
{
    struct stream *s = r->stream;
    struct err e;
    enum redis_verdict v = verdict_redis(words, &e);

    if (v == REDIS_V_NOSCRIPT && p->script != NO_SCRIPT) {
        send_source(r, *p, r->tails.data + r->tails_head);
        drop_tail(r, p->tail_len);
        return;
    }
    drop_tail(r, p->tail_len);
    p->fn(p->arg, NULL, &e);
    if (v == REDIS_V_RECONNECT && r->stream == s)
        lose(r, &e);
}

static void deliver(struct redis *r, const struct redisReply *reply)
{
    static const struct err none;
    const char *words = reply_error(reply);
    struct pending p = pop(r);

    if (words) {
        deliver_error(r, &p, words);
        return;
    }
    drop_tail(r, p.tail_len);
    r->proven = r->proven || r->up;
    p.fn(p.arg, reply, &none);
}

static __attribute__((noinline)) void stray(struct redis *r,
                                            const struct redisReply *reply)
{
    struct err e;

    (void)err_set(&e, ERR_TRANSIENT, 0, "Redis sent a reply that nobody asked for: %s",
                  reply_str(reply));
    lose(r, &e);
}

static __attribute__((noinline)) void read_failed(struct redis *r, struct err e)
{
    lose(r, &e);
}

static void on_data(void *arg, const char *bytes, size_t len)
{
    struct redis *r = arg;
    struct stream *s = r->stream;
    struct redisReply *reply;
    struct err e;
    int rc;

    resp_feed(r->resp, bytes, len);
    while (r->stream == s) { /* a callback may end the connection */
        rc = resp_next(r->resp, &reply, &e);
        if (rc < 0)
            read_failed(r, e);
        if (rc <= 0)
            return;
        if (r->count)
            deliver(r, reply);
        else
            stray(r, reply);
        reply_free(reply);
    }
}

/* --- greeting: what is sent on each connect, in one write ---------------------------
 */

static void greet(struct redis *r, redis_fn fn, int argc, const char *const *argv)
{
    struct pending p = {
        .fn = fn, .arg = r, .allow_ms = r->o.timeout_ms, .script = NO_SCRIPT};
    struct err e;

    if (send_argv(r, &p, argc, argv, NULL, &e) < 0)
        lose(r, &e);
}

/* True if the greeting is over: the connection is gone, or this error ended it. An
 * error that says nothing known is our setup's fault (a wrong database, a server
 * without users), which an operator must mend. */
static bool refused(struct redis *r, const struct err *e, const char *what)
{
    struct err why;

    if (e->code == REDIS_LOST || e->class == ERR_NONE)
        return e->code == REDIS_LOST;
    why = *e;
    if (why.class == ERR_BUG)
        why.class =
            strstr(why.text, "max number of clients") ? ERR_TRANSIENT : ERR_AUTH;
    (void)err_wrap(&why, "%s", what);
    lose(r, &why);
    return true;
}

static void on_auth(void *arg, const struct redisReply *reply, const struct err *e)
{
    (void)reply;
    (void)refused(arg, e, "AUTH");
}

static void on_select(void *arg, const struct redisReply *reply, const struct err *e)
{
    (void)reply;
    (void)refused(arg, e, "SELECT");
}

static void on_named(void *arg, const struct redisReply *reply, const struct err *e)
{
    (void)arg;
    (void)reply;
    (void)e; /* best effort */
}

static void on_script(void *arg, const struct redisReply *reply, const struct err *e)
{
    struct redis *r = arg;

    char what[64];

    (void)snprintf(what, sizeof what, "SCRIPT LOAD %s", r->o.scripts[r->loaded].name);
    if (refused(r, e, what))
        return;
    (void)snprintf(r->sha[r->loaded++], SHA_LEN + 1, "%s", reply_str(reply));
}

static void on_role(void *arg, const struct redisReply *reply, const struct err *e)
{
    struct err why;

    if (refused(arg, e, "ROLE"))
        return;
    if (reply_count(reply) && strcmp(reply_str(reply_at(reply, 0)), "master") == 0)
        return;
    (void)err_set(&why, ERR_TRANSIENT, 0,
                  "the server that Sentinel names is not a master (yet)");
    lose(arg, &why);
}

/* PING comes last: it shows a server that is loading or wants a password even if no
 * other command did. A user who may not PING is fine. */
static void on_ready(void *arg, const struct redisReply *reply, const struct err *e)
{
    struct redis *r = arg;

    (void)reply;
    if (!strstr(e->text, "NOPERM") && refused(r, e, "PING"))
        return;
    r->up = true;
    r->proven = false;
    r->up_since = uv_now(r->o.loop);
    if (r->o.on_up)
        r->o.on_up(r->o.arg);
}

static void send_greeting(struct redis *r)
{
    const struct redis_url *url = r->o.url;
    char db[16];

    if (url->password.len && url->user)
        greet(r, on_auth, 3, (const char *[]){"AUTH", url->user, url->password.data});
    else if (url->password.len)
        greet(r, on_auth, 2, (const char *[]){"AUTH", url->password.data});
    (void)snprintf(db, sizeof db, "%d", url->db);
    if (url->db)
        greet(r, on_select, 2, (const char *[]){"SELECT", db});
    if (r->o.client_name)
        greet(r, on_named, 3, (const char *[]){"CLIENT", "SETNAME", r->o.client_name});
    if (url->sentinel_name)
        greet(r, on_role, 1, (const char *[]){"ROLE"});
    r->loaded = 0;
    for (size_t i = 0; i < r->o.script_count; i++)
        greet(r, on_script, 3,
              (const char *[]){"SCRIPT", "LOAD", r->o.scripts[i].source});
    greet(r, on_ready, 1, (const char *[]){"PING"});
}

/* --- connecting ---------------------------------------------------------------------
 */

static void hang_up(struct redis *r)
{
    stream_close(r->stream);
    resp_free(r->resp);
    r->stream = NULL;
    r->resp = NULL;
    r->up = false;
    (void)uv_timer_stop(&r->late);
}

static void on_retry(uv_timer_t *t)
{
    connect_now(t->data);
}

static int64_t retry_delay(const struct redis *r, enum err_class class)
{
    uint32_t random = randombytes_random();

    if (class != ERR_AUTH)
        return backoff_delay_ms(r->tries, RETRY_BASE_MS, RETRY_CAP_MS, random);
    return RETRY_CAP_MS / 2 +
           backoff_delay_ms(1, RETRY_CAP_MS, RETRY_CAP_MS / 2, random);
}

/* A connection that came up and then did nothing useful counts as a failed try: else a
 * read-only server would be called without a pause. */
static void lose(struct redis *r, const struct err *why)
{
    struct err e = *why;
    bool served =
        r->up && (r->proven || uv_now(r->o.loop) > r->up_since + RETRY_CAP_MS);

    if (!r->stream)
        return;
    r->tries = served ? 1 : r->tries + 1;
    hang_up(r);
    mem_set(&r->master, NULL);
    r->sentinel++;
    e.code = REDIS_LOST;
    fail_pending(r, &e);
    if (r->closing)
        return;
    e.code = 0;
    (void)uv_timer_start(&r->retry, on_retry, (uint64_t)retry_delay(r, e.class), 0);
    if (r->o.on_down)
        r->o.on_down(r->o.arg, &e);
}

static void on_master(void *arg, const struct redisReply *reply, const struct err *e)
{
    struct redis *r = arg;
    struct err why;
    int64_t port;

    if (refused(r, e, "Sentinel"))
        return;
    if (reply_count(reply) != 2 ||
        !num_parse(reply_str(reply_at(reply, 1)), 1, 65535, &port)) {
        (void)err_set(&why, ERR_TRANSIENT, 0, "Sentinel knows no master named %s",
                      r->o.url->sentinel_name);
        lose(r, &why);
        return;
    }
    mem_set(&r->master, reply_str(reply_at(reply, 0)));
    r->master_port = (int)port;
    hang_up(r);
    connect_now(r);
}

static void on_open(void *arg)
{
    struct redis *r = arg;

    if (r->o.url->sentinel_name && !r->master)
        greet(r, on_master, 3,
              (const char *[]){"SENTINEL", "get-master-addr-by-name",
                               r->o.url->sentinel_name});
    else
        send_greeting(r);
}

static void on_end(void *arg, const struct err *e)
{
    struct err why = *e;

    (void)err_wrap(&why, "Redis");
    lose(arg, &why);
}

/* The sentinel whose turn it is: "host:port" number (r->sentinel mod count). */
static char *next_sentinel(const struct redis *r, int *port)
{
    const char *list = r->o.url->sentinels;
    unsigned int count = 1, turn;
    char *host, *colon;
    int64_t n = 26379;

    for (const char *p = list; *p; p++)
        count += *p == ',';
    for (turn = r->sentinel % count; turn; turn--)
        list = strchr(list, ',') + 1;
    host = mem_dup(list, strcspn(list, ","));
    colon = strrchr(host, ':');
    if (colon && num_parse(colon + 1, 1, 65535, &n))
        *colon = '\0';
    *port = (int)n;
    return host;
}

static void connect_now(struct redis *r)
{
    static const struct stream_events events = {on_open, on_data, on_end};
    const struct redis_url *url = r->o.url;
    struct stream_target t = {.host = url->host,
                              .port = url->port,
                              .path = url->path,
                              .tls = url->tls ? r->o.tls : NULL,
                              .connect_timeout_ms = r->o.timeout_ms};
    char *asked = NULL;

    if (r->master) {
        t.host = r->master;
        t.port = r->master_port;
    } else if (url->sentinel_name) {
        t.host = asked = next_sentinel(r, &t.port);
        t.connect_timeout_ms = SENTINEL_TIMEOUT_MS;
    }
    r->resp = resp_new();
    r->stream = stream_open(r->o.loop, &t, &events, r);
    free(asked);
}

/* --- life ---------------------------------------------------------------------------
 */

struct redis *redis_new(const struct redis_options *options)
{
    struct redis *r = mem_new(1, sizeof *r);

    r->o = *options;
    r->sha = mem_new(r->o.script_count, sizeof *r->sha);
    r->tails.max = r->command.max = COMMAND_MAX;
    (void)uv_timer_init(r->o.loop, &r->retry);
    (void)uv_timer_init(r->o.loop, &r->late);
    r->retry.data = r->late.data = r;
    r->handles = 2;
    connect_now(r);
    return r;
}

bool redis_is_up(const struct redis *r)
{
    return r->up;
}

static void on_closed(uv_handle_t *h)
{
    struct redis *r = h->data;

    if (--r->handles)
        return;
    free(r->ring);
    free(r->sha);
    free(r->master);
    buf_done(&r->tails);
    buf_done(&r->command);
    free(r);
}

void redis_free(struct redis *r)
{
    struct err e;

    if (!r || r->closing)
        return;
    r->closing = true;
    hang_up(r);
    (void)err_set(&e, ERR_CANCELLED, REDIS_LOST, "the Redis client was closed");
    fail_pending(r, &e);
    uv_close((uv_handle_t *)&r->retry, on_closed);
    uv_close((uv_handle_t *)&r->late, on_closed);
}
