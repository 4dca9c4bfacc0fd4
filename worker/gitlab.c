/* gitlab: see gitlab.h. An operation waits in here, not in libcurl, until it may start:
 * a request's time-out runs from its start. */
#include "gitlab.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "crash.h"
#include "gitlab_answer.h"
#include "gitlab_body.h"
#include "http.h"
#include "issue.h"
#include "mem.h"

#define IN_FLIGHT 32
#define TIMEOUT_MS 75000 /* GitLab itself gives a request up after 60 s */
#define BODY_MAX ((size_t)16 * 1024 * 1024)
#define URL_MAX 8192
#define TOKEN_NAME "PRIVATE-TOKEN: "
#define PER_PAGE 100 /* GitLab's most */

struct op {
    struct gitlab *g;
    struct op *next;
    gitlab_fn fn;
    void *arg;
    struct gitlab_ask ask;
    struct buf body;
    struct http_op *request;
};

struct op_queue {
    struct op *first, **end;
};

struct gitlab {
    struct http *http;
    const struct settings *settings;
    char *project_url;
    struct secret token_header;
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

    r->url = op->ask.issue.url ? op->ask.issue.url : "";
    r->title = op->ask.issue.title ? op->ask.issue.title : "";
    g->callbacks++;
    op->fn(op->arg, r);
    g->callbacks--;
    gitlab_issue_done(&op->ask.issue);
    buf_done(&op->body);
    free(op->ask.search.job_id);
    free(op);
    if (g->callbacks || !g->freed)
        return true;
    release(g);
    return false;
}

/* --- requests --- */

static void pump(struct gitlab *g);
static void send_request(struct op *op);

static void on_answer(void *arg, const struct http_response *r)
{
    struct op *op = arg;
    struct gitlab *g = op->g;
    struct gitlab_result out = {.iid = 0};

    CRASH_POINT_OF("gitlab.heard", op->ask.call->name);
    if (!gitlab_answer_take(&op->ask, r, &out)) {
        send_request(op);
        return;
    }
    leave_running(op);
    if (deliver(op, &out))
        pump(g);
}

static void start_http(struct gitlab *g, struct http_request *r, http_fn fn, void *arg,
                       struct http_op **out)
{
    const char *headers[] = {g->token_header.data, "Accept: application/json",
                             r->body ? "Content-Type: application/json" : NULL, NULL};

    r->headers = headers;
    r->hide[0] = g->token_header.data + strlen(TOKEN_NAME);
    r->timeout_ms = TIMEOUT_MS;
    r->secret = g->settings->gitlab_require_private;
    *out = http_start(g->http, r, fn, arg);
}

static void send_request(struct op *op)
{
    struct gitlab_search *s = &op->ask.search;
    struct http_request r = {.method = op->ask.call->method,
                             .body = op->body.data,
                             .body_len = op->body.len};
    struct buf url;

    buf_init(&url, URL_MAX);
    buf_addf(&url, "%s/issues", op->g->project_url);
    if (op->ask.iid)
        buf_addf(&url, "/%lld", (long long)op->ask.iid);
    buf_adds(&url, op->ask.call->suffix);
    if (s->job_id) {
        s->requests++;
        gitlab_body_own_issues_query(s->since_ms, s->page, s->per_page, &url);
    }
    assert(!url.failed && !op->body.failed);
    r.url = url.data;
    CRASH_POINT_OF("gitlab.before", op->ask.call->name);
    start_http(op->g, &r, on_answer, op, &op->request);
    CRASH_SENT_OF(op->request, "gitlab.sent", op->ask.call->name);
    buf_done(&url);
    buf_done(&op->body);
}

/* --- may the project hold secrets? --- */

static void on_project(void *arg, const struct http_response *r)
{
    struct gitlab *g = arg;
    struct gitlab_result out = {.iid = 0};
    struct op *op;

    g->asking = NULL;
    gitlab_answer_project(r, &out.err);
    g->cleared = out.err.class == ERR_NONE;
    if (!g->cleared)
        (void)err_wrap(&out.err, "GitLab project %s", g->settings->gitlab_project);
    /* The answer is for all that wait now; what their callbacks add asks again. */
    for (size_t n = g->cleared ? 0 : g->waiting_count; n && (op = next_waiting(g)); n--)
        if (!deliver(op, &out))
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

static struct op *op_new(struct gitlab *g, const struct gitlab_call *call, gitlab_fn fn,
                         void *arg)
{
    struct op *op = mem_new(1, sizeof *op);

    assert(!g->freed);
    op->g = g;
    op->ask.call = call;
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
    struct op *op = op_new(g, &gitlab_call_create, fn, arg);

    op->ask.labels = gitlab_body_label_count(g->settings->gitlab_labels);
    buf_init(&op->body, BODY_MAX);
    gitlab_body_create(title, description, g->settings->gitlab_labels, &op->body);
    begin(p, op);
}

void gitlab_update(struct gitlab *g, enum gitlab_priority p, int64_t iid,
                   const char *title, const char *description, const char *state_event,
                   gitlab_fn fn, void *arg)
{
    struct op *op = op_new(g, &gitlab_call_update, fn, arg);

    assert(iid > 0);
    op->ask.iid = iid;
    if (state_event)
        op->ask.state_event = strcmp(state_event, "close") ? "reopen" : "close";
    buf_init(&op->body, BODY_MAX);
    gitlab_body_update(title, description, op->ask.state_event, &op->body);
    begin(p, op);
}

void gitlab_find(struct gitlab *g, enum gitlab_priority p, const char *job_id,
                 int64_t since_ms, const char *const *title_prefixes, gitlab_fn fn,
                 void *arg)
{
    struct op *op = op_new(g, &gitlab_call_find, fn, arg);

    op->ask.search = (struct gitlab_search){.job_id = mem_strdup(job_id),
                                            .since_ms = since_ms - ISSUE_CLOCK_SLACK_MS,
                                            .title_prefixes = title_prefixes,
                                            .page = 1,
                                            .per_page = PER_PAGE};
    begin(p, op);
}

void gitlab_comment(struct gitlab *g, enum gitlab_priority p, int64_t iid,
                    const char *body, gitlab_fn fn, void *arg)
{
    struct op *op = op_new(g, &gitlab_call_comment, fn, arg);

    assert(iid > 0);
    op->ask.iid = iid;
    buf_init(&op->body, BODY_MAX);
    gitlab_body_note(body, &op->body);
    begin(p, op);
}

void gitlab_set_token(struct gitlab *g, const struct secret *token)
{
    struct buf text;

    buf_init(&text, URL_MAX);
    buf_addf(&text, TOKEN_NAME "%s", token->data);
    secret_set(&g->token_header, text.data, text.len);
    secret_wipe(text.data, text.len);
    buf_done(&text);
}

struct gitlab *gitlab_new(struct http *http, const struct settings *settings)
{
    struct gitlab *g = mem_new(1, sizeof *g);
    struct buf text;

    g->http = http;
    g->settings = settings;
    g->cleared = !settings->gitlab_require_private;
    for (size_t p = 0; p < GITLAB_PRIORITY_COUNT; p++)
        g->waiting[p].end = &g->waiting[p].first;
    gitlab_set_token(g, &settings->gitlab_token);
    buf_init(&text, URL_MAX);
    buf_addf(&text, "%s/api/v4/projects/", settings->gitlab_url);
    buf_add_percent(&text, settings->gitlab_project);
    g->project_url = buf_take(&text);
    return g;
}

void gitlab_free(struct gitlab *g)
{
    struct gitlab_result r = {.iid = 0};
    struct op *op;

    if (!g)
        return;
    g->closing = true;
    if (g->asking)
        http_cancel(g->asking);
    while (g->running)
        http_cancel(g->running->request);
    (void)err_set(&r.err, ERR_CANCELLED, 0, "GitLab: cancelled");
    while ((op = next_waiting(g)))
        (void)deliver(op, &r);
    g->freed = true;
    if (!g->callbacks)
        release(g);
}
