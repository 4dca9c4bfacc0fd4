/* tracker: the issues of the GitLab project that say which job they record, read and
 * nothing else. For a program that does one thing after the other. */
#ifndef STOPGAP_TRACKER_H
#define STOPGAP_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "err.h"
#include "job.h"

struct settings;

struct tracker_issue {
    char job_id[JOB_ID_LEN + 1];
    int64_t iid;
    int64_t created_ms;
    bool closed; /* [Success]; else still [Pending] */
    char *url;
};
struct tracker_issues {
    struct tracker_issue *v;
    size_t count, room;
};

/* The records among the token's own issues created since then, oldest first. -1: *e,
 * and perhaps some were missed: nothing may be concluded. The caller ends it with
 * tracker_done, also then. */
int tracker_read(struct client *c, const struct settings *settings, int64_t since_ms,
                 struct tracker_issues *out, struct err *e) MUST_CHECK;
void tracker_done(struct tracker_issues *t);

/* One page, as GitLab answers: records are added, *count is of all issues. Pure. */
int tracker_take(const char *body, size_t len, struct tracker_issues *out,
                 size_t *count, struct err *e) MUST_CHECK;

#endif
