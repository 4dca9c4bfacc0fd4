/* cmd_job: what commands that do something to jobs, one after the other, share. */
#ifndef STOPGAP_CMD_JOB_H
#define STOPGAP_CMD_JOB_H

#include "answer.h"
#include "ctl.h"

/* Checks the ids, then connects. 0 or the exit code, said. */
int cmd_job_start(struct ctl *c, char **ids, int count) MUST_CHECK;

typedef int (*cmd_job_ask_fn)(struct client *client, const char *id,
                              struct client_answer *a, void *arg, struct err *e);

/* Asks for each id and prints the answers. EXIT_FAILED if any was a refusal. */
int cmd_job_each(struct ctl *c, enum answer_verb verb, char **ids, int count,
                 cmd_job_ask_fn ask, void *arg);

#endif
