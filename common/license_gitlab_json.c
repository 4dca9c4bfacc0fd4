/* license_gitlab_json: the attributes of a GitLab license, written and read by one
 * table. What GitLab does with each, and why these: docs/license.md. */
#include "license_gitlab.h"

#include <jansson.h>
#include <string.h>

#include "license_value.h"
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

/* In the order in which they are written. GitLab ignores restrictions that it does not
 * know; the four of ours make a license tell where it comes from. Never among them:
 * block_changes_at, which no trial has, and `id`, which GitLab takes for a number of
 * its own. */
static const struct attribute {
    const char *group; /* the object it is in; NULL: the outer one */
    const char *name;
    enum license_value type;
    size_t offset;
    size_t size;
} attributes[] = {
#define AT(member)                                                                     \
    offsetof(struct attributes, member), sizeof(((struct attributes *)NULL)->member)
    {NULL, "version", VALUE_NUMBER, AT(version)},
    {"licensee", "Name", VALUE_TEXT, AT(licensee)},
    {"licensee", "Company", VALUE_TEXT, AT(licensee)},
    {"licensee", "Email", VALUE_TEXT, AT(claims.email)},
    {NULL, "issued_at", VALUE_DATE, AT(claims.starts_ms)},
    {NULL, "expires_at", VALUE_DATE, AT(claims.expires_ms)},
    {NULL, "notify_admins_at", VALUE_DATE, AT(notify_admins_ms)},
    {NULL, "notify_users_at", VALUE_DATE, AT(notify_users_ms)},
    {"restrictions", "active_user_count", VALUE_NUMBER, AT(claims.users)},
    {"restrictions", "plan", VALUE_TEXT, AT(claims.plan)},
    {"restrictions", "trial", VALUE_BOOL, AT(claims.trial)},
    {"restrictions", "stopgap_license_id", VALUE_TEXT, AT(claims.id)},
    {"restrictions", "stopgap_ticket", VALUE_NUMBER, AT(claims.ticket_id)},
    {"restrictions", "stopgap_issuer", VALUE_TEXT, AT(claims.issuer)},
    {"restrictions", "stopgap_signed_at", VALUE_MOMENT, AT(claims.issued_ms)},
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
        license_value_add(out, row->type, (const char *)&a + row->offset);
    }
    buf_adds(out, group ? "}}" : "}");
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
        if (!license_value_read(value, row->type, (char *)a + row->offset, row->size))
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
