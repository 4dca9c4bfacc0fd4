/* stats: see stats.h. */
#include "stats.h"

#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "num.h"
#include "out.h"

#define WORKERS_MOST 1000

static const char *const lane_names[STATS_LANES] = {"smtp", "gitlab", "slack",
                                                    "zendesk", "zendesk_note"};

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

    for (size_t i = 0; i < count && s->counter_count < STATS_COUNTERS; i++) {
        struct stats_counter *counter = &s->counters[s->counter_count++];

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
    struct stats_lane *l = arg;

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

    for (size_t i = 0; i < STATS_LANES; i++) {
        s->lanes[i].name = lane_names[i];
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

int stats_read(struct client *client, struct stats *s, struct err *e)
{
    char last[24], now[24];

    *s = (struct stats){.client = client};
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

int64_t stats_queued(const struct stats *s)
{
    return s->inbox + s->pending + s->solo;
}

int64_t stats_age(int64_t since_ms, int64_t now_ms)
{
    return since_ms > 0 && since_ms < now_ms ? now_ms - since_ms : 0;
}

/* "<ms> <who> <reason>" for people; another form stays as it is. */
void stats_paused_words(const char *value, struct buf *out)
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
