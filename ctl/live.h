/* live: what is going on at this moment: each worker with what it does, and what failed
 * last. Read anew for each repaint of a screen; bounded, so that it stays cheap. */
#ifndef STOPGAP_LIVE_H
#define STOPGAP_LIVE_H

#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "err.h"
#include "job.h"

#define LIVE_WORKERS 12
#define LIVE_JOBS 3 /* shown of each worker */
#define LIVE_FAILURES 5

struct live_job {
    char id[JOB_ID_LEN + 1];
    char ticket[24];
    const char *step; /* the first that has no result in Redis */
    int64_t started_ms;
};

struct live_worker {
    char wid[160], host[80], pid[16], state[16], lag[16];
    int64_t busy;     /* by its list, not by its last beat */
    int64_t lease_ms; /* until when */
    struct live_job jobs[LIVE_JOBS];
    size_t job_count;
};

struct live_failure {
    char id[JOB_ID_LEN + 1];
    int64_t at_ms;
    char ticket[24], class[24], step[16], why[256];
};

struct live {
    struct client *client;
    int64_t now_ms;
    struct live_worker workers[LIVE_WORKERS];
    size_t worker_count; /* of the array */
    struct live_failure failures[LIVE_FAILURES];
    size_t failure_count;
};

/* now_ms: Redis's clock. */
int live_read(struct client *client, int64_t now_ms, struct live *out,
              struct err *e) MUST_CHECK;

#endif
