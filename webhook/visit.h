/* visit: one request from its arrival to its answer, and the log line about it. Answers
 * are JSON; what they say is the caller's. */
#ifndef STOPGAP_VISIT_H
#define STOPGAP_VISIT_H

#include "buf.h"
#include "err.h"
#include "httpd.h"
#include "receiver.h"
#include "request.h"

struct visit {
    struct receiver *receiver;
    struct httpd_call *call;
    const struct httpd_request *request;
    const char *route;           /* as in the table of routes, for the log */
    char target[JOB_ID_LEN + 1]; /* the id in the path, or "" */
    enum tally_route counted_as;
    bool quiet;        /* asked by monitors, all the time */
    uint64_t began_ms; /* loop clock */

    char job_id[JOB_ID_LEN + 1]; /* "" until there is one */
    bool faulty;                 /* the request that is kept has */
    struct buf faults;           /* these */
    char asked[JOB_ID_LEN + 1];  /* while a duplicate is followed: the id asked for */
    unsigned hops;
    char *text; /* owned: the request that will be put, or the last view on the way */
};

/* Ends with visit_answer or visit_refuse. */
struct visit *visit_new(struct receiver *r, struct httpd_call *call,
                        const struct httpd_request *request);

/* The whole answer: JSON without its last newline. extra: header lines as in
 * httpd_answer. Frees the visit. */
void visit_answer(struct visit *v, int status, const char *const *extra,
                  const char *json);

/* {"error": TEXT}, and with a 503 "Retry-After: 30", with a 401 what is wanted. Frees
 * the visit. */
void visit_refuse(struct visit *v, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* A request that httpd has answered by itself: for the log. */
void visit_refused(struct receiver *r, const char *peer, int status, const char *why);

/* True if the body is said to be JSON. */
bool visit_is_json(const struct visit *v);

#endif
