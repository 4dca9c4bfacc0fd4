/* license_gitlab_json: the attributes of a GitLab license, written and read by one
 * table. What GitLab does with each, and why these: docs/license.md. */
#include "license_gitlab.h"

#include <jansson.h>
#include <string.h>

#include "mem.h"
#include "when.h"

#define LICENSEE "Emergency license" /* never the requester's name: we know none */
#define NOTICE_DAYS 7                /* GitLab's own trials warn so long before */

/* What the table points into. */
struct attributes {
    struct license_claims claims;
    int64_t version;
    char licensee[sizeof LICENSEE];
    int64_t notify_admins_ms;
    int64_t notify_users_ms;
};

enum type { TYPE_TEXT, TYPE_DATE, TYPE_MOMENT, TYPE_NUMBER, TYPE_BOOL };

/* In the order in which they are written. GitLab ignores restrictions that it does not
 * know; the four of ours make a license tell where it comes from. Never among them:
 * block_changes_at, which no trial has, and `id`, which GitLab takes for a number of
 * its own. */
static const struct attribute {
    const char *group; /* the object it is in; NULL: the outer one */
    const char *name;
    enum type type;
    size_t offset;
    size_t size;
} attributes[] = {
#define AT(member)                                                                     \
    offsetof(struct attributes, member), sizeof(((struct attributes *)NULL)->member)
    {NULL, "version", TYPE_NUMBER, AT(version)},
    {"licensee", "Name", TYPE_TEXT, AT(licensee)},
    {"licensee", "Company", TYPE_TEXT, AT(licensee)},
    {"licensee", "Email", TYPE_TEXT, AT(claims.email)},
    {NULL, "issued_at", TYPE_DATE, AT(claims.starts_ms)},
    {NULL, "expires_at", TYPE_DATE, AT(claims.expires_ms)},
    {NULL, "notify_admins_at", TYPE_DATE, AT(notify_admins_ms)},
    {NULL, "notify_users_at", TYPE_DATE, AT(notify_users_ms)},
    {"restrictions", "active_user_count", TYPE_NUMBER, AT(claims.users)},
    {"restrictions", "plan", TYPE_TEXT, AT(claims.plan)},
    {"restrictions", "trial", TYPE_BOOL, AT(claims.trial)},
    {"restrictions", "stopgap_license_id", TYPE_TEXT, AT(claims.id)},
    {"restrictions", "stopgap_ticket", TYPE_NUMBER, AT(claims.ticket_id)},
    {"restrictions", "stopgap_issuer", TYPE_TEXT, AT(claims.issuer)},
    {"restrictions", "stopgap_signed_at", TYPE_MOMENT, AT(claims.issued_ms)},
#undef AT
};

/* The day before, so that a server west of UTC does not see a license of the future;
 * the end never later than the term, so that it comes early there as well. */
void license_gitlab_json_times(struct license_claims *c, int64_t term_days)
{
    int64_t day = when_day(c->issued_ms);

    c->starts_ms = (day - 1) * WHEN_DAY_MS;
    c->expires_ms = (day + term_days) * WHEN_DAY_MS;
}

/* What follows from the claims. */
static struct attributes attributes_of(const struct license_claims *c)
{
    int64_t notice_ms = c->expires_ms - NOTICE_DAYS * WHEN_DAY_MS;

    return (struct attributes){
        .claims = *c,
        .version = 1,
        .licensee = LICENSEE,
        .notify_admins_ms = notice_ms > c->starts_ms ? notice_ms : c->starts_ms,
        .notify_users_ms = c->expires_ms, /* it is not theirs to renew */
    };
}

static int64_t number_at(const char *at)
{
    return *(const int64_t *)(const void *)at;
}

static void add_value(struct buf *out, enum type type, const char *at)
{
    char when[WHEN_TEXT_MAX];

    switch (type) {
    case TYPE_TEXT:
        license_add_string(out, at);
        break;
    case TYPE_DATE:
        when_format_date(when_day(number_at(at)), when);
        license_add_string(out, when);
        break;
    case TYPE_MOMENT:
        when_format_iso(number_at(at), when);
        license_add_string(out, when);
        break;
    case TYPE_NUMBER:
        buf_add_int(out, number_at(at));
        break;
    case TYPE_BOOL:
        buf_adds(out, *(const bool *)(const void *)at ? "true" : "false");
        break;
    }
}

/* From one object into another; NULL: the outer one. */
static void change_group(struct buf *out, const char *from, const char *to)
{
    if (from)
        buf_addc(out, '}');
    buf_addc(out, ',');
    if (to)
        buf_addf(out, "\"%s\":{", to);
}

void license_gitlab_json_write(const struct license_claims *c, struct buf *out)
{
    const struct attributes a = attributes_of(c);
    const char *group = NULL;

    for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
        const struct attribute *row = &attributes[i];

        if (row->group != group && (!row->group || !group || strcmp(row->group, group)))
            change_group(out, group, row->group);
        else
            buf_addc(out, i ? ',' : '{');
        group = row->group;
        buf_addf(out, "\"%s\":", row->name);
        add_value(out, row->type, (const char *)&a + row->offset);
    }
    buf_adds(out, group ? "}}" : "}");
}

static bool read_text(const json_t *value, char *at, size_t size)
{
    const char *text = json_string_value(value);

    if (!text || strlen(text) >= size)
        return false;
    memcpy(at, text, strlen(text) + 1);
    return true;
}

static bool read_date(const char *text, int64_t *out_ms)
{
    int64_t day;

    if (!text || !when_parse_date(text, &day))
        return false;
    *out_ms = day * WHEN_DAY_MS;
    return true;
}

static bool read_value(const json_t *value, const struct attribute *row, char *at)
{
    const char *text = json_string_value(value);

    switch (row->type) {
    case TYPE_TEXT:
        return read_text(value, at, row->size);
    case TYPE_DATE:
        return read_date(text, (int64_t *)(void *)at);
    case TYPE_MOMENT:
        return text && when_parse_iso(text, (int64_t *)(void *)at);
    case TYPE_NUMBER:
        *(int64_t *)(void *)at = json_integer_value(value);
        return json_is_integer(value);
    case TYPE_BOOL:
        *(bool *)(void *)at = json_is_true(value);
        return json_is_boolean(value);
    }
    return false;
}

static int read_attributes(const json_t *root, struct attributes *a, struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
        const struct attribute *row = &attributes[i];
        const json_t *in = row->group ? json_object_get(root, row->group) : root;
        const json_t *value = json_object_get(in, row->name);

        if (!value)
            return err_set(e, ERR_INVALID, 0, "the attribute \"%s\" is missing",
                           row->name);
        if (!read_value(value, row, (char *)a + row->offset))
            return err_set(e, ERR_INVALID, 0, "the attribute \"%s\" does not read",
                           row->name);
    }
    return 0;
}

/* The JSON library forgets how a text was written; a comparison does not. */
static int compare(const struct license_claims *c, const char *text, size_t len,
                   struct err *e)
{
    struct buf ours;
    bool same;

    buf_init(&ours, LICENSE_TEXT_MAX);
    license_gitlab_json_write(c, &ours);
    same = !ours.failed && ours.len == len && memcmp(ours.data, text, len) == 0;
    buf_done(&ours);
    return same ? 0
                : err_set(e, ERR_INVALID, 0,
                          "an attribute is not what it has to be, or unknown here");
}

int license_gitlab_json_read(const char *text, size_t len, struct license_claims *out,
                             struct err *e)
{
    struct attributes a = {0};
    json_error_t why;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    int result = -1;

    if (!json_is_object(root))
        (void)err_set(e, ERR_INVALID, 0, "the attributes are not a JSON object: %s",
                      root ? "another type" : why.text);
    else if (read_attributes(root, &a, e) == 0)
        result = compare(&a.claims, text, len, e);
    json_decref(root);
    if (result == 0)
        *out = a.claims;
    return result;
}
