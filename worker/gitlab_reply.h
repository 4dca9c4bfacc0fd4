/* gitlab_reply: what GitLab answered, read from bytes that may be anything. Pure.
 * Everything here fails with ERR_TRANSIENT when the answer is cut, is not JSON, or
 * lacks what the caller has to know; out-parameters are then untouched. */
#ifndef STOPGAP_GITLAB_REPLY_H
#define STOPGAP_GITLAB_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Zeroed = none. */
struct gitlab_issue {
    int64_t iid;
    bool closed;
    bool confidential;
    size_t labels; /* how many */
    char *title;   /* owned; "" when absent */
    char *url;     /* owned; "" when absent */
};
void gitlab_issue_done(struct gitlab_issue *issue);

/* One issue: iid and state have to be there. */
int gitlab_reply_issue(const char *body, size_t len, struct gitlab_issue *out,
                       struct err *e) MUST_CHECK;

/* A created note: its id has to be there. */
int gitlab_reply_note(const char *body, size_t len, struct err *e) MUST_CHECK;

/* A project's `visibility`; "" when it does not say. */
int gitlab_reply_visibility(const char *body, size_t len, char out[static 32],
                            struct err *e) MUST_CHECK;

/* A list of issues: *count of them, and into out the first whose title begins with one
 * of title_prefixes (NULL-terminated) and whose description holds the job's marker;
 * out stays as it is (zeroed) if there is none. */
int gitlab_reply_find(const char *body, size_t len, const char *job_id,
                      const char *const *title_prefixes, struct gitlab_issue *out,
                      size_t *count, struct err *e) MUST_CHECK;

#endif
