/* verdict: the one place where outside codes become error classes.
 *
 * What a class does to a job is decided in worker/task.c alone. Sources: RFC 5321
 * section 4.2 and 3.8, GitLab "REST API status codes", Redis error prefixes. */
#ifndef STOPGAP_VERDICT_H
#define STOPGAP_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Where in the conversation an SMTP reply came, or the connection ended. */
enum smtp_stage {
    SMTP_CONNECT, /* TCP or TLS not up */
    SMTP_GREETING,
    SMTP_EHLO,
    SMTP_STARTTLS,
    SMTP_AUTH,
    SMTP_MAIL,
    SMTP_RCPT,
    SMTP_DATA, /* the DATA command itself */
    SMTP_BODY, /* content, before the final dot could have left */
    SMTP_DOT,  /* the final dot left (or may have) */
};

const char *smtp_stage_name(enum smtp_stage s);

/* A reply of 4xx or 5xx, or any reply where another was wanted. text: the server's own
 * words, already one line. */
void verdict_smtp_reply(enum smtp_stage stage, int code, const char *text,
                        struct err *e);

/* The connection ended or timed out with no reply. why: the transport's own words. */
void verdict_smtp_lost(enum smtp_stage stage, const char *why, struct err *e);

/* An HTTP answer that is not the wanted one. body: the first bytes, may be binary, HTML
 * or JSON of any shape; its message is quoted in the text. retry_after_ms: from the
 * headers, 0 when absent. service: "GitLab". */
void verdict_http(const char *service, int status, const char *body, size_t body_len,
                  int64_t retry_after_ms, struct err *e);

/* True if a request that ended so may have taken effect at the other side all the same:
 * look before you repeat it. status 0: no answer. */
bool verdict_http_unknown(int status);

/* Redis error reply, by its first word, or by what a script met inside. */
enum redis_verdict {
    REDIS_V_OTHER,     /* a bug or a wrong setup: say it */
    REDIS_V_NOSCRIPT,  /* send the source */
    REDIS_V_LATER,     /* LOADING BUSY TRYAGAIN CLUSTERDOWN NOREPLICAS MISCONF OOM: same
                          connection, later */
    REDIS_V_RECONNECT, /* READONLY MASTERDOWN UNBLOCKED: perhaps another server now */
    REDIS_V_DENIED     /* NOAUTH WRONGPASS NOPERM: an operator must act */
};
enum redis_verdict verdict_redis(const char *error_text, struct err *e);

#endif
