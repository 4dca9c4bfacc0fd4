/* routes: see routes.h. */
#include "routes.h"

#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "gate.h"
#include "intake.h"
#include "job.h"
#include "mem.h"
#include "status.h"
#include "visit.h"

#define ID "{id}" /* in a path: a job's id */

struct route {
    const char *path;
    const char *method;
    enum gate_right right;
    void (*handle)(struct visit *v);
    enum tally_route counted_as;
};

static const struct route routes[] = {
    {"/zendesk", "POST", GATE_WEBHOOK, intake_zendesk, TALLY_ZENDESK},
    {"/v1/requests", "POST", GATE_SUBMIT, intake_api, TALLY_SUBMIT},
    {"/v1/requests", "GET", GATE_READ, status_of_ticket, TALLY_TICKET},
    {"/v1/requests/" ID, "GET", GATE_READ, status_show, TALLY_SHOW},
    {"/v1/requests/" ID "/resend", "POST", GATE_READ, intake_resend, TALLY_RESEND},
    {"/healthz", "GET", GATE_ANYONE, status_health, TALLY_HEALTH},
    {"/readyz", "GET", GATE_ANYONE, status_ready, TALLY_READY},
};

/* Does the path have that form? The id in it goes to target. */
static bool fits(const char *form, const char *path, char target[static JOB_ID_LEN + 1])
{
    size_t before = strcspn(form, "{");
    char id[JOB_ID_LEN + 1] = "";

    if (strncmp(form, path, before) != 0)
        return false;
    if (!form[before])
        return !path[before];
    (void)snprintf(id, sizeof id, "%s", path + before); /* the rest is cut off */
    if (!job_id_valid(id) ||
        strcmp(form + before + sizeof ID - 1, path + before + JOB_ID_LEN) != 0)
        return false;
    memcpy(target, id, sizeof id);
    return true;
}

/* HEAD is a GET whose body stays here. */
static bool serves(const struct route *r, const char *method)
{
    return !strcmp(r->method, method) ||
           (!strcmp(r->method, "GET") && !strcmp(method, "HEAD"));
}

/* The route of a visit. When there is none, *allowed has the methods of that path. */
static const struct route *find(struct visit *v, struct buf *allowed)
{
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        const struct route *r = &routes[i];

        if (!fits(r->path, v->request->path, v->target))
            continue;
        v->route = r->path;
        if (serves(r, v->request->method))
            return r;
        buf_addf(allowed, "%s%s", allowed->len ? ", " : "Allow: ",
                 strcmp(r->method, "GET") ? r->method : "GET, HEAD");
    }
    return NULL;
}

static void refuse(struct visit *v, const struct buf *allowed)
{
    const char *const extra[] = {allowed->data, NULL};

    if (allowed->len)
        visit_answer(v, 405, extra, "{\"error\":\"not a method of this path\"}");
    else
        visit_refuse(v, 404, "there is nothing here");
}

static void enter(struct visit *v, const struct route *r)
{
    struct err e;

    v->quiet = r->right == GATE_ANYONE;
    v->counted_as = r->counted_as;
    if (gate_check(r->right, v->receiver->secrets, v->request, &e) == 0)
        r->handle(v);
    else
        visit_refuse(v, e.class == ERR_CONFIG ? 404 : 401, "%s", e.text);
}

void routes_on_request(void *arg, struct httpd_call *call,
                       const struct httpd_request *request)
{
    struct visit *v = visit_new(arg, call, request);
    const struct route *r;
    struct buf allowed;

    buf_init(&allowed, 256);
    r = find(v, &allowed);
    if (r)
        enter(v, r);
    else
        refuse(v, &allowed);
    buf_done(&allowed);
}

void routes_on_refused(void *arg, const char *peer, int status, const char *why)
{
    visit_refused(arg, peer, status, why);
}
