/* gitlab: the GitLab calls that the worker makes, as operations with one callback each,
 * a bound on how many run at once, and success records before failure reports.
 *
 * Not here: texts (common/issue.h), bytes on the wire (gitlab_body.h, gitlab_reply.h),
 * what an outcome does to a job (task.c). API: GitLab "Issues API" and "Notes API", v4.
 */
#ifndef STOPGAP_GITLAB_H
#define STOPGAP_GITLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "settings.h"

struct http;
struct gitlab;

enum gitlab_priority { GITLAB_RECORD, GITLAB_REPORT, GITLAB_PRIORITY_COUNT };

struct gitlab_result {
    struct err err;    /* ERR_NONE: done */
    bool unknown;      /* failed, but it may have taken effect: look before repeating */
    int64_t iid;       /* 0: none (for a search: not found) */
    const char *url;   /* web_url; borrowed during the callback; may be "" */
    bool closed;       /* state of the issue */
    bool confidential; /* false after a creation: GitLab took no notice of it */
    bool labels_missing; /* fewer than were sent: the token's role is too low */
    const char *title;   /* as GitLab holds it; borrowed during the callback */
};
/* Exactly once, from the loop, never from inside the call. */
typedef void (*gitlab_fn)(void *arg, const struct gitlab_result *result);

/* settings borrowed for the life of the client. */
struct gitlab *gitlab_new(struct http *http, const struct settings *settings);

/* For requests that begin after it. */
void gitlab_set_token(struct gitlab *g, const struct secret *token);

/* Before http_free. Operations get their callback with ERR_CANCELLED inside this call;
 * `unknown` is set if it was on its way. May be called from a callback. */
void gitlab_free(struct gitlab *g);

/* Every operation first makes sure, once per process, that the project may hold
 * secrets: GET /projects/:id must say `private` unless
 * STOPGAP_GITLAB_REQUIRE_PRIVATE=0; otherwise ERR_AUTH with what to do, and it is asked
 * again next time. So it is with http:// to another machine. A redirect is ERR_AUTH
 * that says where the project went. */

/* POST: a confidential issue with the labels of the settings. That GitLab made it
 * without either is no error: the issue is there, and must not be made again. */
void gitlab_create(struct gitlab *g, enum gitlab_priority p, const char *title,
                   const char *description, gitlab_fn fn, void *arg);

/* PUT. title, description may be NULL (unchanged); state_event "close", "reopen" or
 * NULL. Done only if the answer shows the wanted state. */
void gitlab_update(struct gitlab *g, enum gitlab_priority p, int64_t iid,
                   const char *title, const char *description, const char *state_event,
                   gitlab_fn fn, void *arg);

/* Lists the token's own issues (scope=created_by_me, state=all, created_after since_ms
 * - 5 min, oldest first, 5000 at most: past that ERR_TRANSIENT, never "not there") and
 * compares issue_has_marker. Only issues whose title begins with one of title_prefixes
 * (NULL-terminated, a constant) count, so that a failure issue is not taken for a
 * record; of several the oldest, so that all who look see the same. iid 0 = not there.
 * Does not use search= (full text would not find it reliably). */
void gitlab_find(struct gitlab *g, enum gitlab_priority p, const char *job_id,
                 int64_t since_ms, const char *const *title_prefixes, gitlab_fn fn,
                 void *arg);

/* POST a note on an issue. */
void gitlab_comment(struct gitlab *g, enum gitlab_priority p, int64_t iid,
                    const char *body, gitlab_fn fn, void *arg);

#endif
