/* cmd_show: one job's whole story. */
#include "buf.h"
#include "cmd.h"
#include "ctl.h"
#include "fetch.h"
#include "out.h"
#include "seal.h"
#include "settings.h"
#include "story.h"

#include <stdio.h>
#include <string.h>

#define DUPLICATES_MOST 5 /* of duplicates: more can only be a loop */

/* From a duplicate to the first job, as long as that is still there. */
static int follow(struct ctl *c, struct fetch_story *s, struct err *e)
{
    for (int i = 0; i < DUPLICATES_MOST; i++) {
        struct fetch_story first;
        int rc;

        if (!s->job.dup_of || !job_id_valid(s->job.dup_of))
            return 0;
        rc = fetch_story(c->client, s->job.dup_of, &first, e);
        if (rc <= 0)
            return rc;
        fetch_story_done(s);
        *s = first;
    }
    return 0;
}

static int read_first(struct ctl *c, const char *id, struct fetch_story *s)
{
    struct err e;
    int rc = fetch_story(c->client, id, s, &e);

    if (rc == 0)
        return ctl_say("there is no job %s in queue %s: never submitted, past its "
                       "retention, or forgotten",
                       id, c->settings->queue);
    if (rc < 0 || follow(c, s, &e)) {
        (void)ctl_fail(&e);
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

/* -1: *e says which key is wanted; the rest of the story is shown all the same. */
static int open_license(const struct ctl *c, struct job *j, struct err *e)
{
    const char *path = c->settings->seal_key_file;
    struct seal *seal = NULL;
    int rc = 0;

    if (j->sealed && path && !(seal = seal_load(path, e)))
        return -1;
    rc = job_open_license(j, seal, c->settings->queue, e);
    seal_free(seal);
    return rc;
}

int cmd_show(struct ctl *c, int argc, char **argv)
{
    struct story_options o = {0};
    const struct arg_option own[] = {{"license", ARG_FLAG, &o.license},
                                     {NULL, 0, NULL}};
    struct fetch_story s = {0};
    struct buf out;
    struct err e;
    int code, opened = 0;

    if (ctl_args(c, argc, argv, own, 1, 1) < 0)
        return EXIT_USAGE;
    if (!job_id_valid(argv[0]))
        return ctl_usage(c, "\"%s\" is no job id: %d of a-z and 0-9", argv[0],
                         JOB_ID_LEN);
    code = ctl_connect(c);
    if (!code)
        code = read_first(c, argv[0], &s);
    if (code)
        goto out;
    o.asked_for = strcmp(argv[0], s.job.id) == 0 ? NULL : argv[0];
    o.colour = out_may_colour();
    fetch_guess_request(&s.job);
    if (o.license)
        opened = open_license(c, &s.job, &e);
    buf_init(&out, OUT_MAX);
    if (c->json)
        story_json(&s, &o, &out);
    else
        story_text(&s, &o, &out);
    out_print(&out);
    buf_done(&out);
    if (opened) {
        (void)ctl_fail(&e);
        code = EXIT_FAILED;
    }
out:
    fetch_story_done(&s);
    return code;
}
