/* doctor_seal: the keys that seal licenses in Redis, and whether what is sealed there
 * opens with them. It shows no license. */
#include "doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "mem.h"
#include "seal.h"
#include "settings.h"

#define LOOK_AT "99" /* from 0 on: the newest of each state */

struct look {
    struct doctor *d;
    const struct seal *seal;
    size_t sealed, shut;
    struct err why; /* the first that does not open */
};

struct looking {
    struct look *look;
    struct job job; /* its id and what is sealed */
};

static void on_license(void *arg, const struct redisReply *reply)
{
    struct looking *l = arg;
    struct look *look = l->look;
    struct err e;

    if (reply_type(reply) == REPLY_STRING && seal_is_sealed(reply_str(reply))) {
        mem_set(&l->job.sealed, reply_str(reply));
        look->sealed++;
        if (job_open_license(&l->job, look->seal, look->d->settings->queue, &e) &&
            look->shut++ == 0)
            look->why = e;
    }
    job_done(&l->job);
    free(l);
}

static void on_ids(void *arg, const struct redisReply *reply)
{
    struct look *look = arg;

    for (size_t i = 0; i < reply_count(reply); i++) {
        const char *id = reply_str(reply_at(reply, i));
        char key[QUEUE_KEY_MAX];
        struct looking *l;

        if (!job_id_valid(id))
            continue;
        l = mem_new(1, sizeof *l);
        l->look = look;
        memcpy(l->job.id, id, JOB_ID_LEN + 1);
        client_key(look->d->client, "job:", id, key);
        client_send(look->d->client, on_license, l, 3,
                    (const char *[]){"HGET", key, "lic"}, NULL);
    }
}

/* What jobs wait for, and what a person may want once more. */
enum { WAITING, ENDED, LOOKS };

/* The newest hundred of each state. */
static int look_at_jobs(struct doctor *d, struct look looks[static LOOKS],
                        struct err *e)
{
    static const struct {
        const char *key, *command;
        int look;
    } places[] = {{"pending", "LRANGE", WAITING},
                  {"delayed", "ZREVRANGE", WAITING},
                  {"failed", "ZREVRANGE", ENDED},
                  {"done", "ZREVRANGE", ENDED}};
    char key[QUEUE_KEY_MAX];

    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        client_key(d->client, places[i].key, "", key);
        client_send(d->client, on_ids, &looks[places[i].look], 4,
                    (const char *[]){places[i].command, key, "0", LOOK_AT}, NULL);
    }
    return client_wait(d->client, e);
}

static void say_keys(struct doctor *d, const struct seal *seal, size_t sealed)
{
    size_t count = 0;

    while (seal_key_id(seal, count))
        count++;
    doctor_say(d, "seal key", DOCTOR_OK, NULL,
               "%s seals, for its owner alone; %zu key%s in the file; of the newest "
               "licenses %zu are sealed, and open",
               seal_key_id(seal, 0), count, count == 1 ? "" : "s", sealed);
}

static void say_shut(struct doctor *d, const struct look *look,
                     enum doctor_result result, const char *whose)
{
    if (look->shut)
        doctor_say(d, "seal key", result,
                   "put the key that it names into the file of STOPGAP_SEAL_KEY_FILE, "
                   "here and at each worker, and restart workers (docs/queue.md)",
                   "%zu of %zu sealed licenses of jobs that %s do not open: %s",
                   look->shut, look->sealed, whose, look->why.text);
}

static void judge(struct doctor *d, const struct look looks[static LOOKS])
{
    const struct seal *seal = looks[WAITING].seal;

    say_shut(d, &looks[WAITING], DOCTOR_FAIL, "wait");
    say_shut(d, &looks[ENDED], DOCTOR_WARN, "have ended");
    if (looks[WAITING].shut || looks[ENDED].shut)
        return;
    if (seal)
        say_keys(d, seal, looks[WAITING].sealed + looks[ENDED].sealed);
    else
        doctor_say(
            d, "seal key", DOCTOR_SKIPPED, NULL,
            "STOPGAP_SEAL_KEY_FILE is not set: licenses stand in Redis in clear");
}

void doctor_seal(struct doctor *d)
{
    const char *path = d->settings->seal_key_file;
    struct look looks[LOOKS] = {{.d = d}, {.d = d}};
    struct seal *seal = NULL;
    struct err e;

    if (!path && !d->worker_here)
        return;
    if (path && !(seal = seal_load(path, &e))) {
        doctor_say(d, "seal key", DOCTOR_FAIL,
                   "as it says; run doctor as the user of the worker, or as root", "%s",
                   e.text);
        return;
    }
    looks[WAITING].seal = looks[ENDED].seal = seal;
    if (d->connected && look_at_jobs(d, looks, &e))
        doctor_say(d, "seal key", DOCTOR_FAIL,
                   "give the user of stopgapctl its rights (deploy/redis/users.acl)",
                   "licenses cannot be looked at: %s", e.text);
    else
        judge(d, looks);
    seal_free(seal);
}
