/* gitlab: the five GitLab calls that the worker makes, as operations with one callback
 * each, a bound on how many run at once, and success records before failure reports.
 *
 * Not here: texts (common/issue.h), what an outcome does to a job (task.c). API: GitLab
 * "Issues API" and "Notes API", v4. */
#ifndef STOPGAP_GITLAB_H
#define STOPGAP_GITLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "settings.h"

struct http;
struct gitlab;

enum gitlab_priority { GITLAB_RECORD, GITLAB_REPORT };

struct gitlab_result {
    struct err err;  /* ERR_NONE: done */
    bool unknown;    /* failed, but it may have taken effect: look before repeating */
    int64_t iid;     /* 0: none (for a search: not found) */
    const char *url; /* web_url; borrowed during the callback; may be "" */
    bool closed;     /* state of the issue */
    bool confidential;
    const char *title; /* as GitLab holds it */
};
/* Exactly once, from the loop, never from inside the call. */
typedef void (*gitlab_fn)(void *arg, const struct gitlab_result *result);

/* settings borrowed for the life of the client. */
struct gitlab *gitlab_new(struct http *http, const struct settings *settings);

/* Waiting operations are dropped with ERR_CANCELLED inside this call. */
void gitlab_free(struct gitlab *g);

/* Every operation first makes sure, once per process, that the project may hold
 * secrets: GET /projects/:id must say `private` unless
 * STOPGAP_GITLAB_REQUIRE_PRIVATE=0; otherwise ERR_AUTH with what to do, and it is asked
 * again next time. */

/* POST: a confidential issue with the labels of the settings. An answer without
 * `"confidential": true` is ERR_AUTH with iid set. */
void gitlab_create(struct gitlab *g, enum gitlab_priority p, const char *title,
                   const char *description, gitlab_fn fn, void *arg);

/* PUT. title, description may be NULL (unchanged); state_event "close", "reopen" or
 * NULL. Done only if the answer shows the wanted state. */
void gitlab_update(struct gitlab *g, enum gitlab_priority p, int64_t iid,
                   const char *title, const char *description, const char *state_event,
                   gitlab_fn fn, void *arg);

/* Lists the token's own issues (GET /user once; author_username, state=all, scope=all,
 * created_after since_ms - 5 min, newest first, all pages up to 50) and compares
 * issue_has_marker. Only issues whose title begins with one of title_prefixes
 * (NULL-terminated) count, so that a failure issue is not taken for a record. iid 0 =
 * not there. Does not use search= (full text would not find it reliably). */
void gitlab_find(struct gitlab *g, enum gitlab_priority p, const char *job_id,
                 int64_t since_ms, const char *const *title_prefixes, gitlab_fn fn,
                 void *arg);

/* POST a note on an issue. */
void gitlab_comment(struct gitlab *g, enum gitlab_priority p, int64_t iid,
                    const char *body, gitlab_fn fn, void *arg);

#endif
