/* gitlab_reply: see gitlab_reply.h. One pass over the answer with flatjson.h. */
#include "gitlab_reply.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "issue.h"
#include "flatjson.h"
#include "mem.h"

#define TITLE_MAX 4096
#define URL_MAX 2048

/* An issue as it stands in the answer. */
struct seen {
    int64_t iid;
    struct flatjson_span state, title, description, url;
    bool confidential;
    size_t labels;
};

static size_t count_items(struct flatjson *j)
{
    size_t n = 0;

    if (flatjson_peek(j) != '[') {
        flatjson_skip(j);
        return 0;
    }
    for (flatjson_open(j, '['); flatjson_item(j); n++)
        flatjson_skip(j);
    return n;
}

static void read_member(struct flatjson *j, const struct flatjson_span *key,
                        struct seen *s)
{
    const struct {
        const char *name;
        struct flatjson_span *text;
    } texts[] = {
        {"state", &s->state},
        {"title", &s->title},
        {"description", &s->description},
        {"web_url", &s->url},
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (flatjson_is(key, texts[i].name)) {
            (void)flatjson_string(j, texts[i].text); /* null: stays empty */
            return;
        }
    if (flatjson_is(key, "iid"))
        (void)flatjson_int(j, &s->iid);
    else if (flatjson_is(key, "confidential"))
        (void)flatjson_bool(j, &s->confidential);
    else if (flatjson_is(key, "labels"))
        s->labels = count_items(j);
    else
        flatjson_skip(j);
}

/* False if it is no issue that could be worked with. */
static bool read_issue(struct flatjson *j, struct seen *s)
{
    struct flatjson_span key;

    *s = (struct seen){0};
    if (!flatjson_open(j, '{'))
        return false;
    while (flatjson_key(j, &key))
        read_member(j, &key, s);
    return !j->bad && s->iid > 0 &&
           (flatjson_is(&s->state, "opened") || flatjson_is(&s->state, "closed"));
}

static char *decode(const struct flatjson_span *s, size_t max)
{
    struct buf text;
    char *out;

    buf_init(&text, max);
    if (s->at)
        flatjson_decode(s, &text);
    out = buf_take(&text);
    return out;
}

/* People are shown it as a link: "" for what is none. Its host is not ours to judge:
 * GitLab has a name for the world that the settings need not know. */
static char *decode_url(const struct flatjson_span *s)
{
    char *url = decode(s, URL_MAX);
    bool good = (!strncmp(url, "https://", 8) || !strncmp(url, "http://", 7)) &&
                !strpbrk(url, "\"'<>\\^`{|}");

    for (const char *p = url; *p; p++)
        good = good && *p > 0x20 && *p < 0x7F;
    if (!good)
        *url = '\0';
    return url;
}

static void keep(const struct seen *s, struct gitlab_issue *out)
{
    *out = (struct gitlab_issue){
        .iid = s->iid,
        .closed = flatjson_is(&s->state, "closed"),
        .confidential = s->confidential,
        .labels = s->labels,
        .title = decode(&s->title, TITLE_MAX),
        .url = decode_url(&s->url),
    };
}

void gitlab_issue_done(struct gitlab_issue *issue)
{
    free(issue->title);
    free(issue->url);
    *issue = (struct gitlab_issue){0};
}

static int unreadable(struct err *e, const char *what)
{
    return err_set(e, ERR_TRANSIENT, 0, "the answer is not %s that can be read", what);
}

int gitlab_reply_issue(const char *body, size_t len, struct gitlab_issue *out,
                       struct err *e)
{
    struct flatjson j;
    struct seen s;

    flatjson_init(&j, body, len);
    if (!read_issue(&j, &s) || !flatjson_end(&j))
        return unreadable(e, "an issue");
    keep(&s, out);
    return 0;
}

int gitlab_reply_note(const char *body, size_t len, struct err *e)
{
    struct flatjson j;
    struct flatjson_span key;
    int64_t id = 0;

    flatjson_init(&j, body, len);
    (void)flatjson_open(&j, '{');
    while (flatjson_key(&j, &key)) {
        if (flatjson_is(&key, "id"))
            (void)flatjson_int(&j, &id);
        else
            flatjson_skip(&j);
    }
    return flatjson_end(&j) && id > 0 ? 0 : unreadable(e, "a note");
}

int gitlab_reply_visibility(const char *body, size_t len, char out[static 32],
                            struct err *e)
{
    struct flatjson j;
    struct flatjson_span key, value = {"", 0};

    flatjson_init(&j, body, len);
    (void)flatjson_open(&j, '{');
    while (flatjson_key(&j, &key)) {
        if (flatjson_is(&key, "visibility"))
            (void)flatjson_string(&j, &value);
        else
            flatjson_skip(&j);
    }
    if (!flatjson_end(&j) || value.len > 31)
        return unreadable(e, "a project");
    memcpy(out, value.at, value.len);
    out[value.len] = '\0';
    return 0;
}

static bool title_counts(const struct flatjson_span *raw, const char *const *prefixes)
{
    char *title = decode(raw, TITLE_MAX);
    bool counts = false;

    for (; *prefixes && !counts; prefixes++)
        counts = !strncmp(title, *prefixes, strlen(*prefixes));
    free(title);
    return counts;
}

static bool is_of_job(const struct seen *s, const char *job_id,
                      const char *const *prefixes)
{
    char *text;
    bool has;

    if (!title_counts(&s->title, prefixes))
        return false;
    text = decode(&s->description, s->description.len * 3); /* U+FFFD for one byte */
    has = issue_has_marker(text, job_id);
    free(text);
    return has;
}

int gitlab_reply_find(const char *body, size_t len, const char *job_id,
                      const char *const *title_prefixes, struct gitlab_issue *out,
                      size_t *count, struct err *e)
{
    struct flatjson j;
    struct seen s, found = {0};
    size_t n = 0;

    flatjson_init(&j, body, len);
    for (flatjson_open(&j, '['); flatjson_item(&j); n++) {
        if (!read_issue(&j, &s))
            return unreadable(e, "a list of issues");
        if (!found.iid && is_of_job(&s, job_id, title_prefixes))
            found = s;
    }
    if (!flatjson_end(&j))
        return unreadable(e, "a list of issues");
    if (found.iid)
        keep(&found, out);
    *count = n;
    return 0;
}
