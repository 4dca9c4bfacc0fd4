/* issue: titles and texts of the GitLab issues, as Markdown in which foreign text
 * cannot act (no quick action, mention, reference or markup), and nothing about HTTP.
 * Pure. Rules: GitLab's quick actions documentation and its extractor: foreign text
 * only ever stands in a code span or a fence longer than any run of backticks inside.
 */
#ifndef STOPGAP_ISSUE_H
#define STOPGAP_ISSUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "job.h"

#define ISSUE_TITLE_MAX 255 /* characters */
#define ISSUE_TEXT_MAX 262144

/* Whoever looks for an issue by when it was made looks so much farther back: that
 * moment is Redis's clock's, the issue has GitLab's, and one of them may be a day off.
 */
#define ISSUE_CLOCK_SLACK_MS ((int64_t)25 * 3600 * 1000)

enum issue_title {
    ISSUE_SUCCESS,
    ISSUE_PENDING,
    ISSUE_FAILED,
    ISSUE_LATE,
    ISSUE_DUPLICATE
};

/* `[Success] - Created a license under EMAIL for X users`, `[Pending] - Creating ...`,
 * `[Failed] - Could not create ...`; LATE has FAILED's title; DUPLICATE is
 * `[Duplicate] - ...`. Shortened with an ellipsis in EMAIL only when it would pass 255
 * characters. Unknown address or count: "unknown". One line, no control characters. */
void issue_title(enum issue_title kind, const struct job *j, struct buf *out);

/* Text of the record: who asked, ticket link, license id, dates, Message-ID, the mail
 * server's reply, the license fenced byte for byte, `Ticket: <number>`, `Job: <id>`;
 * names the earlier licenses it corrects (j->earlier), j->warning and the note. */
void issue_success_text(const struct job *j, struct buf *out);

/* Text of the failure issue: what failed and why in the remote's own words, steps done,
 * the license if there is one, what to do next with the exact command
 * (`stopgapctl requeue ID`), raw bytes of an unreadable request (escaped, bounded),
 * `Ticket:` and `Job:` lines. late: "still trying" wording. */
void issue_failed_text(const struct job *j, bool late, struct buf *out);

/* One issue in place of many: requests that could not be read, too many for an issue
 * each. */
struct issue_shared {
    const char *id; /* by which the issue is known again */
    int64_t count, since_ms;
    const char *last_ids; /* of jobs, the youngest first, blank-separated */
};
void issue_shared_title(const struct issue_shared *s, struct buf *out);
void issue_shared_text(const struct issue_shared *s, struct buf *out);

/* Comment on j's failure issue when the ticket's license went out after all (by
 * j->fixed_by, or by j itself), or when the job was discarded. success_url may be NULL.
 */
void issue_solved_comment(const struct job *j, const char *success_url,
                          struct buf *out);

/* True if ticket_url has the form of Zendesk's own page of that ticket. */
bool issue_ticket_page(const struct request *r);

/* The line by which an issue is known again: "Job: <id>". */
void issue_marker(const char *job_id, struct buf *out);

/* True if description holds the marker of job_id on a line of its own outside fences.
 */
bool issue_has_marker(const char *description, const char *job_id);

#endif
