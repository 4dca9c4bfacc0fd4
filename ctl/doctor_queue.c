/* doctor_queue: whether there are workers, and whether jobs get on. */
#include "doctor.h"

#include <stdio.h>

#include "buf.h"
#include "out.h"
#include "stats.h"

#define OLD_WARN_MS 60000
#define OLD_FAIL_MS 300000

static void check_workers(struct doctor *d, const struct stats *s)
{
    if (s->workers)
        doctor_say(d, "workers", DOCTOR_OK, NULL, "%lld alive", (long long)s->workers);
    else
        doctor_say(d, "workers", DOCTOR_FAIL,
                   "start one: `systemctl start stopgap-worker`; its log says why it "
                   "ended",
                   "none is alive: requests are kept, nobody gets a license");
}

static void check_paused(struct doctor *d, const struct stats *s)
{
    struct buf words;

    if (!*s->paused)
        return;
    buf_init(&words, sizeof s->paused + 128);
    stats_paused_words(s->paused, &words);
    doctor_say(d, "queue", DOCTOR_WARN, "`stopgapctl resume`", "paused %s", words.data);
    buf_done(&words);
}

static void check_lanes(struct doctor *d, const struct stats *s)
{
    for (size_t i = 0; i < STATS_LANES; i++) {
        const struct stats_lane *l = &s->lanes[i];
        char span[OUT_TIME_MAX];

        if (!l->until_ms)
            continue;
        out_span(stats_age(l->since_ms, s->now_ms), span);
        doctor_say(d, "lanes", DOCTOR_FAIL,
                   "mend what it says; jobs then go on by themselves",
                   "jobs wait for %s since %s ago: %s", l->name, span, l->text);
    }
}

static void check_jobs(struct doctor *d, const struct stats *s)
{
    int64_t age = stats_age(s->oldest_ready_ms, s->now_ms);
    char span[OUT_TIME_MAX];

    out_span(age, span);
    if (age > OLD_WARN_MS && !*s->paused)
        doctor_say(d, "jobs", age > OLD_FAIL_MS ? DOCTOR_FAIL : DOCTOR_WARN,
                   "`stopgapctl workers`: are they full, quiet or frozen?",
                   "the oldest that could run has been waiting for %s", span);
    if (s->failed)
        doctor_say(d, "jobs", DOCTOR_WARN,
                   "`stopgapctl list --state failed`, then requeue or discard each",
                   "%lld failed", (long long)s->failed);
    if ((age <= OLD_WARN_MS || *s->paused) && !s->failed)
        doctor_say(d, "jobs", DOCTOR_OK, NULL, "%lld queued, none failed",
                   (long long)stats_queued(s));
}

void doctor_queue(struct doctor *d)
{
    struct stats s;
    struct err e;

    if (stats_read(d->client, &s, &e)) {
        doctor_say(d, "queue", DOCTOR_FAIL,
                   "give the user of stopgapctl its rights (deploy/redis/users.acl)",
                   "it cannot be read: %s", e.text);
        return;
    }
    check_workers(d, &s);
    check_paused(d, &s);
    check_lanes(d, &s);
    check_jobs(d, &s);
}
