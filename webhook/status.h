/* status: what became of a request, as the worker has left it in the views, and whether
 * this program is fit to take another. Never a license. */
#ifndef STOPGAP_STATUS_H
#define STOPGAP_STATUS_H

#include "visit.h"

/* GET /v1/requests/ID; v->target is the ID. */
void status_show(struct visit *v);

/* GET /v1/requests?ticket_id=N */
void status_of_ticket(struct visit *v);

/* GET /healthz: the loop runs. */
void status_health(struct visit *v);

/* GET /readyz: requests can be kept. */
void status_ready(struct visit *v);

#endif
