/* What servers say, made into an error and its class. First byte: which server and
 * where; the next two: its number. Whatever it says, the class is one that its number
 * allows, and the text is one line that can be shown. */
#include <stdbool.h>

#include "fuzz_input.h"
#include "utf8.h"
#include "verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const struct err *e)
{
    const char *p = e->text, *end = p + strlen(p);

    PROMISE(p < end && end - p < ERR_TEXT_MAX);
    while (p < end)
        PROMISE(utf8_printable(utf8_next(&p, end)));
}

static void check_smtp(enum smtp_stage stage, int code, const char *text)
{
    bool fifth = code >= 500 && code <= 599;
    struct err e;

    verdict_smtp_reply(stage, code, text, &e);
    PROMISE(e.code == code && strstr(e.text, smtp_stage_name(stage)));
    PROMISE(e.class == (!fifth              ? ERR_TRANSIENT
                        : stage < SMTP_RCPT ? ERR_AUTH
                                            : ERR_PERMANENT));
    check_text(&e);
    verdict_smtp_lost(stage, text, &e);
    PROMISE(e.class == (stage == SMTP_DOT ? ERR_AMBIGUOUS : ERR_TRANSIENT));
    check_text(&e);
}

/* A body can make little of a difference, and none of it is to give up on a job for
 * what was no answer to it. */
static void check_http(int status, const char *body, size_t len, int64_t retry_after_ms)
{
    struct err e, empty;

    verdict_http("GitLab", status, body, len, retry_after_ms, &e);
    verdict_http("GitLab", status, "", 0, retry_after_ms, &empty);
    check_text(&e);
    PROMISE(e.code == status && !strncmp(e.text, "GitLab answered ", 16));
    PROMISE((e.class == ERR_RATE_LIMITED) == (status == 429));
    PROMISE(status == 429 ? e.retry_after_ms > 0 : e.retry_after_ms == retry_after_ms);
    if (status != 404 && status != 409)
        PROMISE(e.class == empty.class);
    if (e.class == ERR_PERMANENT)
        PROMISE(status >= 400 && status < 500 && !verdict_http_unknown(status));
    if (status == 404)
        PROMISE(e.class != ERR_PERMANENT || body[0] == '{');
}

static void check_redis(const char *text)
{
    enum redis_verdict v;
    struct err e;

    v = verdict_redis(text, &e);
    check_text(&e);
    PROMISE(!strncmp(e.text, "Redis:", 6));
    PROMISE((v == REDIS_V_OTHER) == (e.class == ERR_BUG));
    PROMISE((v == REDIS_V_DENIED) == (e.class == ERR_AUTH));
    PROMISE(v != REDIS_V_NOSCRIPT || strstr(text, "NOSCRIPT"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text;
    int number;

    if (size < 3)
        return 0;
    number = (data[1] << 8 | data[2]) % 1000;
    text = mem_dup((const char *)data + 3, size - 3);
    if (data[0] < 10)
        check_smtp((enum smtp_stage)data[0], number, text);
    else if (data[0] & 1)
        check_http(number, text, size - 3, data[0] & 2 ? 5000 : 0);
    else
        check_redis(text);
    free(text);
    return 0;
}
