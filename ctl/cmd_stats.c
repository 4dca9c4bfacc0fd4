/* cmd_stats: the queue in numbers. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "cmd.h"
#include "ctl.h"
#include "err.h"
#include "mem.h"
#include "num.h"
#include "out.h"
#include "settings.h"

#define WATCH_MS 2000
#define COUNTERS_MOST 64
#define WORKERS_MOST 1000

static const char *const lane_names[] = {"smtp", "gitlab", "slack", "zendesk",
                                         "zendesk_note"};

/* An outside system that is closed to jobs. */
struct closed_lane {
    int64_t until_ms, since_ms; /* until_ms 0: it is open */
    enum err_class class;
    char text[ERR_TEXT_MAX];
};

struct counter {
    char name[32];
    int64_t value;
};

struct stats {
    struct client *client;
    int64_t now_ms;
    int64_t inbox, pending, solo, active, delayed, failed, done, follow, workers;
    int64_t oldest_ready_ms;  /* when it was accepted; 0: none */
    int64_t oldest_failed_ms; /* when it failed */
    char paused[1024];        /* "<ms> <who> <reason>", or "" */
    struct counter counters[COUNTERS_MOST];
    size_t counter_count;
    struct closed_lane lanes[ARRAY_LEN(lane_names)];
};

/* ---- reading ---- */

static void on_number(void *arg, const struct redisReply *reply)
{
    *(int64_t *)arg = reply_int(reply);
}

static void on_added(void *arg, const struct redisReply *reply)
{
    *(int64_t *)arg += reply_int(reply);
}

/* ZRANGE 0 0 WITHSCORES: the score */
static void on_score(void *arg, const struct redisReply *reply)
{
    if (reply_count(reply) == 2)
        *(int64_t *)arg = reply_int(reply_at(reply, 1));
}

static void on_accepted(void *arg, const struct redisReply *reply)
{
    int64_t *oldest = arg, ms = reply_int(reply);

    if (ms > 0 && (*oldest == 0 || ms < *oldest))
        *oldest = ms;
}

/* LINDEX of a list that is taken from at this end. */
static void on_oldest(void *arg, const struct redisReply *reply)
{
    struct stats *s = arg;
    char key[QUEUE_KEY_MAX];

    if (!job_id_valid(reply_str(reply)))
        return;
    client_key(s->client, "job:", reply_str(reply), key);
    client_send(s->client, on_accepted, &s->oldest_ready_ms, 3,
                (const char *[]){"HGET", key, "accepted_ms"}, NULL);
}

static void on_paused(void *arg, const struct redisReply *reply)
{
    struct stats *s = arg;

    (void)snprintf(s->paused, sizeof s->paused, "%s",
                   reply_type(reply) == REPLY_STRING ? reply_str(reply) : "");
}

static void on_counters(void *arg, const struct redisReply *reply)
{
    struct stats *s = arg;
    size_t count = reply_count(reply) / 2;

    for (size_t i = 0; i < count && s->counter_count < COUNTERS_MOST; i++) {
        struct counter *counter = &s->counters[s->counter_count++];

        (void)snprintf(counter->name, sizeof counter->name, "%s",
                       reply_str(reply_at(reply, 2 * i)));
        counter->value = reply_int(reply_at(reply, 2 * i + 1));
    }
}

static void on_worker_ids(void *arg, const struct redisReply *reply)
{
    struct stats *s = arg;
    char key[QUEUE_KEY_MAX];

    for (size_t i = 0; i < reply_count(reply); i++) {
        client_key(s->client, "proc:", reply_str(reply_at(reply, i)), key);
        client_send(s->client, on_added, &s->active, 2, (const char *[]){"LLEN", key},
                    NULL);
    }
}

static void on_lane(void *arg, const struct redisReply *reply)
{
    struct closed_lane *l = arg;

    if (reply_count(reply) != 4 || reply_type(reply_at(reply, 0)) != REPLY_STRING)
        return;
    l->until_ms = reply_int(reply_at(reply, 0));
    l->since_ms = reply_int(reply_at(reply, 1));
    l->class = err_class_parse(reply_str(reply_at(reply, 2)));
    (void)snprintf(l->text, sizeof l->text, "%s", reply_str(reply_at(reply, 3)));
}

static void ask_lanes(struct stats *s)
{
    char key[QUEUE_KEY_MAX];

    for (size_t i = 0; i < ARRAY_LEN(lane_names); i++) {
        client_key(s->client, "lane:", lane_names[i], key);
        client_send(
            s->client, on_lane, &s->lanes[i], 6,
            (const char *[]){"HMGET", key, "until_ms", "since_ms", "class", "text"},
            NULL);
    }
}

static void ask(struct stats *s, const char *verb, const char *name, int64_t *to)
{
    char key[QUEUE_KEY_MAX];

    client_key(s->client, name, "", key);
    client_send(s->client, on_number, to, 2, (const char *[]){verb, key}, NULL);
}

static void ask_more(struct stats *s, const char *name, client_fn fn, void *arg,
                     const char *verb, const char *from, const char *to)
{
    char key[QUEUE_KEY_MAX];
    const char *const argv[] = {verb, key, from, to, "WITHSCORES"};
    int argc = fn == on_score ? 5 : to ? 4 : from ? 3 : 2;

    client_key(s->client, name, "", key);
    client_send(s->client, fn, arg, argc, argv, NULL);
}

static int read_stats(struct stats *s, struct err *e)
{
    char last[24], now[24];

    if (client_now(s->client, &s->now_ms, e))
        return -1;
    (void)snprintf(last, sizeof last, "%d", WORKERS_MOST - 1);
    (void)snprintf(now, sizeof now, "%lld", (long long)s->now_ms);
    ask(s, "LLEN", "inbox", &s->inbox);
    ask(s, "LLEN", "pending", &s->pending);
    ask(s, "LLEN", "solo", &s->solo);
    ask(s, "ZCARD", "delayed", &s->delayed);
    ask(s, "ZCARD", "failed", &s->failed);
    ask(s, "ZCARD", "done", &s->done);
    ask(s, "ZCARD", "follow", &s->follow);
    ask_more(s, "workers", on_number, &s->workers, "ZCOUNT", now, "+inf");
    ask_more(s, "workers", on_worker_ids, s, "ZREVRANGE", "0", last);
    ask_more(s, "pending", on_oldest, s, "LINDEX", "-1", NULL);
    ask_more(s, "solo", on_oldest, s, "LINDEX", "-1", NULL);
    ask_more(s, "failed", on_score, &s->oldest_failed_ms, "ZRANGE", "0", "0");
    ask_more(s, "paused", on_paused, s, "GET", NULL, NULL);
    ask_lanes(s);
    ask_more(s, "stat", on_counters, s, "HGETALL", NULL, NULL);
    return client_wait(s->client, e);
}

/* ---- showing ---- */

/* "<ms> <who> <reason>" for people; another form stays as it is. */
static void paused_words(const char *value, struct buf *out)
{
    char time[OUT_TIME_MAX], ms_text[24];
    size_t len = strcspn(value, " ");
    int64_t ms;

    if (len < sizeof ms_text && value[len]) {
        memcpy(ms_text, value, len);
        ms_text[len] = '\0';
        if (num_parse(ms_text, 1, INT64_MAX, &ms)) {
            size_t who = strcspn(value + len + 1, " ");
            const char *reason = value + len + 1 + who;

            out_time(ms, time);
            reason += *reason == ' ';
            buf_addf(out, "since %s by %.*s%s%s", time, (int)who, value + len + 1,
                     *reason ? ": " : "", reason);
            return;
        }
    }
    buf_adds(out, *value ? value : "yes");
}

static void add_row(struct buf *out, const char *name, int64_t n, const char *what,
                    int64_t since_ms, int64_t now_ms)
{
    char span[OUT_TIME_MAX], text[96];

    (void)snprintf(text, sizeof text, "%lld", (long long)n);
    if (n && since_ms > 0) {
        out_span(now_ms - since_ms, span);
        (void)snprintf(text, sizeof text, "%lld (%s %s)", (long long)n, what, span);
    }
    out_field(out, name, text);
}

static void add_lanes(const struct stats *s, struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(lane_names); i++) {
        const struct closed_lane *l = &s->lanes[i];
        char since[OUT_TIME_MAX], next[OUT_TIME_MAX], name[32];
        struct buf words;

        if (!l->until_ms)
            continue;
        out_span(s->now_ms - l->since_ms, since);
        out_span(l->until_ms > s->now_ms ? l->until_ms - s->now_ms : 0, next);
        (void)snprintf(name, sizeof name, "%s CLOSED", lane_names[i]);
        buf_init(&words, sizeof l->text + 256);
        buf_addf(&words, "for %s, tried again in %s: %s, %s", since, next,
                 err_class_name(l->class), l->text);
        out_field(out, name, words.data);
        buf_done(&words);
    }
}

static void add_stats(const struct stats *s, const char *queue, struct buf *out)
{
    struct buf words;

    buf_init(&words, OUT_MAX);
    out_field(out, "queue", queue);
    if (*s->paused) {
        paused_words(s->paused, &words);
        out_field(out, "PAUSED", words.data);
    }
    add_lanes(s, out);
    add_row(out, "queued", s->inbox + s->pending + s->solo, "oldest",
            s->oldest_ready_ms, s->now_ms);
    add_row(out, "active", s->active, "", 0, s->now_ms);
    add_row(out, "delayed", s->delayed, "", 0, s->now_ms);
    add_row(out, "failed", s->failed, "oldest", s->oldest_failed_ms, s->now_ms);
    add_row(out, "done", s->done, "", 0, s->now_ms);
    add_row(out, "in the inbox", s->inbox, "", 0, s->now_ms);
    add_row(out, "follow-ups", s->follow, "", 0, s->now_ms);
    add_row(out, "workers", s->workers, "", 0, s->now_ms);
    if (s->counter_count)
        buf_adds(out, "\nEver since:\n");
    for (size_t i = 0; i < s->counter_count; i++) {
        buf_reset(&words);
        out_str(&words, s->counters[i].name);
        add_row(out, words.data, s->counters[i].value, "", 0, s->now_ms);
    }
    buf_done(&words);
}

static int64_t age(int64_t since_ms, int64_t now_ms)
{
    return since_ms > 0 && since_ms < now_ms ? now_ms - since_ms : 0;
}

/* Closed ones only. */
static json_t *lanes_json(const struct stats *s)
{
    json_t *lanes = json_object();
    struct buf words;

    buf_init(&words, OUT_MAX);
    for (size_t i = 0; i < ARRAY_LEN(lane_names); i++) {
        const struct closed_lane *l = &s->lanes[i];

        if (!l->until_ms)
            continue;
        buf_reset(&words);
        out_str(&words, l->text);
        (void)json_object_set_new(
            lanes, lane_names[i],
            json_pack(
                "{s:I, s:I, s:s, s:s}", "closed_ms",
                (json_int_t)age(l->since_ms, s->now_ms), "next_try_ms",
                (json_int_t)(l->until_ms > s->now_ms ? l->until_ms - s->now_ms : 0),
                "class", err_class_name(l->class), "error", words.data));
    }
    buf_done(&words);
    return lanes;
}

static void print_json(const struct stats *s, const char *queue)
{
    json_t *counters = json_object(), *o;
    json_t *lanes = lanes_json(s);
    struct buf words;

    buf_init(&words, OUT_MAX);
    out_str(&words, s->paused);
    for (size_t i = 0; i < s->counter_count; i++)
        (void)json_object_set_new(counters, s->counters[i].name,
                                  json_integer(s->counters[i].value));
    o = json_pack("{s:s, s:b, s:s, s:{s:I, s:I, s:I, s:I, s:I}, s:I, s:I, s:I, s:I, "
                  "s:I, s:o, s:o}",
                  "queue", queue, "paused", *s->paused != 0, "pause", words.data,
                  "states", "queued", (json_int_t)(s->inbox + s->pending + s->solo),
                  "active", (json_int_t)s->active, "delayed", (json_int_t)s->delayed,
                  "failed", (json_int_t)s->failed, "done", (json_int_t)s->done, "inbox",
                  (json_int_t)s->inbox, "follow_ups", (json_int_t)s->follow, "workers",
                  (json_int_t)s->workers, "oldest_queued_ms",
                  (json_int_t)age(s->oldest_ready_ms, s->now_ms), "oldest_failed_ms",
                  (json_int_t)age(s->oldest_failed_ms, s->now_ms), "counters", counters,
                  "lanes", lanes);
    out_json(json_dumps(o, JSON_COMPACT));
    json_decref(o);
    buf_done(&words);
}

static int print_once(const struct ctl *c, bool watch)
{
    struct stats s = {.client = c->client};
    struct buf out;
    struct err e;

    if (read_stats(&s, &e))
        return ctl_fail(&e);
    if (c->json) {
        print_json(&s, c->settings->queue);
        return EXIT_OK;
    }
    buf_init(&out, OUT_MAX);
    if (watch && isatty(STDOUT_FILENO))
        buf_adds(&out, "\033[H\033[2J"); /* to the corner, and clear */
    add_stats(&s, c->settings->queue, &out);
    out_print(&out);
    buf_done(&out);
    return EXIT_OK;
}

int cmd_stats(struct ctl *c, int argc, char **argv)
{
    bool watch = false;
    const struct arg_option own[] = {{"watch", ARG_FLAG, &watch}, {NULL, 0, NULL}};
    int code;

    if (ctl_args(c, argc, argv, own, 0, 0) < 0)
        return EXIT_USAGE;
    code = ctl_connect(c);
    if (code)
        return code;
    do {
        code = print_once(c, watch);
        if (fflush(stdout) || ferror(stdout))
            break;
        if (watch)
            client_pause(c->client, WATCH_MS);
    } while (watch); /* an interruption ends the program */
    return code;
}
