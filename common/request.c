/* request: from bytes to checked values, see request.h. Knows the JSON around the
 * fields; what a field may be is in request_fields.c. The durable form and the digests
 * are in request_codec.c, the scope rule in request_scope.c. */
#include "request.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "json_keys.h"
#include "request_fields.h"
#include "utf8.h"

#define NAMES_SHOWN 20 /* unknown or doubled keys with a line each */

/* What stands in the text for one field. */
struct slot {
    json_t *value;    /* borrowed from the root; NULL: absent */
    const char *text; /* as written */
    size_t text_len;
};

static bool is_required(const struct request_parse *p, const struct request_field *f)
{
    return !p->stored && (f->need == NEED_ALWAYS ||
                          (f->need == NEED_FOR_SCOPE && p->rules->scope_required));
}

/* One field that is there: its type, then its own rule. */
static void read_present(struct request_parse *p, const struct request_field *f,
                         const struct slot *s)
{
    char number[REQUEST_SHOWN_CHARS + 2];
    const char *text;

    if (json_is_string(s->value)) {
        text = json_string_value(s->value);
        if (strlen(text) != json_string_length(s->value))
            request_fields_fault(p, f->name, "the character U+0000 is not allowed");
        else if (*text)
            f->read(p, f, text);
        else if (is_required(p, f))
            request_fields_fault(p, f->name, "required, but empty");
        return;
    }
    if (!f->number || !json_is_number(s->value)) {
        request_fields_fault(p, f->name, "must be a string%s",
                             f->number ? " or a number" : "");
        return;
    }
    /* Cut: what is longer is out of every range, and shown with its end missing. */
    (void)snprintf(number, sizeof number, "%.*s", (int)s->text_len, s->text);
    f->read(p, f, number);
}

static void read_fields(struct request_parse *p, const struct slot *slots)
{
    enum form form = p->resend ? FORM_RESEND : FORM_REQUEST;

    for (size_t i = 0; i < REQUEST_FIELD_COUNT; i++) {
        const struct request_field *f = &request_fields[i];

        if (slots[i].value && !(f->form & form))
            request_fields_fault(p, f->name, "not allowed beside resend");
        else if (slots[i].value)
            read_present(p, f, &slots[i]);
        else if ((f->form & form) && is_required(p, f))
            request_fields_fault(p, f->name, "required");
    }
}

/* REQUEST_FIELD_COUNT: there is no such field. */
static size_t find_field(const char *name, size_t len)
{
    size_t i = 0;

    while (i < REQUEST_FIELD_COUNT && (strlen(request_fields[i].name) != len ||
                                       memcmp(name, request_fields[i].name, len) != 0))
        i++;
    return i;
}

/* The name as it stands in a fault line: bare if it is a plain word. */
static const char *show_name(char out[static REQUEST_SHOWN_MAX], const char *name)
{
    static const char word[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t len = strlen(name);

    if (len > 0 && len <= REQUEST_SHOWN_CHARS && strspn(name, word) == len)
        return memcpy(out, name, len + 1);
    return request_fields_show(out, name, len);
}

static void say_unknown(struct request_parse *p, const char *name, bool list)
{
    char shown[REQUEST_SHOWN_MAX];
    struct buf known;

    buf_init(&known, ERR_TEXT_MAX);
    for (size_t i = 0; list && i < REQUEST_FIELD_COUNT; i++)
        if (request_fields[i].form & FORM_REQUEST)
            buf_addf(&known, "%s%s", i ? ", " : "; allowed are ",
                     request_fields[i].name);
    request_fields_fault(p, show_name(shown, name), "unknown field%s", known.data);
    buf_done(&known);
}

static void find_unknown(struct request_parse *p, json_t *root)
{
    const char *name;
    json_t *value;
    size_t unknown = 0;

    json_object_foreach(root, name, value)
    {
        if (find_field(name, strlen(name)) < REQUEST_FIELD_COUNT)
            continue;
        if (++unknown <= NAMES_SHOWN)
            say_unknown(p, name, unknown == 1);
    }
    if (unknown > NAMES_SHOWN)
        request_fields_fault(p, "request", "%zu more unknown fields",
                             unknown - NAMES_SHOWN);
}

/* The member's key as the JSON library reads it: two spellings may be one key. */
static json_t *decode_key(const struct json_member *m)
{
    if (!memchr(m->key, '\\', m->key_len))
        return json_stringn(m->key, m->key_len);
    return json_loadb(m->key - 1, m->key_len + 2, JSON_DECODE_ANY, NULL);
}

/* Says of each key that is there more than once so, once. `seen` holds null for a key
 * met once, true when more has been said. */
static void find_doubled(struct request_parse *p, const char *raw, size_t len)
{
    json_t *seen = json_object();
    struct json_member m;
    char shown[REQUEST_SHOWN_MAX];
    size_t doubled = 0;

    for (const char *s = raw; json_keys_next(&s, raw + len, &m);) {
        json_t *key = decode_key(&m);
        const char *name = json_string_value(key);
        json_t *before = json_object_get(seen, name);

        (void)json_object_set_new(seen, name, before ? json_true() : json_null());
        if (json_is_null(before) && ++doubled <= NAMES_SHOWN)
            request_fields_fault(p, show_name(shown, name), "given more than once");
        json_decref(key);
    }
    if (doubled > NAMES_SHOWN)
        request_fields_fault(p, "request", "%zu more keys given more than once",
                             doubled - NAMES_SHOWN);
    json_decref(seen);
}

static size_t find_member_field(const struct json_member *m)
{
    json_t *key;
    size_t i;

    if (!memchr(m->key, '\\', m->key_len))
        return find_field(m->key, m->key_len);
    key = decode_key(m);
    i = find_field(json_string_value(key), json_string_length(key));
    json_decref(key);
    return i;
}

/* Where each field stands in the text; the last one of equal keys, as jansson takes it.
 * Returns how many members there are, equal keys and all. */
static size_t find_members(json_t *root, const char *raw, size_t len,
                           struct slot *slots)
{
    struct json_member m;
    size_t count = 0, i;

    for (i = 0; i < REQUEST_FIELD_COUNT; i++)
        slots[i].value = json_object_get(root, request_fields[i].name);
    for (const char *s = raw; json_keys_next(&s, raw + len, &m); count++) {
        i = find_member_field(&m);
        if (i < REQUEST_FIELD_COUNT) {
            slots[i].text = m.value;
            slots[i].text_len = m.value_len;
        }
    }
    return count;
}

/* The object, or NULL with the one fault. Numbers are read as reals so that one past
 * 64 bits is a fault of its field, not of the text; their digits are taken from there.
 */
static json_t *load(struct request_parse *p, const char *raw, size_t len)
{
    char shown[REQUEST_SHOWN_MAX];
    size_t valid = len <= REQUEST_MAX_BYTES ? utf8_valid_len(raw, len) : 0;
    const char *nul = len && valid == len ? memchr(raw, '\0', len) : NULL;
    json_error_t error;
    json_t *root = NULL;

    if (len == 0) {
        request_fields_fault(p, "request", "empty");
    } else if (len > REQUEST_MAX_BYTES) {
        request_fields_fault(p, "request", "%zu bytes long; at most %d are allowed",
                             len, REQUEST_MAX_BYTES);
    } else if (valid < len) {
        request_fields_fault(p, "request", "not UTF-8 at byte %zu (0x%02X)", valid,
                             (unsigned char)raw[valid]);
    } else if (nul) { /* jansson overlooks one behind a number */
        request_fields_fault(p, "request", "not JSON at byte %zu (0x00)",
                             (size_t)(nul - raw));
    } else {
        root = json_loadb(raw, len,
                          JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL,
                          &error);
        if (!root)
            request_fields_fault(
                p, "request", "not JSON at byte %d: %s", error.position,
                request_fields_show(shown, error.text, strlen(error.text)));
    }
    if (root && !json_is_object(root)) {
        request_fields_fault(p, "request", "must be one JSON object");
        json_decref(root);
        root = NULL;
    }
    return root;
}

static json_t *read_object(struct request_parse *p, const char *raw, size_t len)
{
    struct slot slots[REQUEST_FIELD_COUNT] = {0};
    json_t *root;

    *p->out = (struct request){0};
    root = load(p, raw, len);
    if (!root)
        return NULL;
    if (find_members(root, raw, len, slots) > json_object_size(root))
        find_doubled(p, raw, len);
    p->resend = json_object_get(root, "resend") != NULL;
    read_fields(p, slots);
    return root;
}

int request_parse(const char *raw, size_t len, const struct request_rules *rules,
                  struct request *out, struct buf *faults)
{
    struct request_parse p = {.rules = rules, .out = out, .faults = faults};
    json_t *root = read_object(&p, raw, len);

    if (!root)
        return -1;
    find_unknown(&p, root);
    if (!out->ticket_url[0])
        request_fields_build_url(&p);
    json_decref(root);
    return p.faults_seen ? -1 : 0;
}

int request_decode(const char *json, size_t len, struct request *out, struct err *e)
{
    static const struct request_rules any = {0};
    struct request read;
    struct buf faults;
    struct request_parse p = {
        .rules = &any, .out = &read, .faults = &faults, .stored = true};

    buf_init(&faults, ERR_TEXT_MAX);
    json_decref(read_object(&p, json, len));
    if (p.faults_seen)
        (void)err_set(e, ERR_BUG, 0, "the stored request does not read: %.*s",
                      (int)strcspn(faults.data, "\n"), faults.data);
    else
        *out = read;
    buf_done(&faults);
    return p.faults_seen ? -1 : 0;
}

bool request_is_whole(const struct request *r)
{
    return r->ticket_id && *r->email && r->users && *r->requested_by;
}
