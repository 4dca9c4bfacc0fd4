/* issue_advice: what each class of failure means in plain words, and what a person does
 * about it. Words only; used by the failure issue, fit for `stopgapctl show` too. */
#ifndef STOPGAP_ISSUE_ADVICE_H
#define STOPGAP_ISSUE_ADVICE_H

#include <stdbool.h>

#include "buf.h"
#include "job.h"

/* "the mail server's answer was lost": half a sentence. */
const char *issue_advice_reason(enum err_class class);

/* The one command that puts a failed job to work again, as in "requeue ID
 * --lift-limit".
 */
void issue_advice_command(const struct job *j, struct buf *out);

/* Paragraphs with the commands in fences, ending in a blank line. */
void issue_advice(const struct job *j, bool late, struct buf *out);

#endif
