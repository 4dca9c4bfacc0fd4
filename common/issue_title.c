/* issue_title: the titles of the issues, see issue.h: one line within GitLab's limit,
 * in which an odd address cannot act. */
#include "issue.h"

#include <stdio.h>
#include <string.h>

#include "markdown.h"
#include "utf8.h"

#define ELLIPSIS "\xE2\x80\xA6"
#define JOINER "\xE2\x81\xA0" /* U+2060: invisible, joins words */

static const struct {
    const char *before, *after;
} titles[] = {
    [ISSUE_SUCCESS] = {"[Success] - Created a license under ", " users"},
    [ISSUE_PENDING] = {"[Pending] - Creating a license under ", " users"},
    [ISSUE_FAILED] = {"[Failed] - Could not create a license under ", " users"},
    [ISSUE_LATE] = {"[Failed] - Could not create a license under ", " users"},
    [ISSUE_DUPLICATE] = {"[Duplicate] - Creating a license under ", " users"},
};

static size_t count_chars(const char *text)
{
    const char *p = text, *end = text + strlen(text);
    size_t n = 0;

    for (; p < end; n++)
        if (utf8_next(&p, end) < 0)
            p++;
    return n;
}

static const char *skip_chars(const char *text, size_t n)
{
    const char *p = text, *end = text + strlen(text);

    for (size_t i = 0; i < n && p < end; i++)
        if (utf8_next(&p, end) < 0)
            p++;
    return p;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_';
}

/* References are rendered in titles and nothing can be quoted there: `#1@example.com`
 * or `me+@group.example` would act. An invisible character after the sign ends that;
 * an ordinary address has no such sign and stays as it is. */
static void add_inert(struct buf *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        bool at = *p == '@' && !(p > text && is_word(p[-1]));

        buf_addc(out, *p);
        if (at || strchr("#!~%&$^*:[", *p))
            buf_adds(out, JOINER);
    }
}

/* At most max characters, cut in the middle: both ends of an address tell something. */
static void add_shortened(struct buf *out, const char *text, size_t max)
{
    size_t count = count_chars(text);
    size_t head = (max - 1) / 2;
    const char *tail;

    if (count <= max) {
        buf_adds(out, text);
        return;
    }
    tail = skip_chars(text, count - (max - 1 - head));
    tail += *tail == '@'; /* without a word before it, it would mention somebody */
    buf_add(out, text, (size_t)(skip_chars(text, head) - text));
    buf_adds(out, ELLIPSIS);
    buf_adds(out, tail);
}

void issue_title(enum issue_title kind, const struct job *j, struct buf *out)
{
    const char *before = titles[kind].before, *after = titles[kind].after;
    struct buf line, email;
    char users[24] = "unknown";
    size_t fixed;

    if (j->request.users > 0)
        (void)snprintf(users, sizeof users, "%lld", (long long)j->request.users);
    fixed = strlen(before) + strlen(" for ") + strlen(users) + strlen(after);
    buf_init(&line, 8192);
    buf_init(&email, 32768);
    markdown_plain_line(&line, j->request.email);
    add_inert(&email, line.len ? line.data : "unknown");
    buf_adds(out, before);
    add_shortened(out, email.data, ISSUE_TITLE_MAX - fixed);
    buf_addf(out, " for %s%s", users, after);
    buf_done(&line);
    buf_done(&email);
}
