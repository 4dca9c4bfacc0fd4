/* What stopgapctl reads out of a Redis that somebody else has written to: one job with
 * its story, the inbox's entries, and lists. First byte: what is asked for; the rest
 * are the replies, as they come over the wire. What is shown is harmless for a
 * terminal, and JSON; what a list holds is what was asked for. The client is this
 * file's.
 *
 * Links: ctl/fetch ctl/scan ctl/story_text ctl/story_json ctl/story_next ctl/out */
#include <stdbool.h>

#include <jansson.h>

#include "fuzz_input.h"
#include "out.h"
#include "resp.h"
#include "scan.h"
#include "story.h"
#include "utf8.h"
#include "verdict.h"

#define ID "0123456789abcdefghjkmnpqrs"
#define QUEUED_MAX 2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct client {
    struct resp *wire;
    size_t sent, answered;
    struct {
        client_fn fn;
        void *arg;
    } calls[QUEUED_MAX];
} client;

/* --- In place of client.c --- */

void client_key(const struct client *c, const char *name, const char *tail,
                char out[static QUEUE_KEY_MAX])
{
    (void)c;
    (void)snprintf(out, QUEUE_KEY_MAX, "stopgap:{licenses}:%s%s", name, tail);
}

void client_send(struct client *c, client_fn fn, void *arg, int argc,
                 const char *const *argv, const size_t *lens)
{
    (void)lens;
    PROMISE(c->sent < QUEUED_MAX && argc > 0);
    for (int i = 0; i < argc; i++)
        PROMISE(argv[i]);
    c->calls[c->sent].fn = fn;
    c->calls[c->sent++].arg = arg;
}

/* The first error ends it, as a lost connection does. */
int client_wait(struct client *c, struct err *e)
{
    struct redisReply *reply;
    int rc = 0;

    (void)err_set(e, ERR_TRANSIENT, 0, "Redis: the connection is gone");
    while (rc == 0 && c->answered < c->sent) {
        size_t i = c->answered++;

        rc = resp_next(c->wire, &reply, e) == 1 ? 0 : -1;
        if (rc)
            break;
        if (reply_error(reply)) {
            (void)verdict_redis(reply_error(reply), e);
            rc = -1;
        } else {
            c->calls[i].fn(c->calls[i].arg, reply);
        }
        reply_free(reply);
    }
    c->sent = c->answered = 0;
    return rc;
}

int client_now(struct client *c, int64_t *out_ms, struct err *e)
{
    *out_ms = INT64_C(1769860805000);
    return client_wait(c, e);
}

/* --- One job --- */

static void check_lines(const struct buf *text)
{
    const char *p = text->data, *end = p + text->len;

    PROMISE(!text->failed && text->len > 0);
    while (p < end) {
        int32_t c = utf8_next(&p, end);

        PROMISE(c == '\n' || utf8_printable(c));
    }
}

static void check_shown(const struct fetch_story *s, bool license)
{
    const struct story_options plain = {.license = license,
                                        .asked_for = license ? "another's" : NULL};
    struct story_command next[STORY_COMMANDS];
    struct buf text;
    json_t *root;

    buf_init(&text, OUT_MAX);
    story_text(s, &plain, &text);
    check_lines(&text);
    buf_reset(&text);
    story_json(s, &plain, &text);
    root =
        json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    PROMISE(json_is_object(root));
    PROMISE(!strcmp(json_string_value(json_object_get(root, "job_id")), s->job.id));
    PROMISE(license || !json_object_get(root, "license"));
    json_decref(root);
    PROMISE(story_next(&s->job, s->now_ms, next) <= STORY_COMMANDS);
    buf_done(&text);
}

static void check_story(bool license)
{
    struct fetch_story s = {.now_ms = 77};
    struct err e = {.class = ERR_NONE};
    int rc = fetch_story(&client, ID, &s, &e);

    if (rc != 1) {
        PROMISE(s.now_ms == 77 && (rc == 0 || (e.class != ERR_NONE && e.text[0])));
        return;
    }
    PROMISE(!strcmp(s.job.id, ID) && (!s.in_inbox || s.job.raw));
    fetch_guess_request(&s.job);
    check_shown(&s, license);
    fetch_story_done(&s);
}

/* --- Lists --- */

static void check_list(const struct scan_filter *f)
{
    struct err e = {.class = ERR_NONE};
    struct scan found;
    int rc = scan_jobs(&client, f, &found, &e);

    PROMISE(rc == 0 || (rc == -1 && e.class != ERR_NONE && e.text[0]));
    PROMISE(found.count <= f->limit);
    for (size_t i = 0; i < found.count; i++) {
        const struct job *j = &found.jobs[i], *before = i ? j - 1 : NULL;

        PROMISE(!*j->id || job_id_valid(j->id));
        PROMISE(f->state == JOB_STATE_COUNT || j->state == f->state);
        PROMISE(!f->ticket_id || j->request.ticket_id == f->ticket_id);
        PROMISE(!f->email || !strcasecmp(j->request.email, f->email));
        PROMISE(!before || !before->accepted_ms ||
                (j->accepted_ms && j->accepted_ms <= before->accepted_ms));
        PROMISE(!before || !*j->id || strcmp(before->id, j->id) != 0);
        PROMISE(!j->license);
    }
    scan_done(&found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scan_filter f = {.limit = 5};

    if (!size)
        return 0;
    client.sent = client.answered = 0;
    client.wire = resp_new();
    resp_feed(client.wire, (const char *)data + 1, size - 1);
    f.state = (enum job_state)(data[0] / 4 % (JOB_STATE_COUNT + 1));
    f.ticket_id = data[0] & 1 ? 42 : 0;
    f.email = data[0] & 2 ? "a@example.com" : NULL;
    f.since_ms = data[0] & 64 ? INT64_C(1769860000000) : 0;
    if (data[0] & 128)
        check_story(data[0] & 1);
    else
        check_list(&f);
    resp_free(client.wire);
    return 0;
}
