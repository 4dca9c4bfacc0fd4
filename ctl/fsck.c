/* fsck: see fsck.h. */
#include "fsck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsck_look.h"
#include "job.h"
#include "mem.h"
#include "num.h"

#define BATCH 500 /* under way at once */

/* ---- what there is to find ---- */

static const struct fsck_kind kinds[] = {
    {"orphan", "an id without a record", "takes the id out"},
    {"unreadable", "a record without a state that is known",
     "queues it; without a request, removes it"},
    {"nowhere", "a job in no list", "puts it where its state belongs"},
    {"astray", "a job where its state does not belong", "moves it there"},
    {"twice", "a job in two places", "leaves it where its state belongs"},
    {"owner", "an owner, but not active", "removes the owner"},
    {"due", "delayed, but its record has no time", "sets it, from the list"},
    {"unreported", "failed, without an issue or a report that waits",
     "has it reported"},
    {"worker", "jobs of a worker that is not registered",
     "gives them back, as of a dead worker"},
    {"leftover", "belongs to a job that is gone", "removes it"},
    {"immortal", "a key without its time to live", "gives it one"},
    {"recorded", "not done here, but in the tracker",
     "marks it as mailed and recorded"},
    {"unknown", "recorded in the tracker, and no job here", NULL},
    {"stranger", "a key that is not of the queue", NULL},
    {"counter", "fewer were counted than are there", "corrects it"},
};

const struct fsck_kind *fsck_kind_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

#define HOUR "3600000"
#define DAY "86400000"
#define RETENTION "" /* the queue's */

/* Which keys there are: docs/queue.md. The first that fits counts. */
static const struct family {
    const char *name;
    bool prefix;
    const char *rule; /* for each such key, on what follows the prefix */
    const char *life; /* time to live that it has to have; NULL: somebody removes it */
} families[] = {
    {"job:", true, NULL, NULL},
    {"log:", true, "log", NULL},
    {"proc:", true, "worker", NULL},
    {"view:t:", true, NULL, RETENTION},
    {"view:", true, "view", RETENTION},
    {"same:", true, "pointer", RETENTION},
    {"idem:", true, "pointer", RETENTION},
    {"ticket:", true, "ticket", RETENTION},
    {"forgotten:", true, NULL, RETENTION},
    {"cap:", true, NULL, DAY},
    {"shared:", true, NULL, DAY},
    {"shared", false, NULL, DAY},
    {"invalid", false, NULL, HOUR},
    {"lane:", true, NULL, HOUR},
    {"winfo:", true, NULL, HOUR},
    {"inbox", false, NULL, NULL},
    {"pending", false, NULL, NULL},
    {"solo", false, NULL, NULL},
    {"delayed", false, NULL, NULL},
    {"failed", false, NULL, NULL},
    {"done", false, NULL, NULL},
    {"follow", false, NULL, NULL},
    {"tell:slack", false, NULL, NULL},
    {"tell:zendesk", false, NULL, NULL},
    {"workers", false, NULL, NULL},
    {"audit", false, NULL, RETENTION},
    {"paused", false, NULL, NULL},
    {"stat", false, NULL, NULL},
    {"cfg", false, NULL, NULL},
};

static const struct family *family_of(const char *key)
{
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        if (families[i].prefix
                ? strncmp(key, families[i].name, strlen(families[i].name)) == 0
                : strcmp(key, families[i].name) == 0)
            return &families[i];
    return NULL;
}

/* ---- judging ---- */

struct run;

/* A question that is under way. */
struct asked {
    struct run *run;
    const char *where; /* borrowed from the look */
};

struct run {
    struct client *client;
    struct fsck *out;
    struct fsck_look look;
    struct fsck_names suspects; /* jobs */
    const struct queue_by *by;
    bool repair;
    struct asked asked[BATCH];
    size_t under_way;
};

void fsck_add(struct fsck *f, const char *kind, const char *where, const char *detail,
              bool mended)
{
    if (f->count == f->room) {
        f->room = f->room ? 2 * f->room : 16;
        f->items = mem_grow(f->items, f->room * sizeof *f->items);
    }
    f->items[f->count++] = (struct fsck_item){mem_strdup(kind), mem_strdup(where),
                                              mem_strdup(detail), mended};
}

static void on_findings(void *arg, const struct queue_findings *f)
{
    const struct asked *a = arg;

    for (size_t i = 0; i < f->count; i++)
        fsck_add(a->run->out, f->v[i].kind, a->where, f->v[i].detail, f->v[i].mended);
}

static int wait_all(struct run *r, struct err *e)
{
    r->under_way = 0;
    return client_wait(r->client, e);
}

/* A place for one more question; waits for the others when there is none left. */
static struct asked *ask(struct run *r, const char *where, struct err *e)
{
    if (r->under_way == BATCH && wait_all(r, e))
        return NULL;
    r->asked[r->under_way] = (struct asked){r, where};
    return &r->asked[r->under_way++];
}

static int check(struct run *r, const char *rule, const char *subject,
                 const char *where, const char *more, struct err *e)
{
    struct queue_check what = {
        .rule = rule, .subject = subject, .by = r->by, .repair = r->repair};
    struct asked *a = ask(r, where, e);

    if (!a)
        return -1;
    what.more[0] = more;
    client_check(r->client, &what, on_findings, a);
    return 0;
}

/* ---- jobs ---- */

enum { V, STATE, OWNER, DUE, REPORT_IID, REPORT_URL, ACCEPTED, WANTED };

static bool is_home(enum job_state state, const char *owner, const char *place)
{
    switch (state) {
    case JOB_QUEUED:
        return strcmp(place, "pending") == 0 || strcmp(place, "solo") == 0;
    case JOB_ACTIVE:
        return strncmp(place, "proc:", 5) == 0 && strcmp(place + 5, owner) == 0;
    default:
        return strcmp(place, job_state_name(state)) == 0;
    }
}

static bool is_suspect(const struct run *r, const char *id, const char *const *field)
{
    enum job_state state = job_state_parse(field[STATE]);
    const struct fsck_place *place;
    size_t count;

    place = fsck_look_find(&r->look, id, &count);
    return count != 1 || state == JOB_STATE_COUNT || !*field[V] ||
           !is_home(state, field[OWNER], place->name) ||
           (*field[OWNER] && state != JOB_ACTIVE) ||
           (state == JOB_DELAYED && !*field[DUE]) ||
           (state == JOB_FAILED && !*field[REPORT_IID] && !*field[REPORT_URL]);
}

static void note_open(struct fsck *f, const char *id, const char *const *field)
{
    int64_t ms;

    if (job_state_parse(field[STATE]) == JOB_DONE ||
        !num_parse(field[ACCEPTED], 0, INT64_MAX, &ms))
        return;
    fsck_names_add(&f->open, id, strlen(id));
    if (!f->open_since_ms || ms < f->open_since_ms)
        f->open_since_ms = ms;
}

static void on_record(void *arg, const struct redisReply *reply)
{
    const struct asked *a = arg;
    const char *field[WANTED];
    int64_t version;

    if (reply_count(reply) != WANTED)
        return;
    for (size_t i = 0; i < WANTED; i++)
        field[i] = reply_type(reply_at(reply, i)) == REPLY_STRING
                       ? reply_str(reply_at(reply, i))
                       : "";
    a->run->out->jobs++;
    if (*field[V] &&
        (!num_parse(field[V], 0, INT64_MAX, &version) || version > JOB_VERSION)) {
        a->run->out->newer++;
        return;
    }
    note_open(a->run->out, a->where, field);
    if (is_suspect(a->run, a->where, field))
        fsck_names_add(&a->run->suspects, a->where, strlen(a->where));
}

static int read_jobs(struct run *r, struct err *e)
{
    char key[QUEUE_KEY_MAX];

    for (size_t i = 0; i < r->look.keys.count; i++) {
        const char *name = r->look.keys.v[i];
        struct asked *a;

        if (strncmp(name, "job:", 4) != 0)
            continue;
        a = ask(r, name + 4, e);
        if (!a)
            return -1;
        client_key(r->client, name, "", key);
        client_send(r->client, on_record, a, WANTED + 2,
                    (const char *[]){"HMGET", key, "v", "state", "owner", "due_ms",
                                     "report_iid", "report_url", "accepted_ms"},
                    NULL);
    }
    return wait_all(r, e);
}

/* Ids whose record was not there. */
static void suspect_orphans(struct run *r)
{
    const struct fsck_look *l = &r->look;

    for (size_t i = 0; i < l->place_count; i++) {
        const char *id = l->places[i].id;

        if ((i == 0 || strcmp(l->places[i - 1].id, id) != 0) &&
            !fsck_look_has_key(l, "job:", id))
            fsck_names_add(&r->suspects, id, strlen(id));
    }
}

static int check_job(struct run *r, const char *id, struct err *e)
{
    struct queue_check what = {
        .rule = "job", .subject = id, .by = r->by, .repair = r->repair};
    struct asked *a = ask(r, id, e);
    const struct fsck_place *place;
    size_t count;

    if (!a)
        return -1;
    place = fsck_look_find(&r->look, id, &count);
    for (size_t i = 0; i < count && i < ARRAY_LEN(what.more); i++)
        what.more[i] = place[i].name;
    client_check(r->client, &what, on_findings, a);
    return 0;
}

static int check_jobs(struct run *r, struct err *e)
{
    if (read_jobs(r, e))
        return -1;
    suspect_orphans(r);
    for (size_t i = 0; i < r->suspects.count; i++)
        if (check_job(r, r->suspects.v[i], e))
            return -1;
    return wait_all(r, e);
}

/* ---- everything else ---- */

static int check_key(struct run *r, const char *key, struct err *e)
{
    const struct family *f = family_of(key);
    const char *subject;

    if (!f)
        return check(r, "stranger", key, key, NULL, e);
    if (f->life && check(r, "life", key, key, f->life, e))
        return -1;
    if (!f->rule)
        return 0;
    subject = strcmp(f->rule, "pointer") == 0 ? key : key + strlen(f->name);
    return check(r, f->rule, subject, key, NULL, e);
}

/* Workers come before the jobs that they give back, and what belongs to jobs after
 * them. */
static int check_keys(struct run *r, bool of_workers, struct err *e)
{
    for (size_t i = 0; i < r->look.keys.count; i++) {
        const char *key = r->look.keys.v[i];

        if ((strncmp(key, "proc:", 5) == 0) == of_workers && check_key(r, key, e))
            return -1;
    }
    return wait_all(r, e);
}

static int check_follow_ups(struct run *r, struct err *e)
{
    const struct fsck_look *l = &r->look;

    for (size_t i = 0; i < l->follow.count; i++)
        if (check(r, "follow", l->follow.v[i], "follow", NULL, e))
            return -1;
    for (size_t i = 0; i < l->tell.count; i++)
        if (!fsck_look_has_key(l, "job:", l->tell.v[i]) &&
            check(r, "tell", l->tell.v[i], "tell", NULL, e))
            return -1;
    return 0;
}

static int check_rest(struct run *r, struct err *e)
{
    char jobs[24];

    if (check_follow_ups(r, e))
        return -1;
    (void)snprintf(jobs, sizeof jobs, "%zu", r->out->jobs);
    if (check(r, "counter", "adopted", "stat", jobs, e) ||
        check(r, "counter", "done", "stat", "", e) ||
        check(r, "counter", "failed", "stat", "", e))
        return -1;
    return wait_all(r, e);
}

int fsck_run(struct client *c, const struct queue_by *by, bool repair, struct fsck *out,
             struct err *e)
{
    struct run *r = mem_new(1, sizeof *r);
    int rc = -1;

    *out = (struct fsck){0};
    r->client = c;
    r->out = out;
    r->by = by;
    r->repair = repair;
    if (fsck_look_keys(c, &r->look, e) || fsck_look_places(c, &r->look, e) ||
        check_keys(r, true, e) || check_jobs(r, e) || check_keys(r, false, e) ||
        check_rest(r, e))
        goto out;
    rc = 0;
out:
    fsck_look_done(&r->look);
    fsck_names_done(&r->suspects);
    free(r);
    return rc;
}

void fsck_done(struct fsck *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->items[i].kind);
        free(f->items[i].where);
        free(f->items[i].detail);
    }
    free(f->items);
    fsck_names_done(&f->open);
    *f = (struct fsck){0};
}
