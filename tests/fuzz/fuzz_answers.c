/* What GitLab, Zendesk and Slack, or something in their place, may answer: each call of
 * their clients, without a socket: http.h is this file's. Four bytes: the call, the
 * status, what else is known, a number for the headers; then where a redirect points
 * to, ended by 0xFF, and the bodies, divided by 0xFE: one for each request, the last
 * for all that follow. Whatever comes: one callback, words in one clean line, "done"
 * only for an answer that says so, an end to asking, and secrets sent to our hosts
 * alone.
 *
 * Links: worker/gitlab worker/gitlab_answer worker/gitlab_body worker/gitlab_reply */
#include <ctype.h>
#include <jansson.h>

#include "fuzz_input.h"
#include "fuzz_text.h"
#include "gitlab.h"
#include "http.h"
#include "slack.h"
#include "zendesk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define JOB "0123456789abcdefghjkmnpqrs"
#define REQUESTS_MAX 1100
#define ACTS                                                                           \
    "\001\002\003\004\005\006\a\b\t\n\v\f\r\x7F" /* GitLab may say so; what is shown   \
                                                    is made tame */

enum {
    ERROR = 1,
    CONNECTED = 2,
    TOO_LARGE = 4,
    NEXT_PAGE = 8,
    RETRY = 16,
    PUBLIC = 32,
    CANCEL = 64,
    FREE_INSIDE = 128
};

struct http_op {
    http_fn fn;
    void *arg;
    bool project; /* the question whether GitLab's project is private */
};

static const int statuses[] = {200, 201, 204, 301, 302, 307, 400, 401, 403, 404, 408,
                               409, 410, 422, 425, 429, 500, 502, 503, 599, 100};

static struct world {
    struct settings settings;
    struct http_op *asked; /* the request that is under way */
    int requests, answers;
    int status;
    unsigned flags, number;
    const char *location;
    const char *bodies, *end;
    char *body; /* a copy of its size */
} w;

/* ---- http ---- */

static bool is_ours(const char *url)
{
    static const char *const begins[] = {
        "https://acme.zendesk.com/api/v2/",
        "https://gitlab.example.com/api/v4/projects/g%2Fp",
        "https://hooks.slack.com/services/T/B/x"};

    for (const char *p = url; *p; p++)
        if (!isgraph((unsigned char)*p) || strchr("\"<>\\^`{|}#", *p))
            return false;
    for (size_t i = 0; i < ARRAY_LEN(begins); i++)
        if (!strncmp(url, begins[i], strlen(begins[i])))
            return true;
    return false;
}

struct http_op *http_start(struct http *h, const struct http_request *r, http_fn fn,
                           void *arg)
{
    struct http_op *op = mem_new(1, sizeof *op);
    json_t *body;

    (void)h;
    PROMISE(is_ours(r->url) && r->secret && !w.asked && r->timeout_ms > 0);
    PROMISE(++w.requests <= REQUESTS_MAX);
    if (r->body) {
        body = json_loadb(r->body, r->body_len, JSON_REJECT_DUPLICATES, NULL);
        PROMISE(json_is_object(body));
        json_decref(body);
    }
    *op = (struct http_op){fn, arg, false};
    op->project = !strcmp(r->url, "https://gitlab.example.com/api/v4/projects/g%2Fp");
    w.asked = op;
    return op;
}

void http_cancel(struct http_op *op)
{
    struct http_response r = {.body = "", .location = ""};
    struct http_op asked = *op;

    (void)err_set(&r.err, ERR_CANCELLED, 0, "cancelled");
    free(op);
    w.asked = NULL;
    asked.fn(asked.arg, &r);
}

/* The next body, in memory of its size and the NUL. */
static void next_body(struct http_response *r)
{
    const char *stop = memchr(w.bodies, 0xFE, (size_t)(w.end - w.bodies));
    size_t len = (size_t)((stop ? stop : w.end) - w.bodies);

    free(w.body);
    w.body = mem_new(len + 1, 1);
    memcpy(w.body, w.bodies, len);
    r->body = w.body;
    r->body_len = len;
    if (stop)
        w.bodies = stop + 1;
}

static void answer(void)
{
    struct http_op op = *w.asked;
    struct http_response r = {.body = "", .location = "", .status = w.status};

    free(w.asked);
    w.asked = NULL;
    r.connected = w.flags & CONNECTED || !(w.flags & ERROR);
    if (op.project && !(w.flags & PUBLIC)) {
        r.status = 200;
        r.body = "{\"visibility\":\"private\"}";
        r.body_len = strlen(r.body);
    } else if (w.flags & ERROR) {
        r.status = 0;
        r.too_large = w.flags & TOO_LARGE;
        (void)err_set(&r.err, ERR_TRANSIENT, 0, "no answer: %s", w.location);
    } else {
        r.location = w.location;
        r.next_page = w.flags & NEXT_PAGE ? (int)w.number + w.answers : 0;
        r.retry_after_ms = w.flags & RETRY ? (int64_t)w.number * 1000 : 0;
        next_body(&r);
    }
    w.answers++;
    op.fn(op.arg, &r);
}

/* ---- callbacks ---- */

static struct heard {
    int times;
    struct err err;
} heard;

static void check_err(const struct err *e)
{
    heard.times++;
    heard.err = *e;
    PROMISE(e->class < ERR_CLASS_COUNT && text_line(e->text) && e->retry_after_ms >= 0);
    PROMISE(e->class == ERR_NONE ? !(w.flags & ERROR) : e->text[0] != '\0');
    PROMISE(e->class != ERR_BUG && e->class != ERR_CONFIG && e->class != ERR_INVALID);
    if (e->class == ERR_RATE_LIMITED)
        PROMISE(e->retry_after_ms > 0);
}

static struct gitlab *client;

static void free_client(void)
{
    struct gitlab *g = client;

    client = NULL;
    gitlab_free(g);
}

static void on_gitlab(void *arg, const struct gitlab_result *r)
{
    const int *good = arg;

    if (w.flags & FREE_INSIDE)
        free_client();
    check_err(&r->err);
    PROMISE(r->url && r->title && text_tame(r->url, strlen(r->url), ACTS) &&
            text_tame(r->title, strlen(r->title), ACTS));
    if (r->err.class == ERR_NONE)
        PROMISE(w.status == *good && (*good == 200 || r->iid > 0));
    if (r->unknown)
        PROMISE(r->err.class != ERR_NONE);
}

static void on_slack(void *arg, const struct err *e, bool unknown)
{
    const int *good = arg;

    check_err(e);
    if (e->class == ERR_NONE)
        PROMISE((w.status == 200 || w.status == *good) && !unknown);
}

static void on_zendesk(void *arg, const struct err *e)
{
    (void)arg;
    check_err(e);
    PROMISE(e->class != ERR_NONE || w.status == 200);
}

/* ---- the calls ---- */

static void run(void)
{
    while (w.asked)
        answer();
    PROMISE(heard.times == 1);
}

static void call_gitlab(unsigned which)
{
    static const char *const prefixes[] = {"[Success]", "[Pending]", NULL};
    static int ok = 200, created = 201;
    struct gitlab *g = client = gitlab_new(NULL, &w.settings);

    if (which == 0)
        gitlab_create(g, GITLAB_RECORD, "title", "text", on_gitlab, &created);
    else if (which == 1)
        gitlab_update(g, GITLAB_RECORD, 14, "t", "d", "close", on_gitlab, &ok);
    else if (which == 2)
        gitlab_update(g, GITLAB_REPORT, 14, NULL, "d", "reopen", on_gitlab, &ok);
    else if (which == 3)
        gitlab_find(g, GITLAB_RECORD, JOB, 1769860800000, prefixes, on_gitlab, &ok);
    else
        gitlab_comment(g, GITLAB_REPORT, 14, "a note", on_gitlab, &created);
    if (w.flags & CANCEL && w.flags & CONNECTED)
        answer();
    if (w.flags & CANCEL) /* while it waits, or is under way */
        free_client();
    run();
    free_client();
}

static void call_slack(unsigned which)
{
    static int ok = 200, no_text = 400;
    struct slack *s = slack_new(NULL, &w.settings);

    if (which == 0)
        slack_post(s, "text \xFF\x01\"", on_slack, &ok);
    else
        slack_probe(s, on_slack, &no_text);
    run();
    slack_free(s);
}

static void read_log(struct zendesk *z)
{
    struct zendesk_log log = {0};

    for (int page = 0; page < 2; page++) {
        heard.times = 0;
        zendesk_read_log(z, "hook", 1769860800000, &log, on_zendesk, NULL);
        run();
        for (size_t i = 0; i < log.count; i++) {
            PROMISE(log.v[i].id[0] && log.v[i].status[0] && log.v[i].at_ms >= 0);
            PROMISE(log.v[i].code >= 0 && log.v[i].code <= 999);
        }
        PROMISE(!log.after || log.after[0]);
        if (!log.after)
            break;
    }
    zendesk_log_done(&log);
}

static void read_attempts(struct zendesk *z)
{
    struct zendesk_attempts a = {0};

    zendesk_read_attempts(z, "hook", "01HANA/2", &a, on_zendesk, NULL);
    run();
    PROMISE(heard.err.class == ERR_NONE || (!a.payload && !a.count));
    PROMISE(!a.payload || a.count);
    if (a.payload)
        PROMISE(!a.payload[a.payload_len]);
    zendesk_attempts_done(&a);
}

/* It is our ticket, and it says whose. */
static void check_ticket(void)
{
    json_t *root = json_loads(w.body, JSON_ALLOW_NUL, NULL);
    const json_t *ticket = json_object_get(root, "ticket");

    PROMISE(json_integer_value(json_object_get(ticket, "id")) == 42);
    PROMISE(json_integer_value(json_object_get(ticket, "requester_id")) != 0);
    json_decref(root);
}

static void read_ticket(struct zendesk *z)
{
    struct zendesk_ticket ticket = {.status = ""};

    zendesk_read_ticket(z, 42, &ticket, on_zendesk, NULL);
    run();
    PROMISE((heard.err.class == ERR_NONE) == (ticket.status[0] != '\0'));
    if (ticket.status[0])
        check_ticket();
}

static void read_user(struct zendesk *z)
{
    struct zendesk_user user = {.role = "before"};

    zendesk_read_me(z, &user, on_zendesk, NULL);
    run();
    PROMISE(heard.err.class == ERR_NONE || !strcmp(user.role, "before"));
}

static void read_webhook(struct zendesk *z)
{
    char status[ZENDESK_WORD_MAX] = "before";

    zendesk_read_webhook(z, "hook", status, on_zendesk, NULL);
    run();
    PROMISE(status[0] && (heard.err.class == ERR_NONE || !strcmp(status, "before")));
}

static void find_note(struct zendesk *z)
{
    bool found = false;

    zendesk_find_note(z, 42, "Stopgap job " JOB " (done)", &found, on_zendesk, NULL);
    run();
    PROMISE(w.requests <= 10);
    PROMISE(!found || (heard.err.class == ERR_NONE && strstr(w.body, "Stopgap")));
}

static void add_note(struct zendesk *z)
{
    zendesk_add_note(z, 42, "text", on_zendesk, NULL);
    run();
}

static void add_tag(struct zendesk *z)
{
    zendesk_add_tag(z, 42, "tag", on_zendesk, NULL);
    run();
}

static void call_zendesk(unsigned which)
{
    static void (*const calls[])(struct zendesk * z) = {
        read_log,     read_attempts, read_ticket, read_user,
        read_webhook, find_note,     add_note,    add_tag};
    struct zendesk *z = zendesk_new(NULL, &w.settings, 1000);

    calls[which % ARRAY_LEN(calls)](z);
    zendesk_free(z);
}

static void set_up(const uint8_t *data)
{
    w.asked = NULL;
    w.requests = w.answers = 0;
    w.status = statuses[data[1] % ARRAY_LEN(statuses)];
    w.flags = data[2];
    w.number = data[3];
    w.body = mem_strdup("");
    heard = (struct heard){.times = 0};
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char gitlab[] = "https://gitlab.example.com", project[] = "g/p";
    static char labels[] = "emergency-license", zendesk[] = "https://acme.zendesk.com";
    static char user[] = "agent@example.com";
    static const char slack[] = "https://hooks.slack.com/services/T/B/x";

    (void)argc;
    (void)argv;
    w.settings = (struct settings){.gitlab_url = gitlab,
                                   .gitlab_project = project,
                                   .gitlab_labels = labels,
                                   .gitlab_require_private = true,
                                   .zendesk_url = zendesk,
                                   .zendesk_user = user};
    secret_set(&w.settings.gitlab_token, "token", 5);
    secret_set(&w.settings.zendesk_token, "token", 5);
    secret_set(&w.settings.slack_webhook_url, slack, strlen(slack));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data + 4, size - 4};
    char *location;

    if (size < 4)
        return 0;
    location = fuzz_field(&in);
    set_up(data);
    w.location = location;
    w.bodies = (const char *)in.p;
    w.end = w.bodies + in.left;
    if (data[0] % 16 < 8)
        call_zendesk(data[0] % 8);
    else if (data[0] % 16 < 14)
        call_gitlab(data[0] % 16 - 8);
    else
        call_slack(data[0] % 2);
    free(w.body);
    free(location);
    return 0;
}
