/* redis: see redis.h. Who to connect to, what to say first, when to try again; the
 * commands themselves are pipeline.c's. */
#include "redis.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "backoff.h"
#include "mem.h"
#include "num.h"
#include "pipeline.h"
#include "stream.h"
#include "tls.h"

#define RETRY_BASE_MS 50
#define RETRY_CAP_MS 5000
#define SENTINEL_TIMEOUT_MS 1000
#define HOST_MAX 253
#define TELLING 16 /* characters of a password that no other text has by chance */

struct redis {
    struct redis_options o;
    struct pipeline *line;
    bool up;
    bool closing;
    uint64_t up_since;
    uint64_t good_before; /* this connection came up */
    int64_t tries;        /* that failed in a row */
    size_t loaded;        /* scripts, in this greeting */

    char *master; /* as told by Sentinel */
    int master_port;
    char server[300];      /* both, also while there is no connection */
    unsigned int sentinel; /* which to ask next */
    uv_timer_t retry;
};

static void lose(struct redis *r, const struct err *why);
static void connect_now(struct redis *r);

/* --- commands -----------------------------------------------------------------------
 */

static int not_up(struct err *e)
{
    return err_set(e, ERR_TRANSIENT, 0, "no connection to Redis");
}

int redis_call(struct redis *r, redis_fn fn, void *arg, int argc,
               const char *const *argv, const size_t *lens, struct err *e)
{
    return r->up ? pipeline_send(r->line, fn, arg, r->o.timeout_ms, argc, argv, lens, e)
                 : not_up(e);
}

int redis_call_blocking(struct redis *r, redis_fn fn, void *arg, int argc,
                        const char *const *argv, int64_t wait_ms, struct err *e)
{
    int64_t allow_ms = r->o.timeout_ms + wait_ms;

    return r->up ? pipeline_send(r->line, fn, arg, allow_ms, argc, argv, NULL, e)
                 : not_up(e);
}

int redis_eval(struct redis *r, redis_fn fn, void *arg, size_t index, int numkeys,
               int argc, const char *const *argv, const size_t *lens, struct err *e)
{
    return r->up ? pipeline_eval(r->line, fn, arg, r->o.timeout_ms, index, numkeys,
                                 argc, argv, lens, e)
                 : not_up(e);
}

/* --- greeting: what is sent on each connect, in one write ---------------------------
 */

static void say(struct redis *r, redis_fn fn, int64_t allow_ms, int argc,
                const char *const *argv)
{
    struct err e;

    if (!pipeline_attached(r->line)) /* given up on an earlier line */
        return;
    if (pipeline_send(r->line, fn, r, allow_ms, argc, argv, NULL, &e) < 0)
        lose(r, &e);
}

static void greet(struct redis *r, redis_fn fn, int argc, const char *const *argv)
{
    say(r, fn, r->o.timeout_ms, argc, argv);
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

/* Also where its end was cut off. */
static bool repeats(const char *text, const struct secret *password)
{
    size_t len = password->len < TELLING ? password->len : TELLING;

    return memmem(text, strlen(text), password->data, len);
}

/* A server without AUTH, or with another name for it, says the command again. */
static void on_auth(void *arg, const struct redisReply *reply, const struct err *e)
{
    struct redis *r = arg;
    struct err why = *e;

    (void)reply;
    if (repeats(e->text, &r->o.url->password))
        (void)err_set(&why, e->class, e->code,
                      "Redis: (words that repeat the password)");
    (void)refused(r, &why, "AUTH");
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
    pipeline_set_sha(r->line, r->loaded++, reply_str(reply));
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
    bool may_not = e->code != REDIS_LOST && strstr(e->text, "NOPERM");

    (void)reply;
    if (!may_not && refused(r, e, "PING"))
        return;
    r->up = true;
    r->good_before = pipeline_good(r->line);
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
    pipeline_detach(r->line);
    r->up = false;
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
    bool served;

    if (!pipeline_attached(r->line))
        return;
    served = r->up && (pipeline_good(r->line) > r->good_before ||
                       uv_now(r->o.loop) > r->up_since + RETRY_CAP_MS);
    r->tries = served ? 1 : r->tries + 1;
    hang_up(r);
    mem_set(&r->master, NULL);
    r->sentinel++;
    e.code = REDIS_LOST;
    pipeline_fail(r->line, &e);
    if (r->closing)
        return;
    e.code = 0;
    (void)uv_timer_start(&r->retry, on_retry, (uint64_t)retry_delay(r, e.class), 0);
    if (r->o.on_down)
        r->o.on_down(r->o.arg, &e);
}

static bool is_host(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= HOST_MAX;
}

static void on_master(void *arg, const struct redisReply *reply, const struct err *e)
{
    struct redis *r = arg;
    struct err why;
    int64_t port;

    if (refused(r, e, "Sentinel"))
        return;
    if (reply_count(reply) != 2 || !is_host(reply_str(reply_at(reply, 0))) ||
        !num_parse(reply_str(reply_at(reply, 1)), 1, 65535, &port)) {
        (void)err_set(&why, ERR_TRANSIENT, 0, "Sentinel knows no master named %s",
                      r->o.url->sentinel_name);
        lose(r, &why);
        return;
    }
    mem_set(&r->master, reply_str(reply_at(reply, 0)));
    r->master_port = (int)port;
    (void)snprintf(r->server, sizeof r->server, "%.280s:%d", r->master, r->master_port);
    hang_up(r);
    connect_now(r);
}

/* Not connected to the server itself, but to one that knows where it is. */
static bool asks_sentinel(const struct redis *r)
{
    return r->o.url->sentinel_name && !r->master;
}

static void on_open(void *arg)
{
    struct redis *r = arg;

    if (asks_sentinel(r))
        say(r, on_master, SENTINEL_TIMEOUT_MS, 3,
            (const char *[]){"SENTINEL", "get-master-addr-by-name",
                             r->o.url->sentinel_name});
    else
        send_greeting(r);
}

static void on_data(void *arg, const char *bytes, size_t len)
{
    struct redis *r = arg;

    pipeline_feed(r->line, bytes, len);
}

static void on_broken(void *arg, const struct err *e)
{
    lose(arg, e);
}

static void on_end(void *arg, const struct err *e)
{
    struct err why = *e;

    (void)err_wrap(&why, asks_sentinel(arg) ? "Sentinel" : "Redis");
    lose(arg, &why);
}

/* The sentinel whose turn it is: number (r->sentinel mod count) of the list, each
 * HOST:PORT or [V6]:PORT. */
static char *next_sentinel(const struct redis *r, int *port)
{
    const char *list = r->o.url->sentinels;
    unsigned int count = 1, turn;
    int64_t n = 26379;
    char *host, digits[8];
    size_t bracket;

    for (const char *p = list; *p; p++)
        count += *p == ',';
    for (turn = r->sentinel % count; turn; turn--)
        list = strchr(list, ',') + 1;
    bracket = *list == '[';
    list += bracket;
    host = mem_dup(list, strcspn(list, bracket ? "]" : ":,"));
    list += strlen(host) + bracket;
    (void)snprintf(digits, sizeof digits, "%.*s", (int)strcspn(list, ","), list);
    *port = num_parse(digits + (*digits == ':'), 1, 65535, &n) ? (int)n : 26379;
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
    pipeline_attach(r->line, stream_open(r->o.loop, &t, &events, r));
    free(asked);
}

/* --- life ---------------------------------------------------------------------------
 */

struct redis *redis_new(const struct redis_options *options)
{
    struct redis *r = mem_new(1, sizeof *r);

    r->o = *options;
    r->line =
        pipeline_new(r->o.loop, r->o.scripts, r->o.script_count,
                     r->o.reply_max ? r->o.reply_max : REDIS_REPLY_MAX, on_broken, r);
    (void)uv_timer_init(r->o.loop, &r->retry);
    r->retry.data = r;
    connect_now(r);
    return r;
}

void redis_distrust(struct redis *r, const struct err *why)
{
    r->good_before = pipeline_good(r->line); /* what it answered was of no use */
    lose(r, why);
}

bool redis_is_up(const struct redis *r)
{
    return r->up;
}

const char *redis_server(const struct redis *r)
{
    return r->server;
}

static void on_closed(uv_handle_t *h)
{
    struct redis *r = h->data;

    free(r->master);
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
    pipeline_fail(r->line, &e);
    uv_close((uv_handle_t *)&r->retry, on_closed);
    pipeline_free(r->line);
}
