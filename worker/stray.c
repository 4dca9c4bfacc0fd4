/* stray: see stray.h. */
#include "stray.h"

#include <stdlib.h>

#include "buf.h"
#include "issue.h"
#include "log.h"
#include "mem.h"
#include "worker.h"

struct stray {
    struct worker *worker;
    char *job_id;
    int64_t iid;
};

static void on_closed(void *arg, const struct gitlab_result *r)
{
    struct stray s = *(struct stray *)arg;
    struct log_line l;

    free(arg);
    log_begin(&l, r->err.class == ERR_NONE ? LOG_INFO : LOG_WARN, "stray_issue");
    log_str(&l, "job", s.job_id);
    log_int(&l, "iid", s.iid);
    if (r->err.class != ERR_NONE)
        log_err(&l, &r->err);
    log_end(&l);
    free(s.job_id);
    s.worker->strays--;
    worker_side_ended(s.worker);
}

void stray_close(struct worker *w, enum gitlab_priority p, const struct job *job,
                 int64_t iid)
{
    struct stray *s;
    struct buf title;

    if (!w->gitlab)
        return;
    s = mem_new(1, sizeof *s);
    *s = (struct stray){.worker = w, .job_id = mem_strdup(job->id), .iid = iid};
    w->strays++;
    buf_init(&title, 2048);
    issue_title(ISSUE_DUPLICATE, job, &title);
    gitlab_update(w->gitlab, p, iid, title.data, NULL, "close", on_closed, s);
    buf_done(&title);
}
