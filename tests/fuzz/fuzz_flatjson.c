/* flatjson against jansson: what jansson takes, a walk with flatjson takes, too, and
 * sees the same values; whatever flatjson makes of other bytes is UTF-8 within bounds.
 * Strings that are written read back. */
#include <stdbool.h>

#include <jansson.h>

#include "flatjson.h"
#include "fuzz_input.h"
#include "utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_string(const struct flatjson_span *s, const json_t *theirs)
{
    struct buf text;

    buf_init(&text, 1 << 20);
    flatjson_decode(s, &text);
    PROMISE(!text.failed && strlen(text.data) == text.len);
    PROMISE(utf8_valid_len(text.data, text.len) == text.len);
    if (theirs && strlen(json_string_value(theirs)) == json_string_length(theirs))
        PROMISE(!strcmp(text.data, json_string_value(theirs)));
    buf_done(&text);
}

static void walk(struct flatjson *j, const json_t *theirs, int depth);

static void walk_object(struct flatjson *j, const json_t *theirs, int depth)
{
    struct flatjson_span key;

    PROMISE(flatjson_open(j, '{'));
    while (flatjson_key(j, &key)) {
        struct buf name;

        buf_init(&name, 1 << 20);
        flatjson_decode(&key, &name);
        PROMISE(flatjson_is(&key, name.data) || memchr(key.at, '\\', key.len) ||
                utf8_valid_len(key.at, key.len) < key.len ||
                memchr(key.at, 0, key.len));
        walk(j, json_object_get(theirs, name.data), depth + 1);
        buf_done(&name);
    }
}

static void walk_array(struct flatjson *j, const json_t *theirs, int depth)
{
    size_t n = 0;

    PROMISE(flatjson_open(j, '['));
    while (flatjson_item(j))
        walk(j, json_array_get(theirs, n++), depth + 1);
    PROMISE(!theirs || j->bad || n == json_array_size(theirs));
}

/* theirs: NULL where jansson has nothing to say. */
static void walk(struct flatjson *j, const json_t *theirs, int depth)
{
    struct flatjson_span s;
    const char *before = j->p;
    char next = flatjson_peek(j);
    int64_t n;
    bool is;

    if (depth > 30 || next == '\0' || next == 'n') {
        flatjson_skip(j);
    } else if (next == '{') {
        walk_object(j, theirs, depth);
    } else if (next == '[') {
        walk_array(j, theirs, depth);
    } else if (next == '"') {
        if (flatjson_string(j, &s))
            check_string(&s, theirs);
    } else if (next == 't' || next == 'f') {
        if (flatjson_bool(j, &is))
            PROMISE(!theirs || json_is_true(theirs) == is);
    } else if (flatjson_int(j, &n)) {
        PROMISE(!theirs ||
                (json_is_integer(theirs) && json_integer_value(theirs) == n));
    }
    PROMISE(j->p >= before && j->p <= j->end);
}

/* More than flatjson goes into, at one place or another. */
static bool is_deep(const char *bytes, size_t len)
{
    size_t brackets = 0;

    for (size_t i = 0; i < len; i++)
        brackets += bytes[i] == '[' || bytes[i] == '{';
    return brackets > 30;
}

/* Asked for what it is not: skipped all the same. */
static void check_wrong_types(const char *bytes, size_t len, const json_t *theirs)
{
    bool deep = is_deep(bytes, len);
    struct flatjson_span s;
    struct flatjson j;
    int64_t n;
    bool is;
    char first;

    flatjson_init(&j, bytes, len);
    PROMISE(!flatjson_string(&j, &s) || !theirs || json_is_string(theirs));
    PROMISE(!theirs || flatjson_end(&j) || deep);
    flatjson_init(&j, bytes, len);
    PROMISE(!flatjson_int(&j, &n) || !theirs || json_is_integer(theirs));
    PROMISE(!theirs || flatjson_end(&j) || deep);
    flatjson_init(&j, bytes, len);
    PROMISE(!flatjson_bool(&j, &is) || !theirs || json_is_boolean(theirs));
    PROMISE(!theirs || flatjson_end(&j) || deep);
    flatjson_init(&j, bytes, len);
    first = flatjson_peek(&j);
    PROMISE(flatjson_open(&j, '[') == (first == '['));
    PROMISE(first == '[' || (!flatjson_item(&j) && !flatjson_end(&j)));
}

/* Any bytes as text: jansson reads what we write, and we do. */
static void check_written(const char *text)
{
    struct buf json, back;
    struct flatjson_span s;
    struct flatjson j;
    json_t *theirs;

    buf_init(&json, 1 << 20);
    buf_init(&back, 1 << 20);
    flatjson_add_string(&json, text);
    PROMISE(!json.failed);
    theirs = json_loadb(json.data, json.len, JSON_DECODE_ANY, NULL);
    PROMISE(json_is_string(theirs));
    if (utf8_valid_len(text, strlen(text)) == strlen(text))
        PROMISE(!strcmp(json_string_value(theirs), text));
    flatjson_init(&j, json.data, json.len);
    PROMISE(flatjson_string(&j, &s) && flatjson_end(&j));
    flatjson_decode(&s, &back);
    PROMISE(!strcmp(back.data, json_string_value(theirs)));
    json_decref(theirs);
    buf_done(&json);
    buf_done(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = malloc(size + !size);
    char *text = mem_dup((const char *)data, size);
    struct flatjson j;
    json_t *theirs = NULL;

    PROMISE(bytes);
    if (size)
        memcpy(bytes, data, size);
    /* Doubled keys: the values do not stand at the same places. A NUL behind a number
     * is overlooked by jansson. */
    if (!memchr(bytes, 0, size))
        theirs =
            json_loadb(bytes, size,
                       JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    flatjson_init(&j, bytes, size);
    walk(&j, theirs, 0);
    check_wrong_types(bytes, size, theirs);
    if (theirs)
        PROMISE(flatjson_end(&j) || is_deep(bytes, size));
    check_written(text);
    json_decref(theirs);
    free(bytes);
    free(text);
    return 0;
}
