/* client: see client.h. */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "mem.h"
#include "num.h"
#include "queue_confirm.h"
#include "queue_lua.h"
#include "settings.h"
#include "tls.h"

#define REPLY_MS 5000
#define CONNECT_MS 5000
#define CONFIRM_MS 2000

struct client {
    uv_loop_t loop;
    uv_timer_t timer;
    bool timed_out;
    struct tls *tls;
    struct redis *redis;
    struct queue *queue;
    int64_t replicas; /* that have to confirm */
    size_t outstanding;
    struct err err;  /* the first failure since the last wait */
    struct err down; /* why there is no connection */
};

struct call {
    struct client *client;
    client_fn fn;
    void *arg;
};

/* ---- waiting ---- */

struct uv_loop_s *client_loop(struct client *c)
{
    return &c->loop;
}

/* A turn of the loop runs timers first and sleeps then: what a timer has brought about
 * would be seen only when something else happens. */
void client_wake(struct client *c)
{
    uv_stop(&c->loop);
}

void client_await(struct client *c, const bool *done)
{
    while (!*done)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
}

static void on_timer(uv_timer_t *t)
{
    struct client *c = t->data;

    c->timed_out = true;
    client_wake(c);
}

static void set_timer(struct client *c, int64_t ms)
{
    c->timed_out = false;
    uv_update_time(&c->loop);
    (void)uv_timer_start(&c->timer, on_timer, (uint64_t)ms, 0);
}

static void on_down(void *arg, const struct err *e)
{
    struct client *c = arg;

    c->down = *e;
    client_wake(c);
}

/* ---- opening and closing ---- */

void client_where(const struct settings *settings, char *out, size_t size)
{
    const struct redis_url *url = &settings->redis;

    if (url->sentinel_name)
        (void)snprintf(out, size, "%s, as the sentinels %s name it", url->sentinel_name,
                       url->sentinels);
    else if (url->path)
        (void)snprintf(out, size, "unix://%s", url->path);
    else
        (void)snprintf(out, size, strchr(url->host, ':') ? "[%s]:%d" : "%s:%d",
                       url->host, url->port);
}

/* With sentinels one that does not answer says nothing about the next. */
static bool given_up(const struct client *c, const struct redis_url *url)
{
    return c->timed_out || (c->down.class != ERR_NONE && !url->sentinel_name);
}

static int await_up(struct client *c, const struct settings *settings, struct err *e)
{
    const struct redis_url *url = &settings->redis;
    char address[512];

    set_timer(c, CONNECT_MS);
    while (!redis_is_up(c->redis) && !given_up(c, url))
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    (void)uv_timer_stop(&c->timer);
    if (redis_is_up(c->redis))
        return 0;
    if (c->down.class == ERR_NONE)
        (void)err_set(&c->down, ERR_TRANSIENT, 0, "no answer within %d s",
                      CONNECT_MS / 1000);
    *e = c->down;
    client_where(settings, address, sizeof address);
    return err_wrap(e, "cannot use Redis at %s (STOPGAP_REDIS_URL)", address);
}

static void start(struct client *c, const struct settings *settings)
{
    const struct redis_options options = {
        .loop = &c->loop,
        .url = &settings->redis,
        .tls = c->tls,
        .client_name = "stopgapctl",
        .scripts = queue_scripts,
        .script_count = QUEUE_SCRIPT_COUNT,
        .timeout_ms = REPLY_MS,
        .on_down = on_down,
        .arg = c,
    };

    c->redis = redis_new(&options);
    c->queue = queue_new(c->redis, settings, NULL);
    c->replicas = settings->redis_wait;
}

struct client *client_offline(struct err *e)
{
    struct client *c = mem_new(1, sizeof *c);
    int rc = uv_loop_init(&c->loop);

    if (rc) {
        (void)err_set(e, ERR_BUG, 0, "event loop: %s", uv_strerror(rc));
        free(c);
        return NULL;
    }
    (void)uv_timer_init(&c->loop, &c->timer); /* always 0 */
    c->timer.data = c;
    return c;
}

struct client *client_open(const struct settings *settings, struct err *e)
{
    struct client *c = client_offline(e);

    if (!c)
        return NULL;
    if (settings->redis.tls && !(c->tls = tls_new(settings->ca_file, e))) {
        client_close(c);
        return NULL;
    }
    start(c, settings);
    if (await_up(c, settings, e)) {
        client_close(c);
        return NULL;
    }
    return c;
}

void client_close(struct client *c)
{
    if (!c)
        return;
    redis_free(c->redis);
    uv_close((uv_handle_t *)&c->timer, NULL);
    (void)uv_run(&c->loop, UV_RUN_DEFAULT); /* until the handles have closed */
    (void)uv_loop_close(&c->loop);
    queue_free(c->queue);
    tls_free(c->tls);
    free(c);
}

/* ---- commands ---- */

void client_key(const struct client *c, const char *name, const char *tail,
                char out[static QUEUE_KEY_MAX])
{
    queue_key(c->queue, name, tail, out);
}

static void note(struct client *c, const struct err *e)
{
    if (c->err.class == ERR_NONE)
        c->err = *e;
}

static void on_reply(void *arg, const struct redisReply *reply, const struct err *e)
{
    struct call call = *(struct call *)arg;

    free(arg);
    if (e->class != ERR_NONE)
        note(call.client, e);
    else if (call.fn)
        call.fn(call.arg, reply);
    call.client->outstanding--;
    client_wake(call.client);
}

void client_send(struct client *c, client_fn fn, void *arg, int argc,
                 const char *const *argv, const size_t *lens)
{
    struct call *call = mem_new(1, sizeof *call);
    struct err e;

    *call = (struct call){.client = c, .fn = fn, .arg = arg};
    if (redis_call(c->redis, on_reply, call, argc, argv, lens, &e)) {
        free(call);
        note(c, c->down.class != ERR_NONE ? &c->down : &e);
        return;
    }
    c->outstanding++;
}

int client_wait(struct client *c, struct err *e)
{
    while (c->outstanding)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    if (c->err.class == ERR_NONE)
        return 0;
    *e = c->err;
    err_clear(&c->err);
    return -1;
}

static void on_time(void *arg, const struct redisReply *reply)
{
    int64_t *ms = arg;

    if (reply_count(reply) == 2)
        *ms =
            reply_int(reply_at(reply, 0)) * 1000 + reply_int(reply_at(reply, 1)) / 1000;
}

int client_now(struct client *c, int64_t *out_ms, struct err *e)
{
    client_send(c, on_time, out_ms, 1, (const char *[]){"TIME"}, NULL);
    return client_wait(c, e);
}

static void on_confirmed(void *arg, const struct redisReply *reply)
{
    *(int64_t *)arg = reply_int(reply);
}

int client_confirm(struct client *c, struct err *e)
{
    char replicas[24], ms[24];
    int64_t confirmed = 0;

    if (!c->replicas)
        return 0;
    (void)num_format(c->replicas, replicas);
    (void)num_format(CONFIRM_MS, ms);
    client_send(c, on_confirmed, &confirmed, 3, (const char *[]){"WAIT", replicas, ms},
                NULL);
    if (client_wait(c, e))
        return -1;
    queue_confirm_judge(confirmed, c->replicas, e);
    return e->class == ERR_NONE ? 0 : -1;
}

int64_t client_loop_ms(struct client *c)
{
    uv_update_time(&c->loop);
    return (int64_t)uv_now(&c->loop);
}

void client_pause(struct client *c, int64_t ms)
{
    set_timer(c, ms);
    client_await(c, &c->timed_out);
}

/* ---- scripts ---- */

struct asking {
    struct client *client;
    struct client_answer *out;
};

static void on_answer(void *arg, const char *word, const char *detail,
                      const struct err *e)
{
    struct asking *a = arg;

    a->client->outstanding--;
    client_wake(a->client);
    if (e->class != ERR_NONE) {
        note(a->client, e);
        return;
    }
    (void)snprintf(a->out->word, sizeof a->out->word, "%s", word);
    (void)snprintf(a->out->detail, sizeof a->out->detail, "%s", detail);
}

/* rc: of the call that was to send it. */
static int await_answer(struct client *c, int rc, struct err *e)
{
    if (rc)
        return -1;
    c->outstanding++;
    return client_wait(c, e);
}

int client_requeue(struct client *c, const struct queue_requeue *what,
                   struct client_answer *out, struct err *e)
{
    struct asking a = {c, out};

    return await_answer(c, queue_requeue(c->queue, what, on_answer, &a, e), e);
}

int client_resend(struct client *c, const char *id, const struct queue_by *by,
                  struct client_answer *out, struct err *e)
{
    struct asking a = {c, out};

    return await_answer(c, queue_resend(c->queue, id, by, "", on_answer, &a, e), e);
}

int client_discard(struct client *c, const char *id, const struct queue_by *by,
                   struct client_answer *out, struct err *e)
{
    struct asking a = {c, out};

    return await_answer(c, queue_discard(c->queue, id, by, on_answer, &a, e), e);
}

int client_submit(struct client *c, const struct queue_submit *request, struct err *e)
{
    struct client_answer answer;
    struct asking a = {c, &answer};

    return await_answer(c, queue_submit(c->queue, request, on_answer, &a, e), e);
}

int client_forget(struct client *c, const struct queue_forget *what,
                  struct client_answer *out, struct err *e)
{
    struct asking a = {c, out};

    return await_answer(c, queue_forget(c->queue, what, on_answer, &a, e), e);
}

int client_pause_queue(struct client *c, const char *reason, const struct queue_by *by,
                       bool *changed, struct err *e)
{
    struct client_answer answer;
    struct asking a = {c, &answer};

    if (await_answer(c, queue_pause(c->queue, reason, by, on_answer, &a, e), e))
        return -1;
    *changed = strcmp(answer.detail, "1") == 0;
    return 0;
}

struct checking {
    struct client *client;
    client_findings_fn fn;
    void *arg;
};

static void on_findings(void *arg, const struct queue_findings *f, const struct err *e)
{
    struct checking check = *(struct checking *)arg;

    free(arg);
    check.client->outstanding--;
    client_wake(check.client);
    if (e->class != ERR_NONE)
        note(check.client, e);
    else
        check.fn(check.arg, f);
}

void client_check(struct client *c, const struct queue_check *what,
                  client_findings_fn fn, void *arg)
{
    struct checking *check = mem_new(1, sizeof *check);
    struct err e;

    *check = (struct checking){.client = c, .fn = fn, .arg = arg};
    if (queue_check(c->queue, what, on_findings, check, &e)) {
        free(check);
        note(c, c->down.class != ERR_NONE ? &c->down : &e);
        return;
    }
    c->outstanding++;
}
