/* A Redis, or a Sentinel, that answers whatever it likes. First two bytes: how the
 * client is set up, and how the bytes are cut; the rest is what every server that it
 * connects to says, one after the other. Every command gets its callback once, later,
 * with a reply or a reason; what is sent is whole commands, whatever was received; and
 * the cut makes no difference. The stream is this file's, and so are the clock and the
 * timers. */
#include <stdbool.h>

#include <uv.h>

#include "fuzz_input.h"
#include "redis.h"
#include "resp.h"
#include "stream.h"

#define REPLY_MAX (1 << 20)
#define CALLS_MAX 64
#define TURNS_MAX 400
#define LIVES_MAX 8 /* connections */

enum flag {
    WITH_PASSWORD = 1,
    WITH_SENTINEL = 2,
    WITH_SCRIPTS = 4,
    FREE_INSIDE = 8,
    DISTRUST = 16,
    SILENT = 32, /* the last server hangs instead of closing */
    WITH_DB = 64,
};

struct stream {
    const struct stream_events *events;
    void *arg;
    bool open;
    struct resp *sent; /* reads our own commands */
};

struct timer {
    uv_timer_t *handle;
    uv_timer_cb cb;
    uint64_t due;
};

struct call {
    bool accepted, answered;
};

static struct stream *line;
static struct timer timers[4];
static uint64_t clock_ms;
static struct redis *client;
static struct call calls[CALLS_MAX];
static size_t call_count;
static unsigned flags, lives;
static bool inside;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- In place of the network and of libuv's clock --- */

struct stream *stream_open(struct uv_loop_s *loop, const struct stream_target *target,
                           const struct stream_events *events, void *arg)
{
    (void)loop;
    PROMISE(!line && target->host && *target->host && target->port > 0);
    PROMISE(target->port <= 65535 && target->connect_timeout_ms > 0);
    line = mem_new(1, sizeof *line);
    *line = (struct stream){.events = events, .arg = arg, .sent = resp_new(REPLY_MAX)};
    lives++;
    return line;
}

void stream_write(struct stream *s, const void *bytes, size_t len)
{
    struct redisReply *command;
    struct err e;

    PROMISE(s == line && s->open);
    resp_feed(s->sent, bytes, len);
    while (resp_next(s->sent, &command, &e) == 1) {
        PROMISE(reply_count(command) > 0);
        for (size_t i = 0; i < reply_count(command); i++)
            PROMISE(reply_type(reply_at(command, i)) == REPLY_STRING);
        reply_free(command);
    }
    PROMISE(resp_next(s->sent, &command, &e) == 0); /* nothing half, nothing odd */
}

void stream_close(struct stream *s)
{
    if (!s)
        return;
    PROMISE(s == line);
    line = NULL;
    resp_free(s->sent);
    free(s);
}

uint64_t uv_now(const uv_loop_t *loop)
{
    (void)loop;
    return clock_ms;
}

/* A turn's time is over after some replies. */
uint64_t uv_hrtime(void)
{
    static uint64_t now;

    return now += 150000;
}

int uv_timer_stop(uv_timer_t *handle)
{
    for (size_t i = 0; i < ARRAY_LEN(timers); i++)
        if (timers[i].handle == handle)
            timers[i].handle = NULL;
    return 0;
}

int uv_timer_start(uv_timer_t *handle, uv_timer_cb cb, uint64_t timeout,
                   uint64_t repeat)
{
    size_t i = 0;

    PROMISE(repeat == 0 && timeout < 60000);
    (void)uv_timer_stop(handle);
    while (timers[i].handle)
        PROMISE(++i < ARRAY_LEN(timers));
    timers[i] = (struct timer){handle, cb, clock_ms + timeout};
    return 0;
}

/* The one that is due first; false if there is none. */
static bool pass_time(void)
{
    struct timer *next = NULL;
    struct timer now;

    for (size_t i = 0; i < ARRAY_LEN(timers); i++)
        if (timers[i].handle && (!next || timers[i].due < next->due))
            next = &timers[i];
    if (!next)
        return false;
    now = *next;
    next->handle = NULL;
    clock_ms = now.due > clock_ms ? now.due : clock_ms;
    now.cb(now.handle);
    return true;
}

/* --- Replies --- */

/* Everything that can be asked of a reply, as text. */
static void trace(const struct redisReply *r, struct buf *out)
{
    enum reply_type type = reply_type(r);

    buf_addf(out, "%d:%lld:", (int)type, (long long)reply_int(r));
    if (type == REPLY_STRING) {
        PROMISE(reply_str(r)[reply_len(r)] == '\0');
        buf_add(out, reply_str(r), reply_len(r));
    } else {
        PROMISE(!*reply_str(r) && reply_len(r) == 0 && !reply_error(r));
    }
    buf_addf(out, "[%zu", reply_count(r));
    for (size_t i = 0; i < reply_count(r); i++)
        trace(reply_at(r, i), out);
    buf_addc(out, ']');
}

static void read_all(const char *bytes, size_t len, size_t step, struct buf *out)
{
    struct resp *p = resp_new(REPLY_MAX);
    struct redisReply *reply;
    struct err e = {.class = ERR_NONE};
    int rc = 0;

    for (size_t at = 0; at < len && rc >= 0; at += step) {
        size_t n = len - at < step ? len - at : step;
        char *part = mem_dup(bytes + at, n);

        resp_feed(p, part, n);
        while ((rc = resp_next(p, &reply, &e)) == 1) {
            trace(reply, out);
            reply_free(reply);
        }
        free(part);
    }
    if (rc < 0) {
        PROMISE(e.class == ERR_TRANSIENT && e.text[0]);
        PROMISE(resp_next(p, &reply, &e) == -1); /* and stays so */
        buf_adds(out, "bad");
    }
    resp_free(p);
}

static void check_cut(const char *bytes, size_t len, size_t step)
{
    struct buf whole, cut;

    buf_init(&whole, 1 << 24);
    buf_init(&cut, 1 << 24);
    read_all(bytes, len, len + 1, &whole);
    read_all(bytes, len, step, &cut);
    PROMISE(!whole.failed && whole.len == cut.len &&
            !memcmp(whole.data, cut.data, cut.len));
    buf_done(&whole);
    buf_done(&cut);
}

/* --- The client --- */

static void send_some(void);

static void on_reply(void *arg, const struct redisReply *reply, const struct err *e)
{
    struct call *c = arg;
    struct buf text;

    PROMISE(!inside && c->accepted && !c->answered);
    PROMISE((reply != NULL) == (e->class == ERR_NONE));
    c->answered = true;
    buf_init(&text, 1 << 24);
    if (reply)
        trace(reply, &text);
    else
        PROMISE(e->text[0] && (e->code == 0 || e->code == REDIS_LOST));
    buf_done(&text);
    if (e->class == ERR_CANCELLED || !client)
        return;
    if (flags & FREE_INSIDE && call_count > 5) {
        struct redis *r = client;

        client = NULL;
        redis_free(r);
    } else if (flags & DISTRUST && call_count % 7 == 0) {
        redis_distrust(client, &(struct err){.class = ERR_TRANSIENT, .text = "odd"});
    } else {
        send_some();
    }
}

static void send_one(size_t kind)
{
    struct call *c = &calls[call_count];
    struct err e;
    int rc;

    if (call_count == CALLS_MAX)
        return;
    inside = c->accepted = true;
    call_count++;
    if (kind == 0)
        rc = redis_call(client, on_reply, c, 2, (const char *[]){"GET", "k"}, NULL, &e);
    else if (kind == 1)
        rc = redis_call_blocking(client, on_reply, c, 2, (const char *[]){"BLPOP", "k"},
                                 1000, &e);
    else
        rc = redis_eval(client, on_reply, c, call_count % 2, 1, 2,
                        (const char *[]){"k", "a\0b"}, (const size_t[]){1, 3}, &e);
    inside = false;
    PROMISE((rc == 0) == redis_is_up(client));
    if (rc)
        *c = (struct call){.accepted = false};
}

static void send_some(void)
{
    send_one(call_count % 2);
    if (flags & WITH_SCRIPTS)
        send_one(2);
}

static void on_up(void *arg)
{
    (void)arg;
    PROMISE(redis_is_up(client) && line);
    send_some();
}

static void on_down(void *arg, const struct err *e)
{
    (void)arg;
    PROMISE(!redis_is_up(client) && e->class != ERR_NONE && e->text[0] && !line);
    for (size_t i = 0; i < call_count; i++)
        PROMISE(!calls[i].accepted || calls[i].answered);
}

static bool serve(const char **bytes, size_t *left, size_t step)
{
    size_t n = *left < step ? *left : step;
    char *part;

    if (!line)
        return lives < LIVES_MAX && pass_time();
    if (!line->open) {
        line->open = true;
        line->events->on_open(line->arg);
        return true;
    }
    if (n) {
        part = mem_dup(*bytes, n);
        *bytes += n;
        *left -= n;
        line->events->on_data(line->arg, part, n);
        free(part);
        return true;
    }
    if (lives == LIVES_MAX)
        return false;
    if (!(flags & SILENT) || !pass_time())
        line->events->on_end(line->arg, &(struct err){.class = ERR_TRANSIENT,
                                                      .text = "closed by the peer"});
    return true;
}

static void run(uv_loop_t *loop, const char *bytes, size_t len, size_t step)
{
    static const struct redis_script scripts[] = {{"one", "return 1"},
                                                  {"two", "return 2"}};
    static char host[] = "h", user[] = "u", name[] = "m",
                list[] = "a:1,[::1]:26379,b:x";
    struct redis_url url = {.host = host, .port = 6379};

    if (flags & WITH_PASSWORD) {
        secret_set(&url.password, "p\r\n*1", 5);
        url.user = len % 2 ? user : NULL;
    }
    if (flags & WITH_SENTINEL) {
        url.host = NULL;
        url.sentinel_name = name;
        url.sentinels = list;
    }
    url.db = flags & WITH_DB ? 3 : 0;
    client = redis_new(&(struct redis_options){
        .loop = loop,
        .url = &url,
        .client_name = "fuzz",
        .scripts = scripts,
        .script_count = flags & WITH_SCRIPTS ? ARRAY_LEN(scripts) : 0,
        .timeout_ms = 5000,
        .reply_max = len % 3 ? 0 : 5000,
        .on_up = on_up,
        .on_down = on_down});
    for (int turn = 0; client && turn < TURNS_MAX && serve(&bytes, &len, step);
         turn++) {
        if (client)
            PROMISE(strlen(redis_server(client)) < 300);
        (void)uv_run(loop, UV_RUN_NOWAIT);
    }
    redis_free(client);
    client = NULL;
    PROMISE(!line);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    secret_done(&url.password);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data + 2;
    uv_loop_t loop;
    size_t step;

    if (size < 2 || size > 20000)
        return 0;
    flags = data[0];
    step = (size_t)data[1] % 97 + 1 + size / 200;
    check_cut(bytes, size - 2, step);
    call_count = lives = 0;
    memset(timers, 0, sizeof timers);
    memset(calls, 0, sizeof calls);
    PROMISE(!uv_loop_init(&loop));
    run(&loop, bytes, size - 2, step);
    for (size_t i = 0; i < call_count; i++)
        PROMISE(!calls[i].accepted || calls[i].answered);
    PROMISE(!uv_loop_close(&loop));
    return 0;
}
