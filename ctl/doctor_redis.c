/* doctor_redis: whether Redis is one that keeps what it was given. */
#include "doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "num.h"
#include "out.h"
#include "settings.h"

#define PINGS 5
#define LATENCY_WARN_MS 50
#define LATENCY_FAIL_MS 1000
#define FULL_PERCENT 80

/* INFO, all of it. */
struct info {
    char *text; /* owned */
};

static void on_info(void *arg, const struct redisReply *reply)
{
    struct info *i = arg;

    mem_set(&i->text, reply_str(reply));
}

/* The value of a field, cut to size; "" if there is none. */
static void field(const struct info *info, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);

    *out = '\0';
    for (const char *p = info->text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : p) {
        if (strncmp(p, name, len) != 0 || p[len] != ':')
            continue;
        (void)snprintf(out, size, "%.*s", (int)strcspn(p + len + 1, "\r\n"),
                       p + len + 1);
        return;
    }
}

static int64_t number(const struct info *info, const char *name)
{
    char text[64];
    int64_t n;

    field(info, name, text, sizeof text);
    return num_parse(text, 0, INT64_MAX, &n) ? n : -1;
}

static bool says(const struct info *info, const char *name, const char *wanted)
{
    char text[64];

    field(info, name, text, sizeof text);
    return strcmp(text, wanted) == 0;
}

/* ---- what is asked of it ---- */

static void check_version(struct doctor *d, const struct info *info)
{
    char text[64], major[16], minor[16];
    int64_t a = 0, b = 0;
    size_t dot;

    field(info, "redis_version", text, sizeof text);
    dot = strcspn(text, ".");
    (void)snprintf(major, sizeof major, "%.*s", (int)dot, text);
    (void)snprintf(minor, sizeof minor, "%.*s",
                   text[dot] ? (int)strcspn(text + dot + 1, ".") : 0,
                   text[dot] ? text + dot + 1 : "");
    if (!num_parse(major, 0, 1000, &a) || !num_parse(minor, 0, 1000, &b))
        doctor_say(d, "redis version", DOCTOR_WARN, "6.2 or newer is needed",
                   "\"%s\" is none that can be read", text);
    else if (a < 6 || (a == 6 && b < 2))
        doctor_say(d, "redis version", DOCTOR_FAIL, "install Redis 6.2 or newer", "%s",
                   text);
    else
        doctor_say(d, "redis version", DOCTOR_OK, NULL, "%s", text);
}

static void check_role(struct doctor *d, const struct info *info)
{
    int64_t replicas = number(info, "connected_slaves");
    int64_t wanted = d->settings->redis_wait;
    char role[32];

    field(info, "role", role, sizeof role);
    if (strcmp(role, "master") != 0)
        doctor_say(d, "redis role", DOCTOR_FAIL,
                   "point STOPGAP_REDIS_URL at the primary, or at the sentinels",
                   "it is a %s: it takes no writes",
                   *role ? role : "server without role");
    else if (replicas < wanted)
        doctor_say(d, "redis role", DOCTOR_FAIL,
                   "bring the replicas back, or lower STOPGAP_REDIS_WAIT",
                   "primary with %lld replicas; STOPGAP_REDIS_WAIT wants %lld",
                   (long long)replicas, (long long)wanted);
    else
        doctor_say(d, "redis role", DOCTOR_OK, NULL, "primary with %lld replicas",
                   (long long)replicas);
}

static void check_aof(struct doctor *d, const struct info *info)
{
    if (!says(info, "aof_enabled", "1"))
        doctor_say(d, "redis aof", DOCTOR_FAIL,
                   "`appendonly yes` and `appendfsync always` in redis.conf, and once "
                   "`redis-cli CONFIG SET appendonly yes`",
                   "appendonly is off: what it was given is gone when it dies");
    else if (!says(info, "aof_last_write_status", "ok") ||
             !says(info, "aof_last_bgrewrite_status", "ok"))
        doctor_say(d, "redis aof", DOCTOR_FAIL,
                   "look at the disk of Redis, and at its log",
                   "its last write to the file failed");
    else
        doctor_say(d, "redis aof", DOCTOR_OK, NULL, "appendonly is on");
    if (!says(info, "rdb_last_bgsave_status", "ok"))
        doctor_say(d, "redis snapshots", DOCTOR_FAIL,
                   "look at the disk and the memory of Redis's host",
                   "the last one failed; Redis may refuse writes for it");
}

static void check_memory(struct doctor *d, const struct info *info)
{
    int64_t most = number(info, "maxmemory"), used = number(info, "used_memory");
    char policy[64];

    field(info, "maxmemory_policy", policy, sizeof policy);
    if (strcmp(policy, "noeviction") != 0)
        doctor_say(d, "redis eviction", most > 0 ? DOCTOR_FAIL : DOCTOR_WARN,
                   "`maxmemory-policy noeviction` in redis.conf, and `redis-cli CONFIG "
                   "SET maxmemory-policy noeviction`",
                   "maxmemory-policy is %s: %s", policy,
                   most > 0 ? "jobs are thrown away when memory is short"
                            : "once a maxmemory is set, jobs are thrown away");
    else
        doctor_say(d, "redis eviction", DOCTOR_OK, NULL, "noeviction");
    if (most > 0 && used > most / 100 * FULL_PERCENT)
        doctor_say(d, "redis memory", DOCTOR_WARN,
                   "raise maxmemory, or find what else lies in this Redis",
                   "%lld of %lld MiB are used", (long long)(used >> 20),
                   (long long)(most >> 20));
}

/* ---- two that are not in INFO ---- */

static void on_fsync(void *arg, const struct redisReply *reply)
{
    char *text = arg;

    if (reply_count(reply) == 2)
        (void)snprintf(text, 32, "%.31s", reply_str(reply_at(reply, 1)));
}

/* Many servers do not let one ask. */
static void check_fsync(struct doctor *d)
{
    char fsync[32] = "";
    struct err e;

    client_send(d->client, on_fsync, fsync, 3,
                (const char *[]){"CONFIG", "GET", "appendfsync"}, NULL);
    if (client_wait(d->client, &e) || !*fsync)
        doctor_say(d, "redis fsync", DOCTOR_SKIPPED,
                   "look yourself: `appendfsync always`; or give the user "
                   "+config|get",
                   "this user may not ask for appendfsync");
    else if (strcmp(fsync, "always") != 0)
        doctor_say(d, "redis fsync", DOCTOR_WARN,
                   "`appendfsync always`: nobody notices the difference at this rate",
                   "appendfsync is %s: the last seconds are lost with its host", fsync);
    else
        doctor_say(d, "redis fsync", DOCTOR_OK, NULL, "appendfsync is always");
}

static void check_latency(struct doctor *d)
{
    int64_t least = INT64_MAX, most = 0;
    struct err e;

    for (int i = 0; i < PINGS; i++) {
        int64_t begin = client_loop_ms(d->client), took;

        client_send(d->client, NULL, NULL, 1, (const char *[]){"PING"}, NULL);
        if (client_wait(d->client, &e)) {
            doctor_say(d, "redis latency", DOCTOR_FAIL, "look at Redis's log and load",
                       "%s", e.text);
            return;
        }
        took = client_loop_ms(d->client) - begin;
        least = took < least ? took : least;
        most = took > most ? took : most;
    }
    doctor_say(d, "redis latency",
               least > LATENCY_FAIL_MS   ? DOCTOR_FAIL
               : least > LATENCY_WARN_MS ? DOCTOR_WARN
                                         : DOCTOR_OK,
               least > LATENCY_WARN_MS
                   ? "put the worker nearer to Redis, or take load off it"
                   : NULL,
               "%lld to %lld ms for an answer", (long long)least, (long long)most);
}

static void check_clock(struct doctor *d)
{
    struct err e;
    int64_t now = 0;

    if (client_now(d->client, &now, &e))
        doctor_say(d, "redis clock", DOCTOR_FAIL, "give the user +time", "%s", e.text);
    else
        doctor_judge_clock(d, "redis clock", now, 0);
}

void doctor_redis(struct doctor *d)
{
    struct info info = {NULL};
    struct err e;

    client_send(d->client, on_info, &info, 1, (const char *[]){"INFO"}, NULL);
    if (client_wait(d->client, &e)) {
        doctor_say(d, "redis", DOCTOR_FAIL,
                   "give the user of stopgapctl +info (deploy/redis/users.acl)",
                   "it does not tell about itself: %s", e.text);
    } else {
        check_version(d, &info);
        check_role(d, &info);
        check_aof(d, &info);
        check_memory(d, &info);
    }
    check_fsync(d);
    check_latency(d);
    check_clock(d);
    free(info.text);
}
