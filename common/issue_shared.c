/* issue_shared: title and text of the issue that many unreadable requests share, see
 * issue.h. Nothing foreign stands in it: what came is kept in the jobs. */
#include "issue.h"

#include <string.h>

#include "when.h"

void issue_shared_title(const struct issue_shared *s, struct buf *out)
{
    buf_addf(out, "[Failed] - Could not read %lld %s", (long long)s->count,
             s->count == 1 ? "request" : "requests");
}

/* Each as a line of its own. */
static void add_ids(struct buf *out, const char *ids)
{
    while (*ids) {
        size_t len = strcspn(ids, " ");

        buf_addf(out, "- `%.*s`\n", (int)len, ids);
        ids += len + (ids[len] == ' ');
    }
}

void issue_shared_text(const struct issue_shared *s, struct buf *out)
{
    char since[WHEN_TEXT_MAX];

    when_format_iso(s->since_ms, since);
    buf_addf(
        out,
        "## What happened\n\n"
        "Requests come in that cannot be read, so many that they do not get an "
        "issue each any more: **%lld** since %s are counted here. Each is a failed "
        "job; its bytes and what is wrong with them are kept.\n\n"
        "## What to do next\n\n"
        "Find out who sends them:\n\n"
        "```\nstopgapctl show %.*s\nstopgapctl list --state failed --since %s\n"
        "```\n\n"
        "A request that somebody meant well has to be sent again, without its "
        "faults. Close this issue when that is done; it is opened again if more "
        "come.\n\n"
        "## The last of them\n\n",
        (long long)s->count, since, (int)strcspn(s->last_ids, " "), s->last_ids, since);
    add_ids(out, s->last_ids);
    buf_adds(out, "\nThe next line is how Stopgap knows this issue again.\n\n");
    issue_marker(s->id, out);
    buf_addc(out, '\n');
}
