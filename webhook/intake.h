/* intake: requests come in and are made durable, faulty ones too: nobody reads what is
 * answered to Zendesk, and a failed job with its issue is seen. */
#ifndef STOPGAP_INTAKE_H
#define STOPGAP_INTAKE_H

#include "visit.h"

/* POST /zendesk: signed, which is checked here. */
void intake_zendesk(struct visit *v);

/* POST /v1/requests */
void intake_api(struct visit *v);

/* POST /v1/requests/ID/resend; v->target is the ID. */
void intake_resend(struct visit *v);

#endif
