/* gitlab: see gitlab.h. An operation waits in here, not in libcurl, until it may start:
 * a request's time-out runs from its start. */
#include "gitlab.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "gitlab_body.h"
#include "gitlab_reply.h"
#include "http.h"
#include "mem.h"
#include "verdict.h"

#define IN_FLIGHT 16
#define TIMEOUT_MS 75000 /* GitLab itself gives a request up after 60 s */
#define BODY_MAX ((size_t)16 * 1024 * 1024)
#define URL_MAX 8192
#define SEARCH_SLACK_MS 300000 /* the caller's clock against GitLab's */
#define SEARCH_ISSUES_MAX 5000
#define SEARCH_REQUESTS_MAX 1000
#define PER_PAGE 100 /* GitLab's most */

struct op;

/* What the calls differ in. */
struct call {
    const char *method;
    const char *suffix; /* of the path */
    bool effect;        /* changes something at GitLab */
    int status;         /* of a good answer */
    /* A good status came. False: the operation goes on with another request. */
    bool (*read)(struct op *op, const struct http_response *r,
                 struct gitlab_result *out);
};

struct search {
    char *job_id; /* NULL: the operation is no search */
    int64_t since_ms;
    const char *const *title_prefixes;
    int page, per_page;
    size_t seen, requests;
};

struct op {
    struct gitlab *g;
    struct op *next;
    const struct call *call;
    gitlab_fn fn;
    void *arg;
    int64_t iid;
    const char *state_event; /* a constant, or NULL */
    struct buf body;
    struct search search;
    struct http_op *request;
    struct gitlab_issue issue; /* as answered */
};

struct op_queue {
    struct op *first, **end;
};

struct gitlab {
    struct http *http;
    const struct settings *settings;
    char *project_url;
    struct secret token_header;
    size_t labels; /* how many an issue has to get */
    struct op_queue waiting[GITLAB_PRIORITY_COUNT];
    size_t waiting_count;
    struct op *running;
    size_t running_count;
    struct http_op *asking; /* whether the project is private */
    bool cleared;           /* it is, or nobody wants to know */
    bool closing;
    bool freed;
    unsigned callbacks; /* of callers, under way */
};

/* --- waiting, running, ended --- */

static void enqueue(struct gitlab *g, enum gitlab_priority p, struct op *op)
{
    struct op_queue *q = &g->waiting[p];

    *q->end = op;
    q->end = &op->next;
    g->waiting_count++;
}

static struct op *next_waiting(struct gitlab *g)
{
    for (size_t p = 0; p < GITLAB_PRIORITY_COUNT; p++) {
        struct op_queue *q = &g->waiting[p];
        struct op *op = q->first;

        if (!op)
            continue;
        q->first = op->next;
        if (!q->first)
            q->end = &q->first;
        op->next = NULL;
        g->waiting_count--;
        return op;
    }
    return NULL;
}

static void leave_running(struct op *op)
{
    struct op **at = &op->g->running;

    while (*at != op)
        at = &(*at)->next;
    *at = op->next;
    op->g->running_count--;
}

static void release(struct gitlab *g)
{
    secret_done(&g->token_header);
    free(g->project_url);
    free(g);
}

/* The only place that runs a caller's callback, for an op that is in no list any more.
 * False: the callback freed the client, and it is gone now. */
static bool deliver(struct op *op, struct gitlab_result *r)
{
    struct gitlab *g = op->g;

    r->url = op->issue.url ? op->issue.url : "";
    r->title = op->issue.title ? op->issue.title : "";
    g->callbacks++;
    op->fn(op->arg, r);
    g->callbacks--;
    gitlab_issue_done(&op->issue);
    buf_done(&op->body);
    free(op->search.job_id);
    free(op);
    if (g->callbacks || !g->freed)
        return true;
    release(g);
    return false;
}

/* --- answers --- */

static void take_issue(struct op *op, struct gitlab_result *out)
{
    out->iid = op->issue.iid;
    out->closed = op->issue.closed;
    out->confidential = op->issue.confidential;
}

/* An answer of the right status from which nothing can be learned: what was asked for
 * has most likely happened. */
static bool unreadable(struct op *op, struct gitlab_result *out)
{
    out->unknown = op->call->effect;
    (void)err_wrap(&out->err, "GitLab");
    return true;
}

static bool read_created(struct op *op, const struct http_response *r,
                         struct gitlab_result *out)
{
    if (gitlab_reply_issue(r->body, r->body_len, &op->issue, &out->err))
        return unreadable(op, out);
    take_issue(op, out);
    out->labels_missing = op->issue.labels < op->g->labels;
    if (!out->confidential)
        (void)err_set(&out->err, ERR_AUTH, r->status,
                      "GitLab made issue %lld without `confidential`: the token's role "
                      "has to be Reporter or higher",
                      (long long)out->iid);
    return true;
}

static bool read_updated(struct op *op, const struct http_response *r,
                         struct gitlab_result *out)
{
    bool close = op->state_event && !strcmp(op->state_event, "close");

    if (gitlab_reply_issue(r->body, r->body_len, &op->issue, &out->err))
        return unreadable(op, out);
    take_issue(op, out);
    if (out->iid != op->iid || (op->state_event && out->closed != close))
        (void)err_set(&out->err, ERR_TRANSIENT, r->status,
                      "GitLab answered %d, but issue %lld is %s", r->status,
                      (long long)out->iid, out->closed ? "closed" : "open");
    return true;
}

static bool read_note(struct op *op, const struct http_response *r,
                      struct gitlab_result *out)
{
    if (gitlab_reply_note(r->body, r->body_len, &out->err))
        return unreadable(op, out);
    out->iid = op->iid;
    return true;
}

static void send_request(struct op *op);

/* The page after this one: as GitLab says, or else while pages are full. */
static int next_page(const struct search *s, const struct http_response *r,
                     size_t count)
{
    if (r->next_page)
        return r->next_page;
    return count == (size_t)s->per_page ? s->page + 1 : 0;
}

static bool read_found(struct op *op, const struct http_response *r,
                       struct gitlab_result *out)
{
    struct search *s = &op->search;
    size_t count;
    int next;

    if (gitlab_reply_find(r->body, r->body_len, s->job_id, s->title_prefixes,
                          &op->issue, &count, &out->err))
        return unreadable(op, out);
    take_issue(op, out);
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
    send_request(op);
    return false;
}

/* Long issues can make a page too large: smaller pages, from the start. An issue that
 * is too large alone is not ours. */
static bool search_on_smaller_pages(struct op *op)
{
    struct search *s = &op->search;

    if (!s->job_id || s->requests >= SEARCH_REQUESTS_MAX)
        return false;
    if (s->per_page == 1) {
        s->page++;
    } else {
        s->per_page /= 10;
        s->page = 1;
        s->seen = 0;
    }
    send_request(op);
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

static void pump(struct gitlab *g);

static void on_answer(void *arg, const struct http_response *r)
{
    struct op *op = arg;
    struct gitlab *g = op->g;
    struct gitlab_result out = {.iid = 0};

    if (r->err.class != ERR_NONE) {
        if (r->too_large && search_on_smaller_pages(op))
            return;
        out.err = r->err;
        (void)err_wrap(&out.err, "GitLab");
        out.unknown = op->call->effect && r->connected;
    } else if (r->status == op->call->status) {
        if (!op->call->read(op, r, &out))
            return;
    } else {
        read_refusal(r, !op->iid, &out.err);
        out.unknown = op->call->effect && verdict_http_unknown(r->status);
    }
    leave_running(op);
    if (deliver(op, &out))
        pump(g);
}

/* --- requests --- */

static void start_http(struct gitlab *g, struct http_request *r, http_fn fn, void *arg,
                       struct http_op **out)
{
    const char *headers[] = {g->token_header.data, "Accept: application/json",
                             r->body ? "Content-Type: application/json" : NULL, NULL};

    r->headers = headers;
    r->timeout_ms = TIMEOUT_MS;
    r->secret = g->settings->gitlab_require_private;
    *out = http_start(g->http, r, fn, arg);
}

static void send_request(struct op *op)
{
    struct search *s = &op->search;
    struct http_request r = {
        .method = op->call->method, .body = op->body.data, .body_len = op->body.len};
    struct buf url;

    buf_init(&url, URL_MAX);
    buf_addf(&url, "%s/issues", op->g->project_url);
    if (op->iid)
        buf_addf(&url, "/%lld", (long long)op->iid);
    buf_adds(&url, op->call->suffix);
    if (s->job_id) {
        s->requests++;
        gitlab_body_own_issues_query(s->since_ms, s->page, s->per_page, &url);
    }
    assert(!url.failed && !op->body.failed);
    r.url = url.data;
    start_http(op->g, &r, on_answer, op, &op->request);
    buf_done(&url);
    buf_done(&op->body);
}

/* --- may the project hold secrets? --- */

static void judge_project(const struct http_response *r, struct err *e)
{
    char visibility[32] = "";

    if (r->err.class != ERR_NONE) {
        *e = r->err;
        (void)err_wrap(e, "GitLab");
    } else if (r->status != 200) {
        read_refusal(r, true, e);
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

static void on_project(void *arg, const struct http_response *r)
{
    struct gitlab *g = arg;
    struct gitlab_result out = {.iid = 0};

    g->asking = NULL;
    judge_project(r, &out.err);
    g->cleared = out.err.class == ERR_NONE;
    if (!g->cleared)
        (void)err_wrap(&out.err, "GitLab project %s", g->settings->gitlab_project);
    /* The answer is for all that wait now; what their callbacks add asks again. */
    for (size_t n = g->cleared ? 0 : g->waiting_count; n && g->waiting_count; n--)
        if (!deliver(next_waiting(g), &out))
            return;
    pump(g);
}

/* Starts what may start. */
static void pump(struct gitlab *g)
{
    struct http_request r = {.method = "GET", .url = g->project_url};
    struct op *op;

    if (g->closing || g->asking || !g->waiting_count)
        return;
    if (!g->cleared) {
        start_http(g, &r, on_project, g, &g->asking);
        return;
    }
    while (g->running_count < IN_FLIGHT && (op = next_waiting(g))) {
        op->next = g->running;
        g->running = op;
        g->running_count++;
        send_request(op);
    }
}

/* --- the client --- */

static struct op *op_new(struct gitlab *g, const struct call *call, gitlab_fn fn,
                         void *arg)
{
    struct op *op = mem_new(1, sizeof *op);

    assert(!g->freed);
    op->g = g;
    op->call = call;
    op->fn = fn;
    op->arg = arg;
    return op;
}

static void begin(enum gitlab_priority p, struct op *op)
{
    struct gitlab *g = op->g;

    enqueue(g, p, op);
    pump(g);
}

void gitlab_create(struct gitlab *g, enum gitlab_priority p, const char *title,
                   const char *description, gitlab_fn fn, void *arg)
{
    static const struct call call = {"POST", "", true, 201, read_created};
    struct op *op = op_new(g, &call, fn, arg);

    buf_init(&op->body, BODY_MAX);
    gitlab_body_create(title, description, g->settings->gitlab_labels, &op->body);
    begin(p, op);
}

void gitlab_update(struct gitlab *g, enum gitlab_priority p, int64_t iid,
                   const char *title, const char *description, const char *state_event,
                   gitlab_fn fn, void *arg)
{
    static const struct call call = {"PUT", "", true, 200, read_updated};
    struct op *op = op_new(g, &call, fn, arg);

    assert(iid > 0);
    op->iid = iid;
    if (state_event)
        op->state_event = strcmp(state_event, "close") ? "reopen" : "close";
    buf_init(&op->body, BODY_MAX);
    gitlab_body_update(title, description, op->state_event, &op->body);
    begin(p, op);
}

void gitlab_find(struct gitlab *g, enum gitlab_priority p, const char *job_id,
                 int64_t since_ms, const char *const *title_prefixes, gitlab_fn fn,
                 void *arg)
{
    static const struct call call = {"GET", "?", false, 200, read_found};
    struct op *op = op_new(g, &call, fn, arg);

    op->search = (struct search){.job_id = mem_strdup(job_id),
                                 .since_ms = since_ms - SEARCH_SLACK_MS,
                                 .title_prefixes = title_prefixes,
                                 .page = 1,
                                 .per_page = PER_PAGE};
    begin(p, op);
}

void gitlab_comment(struct gitlab *g, enum gitlab_priority p, int64_t iid,
                    const char *body, gitlab_fn fn, void *arg)
{
    static const struct call call = {"POST", "/notes", true, 201, read_note};
    struct op *op = op_new(g, &call, fn, arg);

    assert(iid > 0);
    op->iid = iid;
    buf_init(&op->body, BODY_MAX);
    gitlab_body_note(body, &op->body);
    begin(p, op);
}

struct gitlab *gitlab_new(struct http *http, const struct settings *settings)
{
    struct gitlab *g = mem_new(1, sizeof *g);
    struct buf text;

    g->http = http;
    g->settings = settings;
    g->cleared = !settings->gitlab_require_private;
    g->labels = gitlab_body_label_count(settings->gitlab_labels);
    for (size_t p = 0; p < GITLAB_PRIORITY_COUNT; p++)
        g->waiting[p].end = &g->waiting[p].first;
    buf_init(&text, URL_MAX);
    buf_addf(&text, "PRIVATE-TOKEN: %s", settings->gitlab_token.data);
    secret_set(&g->token_header, text.data, text.len);
    secret_wipe(text.data, text.len);
    buf_reset(&text);
    buf_addf(&text, "%s/api/v4/projects/", settings->gitlab_url);
    gitlab_body_path_segment(settings->gitlab_project, &text);
    g->project_url = buf_take(&text);
    return g;
}

void gitlab_free(struct gitlab *g)
{
    struct gitlab_result r = {.iid = 0};

    if (!g)
        return;
    g->closing = true;
    if (g->asking)
        http_cancel(g->asking);
    while (g->running)
        http_cancel(g->running->request);
    (void)err_set(&r.err, ERR_CANCELLED, 0, "GitLab: cancelled");
    while (g->waiting_count)
        (void)deliver(next_waiting(g), &r);
    g->freed = true;
    if (!g->callbacks)
        release(g);
}
