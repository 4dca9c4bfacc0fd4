/* fuzz_client: in place of ctl/client.c, a client whose replies are the fuzzer's bytes,
 * as they come over the wire; when they are used up the connection is gone. */
#ifndef STOPGAP_TESTS_FUZZ_CLIENT_H
#define STOPGAP_TESTS_FUZZ_CLIENT_H

#include "client.h"
#include "fuzz_input.h"
#include "resp.h"
#include "utf8.h"
#include "verdict.h"

#define QUEUED_MAX 2000
#define REPLY_MAX (1 << 20)

struct client {
    struct resp *wire;
    size_t sent, answered;
    struct {
        client_fn fn;
        void *arg;
    } calls[QUEUED_MAX];
};

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
        } else if (c->calls[i].fn) {
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

static inline void fuzz_client_begin(struct client *c, const void *bytes, size_t len)
{
    c->sent = c->answered = 0;
    c->wire = resp_new(REPLY_MAX);
    resp_feed(c->wire, bytes, len);
}

static inline void fuzz_client_end(struct client *c)
{
    resp_free(c->wire);
}

/* Lines that are harmless for a terminal. */
static inline void fuzz_check_lines(const struct buf *text)
{
    const char *p = text->data, *end = p + text->len;

    PROMISE(!text->failed && text->len > 0);
    while (p < end) {
        int32_t c = utf8_next(&p, end);

        PROMISE(c == '\n' || utf8_printable(c));
    }
}

#endif
