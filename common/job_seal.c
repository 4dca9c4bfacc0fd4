/* job_seal: a record's license as it stands in Redis: sealed, when seal keys are set,
 * or changed by somebody; see job.h. */
#include "job.h"

#include <stdlib.h>

#include "seal.h"

static struct seal_place place_of(const struct job *j, const char *queue)
{
    return (struct seal_place){.queue = queue, .job = j->id, .field = "lic"};
}

void job_seal_license(const struct job *j, const struct seal *s, const char *queue,
                      struct buf *out)
{
    const struct seal_place at = place_of(j, queue);

    seal_text(s, &at, j->license, out);
}

int job_open_license(struct job *j, const struct seal *s, const char *queue,
                     struct err *e)
{
    const struct seal_place at = place_of(j, queue);
    char *text;

    if (!j->sealed)
        return 0;
    if (seal_open(s, &at, j->sealed, &text, e)) {
        (void)err_wrap(e, "the license of job %s", j->id);
        return -1;
    }
    free(j->license);
    free(j->sealed);
    j->license = text;
    j->sealed = NULL;
    return 0;
}

bool job_license_changed(const struct job *j)
{
    return (j->error.class == ERR_BUG && j->error.code == SEAL_BROKEN) ||
           (j->error.class == ERR_PERMANENT && j->error.code == LICENSE_CHANGED);
}
