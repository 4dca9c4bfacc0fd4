/* markdown: foreign text as Markdown in which it cannot act: code spans and fences
 * longer than any run of backticks inside. Pure; knows nothing of issues. Rules:
 * CommonMark 0.30 sections 4.5 and 6.1; GitLab takes no quick action, mention or
 * reference out of code. */
#ifndef STOPGAP_MARKDOWN_H
#define STOPGAP_MARKDOWN_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

/* A code span on one line. Line ends become blanks; other controls, characters that
 * reorder text and bytes that are no UTF-8 become U+FFFD; cut after max characters.
 * Text without content: `-`. */
void markdown_span(struct buf *out, const char *text, size_t max);

/* A fence on lines of its own, a blank line after it; the caller starts it at a line
 * start after a blank line. LF stays, CRLF and CR become LF, the rest as above. */
void markdown_fence(struct buf *out, const char *text, size_t len);

/* Fence for bytes of any kind: what is not printable is written as \xNN, a backslash
 * doubled, LF stays. At most max bytes are shown. */
void markdown_fence_bytes(struct buf *out, const char *bytes, size_t len, size_t max);

/* One line of plain text for a title: as a code span's content, runs of blanks as one,
 * none at the ends. */
void markdown_plain_line(struct buf *out, const char *text);

/* True for an http(s) URL of plain characters: inside (...) of a link it is only a
 * target. Where it leads is the caller's worry. */
bool markdown_plain_url(const char *url);

/* A walk over lines that knows which belong to a fence. Zeroed but for `next`. */
struct markdown_walk {
    const char *next;
    char fence;       /* '`' or '~' while inside one */
    size_t fence_len; /* of its opening run */
};

/* The next line without its line end; *code: it is part of a fence (its own lines
 * too). False at the end. */
bool markdown_next_line(struct markdown_walk *w, const char **line, size_t *len,
                        bool *code);

#endif
