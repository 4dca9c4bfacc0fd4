/* cmd_job: what an operator does to single jobs: resend, discard, and the way that
 * requeue shares with them. */
#include "cmd_job.h"

#include <jansson.h>
#include <stdio.h>

#include "buf.h"
#include "cmd.h"
#include "out.h"

/* One line, or one JSON object on a line of its own. */
static int print_answer(const struct ctl *c, enum answer_verb verb, const char *id,
                        const struct client_answer *a)
{
    struct buf text;
    bool done;
    json_t *o;

    buf_init(&text, OUT_MAX);
    done = answer_text(verb, id, a, &text);
    if (!c->json) {
        (void)fprintf(done ? stdout : stderr, "%s\n", text.data);
    } else {
        o = json_pack("{s:s, s:b, s:s, s:s}", "job_id", id, "done", done, "answer",
                      a->word, "text", text.data);
        out_json(json_dumps(o, JSON_COMPACT));
        json_decref(o);
    }
    buf_done(&text);
    return done ? EXIT_OK : EXIT_FAILED;
}

int cmd_job_each(struct ctl *c, enum answer_verb verb, char **ids, int count,
                 cmd_job_ask_fn ask, void *arg)
{
    int code = EXIT_OK;

    for (int i = 0; i < count; i++) {
        struct client_answer answer;
        struct err e;

        if (ask(c->client, ids[i], &answer, arg, &e)) {
            (void)ctl_fail(&e);
            return EXIT_FAILED;
        }
        if (print_answer(c, verb, ids[i], &answer))
            code = EXIT_FAILED;
    }
    return code;
}

int cmd_job_start(struct ctl *c, char **ids, int count)
{
    for (int i = 0; i < count; i++)
        if (!job_id_valid(ids[i]))
            return ctl_usage(c, "\"%s\" is no job id: %d of a-z and 0-9", ids[i],
                             JOB_ID_LEN);
    return ctl_connect(c);
}

static int ask_resend(struct client *client, const char *id, struct client_answer *a,
                      void *arg, struct err *e)
{
    return client_resend(client, id, arg, a, e);
}

static int ask_discard(struct client *client, const char *id, struct client_answer *a,
                       void *arg, struct err *e)
{
    return client_discard(client, id, arg, a, e);
}

static int run(struct ctl *c, int argc, char **argv, int most, enum answer_verb verb,
               cmd_job_ask_fn ask)
{
    int code, n = ctl_args(c, argc, argv, NULL, 1, most);

    if (n < 0)
        return EXIT_USAGE;
    code = cmd_job_start(c, argv, n);
    return code ? code : cmd_job_each(c, verb, argv, n, ask, (void *)&c->by);
}

int cmd_resend(struct ctl *c, int argc, char **argv)
{
    return run(c, argc, argv, 1, ANSWER_RESEND, ask_resend);
}

int cmd_discard(struct ctl *c, int argc, char **argv)
{
    return run(c, argc, argv, argc, ANSWER_DISCARD, ask_discard);
}
