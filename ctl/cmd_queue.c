/* cmd_queue: the queue as a whole is held and let go. */
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "cmd.h"
#include "ctl.h"
#include "out.h"

#define REASON_MAX 500 /* bytes */

static int say(const struct ctl *c, bool paused, const char *words)
{
    if (c->json)
        (void)printf("{\"paused\": %s}\n", paused ? "true" : "false");
    else
        (void)puts(words);
    return EXIT_OK;
}

int cmd_pause(struct ctl *c, int argc, char **argv)
{
    struct err e;
    bool changed;
    int code, n = ctl_args(c, argc, argv, NULL, 0, 1);

    if (n < 0)
        return EXIT_USAGE;
    if (n && strlen(argv[0]) > REASON_MAX)
        return ctl_usage(c, "a reason has at most %d bytes", REASON_MAX);
    code = ctl_connect(c);
    if (code)
        return code;
    if (client_pause_queue(c->client, n ? argv[0] : "", &c->by, &changed, &e))
        return ctl_fail(&e);
    return say(
        c, true,
        "paused: no worker takes another job; jobs under way go on, requests are "
        "still accepted. `stopgapctl resume` ends it.");
}

int cmd_resume(struct ctl *c, int argc, char **argv)
{
    struct err e;
    bool changed;
    int code;

    if (ctl_args(c, argc, argv, NULL, 0, 0) < 0)
        return EXIT_USAGE;
    code = ctl_connect(c);
    if (code)
        return code;
    if (client_pause_queue(c->client, NULL, &c->by, &changed, &e))
        return ctl_fail(&e);
    return say(c, false,
               changed ? "resumed: workers take jobs again" : "it was not paused");
}
