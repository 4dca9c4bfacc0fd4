/* story_next: what a person can do about a job, as exact commands. What each class of
 * failure means is told by issue_advice; here is only which command Redis will take. */
#include <stdio.h>

#include "issue_advice.h"
#include "story.h"
#include "when.h"

/* The queue refuses to run such a job again as it is (requeue.lua, STALE). */
static bool is_stale(const struct job *j, int64_t now_ms)
{
    return j->frozen && !j->steps[STEP_EMAIL].at_ms &&
           j->issued_ms < now_ms - WHEN_DAY_MS;
}

static void put(struct story_command *c, const struct job *j, const char *option,
                const char *when)
{
    (void)snprintf(c->text, sizeof c->text, "stopgapctl requeue %s%s", j->id, option);
    c->when = when;
}

/* The one command after a failure of each class; NULL: as for a class without a row. */
static const struct {
    const char *option, *when;
} rows[ERR_CLASS_COUNT] = {
    [ERR_NONE] = {"", "when that is mended; what is done stays done"},
    [ERR_INVALID] = {"",
                     "when what it was checked against is mended; a corrected request "
                     "is a new one"},
    [ERR_OUT_OF_SCOPE] = {"", "to release it all the same"},
    [ERR_PERMANENT] = {"", "when that is mended; if the address was wrong, a corrected "
                           "request is a new one"},
    [ERR_LIMIT] = {" --lift-limit", "to let this one job pass"},
};

static void put_by_class(struct story_command *c, const struct job *j)
{
    enum err_class class = j->has_error ? j->error.class : ERR_NONE;

    if (class >= ERR_CLASS_COUNT || !rows[class].option)
        class = ERR_NONE;
    put(c, j, rows[class].option, rows[class].when);
}

size_t story_next(const struct job *j, int64_t now_ms,
                  struct story_command out[static STORY_COMMANDS])
{
    if (j->dup_of || (j->state != JOB_FAILED && j->state != JOB_DELAYED))
        return 0;
    if (j->has_error && j->error.class == ERR_AMBIGUOUS) {
        put(&out[0], j, " --mail-arrived", "if the mail arrived");
        put(&out[1], j, is_stale(j, now_ms) ? " --redo sign" : " --redo email",
            "if it did not");
        return 2;
    }
    if (is_stale(j, now_ms))
        put(&out[0], j, " --redo sign",
            "its license was signed more than a day ago: this makes a new one");
    else if (j->state == JOB_DELAYED)
        put(&out[0], j, "", "to try it now");
    else if (job_license_changed(j))
        put(&out[0], j, " --redo sign",
            "its license was changed in Redis: this makes and mails a new one");
    else
        put_by_class(&out[0], j);
    return 1;
}
