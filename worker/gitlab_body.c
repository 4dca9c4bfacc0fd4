/* gitlab_body: see gitlab_body.h. */
#include "gitlab_body.h"

#include <assert.h>
#include <string.h>

#include "flatjson.h"
#include "when.h"

/* The next name of a comma-separated text, without the blanks around it; false at its
 * end. */
static bool next_label(const char **at, const char **name, size_t *len)
{
    while (**at == ' ' || **at == ',')
        (*at)++;
    *name = *at;
    *len = strcspn(*at, ",");
    *at += *len;
    while (*len && (*name)[*len - 1] == ' ')
        (*len)--;
    return *len > 0;
}

size_t gitlab_body_label_count(const char *labels)
{
    const char *name;
    size_t len, count = 0;

    while (labels && next_label(&labels, &name, &len))
        count++;
    return count;
}

static void add_labels(const char *labels, struct buf *out)
{
    const char *name;
    size_t len;
    struct buf one;

    buf_init(&one, SIZE_MAX / 2);
    for (size_t i = 0; next_label(&labels, &name, &len); i++) {
        buf_reset(&one);
        buf_add(&one, name, len);
        buf_adds(out, i ? "," : "");
        flatjson_add_string(out, one.data);
    }
    buf_done(&one);
}

void gitlab_body_create(const char *title, const char *description, const char *labels,
                        struct buf *out)
{
    assert(*title && *description);
    buf_adds(out, "{\"title\":");
    flatjson_add_string(out, title);
    buf_adds(out, ",\"confidential\":true");
    if (gitlab_body_label_count(labels)) {
        buf_adds(out, ",\"labels\":[");
        add_labels(labels, out);
        buf_addc(out, ']');
    }
    buf_adds(out, ",\"description\":");
    flatjson_add_string(out, description);
    buf_addc(out, '}');
}

static void add_member(const char *name, const char *value, struct buf *out)
{
    if (!value)
        return;
    buf_adds(out, out->len > 1 ? "," : "");
    flatjson_add_string(out, name);
    buf_addc(out, ':');
    flatjson_add_string(out, value);
}

void gitlab_body_update(const char *title, const char *description,
                        const char *state_event, struct buf *out)
{
    assert(title || description || state_event);
    buf_addc(out, '{');
    add_member("title", title, out);
    add_member("state_event", state_event, out);
    add_member("description", description, out);
    buf_addc(out, '}');
}

void gitlab_body_note(const char *text, struct buf *out)
{
    buf_addc(out, '{');
    add_member("body", text, out);
    buf_addc(out, '}');
}

void gitlab_body_own_issues_query(int64_t created_after_ms, int page, int per_page,
                                  struct buf *out)
{
    char after[WHEN_TEXT_MAX];

    when_format_iso(created_after_ms < 0 ? 0 : created_after_ms, after);
    buf_addf(out,
             "scope=created_by_me&state=all&order_by=created_at&sort=asc"
             "&per_page=%d&page=%d&created_after=%s",
             per_page, page, after);
}
