/* zendesk_reply: see zendesk_reply.h. The forms are those of Zendesk's "Webhooks API"
 * and "Tickets API" as real accounts answer them. */
#include "zendesk_reply.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "when.h"

#define CURSOR_MAX 1024
#define VALUES_MAX 50000 /* a ticket with thousands of fields has 10,000 */

static int unreadable(struct err *e, const char *what)
{
    return err_set(e, ERR_TRANSIENT, 0, "the answer is not %s that can be read", what);
}

/* About how many values the text holds. An empty object of two bytes takes a hundred
 * times as many in memory. */
static size_t count_values(const char *body, size_t len)
{
    bool inside = false; /* a string */
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        if (inside && body[i] == '\\')
            i++;
        else if (body[i] == '"')
            inside = !inside;
        else if (!inside)
            n += body[i] == '{' || body[i] == '[' || body[i] == ',';
    return n;
}

static json_t *load(const char *body, size_t len)
{
    if (count_values(body, len) > VALUES_MAX)
        return NULL;
    return json_loadb(body, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
}

/* A text that fits, or what is there already when it is absent or null. */
static bool take_text(const json_t *object, const char *name, char *out, size_t size)
{
    const json_t *v = json_object_get(object, name);
    size_t len = json_string_length(v);

    if (!v || json_is_null(v))
        return true;
    if (!json_is_string(v) || len >= size || strlen(json_string_value(v)) != len)
        return false;
    memcpy(out, json_string_value(v), len + 1);
    return true;
}

/* The same for an HTTP status. */
static bool take_code(const json_t *object, int *out)
{
    const json_t *v = json_object_get(object, "status_code");
    json_int_t code = json_integer_value(v);

    if (!v || json_is_null(v))
        return true;
    if (!json_is_integer(v) || code < 0 || code > 999)
        return false;
    *out = (int)code;
    return true;
}

static bool take_time(const json_t *object, const char *name, int64_t *out)
{
    char text[WHEN_TEXT_MAX] = "";

    return take_text(object, name, text, sizeof text) &&
           (!*text || when_parse_iso(text, out));
}

/* ---- the log ---- */

void zendesk_log_done(struct zendesk_log *log)
{
    free(log->v);
    free(log->after);
    *log = (struct zendesk_log){0};
}

static bool read_row(const json_t *row, struct zendesk_invocation *out)
{
    *out = (struct zendesk_invocation){0};
    return json_is_object(row) && take_text(row, "id", out->id, sizeof out->id) &&
           *out->id && take_text(row, "status", out->status, sizeof out->status) &&
           *out->status && take_code(row, &out->code) &&
           take_time(row, "latest_completed_at", &out->at_ms);
}

/* "" when there is no page after this one. */
static bool read_cursor(const json_t *root, char out[static CURSOR_MAX])
{
    const json_t *meta = json_object_get(root, "meta");
    const json_t *more = json_object_get(meta, "has_more");

    *out = '\0';
    if (!json_is_boolean(more))
        return false;
    return !json_is_true(more) ||
           (take_text(meta, "after_cursor", out, CURSOR_MAX) && *out);
}

static bool read_rows(const json_t *list, struct zendesk_log *page)
{
    size_t i;
    json_t *row;

    if (!json_is_array(list))
        return false;
    page->v = mem_new(json_array_size(list) + 1, sizeof *page->v);
    json_array_foreach(list, i, row)
    {
        if (!read_row(row, &page->v[i]))
            return false;
        page->count++;
    }
    return true;
}

int zendesk_reply_log(const char *body, size_t len, struct zendesk_log *out,
                      struct err *e)
{
    json_t *root = load(body, len);
    struct zendesk_log page = {0};
    char after[CURSOR_MAX];
    int rc = 0;

    if (!read_cursor(root, after) ||
        !read_rows(json_object_get(root, "invocations"), &page)) {
        rc = unreadable(e, "a list of invocations");
        goto out;
    }
    out->v = mem_grow(out->v, (out->count + page.count + 1) * sizeof *out->v);
    memcpy(out->v + out->count, page.v, page.count * sizeof *out->v);
    out->count += page.count;
    mem_set(&out->after, *after ? after : NULL);
out:
    zendesk_log_done(&page);
    json_decref(root);
    return rc;
}

/* ---- attempts ---- */

void zendesk_attempts_done(struct zendesk_attempts *a)
{
    free(a->payload);
    *a = (struct zendesk_attempts){0};
}

/* One that Zendesk did not make, since it was holding back, has no request. */
static bool read_request(const json_t *request, struct zendesk_attempts *out)
{
    const json_t *payload = json_object_get(request, "payload");

    if (!request || json_is_null(request))
        return true;
    if (!json_is_string(payload))
        return false;
    if (!out->payload) {
        out->payload_len = json_string_length(payload);
        out->payload = mem_dup(json_string_value(payload), out->payload_len);
    }
    return true;
}

static bool read_attempt(const json_t *attempt, const char *invocation_id,
                         struct zendesk_attempts *out)
{
    char of[ZENDESK_ID_MAX + 1] = "";
    int code = 0;

    if (!json_is_object(attempt) ||
        !take_text(attempt, "invocation_id", of, sizeof of) ||
        strcmp(of, invocation_id) != 0 || !take_code(attempt, &code) ||
        !read_request(json_object_get(attempt, "request"), out))
        return false;
    out->count++;
    out->accepted = out->accepted || (code >= 200 && code < 300);
    if (!out->code)
        out->code = code; /* the newest comes first */
    return true;
}

int zendesk_reply_attempts(const char *body, size_t len, const char *invocation_id,
                           struct zendesk_attempts *out, struct err *e)
{
    json_t *root = load(body, len), *attempt;
    const json_t *list = json_object_get(root, "attempts");
    struct zendesk_attempts read = {0};
    bool good = json_is_array(list);
    size_t i;

    json_array_foreach(list, i, attempt)
    {
        good = good && read_attempt(attempt, invocation_id, &read);
    }
    if (good)
        *out = read;
    else
        zendesk_attempts_done(&read);
    json_decref(root);
    return good ? 0 : unreadable(e, "a list of attempts");
}

/* ---- comments ---- */

/* What a customer writes is public: nobody but staff can write a marker. */
static bool holds_marker(const json_t *comment, const char *marker)
{
    const char *body = json_string_value(json_object_get(comment, "body"));

    return json_is_false(json_object_get(comment, "public")) && body &&
           strstr(body, marker);
}

int zendesk_reply_comments(const char *body, size_t len, const char *marker,
                           struct zendesk_comments *out, struct err *e)
{
    json_t *root = load(body, len), *comment;
    const json_t *list = json_object_get(root, "comments");
    bool good, found = false;
    char after[CURSOR_MAX];
    size_t i;

    good = json_is_array(list) && read_cursor(root, after);
    json_array_foreach(list, i, comment)
    {
        found = found || holds_marker(comment, marker);
    }
    json_decref(root);
    if (!good)
        return unreadable(e, "a list of comments");
    out->found = found;
    mem_set(&out->after, *after ? after : NULL);
    return 0;
}

/* ---- a ticket ---- */

static bool read_requester(const json_t *users, json_int_t requester,
                           struct zendesk_ticket *out)
{
    size_t i;
    json_t *user;

    json_array_foreach(users, i, user)
    {
        if (requester > 0 &&
            json_integer_value(json_object_get(user, "id")) == requester)
            return take_text(user, "email", out->requester_email,
                             sizeof out->requester_email);
    }
    return false;
}

int zendesk_reply_user(const char *body, size_t len, struct zendesk_user *out,
                       struct err *e)
{
    json_t *root = load(body, len);
    const json_t *user = json_object_get(root, "user");
    struct zendesk_user read = {.role = ""};
    bool good = json_is_object(user);

    if (good && json_is_integer(json_object_get(user, "id")))
        good = take_text(user, "role", read.role, sizeof read.role) && *read.role;
    read.suspended = json_is_true(json_object_get(user, "suspended"));
    json_decref(root);
    if (!good)
        return unreadable(e, "a user");
    *out = read;
    return 0;
}

int zendesk_reply_webhook(const char *body, size_t len,
                          char status[static ZENDESK_WORD_MAX], struct err *e)
{
    json_t *root = load(body, len);
    char read[ZENDESK_WORD_MAX] = "";
    bool good =
        take_text(json_object_get(root, "webhook"), "status", read, sizeof read) &&
        *read;

    json_decref(root);
    if (!good)
        return unreadable(e, "a webhook");
    memcpy(status, read, sizeof read);
    return 0;
}

int zendesk_reply_ticket(const char *body, size_t len, int64_t ticket_id,
                         struct zendesk_ticket *out, struct err *e)
{
    json_t *root = load(body, len);
    const json_t *ticket = json_object_get(root, "ticket");
    struct zendesk_ticket read = {.status = ""};
    bool good =
        json_integer_value(json_object_get(ticket, "id")) == ticket_id &&
        take_text(ticket, "status", read.status, sizeof read.status) && *read.status &&
        read_requester(json_object_get(root, "users"),
                       json_integer_value(json_object_get(ticket, "requester_id")),
                       &read);

    json_decref(root);
    if (!good)
        return unreadable(e, "a ticket");
    *out = read;
    return 0;
}
