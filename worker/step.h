/* step: the steps of a job. Each is called with the record loaded and returns an
 * outcome (task.h). The table that orders them is in task.c. */
#ifndef STOPGAP_STEP_H
#define STOPGAP_STEP_H

#include "task.h"

enum outcome step_validate(struct task *t);
/* The part of validate that reads the ticket; marks the step. */
enum outcome step_validate_ticket(struct task *t);
enum outcome step_sign(struct task *t);
enum outcome step_email(struct task *t);
enum outcome step_record(struct task *t);
enum outcome step_close(struct task *t);

/* Sets t->caps for the flush that writes the first mail intent; later ones count no
 * more.
 */
void step_sign_caps(struct task *t);

/* Whether a license that comes from the record may be mailed or shown: -1 with t->err
 * when it is not what was signed. One that this task signed is not looked at again. */
int step_sign_recheck(struct task *t);

/* Ends the SMTP operation under way, if any, for a task that is about to end. */
void step_email_abandon(struct task *t);

/* The same for a task that shall end because of it: it is resumed. */
void step_email_stop(struct task *t);

#endif
