/* tally: what a receiver has answered since its start, as plain numbers, counted where
 * an answer leaves. webhook_metrics.c shows them. */
#ifndef STOPGAP_TALLY_H
#define STOPGAP_TALLY_H

#include <stdint.h>

#include "metrics.h"

enum tally_route {
    TALLY_NONE, /* none of the receiver's calls */
    TALLY_ZENDESK,
    TALLY_SUBMIT,
    TALLY_TICKET,
    TALLY_SHOW,
    TALLY_RESEND,
    TALLY_HEALTH,
    TALLY_READY,
    TALLY_ROUTES
};

/* What the receiver and httpd answer with; the last stands for any other. */
#define TALLY_STATUSES 19

struct tally {
    uint64_t answers[TALLY_ROUTES][TALLY_STATUSES];
    struct metric_spans took;         /* those that are not asked by monitors */
    uint64_t refused[TALLY_STATUSES]; /* by httpd itself */
};

/* The place of a status in these arrays, and the number at a place; 0: any other. */
unsigned tally_place(int status);
int tally_status(unsigned place);

#endif
