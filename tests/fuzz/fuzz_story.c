/* What stopgapctl reads out of a Redis that somebody else has written to: one job with
 * its story, the inbox's entries, and lists. First byte: what is asked for; the rest
 * are the replies, as they come over the wire. What is shown is harmless for a
 * terminal, and JSON; what a list holds is what was asked for. The client is this
 * file's.
 *
 * Links: ctl/fetch ctl/scan ctl/story_text ctl/story_json ctl/story_next ctl/out */
#include <stdbool.h>

#include <jansson.h>

#include "fuzz_client.h"
#include "out.h"
#include "scan.h"
#include "story.h"
#include "utf8.h"

#define ID "0123456789abcdefghjkmnpqrs"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct client client;

/* --- One job --- */

static void check_shown(const struct fetch_story *s, bool license)
{
    const struct story_options plain = {.license = license,
                                        .asked_for = license ? "another's" : NULL};
    struct story_command next[STORY_COMMANDS];
    struct buf text;
    json_t *root;

    buf_init(&text, OUT_MAX);
    story_text(s, &plain, &text);
    fuzz_check_lines(&text);
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
    fuzz_client_begin(&client, data + 1, size - 1);
    f.state = (enum job_state)(data[0] / 4 % (JOB_STATE_COUNT + 1));
    f.ticket_id = data[0] & 1 ? 42 : 0;
    f.email = data[0] & 2 ? "a@example.com" : NULL;
    f.since_ms = data[0] & 64 ? INT64_C(1769860000000) : 0;
    if (data[0] & 128)
        check_story(data[0] & 1);
    else
        check_list(&f);
    fuzz_client_end(&client);
    return 0;
}
