/* gitlab_answer: see gitlab_answer.h. What a code means as such is verdict.c's; what is
 * added here is what only the operation knows. */
#include "gitlab_answer.h"

#include <string.h>

#include "http.h"
#include "verdict.h"

#define SEARCH_ISSUES_MAX 5000
#define SEARCH_REQUESTS_MAX 1000
#define SEARCH_OVERSIZED_MAX 20 /* in a row: then it is no list of issues */

static void take_issue(struct gitlab_ask *ask, struct gitlab_result *out)
{
    out->iid = ask->issue.iid;
    out->closed = ask->issue.closed;
    out->confidential = ask->issue.confidential;
}

/* An answer of the right status from which nothing can be learned: what was asked for
 * has most likely happened. */
static bool unreadable(struct gitlab_ask *ask, struct gitlab_result *out)
{
    out->unknown = ask->call->effect;
    (void)err_wrap(&out->err, "GitLab");
    return true;
}

static bool read_created(struct gitlab_ask *ask, const struct http_response *r,
                         struct gitlab_result *out)
{
    if (gitlab_reply_issue(r->body, r->body_len, &ask->issue, &out->err))
        return unreadable(ask, out);
    take_issue(ask, out);
    out->labels_missing = ask->issue.labels < ask->labels;
    return true;
}

static bool read_updated(struct gitlab_ask *ask, const struct http_response *r,
                         struct gitlab_result *out)
{
    bool close = ask->state_event && !strcmp(ask->state_event, "close");

    if (gitlab_reply_issue(r->body, r->body_len, &ask->issue, &out->err))
        return unreadable(ask, out);
    take_issue(ask, out);
    if (out->iid != ask->iid || (ask->state_event && out->closed != close))
        (void)err_set(&out->err, ERR_TRANSIENT, r->status,
                      "GitLab answered %d, but issue %lld is %s", r->status,
                      (long long)out->iid, out->closed ? "closed" : "open");
    return true;
}

static bool read_note(struct gitlab_ask *ask, const struct http_response *r,
                      struct gitlab_result *out)
{
    if (gitlab_reply_note(r->body, r->body_len, &out->err))
        return unreadable(ask, out);
    out->iid = ask->iid;
    return true;
}

/* The page after this one: as GitLab says, or else while pages are full. */
static int next_page(const struct gitlab_search *s, const struct http_response *r,
                     size_t count)
{
    if (r->next_page)
        return r->next_page;
    return count == (size_t)s->per_page ? s->page + 1 : 0;
}

static bool read_found(struct gitlab_ask *ask, const struct http_response *r,
                       struct gitlab_result *out)
{
    struct gitlab_search *s = &ask->search;
    size_t count;
    int next;

    if (gitlab_reply_find(r->body, r->body_len, s->job_id, s->title_prefixes,
                          &ask->issue, &count, &out->err))
        return unreadable(ask, out);
    take_issue(ask, out);
    s->oversized = 0;
    next = next_page(s, r, count);
    if (out->iid || !next)
        return true;
    s->seen += count;
    if (next <= s->page || s->seen >= SEARCH_ISSUES_MAX ||
        s->requests >= SEARCH_REQUESTS_MAX) {
        (void)err_set(&out->err, ERR_TRANSIENT, 0,
                      "GitLab lists more than %zu issues: looked no further", s->seen);
        return true;
    }
    s->page = next;
    return false;
}

/* Long issues can make a page too large: smaller pages, from the start. An issue that
 * is too large alone is not ours. */
static bool search_on_smaller_pages(struct gitlab_ask *ask)
{
    struct gitlab_search *s = &ask->search;

    if (!s->job_id || s->requests >= SEARCH_REQUESTS_MAX ||
        s->oversized++ >= SEARCH_OVERSIZED_MAX)
        return false;
    if (s->per_page == 1) {
        s->page++;
    } else {
        s->per_page /= 10;
        s->page = 1;
        s->seen = 0;
    }
    return true;
}

static void read_refusal(const struct http_response *r, bool about_project,
                         struct err *e)
{
    if (r->status >= 300 && r->status < 400)
        (void)err_set(e, ERR_AUTH, r->status,
                      "GitLab answered %d: the project is at %s now: set "
                      "STOPGAP_GITLAB_URL and STOPGAP_GITLAB_PROJECT to that",
                      r->status, *r->location ? r->location : "another place");
    else
        verdict_http("GitLab", r->status, r->body, r->body_len, r->retry_after_ms, e);
    if (about_project && r->status == 404)
        e->class = ERR_AUTH; /* whatever it says is not there: no job can help it */
}

/* Whatever it refuses here, it refuses for all jobs: none is to fail for it. */
static void read_project_refusal(const struct http_response *r, struct err *e)
{
    read_refusal(r, true, e);
    if (e->class == ERR_PERMANENT)
        e->class = ERR_AUTH;
}

const struct gitlab_call gitlab_call_create = {"create", "POST", "",
                                               true,     201,    read_created};
const struct gitlab_call gitlab_call_update = {"update", "PUT", "",
                                               true,     200,   read_updated};
const struct gitlab_call gitlab_call_find = {"find", "GET", "?",
                                             false,  200,   read_found};
const struct gitlab_call gitlab_call_comment = {"comment", "POST", "/notes",
                                                true,      201,    read_note};

bool gitlab_answer_take(struct gitlab_ask *ask, const struct http_response *r,
                        struct gitlab_result *out)
{
    if (r->err.class != ERR_NONE) {
        if (r->too_large && search_on_smaller_pages(ask))
            return false;
        out->err = r->err;
        (void)err_wrap(&out->err, "GitLab");
        out->unknown = ask->call->effect && r->connected;
        return true;
    }
    if (r->status == ask->call->status)
        return ask->call->read(ask, r, out);
    read_refusal(r, !ask->iid, &out->err);
    out->unknown = ask->call->effect && verdict_http_unknown(r->status);
    return true;
}

void gitlab_answer_project(const struct http_response *r, struct err *e)
{
    char visibility[32] = "";

    if (r->err.class != ERR_NONE) {
        *e = r->err;
        (void)err_wrap(e, "GitLab");
    } else if (r->status != 200) {
        read_project_refusal(r, e);
    } else if (gitlab_reply_visibility(r->body, r->body_len, visibility, e)) {
        (void)err_wrap(e, "GitLab");
    } else if (strcmp(visibility, "private") != 0) {
        (void)err_set(
            e, ERR_AUTH, 0,
            "its visibility is \"%s\": issues hold licenses and addresses, so "
            "make the project private (or set "
            "STOPGAP_GITLAB_REQUIRE_PRIVATE=0)",
            visibility);
    }
}
