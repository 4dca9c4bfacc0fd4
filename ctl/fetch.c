/* fetch: see fetch.h. */
#include "fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "num.h"

#define INBOX_LOOK 1000 /* newest entries that are searched for an id */

/* The guess's rules: only the format's own. */
static const struct request_rules no_rules = {.max_users = 1000000};

void fetch_guess_request(struct job *j)
{
    struct buf faults;

    if (j->has_request || !j->raw || j->raw_len > REQUEST_MAX_BYTES)
        return;
    buf_init(&faults, 1 << 16);
    if (request_parse(j->raw, j->raw_len, &no_rules, &j->request, &faults))
        buf_reset(&faults); /* what was readable is there all the same */
    buf_done(&faults);
}

/* ---- one job ---- */

struct reading {
    struct fetch_story *story;
    const char *id;
    bool found;
    struct err err;
};

static void on_hash(void *arg, const struct redisReply *reply)
{
    struct reading *r = arg;
    size_t count = reply_count(reply) / 2;
    struct job_field *fields = mem_new(count + 1, sizeof *fields);

    for (size_t i = 0; i < count; i++) {
        const struct redisReply *value = reply_at(reply, 2 * i + 1);

        fields[i] = (struct job_field){reply_str(reply_at(reply, 2 * i)),
                                       reply_str(value), reply_len(value)};
    }
    if (count)
        r->found = job_decode(&r->story->job, r->id, fields, count, &r->err) == 0;
    free(fields);
}

/* "<ms> <text>" */
static void on_events(void *arg, const struct redisReply *reply)
{
    struct reading *r = arg;
    struct fetch_story *s = r->story;

    s->events = mem_new(reply_count(reply) + 1, sizeof *s->events);
    for (size_t i = 0; i < reply_count(reply); i++) {
        const struct redisReply *item = reply_at(reply, i);
        char *text = mem_dup(reply_str(item), reply_len(item));
        char *blank = strchr(text, ' ');
        struct fetch_event *event = &s->events[s->event_count++];

        if (blank)
            *blank = '\0';
        if (blank && num_parse(text, 0, INT64_MAX, &event->at_ms)) {
            event->text = mem_strdup(blank + 1);
        } else {
            if (blank)
                *blank = ' ';
            event->text = mem_strdup(text);
        }
        free(text);
    }
}

static void on_inbox(void *arg, const struct redisReply *reply)
{
    struct reading *r = arg;
    struct job *j = &r->story->job;

    for (size_t i = 0; i < reply_count(reply) && !r->found; i++) {
        const struct redisReply *entry = reply_at(reply, i);
        const char *text = reply_str(entry);

        if (reply_len(entry) <= JOB_ID_LEN || text[JOB_ID_LEN] != ' ' ||
            memcmp(text, r->id, JOB_ID_LEN) != 0)
            continue;
        memcpy(j->id, r->id, JOB_ID_LEN + 1);
        j->state = JOB_QUEUED;
        j->raw_len = reply_len(entry) - JOB_ID_LEN - 1;
        j->raw = mem_dup(text + JOB_ID_LEN + 1, j->raw_len);
        r->story->in_inbox = r->found = true;
    }
}

static int read_hash(struct client *c, struct reading *r, struct err *e)
{
    char key[QUEUE_KEY_MAX];

    client_key(c, "job:", r->id, key);
    client_send(c, on_hash, r, 2, (const char *[]){"HGETALL", key}, NULL);
    if (client_wait(c, e))
        return -1;
    if (r->err.class == ERR_NONE)
        return 0;
    *e = r->err;
    return -1;
}

static int read_inbox(struct client *c, struct reading *r, struct err *e)
{
    char key[QUEUE_KEY_MAX], last[24];

    (void)snprintf(last, sizeof last, "%d", INBOX_LOOK - 1);
    client_key(c, "inbox", "", key);
    client_send(c, on_inbox, r, 4, (const char *[]){"LRANGE", key, "0", last}, NULL);
    return client_wait(c, e);
}

static int read_rest(struct client *c, struct reading *r, struct err *e)
{
    char key[QUEUE_KEY_MAX];

    client_key(c, "log:", r->id, key);
    client_send(c, on_events, r, 4, (const char *[]){"LRANGE", key, "0", "-1"}, NULL);
    return client_now(c, &r->story->now_ms, e);
}

int fetch_story(struct client *c, const char *id, struct fetch_story *out,
                struct err *e)
{
    struct fetch_story s = {0};
    struct reading r = {.story = &s, .id = id};
    int rc = read_hash(c, &r, e);

    if (rc == 0 && !r.found)
        rc = read_inbox(c, &r, e);
    if (rc == 0 && !r.found) /* taken over between the two looks */
        rc = read_hash(c, &r, e);
    if (rc == 0 && r.found)
        rc = read_rest(c, &r, e);
    if (rc || !r.found) {
        fetch_story_done(&s);
        return rc;
    }
    *out = s;
    return 1;
}

void fetch_story_done(struct fetch_story *s)
{
    for (size_t i = 0; i < s->event_count; i++)
        free(s->events[i].text);
    free(s->events);
    job_done(&s->job);
    *s = (struct fetch_story){0};
}
