/* fsck_tracker: see fsck_tracker.h. */
#include "fsck_tracker.h"

#include <stdlib.h>
#include <string.h>

#include "fetch.h"
#include "mem.h"
#include "num.h"
#include "settings.h"
#include "tracker.h"
#include "when.h"

#define NUMBER_MAX 32

#define LOOK_BACK_MS (7 * WHEN_DAY_MS) /* Zendesk sends again nothing that is older */

/* What the script is told, in its order. */
enum { IID, URL, CLOSED, ENDS, REQ, DIGEST, TICKET, SAME, MORE };

struct marking {
    struct client *client;
    struct fsck *out;
    const struct queue_by *by;
    const char *id;
    bool repair;
    struct err *err;
};

static void on_findings(void *arg, const struct queue_findings *f)
{
    struct marking *m = arg;

    for (size_t i = 0; i < f->count; i++)
        fsck_add(m->out, f->v[i].kind, m->id, f->v[i].detail, f->v[i].mended);
}

/* No license was seen, only that there is one: the longest term counts. */
static int64_t ends_ms(const struct tracker_issue *issue)
{
    return issue->created_ms + LICENSE_TERM_DAYS_MAX * WHEN_DAY_MS;
}

/* Validation may not have come so far when the backup was made; what was recorded had
 * passed it. */
static int send_mark(struct marking *m, const struct tracker_issue *issue,
                     struct job *j, struct err *e)
{
    char iid[NUMBER_MAX], ends[NUMBER_MAX], ticket[NUMBER_MAX] = "";
    char digest[REQUEST_DIGEST_LEN + 1] = "", same[REQUEST_DIGEST_LEN + 1] = "";
    struct queue_check what = {
        .rule = "recorded", .subject = m->id, .by = m->by, .repair = m->repair};
    struct buf req;
    int rc;

    buf_init(&req, 65536);
    buf_adds(&req, "");
    (void)num_format(issue->iid, iid);
    (void)num_format(ends_ms(issue), ends);
    if (!j->has_request) {
        fetch_guess_request(j);
        request_encode(&j->request, &req);
        request_digest(&j->request, digest);
        request_same_key(&j->request, same);
        (void)num_format(j->request.ticket_id, ticket);
    }
    what.more[IID] = iid;
    what.more[URL] = issue->url;
    what.more[CLOSED] = issue->closed ? "1" : "0";
    what.more[ENDS] = ends;
    what.more[REQ] = req.len ? req.data : "";
    what.more[DIGEST] = digest;
    what.more[TICKET] = ticket;
    what.more[SAME] = same;
    client_check(m->client, &what, on_findings, m);
    rc = client_wait(m->client, e);
    buf_done(&req);
    return rc;
}

static int mark(struct marking *m, const struct tracker_issue *issue, struct err *e)
{
    struct fetch_story s;
    int rc;

    m->id = issue->job_id;
    rc = fetch_story(m->client, issue->job_id, &s, e);
    if (rc <= 0)
        return rc;
    rc = s.in_inbox ? 0 : send_mark(m, issue, &s.job, e);
    fetch_story_done(&s);
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_open(const struct fsck *f, const char *id)
{
    return f->open.count &&
           bsearch(&id, f->open.v, f->open.count, sizeof *f->open.v, by_name);
}

/* Of two issues of one job the closed one counts, and else the oldest. */
static bool is_the_one(const struct tracker_issues *t, size_t at)
{
    for (size_t i = 0; i < t->count; i++)
        if (i != at && strcmp(t->v[i].job_id, t->v[at].job_id) == 0 &&
            (t->v[i].closed != t->v[at].closed ? t->v[i].closed : i < at))
            return false;
    return true;
}

/* Nothing to be marked: it came after the backup. */
static int look_for_job(struct marking *m, const struct tracker_issue *issue,
                        struct err *e)
{
    struct queue_check what = {
        .rule = "unknown", .subject = issue->job_id, .by = m->by};

    m->id = issue->job_id;
    what.more[0] = issue->url;
    client_check(m->client, &what, on_findings, m);
    return client_wait(m->client, e);
}

/* ---- may it be done? ---- */

static void on_busy(void *arg, const struct queue_findings *f)
{
    const struct marking *m = arg;

    if (f->count)
        (void)err_set(m->err, ERR_CANCELLED, 0,
                      "%s: --tracker --repair needs a queue that is paused, with "
                      "nothing active and an empty inbox; nothing was marked",
                      f->v[0].detail);
}

static int check_rest(struct marking *m, struct err *e)
{
    const struct queue_check what = {.rule = "rest", .subject = "", .by = m->by};

    err_clear(e);
    m->err = e;
    client_check(m->client, &what, on_busy, m);
    if (client_wait(m->client, e))
        return -1;
    return e->class == ERR_NONE ? 0 : -1;
}

/* A request that came once more after the restore was accepted after it was recorded.
 */
static int64_t look_since_ms(const struct fsck *f, int64_t now_ms)
{
    int64_t since_ms = now_ms - LOOK_BACK_MS;

    return f->open.count && f->open_since_ms < since_ms ? f->open_since_ms : since_ms;
}

static int hold_against(struct marking *m, const struct tracker_issues *t,
                        int64_t kept_since_ms, struct err *e)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < t->count; i++) {
        if (!is_the_one(t, i))
            continue;
        if (is_open(m->out, t->v[i].job_id))
            rc = mark(m, &t->v[i], e);
        else if (t->v[i].created_ms > kept_since_ms)
            rc = look_for_job(m, &t->v[i], e);
    }
    return rc;
}

int fsck_tracker_run(struct client *c, const struct settings *settings,
                     const struct queue_by *by, bool repair, struct fsck *f,
                     struct err *e)
{
    struct marking m = {.client = c, .out = f, .by = by, .repair = repair};
    struct tracker_issues t;
    int64_t now_ms = 0;
    int rc;

    if ((repair && check_rest(&m, e)) || client_now(c, &now_ms, e))
        return -1;
    rc = tracker_read(c, settings, look_since_ms(f, now_ms), &t, e);
    if (rc == 0)
        rc = hold_against(&m, &t, now_ms - settings->retention_ms, e);
    tracker_done(&t);
    return rc;
}
