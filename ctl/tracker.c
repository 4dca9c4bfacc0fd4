/* tracker: see tracker.h. API: GitLab "Issues API", v4. */
#include "tracker.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gitlab_get.h"
#include "issue.h"
#include "mem.h"
#include "settings.h"
#include "verdict.h"
#include "when.h"

#define TIMEOUT_MS 75000
#define TRIES 3
#define FIRST_WAIT_MS 250
#define WAIT_MOST_MS 120000
#define PER_PAGE 64 /* halved while an answer is too long to be read */
#define PAGES_MOST 10000

/* ---- an answer ---- */

static const char *text_of(const json_t *issue, const char *name)
{
    const char *text = json_string_value(json_object_get(issue, name));

    return text ? text : "";
}

/* The id on the line "Job: <id>", if that line stands outside of what is quoted. */
static bool find_job(const char *description, char id[static JOB_ID_LEN + 1])
{
    static const char word[] = "Job: ";

    for (const char *p = description; (p = strstr(p, word)); p++) {
        const char *from = p + sizeof word - 1;

        if ((p != description && p[-1] != '\n') || strlen(from) < JOB_ID_LEN)
            continue;
        memcpy(id, from, JOB_ID_LEN);
        id[JOB_ID_LEN] = '\0';
        if (job_id_valid(id) && issue_has_marker(description, id))
            return true;
    }
    return false;
}

/* "2026-01-31T12:00:00.123Z"; 0 when it does not say. */
static int64_t created_ms(const json_t *issue)
{
    char text[32] = "";
    int64_t ms;

    (void)snprintf(text, sizeof text, "%.19sZ", text_of(issue, "created_at"));
    return when_parse_iso(text, &ms) ? ms : 0;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static void take_issue(const json_t *o, struct tracker_issues *out)
{
    const char *title = text_of(o, "title");
    struct tracker_issue issue = {.closed = begins(title, "[Success]"),
                                  .iid = json_integer_value(json_object_get(o, "iid"))};

    if (!issue.closed && !begins(title, "[Pending]"))
        return;
    if (issue.iid <= 0 || !find_job(text_of(o, "description"), issue.job_id))
        return;
    issue.created_ms = created_ms(o);
    issue.url = mem_strdup(text_of(o, "web_url"));
    if (out->count == out->room) {
        out->room = out->room ? 2 * out->room : 64;
        out->v = mem_grow(out->v, out->room * sizeof *out->v);
    }
    out->v[out->count++] = issue;
}

int tracker_take(const char *body, size_t len, struct tracker_issues *out,
                 size_t *count, struct err *e)
{
    json_t *list = json_loadb(body, len, 0, NULL), *o;
    size_t i;

    if (!json_is_array(list)) {
        json_decref(list);
        return err_set(e, ERR_TRANSIENT, 0,
                       "GitLab's answer is not a list of issues that can be read");
    }
    json_array_foreach(list, i, o) take_issue(o, out);
    *count = json_array_size(list);
    json_decref(list);
    return 0;
}

void tracker_done(struct tracker_issues *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->v[i].url);
    free(t->v);
    *t = (struct tracker_issues){0};
}

/* ---- asking ---- */

struct reading {
    struct client *client;
    const struct settings *settings;
    struct http *http;
    struct tracker_issues *out;
    int64_t since_ms;
    int page, per_page;
    bool answered, too_large;
    int next_page;
    struct err err;
};

static void on_answer(void *arg, const struct http_response *r)
{
    struct reading *t = arg;
    size_t count = 0;

    t->answered = true;
    t->too_large = r->too_large;
    client_wake(t->client);
    t->err = r->err;
    if (r->err.class != ERR_NONE)
        return;
    if (r->status != 200) {
        verdict_http("GitLab", r->status, r->body, r->body_len, r->retry_after_ms,
                     &t->err);
        return;
    }
    if (tracker_take(r->body, r->body_len, t->out, &count, &t->err))
        return;
    t->next_page = r->next_page                   ? r->next_page
                   : count == (size_t)t->per_page ? t->page + 1
                                                  : 0;
}

static void send_request(struct reading *t)
{
    char after[WHEN_TEXT_MAX], issues[256];

    when_format_iso(t->since_ms < 0 ? 0 : t->since_ms, after);
    (void)snprintf(issues, sizeof issues,
                   "/issues?scope=created_by_me&state=all&order_by=created_at&sort=asc"
                   "&per_page=%d&page=%d&created_after=%s",
                   t->per_page, t->page, after);
    t->answered = false;
    gitlab_get(t->http, t->settings, "projects/", issues, TIMEOUT_MS, on_answer, t);
}

/* One page, asked for again where that helps. */
static int read_page(struct reading *t, struct err *e)
{
    for (int tries = 1;; tries++) {
        int64_t wait_ms = (int64_t)FIRST_WAIT_MS << tries;

        send_request(t);
        client_await(t->client, &t->answered);
        if (t->err.class == ERR_NONE || t->too_large)
            return 0;
        if (t->err.class == ERR_RATE_LIMITED)
            wait_ms = t->err.retry_after_ms;
        if (tries == TRIES || wait_ms > WAIT_MOST_MS ||
            (t->err.class != ERR_RATE_LIMITED && t->err.class != ERR_TRANSIENT))
            break;
        client_pause(t->client, wait_ms);
    }
    *e = t->err;
    return err_wrap(e, "cannot read the tracker (STOPGAP_GITLAB_URL, "
                       "STOPGAP_GITLAB_PROJECT, STOPGAP_GITLAB_TOKEN)");
}

/* The same issues with smaller pages; one that is too large alone is no record. */
static void turn_page(struct reading *t)
{
    if (!t->too_large) {
        t->page = t->next_page;
    } else if (t->per_page > 1) {
        t->page = 2 * t->page - 1;
        t->per_page /= 2;
    } else {
        t->page++;
    }
}

int tracker_read(struct client *c, const struct settings *settings, int64_t since_ms,
                 struct tracker_issues *out, struct err *e)
{
    struct reading t = {.client = c,
                        .settings = settings,
                        .out = out,
                        .since_ms = since_ms - ISSUE_CLOCK_SLACK_MS,
                        .page = 1,
                        .per_page = PER_PAGE};
    int rc = 0;

    *out = (struct tracker_issues){0};
    t.http = http_new(client_loop(c), settings->ca_file, e);
    if (!t.http)
        return -1;
    for (int n = 0; rc == 0 && t.page; n++) {
        if (n == PAGES_MOST)
            rc = err_set(e, ERR_LIMIT, 0, "the tracker has more than %d pages",
                         PAGES_MOST);
        else if ((rc = read_page(&t, e)) == 0)
            turn_page(&t);
    }
    http_free(t.http);
    return rc;
}
