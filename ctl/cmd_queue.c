/* cmd_queue: the queue as a whole is held and let go. */
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "cmd.h"
#include "ctl.h"
#include "out.h"

#define REASON_MAX 500 /* bytes */

static void on_deleted(void *arg, const struct redisReply *reply)
{
    *(int64_t *)arg = reply_int(reply);
}

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
    char key[QUEUE_KEY_MAX];
    int64_t now_ms = 0;
    struct buf value;
    struct err e;
    int code, n = ctl_args(c, argc, argv, NULL, 0, 1);

    if (n < 0)
        return EXIT_USAGE;
    if (n && strlen(argv[0]) > REASON_MAX)
        return ctl_usage(c, "a reason has at most %d bytes", REASON_MAX);
    code = ctl_connect(c);
    if (code)
        return code;
    buf_init(&value, OUT_MAX);
    client_key(c->client, "paused", "", key);
    if (client_now(c->client, &now_ms, &e) == 0) {
        buf_addf(&value, "%lld %s %s", (long long)now_ms, c->user, n ? argv[0] : "");
        client_send(c->client, NULL, NULL, 3, (const char *[]){"SET", key, value.data},
                    NULL);
    }
    buf_done(&value);
    if (client_wait(c->client, &e))
        return ctl_fail(&e);
    return say(
        c, true,
        "paused: no worker takes another job; jobs under way go on, requests are "
        "still accepted. `stopgapctl resume` ends it.");
}

int cmd_resume(struct ctl *c, int argc, char **argv)
{
    char key[QUEUE_KEY_MAX];
    int64_t deleted = 0;
    struct err e;
    int code;

    if (ctl_args(c, argc, argv, NULL, 0, 0) < 0)
        return EXIT_USAGE;
    code = ctl_connect(c);
    if (code)
        return code;
    client_key(c->client, "paused", "", key);
    client_send(c->client, on_deleted, &deleted, 2, (const char *[]){"DEL", key}, NULL);
    if (client_wait(c->client, &e))
        return ctl_fail(&e);
    return say(c, false,
               deleted ? "resumed: workers take jobs again" : "it was not paused");
}
