/* doctor_people: the two ways in which people are told: Slack and Zendesk. Nothing is
 * posted and nothing is written. */
#include "doctor.h"

#include <string.h>

#include "http.h"
#include "settings.h"
#include "slack.h"
#include "zendesk.h"

#define TIMEOUT_MS 10000

struct asking {
    struct client *client;
    bool over;
    struct err err;
};

static void settle(struct asking *a, const struct err *e)
{
    a->err = *e;
    a->over = true;
    client_wake(a->client);
}

static struct http *open_http(struct doctor *d, const char *what)
{
    struct err e;
    struct http *h = http_new(client_loop(d->client), d->settings->ca_file, &e);

    if (h)
        http_watch(h);
    else
        doctor_say(d, what, DOCTOR_FAIL, "mend STOPGAP_CA_FILE", "%s", e.text);
    return h;
}

/* ---- Slack ---- */

static void on_slack(void *arg, const struct err *e, bool unknown)
{
    (void)unknown;
    settle(arg, e);
}

static void judge_slack(struct doctor *d, const struct err *e)
{
    if (e->class == ERR_NONE)
        doctor_say(d, "slack", DOCTOR_OK, NULL,
                   "the webhook is there (nothing was posted)");
    else if (e->class == ERR_AUTH)
        doctor_say(d, "slack", DOCTOR_FAIL,
                   "make a new incoming webhook in Slack, and set "
                   "STOPGAP_SLACK_WEBHOOK_URL",
                   "%s", e->text);
    else
        doctor_say(d, "slack", DOCTOR_FAIL,
                   "is STOPGAP_SLACK_WEBHOOK_URL right, and does a firewall let it "
                   "through? Licenses go out all the same",
                   "%s", e->text);
}

void doctor_slack(struct doctor *d)
{
    static const struct doctor_names names = {"slack clock", "slack certificate"};
    struct asking a = {.client = d->client};
    struct slack *slack;
    struct http *h;

    if (!d->settings->slack_webhook_url.len) {
        doctor_say(d, "slack", DOCTOR_SKIPPED, NULL, "not set up");
        return;
    }
    h = open_http(d, "slack");
    if (!h)
        return;
    slack = slack_new(h, d->settings);
    slack_probe(slack, on_slack, &a);
    client_await(d->client, &a.over);
    judge_slack(d, &a.err);
    doctor_judge_seen(d, h, &names);
    http_free(h);
    slack_free(slack);
}

/* ---- Zendesk ---- */

static void on_zendesk(void *arg, const struct err *e)
{
    settle(arg, e);
}

static const char *mend_of_zendesk(const struct err *e)
{
    if (e->code == 401)
        return "are STOPGAP_ZENDESK_USER and STOPGAP_ZENDESK_TOKEN right, and does "
               "Zendesk allow API tokens?";
    if (e->class == ERR_RATE_LIMITED)
        return "run it again later";
    return "is STOPGAP_ZENDESK_URL right, and does a firewall let it through?";
}

static void judge_user(struct doctor *d, const struct err *e,
                       const struct zendesk_user *user)
{
    static const char who[] = "STOPGAP_ZENDESK_USER has to be an agent who may read "
                              "and comment on the tickets "
                              "(docs/zendesk.md)";

    if (e->class != ERR_NONE)
        doctor_say(d, "zendesk", DOCTOR_FAIL, mend_of_zendesk(e), "%s", e->text);
    else if (!*user->role)
        doctor_say(d, "zendesk", DOCTOR_FAIL,
                   "are STOPGAP_ZENDESK_USER and STOPGAP_ZENDESK_TOKEN right?",
                   "Zendesk takes us for nobody");
    else if (user->suspended)
        doctor_say(d, "zendesk", DOCTOR_FAIL, "end its suspension in Zendesk",
                   "%s is suspended", d->settings->zendesk_user);
    else if (strcmp(user->role, "agent") != 0 && strcmp(user->role, "admin") != 0)
        doctor_say(d, "zendesk", DOCTOR_FAIL, who, "%s has the role %s",
                   d->settings->zendesk_user, user->role);
    else
        doctor_say(d, "zendesk", DOCTOR_OK, NULL, "%s, role %s",
                   d->settings->zendesk_user, user->role);
}

static void judge_webhook(struct doctor *d, const struct err *e, const char *status)
{
    if (e->code == 403)
        doctor_say(d, "zendesk webhook", DOCTOR_SKIPPED,
                   "look in Zendesk's Admin Center, Apps and integrations, Webhooks",
                   "this user may not see webhooks");
    else if (e->code == 404)
        doctor_say(d, "zendesk webhook", DOCTOR_FAIL,
                   "set STOPGAP_ZENDESK_WEBHOOK_ID to the webhook's id, and its secret "
                   "anew",
                   "there is no webhook %s", d->settings->zendesk_webhook_id);
    else if (e->class != ERR_NONE)
        doctor_say(d, "zendesk webhook", DOCTOR_FAIL, mend_of_zendesk(e), "%s",
                   e->text);
    else if (strcmp(status, "active") != 0)
        doctor_say(d, "zendesk webhook", DOCTOR_FAIL, "activate it in Zendesk",
                   "it is %s: no request comes", status);
    else
        doctor_say(d, "zendesk webhook", DOCTOR_OK, NULL, "it is active");
}

static void ask_zendesk(struct doctor *d, struct zendesk *z)
{
    struct asking a = {.client = d->client};
    struct zendesk_user user = {.role = ""};
    char status[ZENDESK_WORD_MAX] = "";

    zendesk_read_me(z, &user, on_zendesk, &a);
    client_await(d->client, &a.over);
    judge_user(d, &a.err, &user);
    if (a.err.class != ERR_NONE || !d->settings->zendesk_webhook_id)
        return;
    a.over = false;
    zendesk_read_webhook(z, d->settings->zendesk_webhook_id, status, on_zendesk, &a);
    client_await(d->client, &a.over);
    judge_webhook(d, &a.err, status);
}

void doctor_zendesk(struct doctor *d)
{
    static const struct doctor_names names = {"zendesk clock", "zendesk certificate"};
    struct zendesk *z;
    struct http *h;

    if (!d->settings->zendesk_user) {
        doctor_say(d, "zendesk", DOCTOR_SKIPPED, NULL,
                   "not set up: tickets are neither checked nor told");
        return;
    }
    h = open_http(d, "zendesk");
    if (!h)
        return;
    z = zendesk_new(h, d->settings, TIMEOUT_MS);
    ask_zendesk(d, z);
    doctor_judge_seen(d, h, &names);
    http_free(h);
    zendesk_free(z);
}
