/* doctor_gitlab: the project that holds the records: may the token write there, until
 * when, and who would read a license there. API: GitLab "Personal access tokens",
 * "Projects", "Members", "Project webhooks", "Integrations", v4. */
#include "doctor.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "gitlab_get.h"
#include "mem.h"
#include "num.h"
#include "settings.h"
#include "verdict.h"
#include "when.h"

#define TIMEOUT_MS 15000
#define PLANNER 15 /* GitLab's levels: from here on confidential issues are seen */
#define REPORTER 20
#define TOKEN_WARN_DAYS 21
#define NAMES_SHOWN 5
#define NAMES_MAX 8192

struct question {
    struct doctor *d;
    struct http *http;
    const char *path;
    bool over;
    int status;   /* 0: no answer */
    json_t *body; /* NULL unless 200 and JSON */
    char *location;
    struct err err;
};

static void on_answer(void *arg, const struct http_response *r)
{
    struct question *q = arg;

    q->status = r->status;
    q->err = r->err;
    mem_set(&q->location, r->location);
    if (r->err.class == ERR_NONE && r->status == 200)
        q->body = json_loadb(r->body, r->body_len, 0, NULL);
    if (r->err.class == ERR_NONE && r->status != 200)
        verdict_http("GitLab", r->status, r->body, r->body_len, r->retry_after_ms,
                     &q->err);
    else if (r->err.class == ERR_NONE && !q->body)
        (void)err_set(&q->err, ERR_TRANSIENT, 0, "GitLab's answer is not JSON");
    q->over = true;
    client_wake(q->d->client);
}

static void ask(struct question *q, const char *before, const char *after)
{
    json_decref(q->body);
    q->body = NULL;
    q->over = false;
    gitlab_get(q->http, q->d->settings, before, after, TIMEOUT_MS, on_answer, q);
    client_await(q->d->client, &q->over);
}

static const char *text_of(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text ? text : "";
}

static bool is_true(const json_t *o, const char *name)
{
    return json_is_true(json_object_get(o, name));
}

/* ---- the token ---- */

static void judge_scopes(struct doctor *d, const json_t *token)
{
    const json_t *scopes = json_object_get(token, "scopes"), *scope;
    bool enough = false;
    size_t i;

    json_array_foreach(scopes, i, scope)
    {
        const char *name = json_string_value(scope);

        enough =
            enough || (name && (!strcmp(name, "api") || !strcmp(name, "granular")));
    }
    if (enough)
        doctor_say(d, "gitlab token", DOCTOR_OK, NULL,
                   "it holds, and has the api scope");
    else
        doctor_say(d, "gitlab token", DOCTOR_FAIL,
                   "make a project access token with the role Reporter and the scope "
                   "`api`: no narrower one writes issues",
                   "it has not the api scope");
}

/* Tokens end at midnight UTC of that day. */
static void judge_expiry(struct doctor *d, const json_t *token)
{
    static const char mend[] = "make a new one in time, write it into "
                               "STOPGAP_GITLAB_TOKEN_FILE, HUP the workers";
    const char *date = text_of(token, "expires_at");
    int64_t day, left;

    if (!*date) {
        doctor_say(d, "gitlab token", DOCTOR_OK, NULL, "it does not expire");
        return;
    }
    if (!when_parse_date(date, &day))
        return;
    left = day - when_day(doctor_clock_ms());
    doctor_say(d, "gitlab token",
               left <= 2                ? DOCTOR_FAIL
               : left < TOKEN_WARN_DAYS ? DOCTOR_WARN
                                        : DOCTOR_OK,
               left < TOKEN_WARN_DAYS ? mend : NULL,
               "it expires at 00:00 UTC of %s, in %lld days", date, (long long)left);
}

/* False: nothing else will be answered. */
static bool check_token(struct question *q)
{
    struct doctor *d = q->d;

    ask(q, "personal_access_tokens/self", NULL);
    if (q->status == 0) {
        doctor_say(d, "gitlab", DOCTOR_FAIL,
                   strstr(q->err.text, "certificate") || strstr(q->err.text, "SSL")
                       ? "mend GitLab's certificate, or STOPGAP_CA_FILE"
                       : "is STOPGAP_GITLAB_URL right, and does a firewall let it "
                         "through? Mails go out meanwhile",
                   "%s: %s", d->settings->gitlab_url, q->err.text);
        return false;
    }
    if (q->status >= 300 && q->status < 400) {
        doctor_say(d, "gitlab", DOCTOR_FAIL,
                   "set STOPGAP_GITLAB_URL to where it is now", "it points to %s",
                   *q->location ? q->location : "another place");
        return false;
    }
    if (q->status == 401) {
        doctor_say(d, "gitlab token", DOCTOR_FAIL,
                   "it is wrong, expired or revoked: make a new one, write it into "
                   "STOPGAP_GITLAB_TOKEN_FILE, HUP the workers",
                   "%s", q->err.text);
        return false;
    }
    if (q->status == 200 && q->body) {
        judge_scopes(d, q->body);
        judge_expiry(d, q->body);
        return true;
    }
    doctor_say(d, "gitlab token", DOCTOR_SKIPPED,
               "look yourself when it expires, and that it has the scope `api`",
               "it does not tell about itself: %s", q->err.text);
    return true;
}

/* ---- the project ---- */

static int64_t level_of(const json_t *access)
{
    return json_integer_value(json_object_get(access, "access_level"));
}

static const char *role_of(int64_t level)
{
    static const struct {
        int64_t level;
        const char *name;
    } roles[] = {{50, "Owner"},          {40, "Maintainer"},   {30, "Developer"},
                 {REPORTER, "Reporter"}, {PLANNER, "Planner"}, {10, "Guest"}};

    for (size_t i = 0; i < ARRAY_LEN(roles); i++)
        if (level >= roles[i].level)
            return roles[i].name;
    return "no member";
}

static void judge_role(struct doctor *d, const json_t *project)
{
    const json_t *p = json_object_get(project, "permissions");
    int64_t own = level_of(json_object_get(p, "project_access"));
    int64_t group = level_of(json_object_get(p, "group_access"));
    int64_t level = own > group ? own : group;

    if (!p)
        return; /* an old GitLab */
    if (level >= PLANNER)
        doctor_say(d, "gitlab role", DOCTOR_OK, NULL, "%s", role_of(level));
    else
        doctor_say(d, "gitlab role", DOCTOR_FAIL,
                   "give the token the role Reporter in the project",
                   "%s: issues would have no labels, and not be confidential",
                   role_of(level));
}

static void judge_issues(struct doctor *d, const json_t *project)
{
    const json_t *enabled = json_object_get(project, "issues_enabled");

    if (json_is_false(enabled) ||
        !strcmp(text_of(project, "issues_access_level"), "disabled"))
        doctor_say(d, "gitlab project", DOCTOR_FAIL,
                   "turn issues on: Settings, General, Visibility",
                   "issues are turned off");
    if (is_true(project, "archived"))
        doctor_say(d, "gitlab project", DOCTOR_FAIL, "unarchive it, or name another",
                   "it is archived: nothing can be written");
}

static bool check_project(struct question *q)
{
    struct doctor *d = q->d;
    const char *visibility;

    ask(q, "projects/", "");
    if (q->status >= 300 && q->status < 400) {
        doctor_say(d, "gitlab project", DOCTOR_FAIL,
                   "set STOPGAP_GITLAB_PROJECT to where it is now",
                   "it has moved to %s", *q->location ? q->location : "another place");
        return false;
    }
    if (!q->body) {
        doctor_say(d, "gitlab project", DOCTOR_FAIL,
                   "is STOPGAP_GITLAB_PROJECT right, and is the token a member there?",
                   "%s: %s", d->settings->gitlab_project, q->err.text);
        return false;
    }
    visibility = text_of(q->body, "visibility");
    if (strcmp(visibility, "private") != 0)
        doctor_say(d, "gitlab project",
                   d->settings->gitlab_require_private ? DOCTOR_FAIL : DOCTOR_WARN,
                   "make it private: Settings, General, Visibility",
                   "its visibility is \"%s\": licenses may be read there", visibility);
    else
        doctor_say(d, "gitlab project", DOCTOR_OK, NULL, "%s is private",
                   d->settings->gitlab_project);
    judge_issues(d, q->body);
    judge_role(d, q->body);
    return true;
}

/* ---- who reads there ---- */

static void judge_members(struct doctor *d, const json_t *members)
{
    size_t see = 0, blind = 0, i;
    const json_t *m;
    struct buf names;

    buf_init(&names, NAMES_MAX);
    json_array_foreach(members, i, m)
    {
        const char *name = text_of(m, "username");

        if (strncmp(name, "project_", 8) == 0 && strstr(name, "_bot"))
            continue; /* access tokens */
        if (level_of(m) >= PLANNER)
            see++;
        else if (++blind <= NAMES_SHOWN)
            buf_addf(&names, "%s%s", names.len ? ", " : "", name);
    }
    if (blind)
        doctor_say(d, "gitlab members", DOCTOR_WARN,
                   "give colleagues who are to find licenses the role Planner or "
                   "Reporter",
                   "%zu see no confidential issues: %s%s", blind, names.data,
                   blind > NAMES_SHOWN ? ", ..." : "");
    else if (!see)
        doctor_say(d, "gitlab members", DOCTOR_WARN,
                   "invite the colleagues who are to find licenses, as Reporter",
                   "nobody but the token is a member");
    else
        doctor_say(d, "gitlab members", DOCTOR_OK, NULL,
                   "%zu, all of whom see confidential issues", see);
    buf_done(&names);
}

static void check_members(struct question *q)
{
    ask(q, "projects/", "/members/all?per_page=100");
    if (json_is_array(q->body))
        judge_members(q->d, q->body);
    else
        doctor_say(q->d, "gitlab members", DOCTOR_SKIPPED,
                   "look yourself: who is to find licenses needs Planner or Reporter",
                   "the token may not list them: %s", q->err.text);
}

/* Of a webhook's URL only the host: the rest may be a secret, also what stands in front
 * of it. A title stays as it is. */
static void add_host(const char *text, struct buf *out)
{
    const char *host = strstr(text, "://"), *end, *at;

    if (!host) {
        buf_adds(out, text);
        return;
    }
    host += 3;
    end = host + strcspn(host, "/?#");
    while ((at = memchr(host, '@', (size_t)(end - host))))
        host = at + 1;
    buf_add(out, host, (size_t)(end - host));
}

/* Names what is subscribed to confidential issues; how many. */
static size_t list_subscribed(const json_t *list, const char *name, struct buf *out)
{
    size_t count = 0, i;
    const json_t *o;

    json_array_foreach(list, i, o)
    {
        if (!is_true(o, "confidential_issues_events") ||
            json_is_false(json_object_get(o, "active")))
            continue;
        buf_adds(out, out->len ? ", " : "");
        add_host(text_of(o, name), out);
        count++;
    }
    return count;
}

static void check_subscribed(struct question *q, const char *what, const char *path,
                             const char *name)
{
    struct buf names;

    ask(q, "projects/", path);
    if (!json_is_array(q->body)) {
        doctor_say(
            q->d, what, DOCTOR_SKIPPED,
            "look yourself that none gets \"Confidential issues events\": "
            "Settings, Webhooks and Integrations",
            "the token may not list them, which is right: it takes a Maintainer");
        return;
    }
    buf_init(&names, NAMES_MAX);
    if (list_subscribed(q->body, name, &names))
        doctor_say(q->d, what, DOCTOR_WARN,
                   "turn \"Confidential issues events\" off there, unless licenses may "
                   "be read at the other end",
                   "told of confidential issues, with licenses: %s", names.data);
    else
        doctor_say(q->d, what, DOCTOR_OK, NULL, "none is told of confidential issues");
    buf_done(&names);
}

static bool is_set_up(struct doctor *d)
{
    const struct settings *s = d->settings;

    if (s->gitlab_project && s->gitlab_token.len)
        return true;
    doctor_say(
        d, "gitlab", DOCTOR_FAIL,
        "set STOPGAP_GITLAB_PROJECT and STOPGAP_GITLAB_TOKEN_FILE" DOCTOR_OR_UNIT,
        "%s is not set",
        s->gitlab_project ? "STOPGAP_GITLAB_TOKEN" : "STOPGAP_GITLAB_PROJECT");
    return false;
}

void doctor_gitlab(struct doctor *d)
{
    static const struct doctor_names names = {"gitlab clock", "gitlab certificate"};
    struct question q = {.d = d};
    struct err e;

    if (!is_set_up(d))
        return;
    q.http = http_new(client_loop(d->client), d->settings->ca_file, &e);
    if (!q.http) {
        doctor_say(d, "gitlab", DOCTOR_FAIL, "mend STOPGAP_CA_FILE", "%s", e.text);
        return;
    }
    http_watch(q.http);
    if (check_token(&q)) {
        doctor_judge_seen(d, q.http, &names);
        if (check_project(&q)) {
            check_members(&q);
            check_subscribed(&q, "gitlab webhooks", "/hooks?per_page=100", "url");
            check_subscribed(&q, "gitlab integrations", "/integrations", "title");
        }
    }
    json_decref(q.body);
    free(q.location);
    http_free(q.http);
}
