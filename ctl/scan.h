/* scan: many jobs read out of Redis, page by page, with only what a list shows. */
#ifndef STOPGAP_SCAN_H
#define STOPGAP_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "err.h"
#include "job.h"

struct scan_filter {
    enum job_state state; /* JOB_STATE_COUNT: any */
    int64_t ticket_id;    /* 0: any */
    const char *email;    /* in its normal form; NULL: any */
    int64_t since_ms;     /* accepted since; 0: ever */
    size_t limit;
};

struct scan {
    struct job *jobs; /* newest first, by when they were accepted; without license */
    size_t count;
    bool cut;       /* there were too many to look at all of them */
    size_t strange; /* records that do not read, or newer ones: left out */
};

/* The caller ends it with scan_done, also after a failure. */
int scan_jobs(struct client *c, const struct scan_filter *f, struct scan *out,
              struct err *e) MUST_CHECK;
void scan_done(struct scan *s);

#endif
