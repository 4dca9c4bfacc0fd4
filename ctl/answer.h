/* answer: what the queue's scripts answer an operator, as a sentence. Pure. */
#ifndef STOPGAP_ANSWER_H
#define STOPGAP_ANSWER_H

#include <stdbool.h>

#include "buf.h"
#include "client.h"

enum answer_verb { ANSWER_REQUEUE, ANSWER_RESEND, ANSWER_DISCARD, ANSWER_FORGET };

/* Appends the sentence, with the command that would work if there is one. True: it was
 * done. */
bool answer_text(enum answer_verb verb, const char *id, const struct client_answer *a,
                 struct buf *out);

#endif
