/* tell: what people are told of a job: the Slack message and the internal note on the
 * ticket, in which foreign text cannot act: no mention, link or markup of its own, and
 * never the license. Pure; knows nothing of HTTP. Rules: Slack "Formatting text for app
 * surfaces" (&, < and > are escaped, what is in backticks is not formatted). */
#ifndef STOPGAP_TELL_H
#define STOPGAP_TELL_H

#include <stdbool.h>

#include "buf.h"
#include "job.h"

#define TELL_TEXT_MAX 16384

struct tell {
    const struct job *job;
    const char *event; /* "done", "failed", "late"; "failed 2": in its second run */
    bool mask;         /* addresses */
    bool again;        /* it may have been told before */
};

bool tell_is(const struct tell *t, const char *kind);

void tell_slack_text(const struct tell *t, struct buf *out);
void tell_note_text(const struct tell *t, struct buf *out);

/* The note's last line, by which it is known again. */
void tell_marker(const struct tell *t, struct buf *out);

/* "a***@b" in place of each address in text. */
void tell_masked(const char *text, struct buf *out);

#endif
