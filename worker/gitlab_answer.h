/* gitlab_answer: from an HTTP answer to the result of an operation: what is known now,
 * and whether a search has to go on. Pure. For gitlab.c only. */
#ifndef STOPGAP_GITLAB_ANSWER_H
#define STOPGAP_GITLAB_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gitlab.h"
#include "gitlab_reply.h"

struct http_response;
struct gitlab_ask;

/* What the calls differ in. */
struct gitlab_call {
    const char *name;
    const char *method;
    const char *suffix; /* of the path */
    bool effect;        /* changes something at GitLab */
    int status;         /* of a good answer */
    /* A good status came. False: ask again, with the next page of the search. */
    bool (*read)(struct gitlab_ask *ask, const struct http_response *r,
                 struct gitlab_result *out);
};

extern const struct gitlab_call gitlab_call_create, gitlab_call_update,
    gitlab_call_find, gitlab_call_comment;

struct gitlab_search {
    char *job_id; /* NULL: the operation is no search */
    int64_t since_ms;
    const char *const *title_prefixes;
    int page, per_page;
    size_t seen, requests;
    size_t oversized; /* answers too long to be read, in a row */
};

/* What is asked for, and the issue as answered. */
struct gitlab_ask {
    const struct gitlab_call *call;
    int64_t iid;
    size_t labels;           /* how many a new issue has to get */
    const char *state_event; /* a constant, or NULL */
    struct gitlab_search search;
    struct gitlab_issue issue;
};

/* Any answer, or none. False: ask again. */
bool gitlab_answer_take(struct gitlab_ask *ask, const struct http_response *r,
                        struct gitlab_result *out);

/* The answer to GET /projects/:id: may it hold secrets? ERR_NONE: yes. */
void gitlab_answer_project(const struct http_response *r, struct err *e);

#endif
