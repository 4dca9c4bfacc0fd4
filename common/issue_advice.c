/* issue_advice: see issue_advice.h. */
#include "issue_advice.h"

#include <stddef.h>

struct advice {
    const char *reason;
    const char *text;
    const char *option; /* after `stopgapctl requeue ID`; NULL: none */
    const char *other;  /* what to do instead, or NULL */
    const char *other_option;
};

#define AGAIN "When that is mended, put the job to work again; what is done stays done:"

static const struct advice advices[ERR_CLASS_COUNT] = {
    [ERR_NONE] = {"no reason is recorded", AGAIN, NULL, NULL, NULL},
    [ERR_INVALID] =
        {"the request is not right as it stands",
         "Correct it at Zendesk and ask for the license again: that is a new request "
         "and needs no command. If what it was checked against has been mended "
         "instead, let "
         "it be checked again; one that was refused for what its ticket says goes "
         "through unchecked:",
         NULL, NULL, NULL},
    [ERR_OUT_OF_SCOPE] =
        {"the scope rule says no",
         "Emergency licenses are for paid self-managed plans whose grace period ended "
         "within the last 3 days. If the plan or the date given was wrong, correct it "
         "at Zendesk and ask again. To release this request all the same:",
         NULL, NULL, NULL},
    [ERR_PERMANENT] =
        {"the other side refused and would refuse again",
         "The words above say what it refused. If the address is wrong, ask for the "
         "license again with the right one: that is a new request. If something else "
         "was wrong, mend that and put the job to work again; what is done stays done:",
         NULL, NULL, NULL},
    [ERR_AUTH] =
        {"Stopgap's own credentials or rights were refused",
         "This needs an operator: the words above say which credentials. Renew them in "
         "the worker's settings and restart it. " AGAIN,
         NULL, NULL, NULL},
    [ERR_RATE_LIMITED] =
        {"the other side asked to slow down for longer than Stopgap waits", AGAIN, NULL,
         NULL, NULL},
    [ERR_TRANSIENT] =
        {"the other side was out of reach for longer than Stopgap keeps trying",
         "See that it is up and can be reached from the worker. " AGAIN, NULL, NULL,
         NULL},
    [ERR_AMBIGUOUS] =
        {"the mail was out when the mail server's answer was lost",
         "Nobody knows whether the mail arrived. Ask the customer, or look for the "
         "Message-ID below in the mail server's log. If it arrived:",
         " --mail-arrived", "If it did not arrive, send it again:", " --redo email"},
    [ERR_LIMIT] =
        {"a limit of the settings was reached",
         "Somebody with a view of the whole decides: is this a flood, or a bad day? To "
         "let this one job pass:",
         " --lift-limit", NULL, NULL},
    [ERR_POISON] =
        {"the job lost its worker three times",
         "The worker's log of those moments says why; this is a bug or a machine in "
         "trouble. " AGAIN,
         NULL, NULL, NULL},
    [ERR_CANCELLED] = {"the work was broken off", AGAIN, NULL, NULL, NULL},
    [ERR_CONFIG] = {"a setting or a key file is not right",
                    "This needs an operator: mend what the words above name and "
                    "restart the worker. " AGAIN,
                    NULL, NULL, NULL},
    [ERR_BUG] = {"something happened that should not be possible",
                 "Please report it with the text above. " AGAIN, NULL, NULL, NULL},
};

static const struct advice changed = {
    .text = "Its license was changed or damaged in Redis. Find out by what. "
            "A new license is made, and mailed, by:",
    .option = " --redo sign"};

static const struct advice *advice_for(enum err_class class)
{
    return &advices[class < ERR_CLASS_COUNT ? class : ERR_NONE];
}

static const struct advice *advice_of(const struct job *j)
{
    return job_license_changed(j) ? &changed : advice_for(j->error.class);
}

const char *issue_advice_reason(enum err_class class)
{
    return advice_for(class)->reason;
}

static void add_requeue(const struct job *j, const char *option, struct buf *out)
{
    buf_addf(out, "requeue %s%s", j->id, option ? option : "");
}

void issue_advice_command(const struct job *j, struct buf *out)
{
    add_requeue(j, advice_of(j)->option, out);
}

static void add_command(const struct job *j, const char *option, struct buf *out)
{
    buf_adds(out, "```\nstopgapctl ");
    add_requeue(j, option, out);
    buf_adds(out, "\n```\n\n");
}

void issue_advice(const struct job *j, bool late, struct buf *out)
{
    const struct advice *a = advice_of(j);

    if (late) {
        buf_addf(
            out,
            "Nothing yet: it is tried again by itself. If the customer cannot "
            "wait, tell them so. To follow it:\n\n```\nstopgapctl show %s\n```\n\n",
            j->id);
        return;
    }
    buf_addf(out, "%s\n\n", a->text);
    add_command(j, a->option, out);
    if (a->other) {
        buf_addf(out, "%s\n\n", a->other);
        add_command(j, a->other_option, out);
    }
}
