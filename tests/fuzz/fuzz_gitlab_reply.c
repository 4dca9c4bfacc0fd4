/* libFuzzer: whatever GitLab, or something in its place, may answer. The first byte
 * picks the reader. What was read must be usable, and strings must survive being
 * written and read again.
 *
 * Links: worker/gitlab_reply */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "flatjson.h"
#include "gitlab_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void check_text(const char *text)
{
    struct buf json, back;

    buf_init(&json, 1 << 20);
    buf_init(&back, 1 << 20);
    flatjson_add_string(&json, text);
    flatjson_decode(&(struct flatjson_span){json.data + 1, json.len - 2}, &back);
    require(!strcmp(back.data, text)); /* so it was UTF-8 */
    buf_done(&json);
    buf_done(&back);
}

static void check_issue(struct gitlab_issue *i)
{
    require(i->iid > 0 && i->title && i->url);
    check_text(i->title);
    check_text(i->url);
    gitlab_issue_done(i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const prefixes[] = {"[Success]", "[Pending]", NULL};
    const char *body = (const char *)data + 1;
    struct gitlab_issue issue = {0};
    char visibility[32];
    size_t count;
    struct err e;

    if (!size)
        return 0;
    size--;
    switch (data[0] & 3) {
    case 0:
        if (!gitlab_reply_issue(body, size, &issue, &e))
            check_issue(&issue);
        break;
    case 1:
        if (!gitlab_reply_find(body, size, "0123", prefixes, &issue, &count, &e) &&
            issue.iid)
            check_issue(&issue);
        break;
    case 2:
        if (!gitlab_reply_visibility(body, size, visibility, &e))
            require(strlen(visibility) < sizeof visibility);
        break;
    default:
        if (gitlab_reply_note(body, size, &e))
            require(e.class == ERR_TRANSIENT);
    }
    return 0;
}
