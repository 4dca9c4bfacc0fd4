/* webhook_metrics: the receiver in numbers, for Prometheus: one table of what is shown.
 */
#ifndef STOPGAP_WEBHOOK_METRICS_H
#define STOPGAP_WEBHOOK_METRICS_H

struct metrics_listen;
struct receiver;

/* NULL when it is off or the address is in use. */
struct metrics_listen *webhook_metrics_listen(struct receiver *r);

#endif
