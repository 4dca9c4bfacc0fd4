/* worker_metrics: the worker in numbers, for Prometheus: one table of what is shown. */
#ifndef STOPGAP_WORKER_METRICS_H
#define STOPGAP_WORKER_METRICS_H

struct metrics_listen;
struct worker;

/* NULL when it is off or the address is in use. */
struct metrics_listen *worker_metrics_listen(struct worker *w);

#endif
