/* claims: what Redis says is in this worker's hands against what the worker has. They
 * differ when the answer to a claim was lost: the worker lives, so nobody else would
 * take such a job back. */
#ifndef STOPGAP_CLAIMS_H
#define STOPGAP_CLAIMS_H

#include <stdint.h>

struct worker;

/* held: as told by a beat, from inside its callback. */
void claims_check(struct worker *w, int64_t held);

#endif
