/* stray: an issue that this worker made but may not keep, since another worker's is the
 * job's by now. Its maker closes it as [Duplicate]; nobody else ever would. */
#ifndef STOPGAP_STRAY_H
#define STOPGAP_STRAY_H

#include <stdint.h>

#include "gitlab.h"

struct job;
struct worker;

/* Once, and not again if it fails; a drain waits for it. With GitLab's client gone
 * (past the drain deadline) the issue stays as it is: no title that anybody takes for a
 * success. */
void stray_close(struct worker *w, enum gitlab_priority p, const struct job *job,
                 int64_t iid);

#endif
