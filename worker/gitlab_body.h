/* gitlab_body: what is sent to GitLab: request bodies as JSON, and a query. Pure. API:
 * GitLab "Issues API" and "Notes API", v4. */
#ifndef STOPGAP_GITLAB_BODY_H
#define STOPGAP_GITLAB_BODY_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/* A confidential issue. labels: comma-separated, blanks around a name do not count.
 * An empty description is our bug: GitLab would put a template of the project there. */
void gitlab_body_create(const char *title, const char *description, const char *labels,
                        struct buf *out);

/* How many labels the text names. */
size_t gitlab_body_label_count(const char *labels);

/* NULL: unchanged; at least one is given. state_event: "close" or "reopen". */
void gitlab_body_update(const char *title, const char *description,
                        const char *state_event, struct buf *out);

void gitlab_body_note(const char *text, struct buf *out);

/* The query of a page of our own issues, oldest first: what is looked for was created
 * soon after its intent, and issues that are added meanwhile shift no page. */
void gitlab_body_own_issues_query(int64_t created_after_ms, int page, int per_page,
                                  struct buf *out);

#endif
