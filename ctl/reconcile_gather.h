/* reconcile_gather: asks Zendesk and the queue for what reconcile.h judges. Writes
 * nothing. */
#ifndef STOPGAP_RECONCILE_GATHER_H
#define STOPGAP_RECONCILE_GATHER_H

#include "client.h"
#include "desk.h"
#include "reconcile.h"

struct reconcile_sources {
    struct client *client;
    struct desk *desk;
    const char *queue; /* its name */
    int64_t since_ms;
    const struct reconcile_rules *rules;
    char **names; /* of invocations; */
    int count;    /* 0: all */
};

/* Everything since then, or what is named of it, judged. ERR_PERMANENT: the log has no
 * invocation of a name. */
int reconcile_gather(const struct reconcile_sources *from, struct reconcile_items *out,
                     struct err *e) MUST_CHECK;

#endif
