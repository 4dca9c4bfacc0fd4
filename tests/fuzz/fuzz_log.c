/* Log lines out of hostile values, in both forms: each call is one line, nothing in it
 * acts on a terminal or ends it, and a reader of the form finds each value again, or
 * as much of it as the line had room for. Fields: a byte for the form and the level,
 * then the values. */
#include <jansson.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz_input.h"
#include "fuzz_text.h"
#include "log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define VALUES 4
#define WRITTEN_MAX 20000

static const char *const keys[VALUES] = {"a", "job_id", "err2", "words"};
static int written = -1, real = -1; /* in place of stderr; stderr */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    written = memfd_create("log", MFD_CLOEXEC);
    real = dup(STDERR_FILENO);
    PROMISE(written >= 0 && real >= 0);
    return 0;
}

/* ---- stderr while something is logged ---- */

static void begin(void)
{
    PROMISE(!ftruncate(written, 0) && lseek(written, 0, SEEK_SET) == 0);
    (void)dup2(written, STDERR_FILENO);
}

static size_t end(char out[static WRITTEN_MAX + 1])
{
    ssize_t n = pread(written, out, WRITTEN_MAX, 0);

    (void)dup2(real, STDERR_FILENO);
    PROMISE(n >= 0 && n < WRITTEN_MAX);
    out[n] = '\0';
    return (size_t)n;
}

/* ---- readers ---- */

/* What stands in the line for a value: bytes that are no UTF-8 as U+FFFD. */
static char *shown(const char *value)
{
    const unsigned char *p = (const unsigned char *)value, *stop = p + strlen(value);
    struct buf b;
    size_t n = 1;

    buf_init(&b, 1 << 20);
    for (; p < stop; p += n) {
        int32_t c = text_char(p, (size_t)(stop - p), &n);

        n = c < 0 ? 1 : n;
        if (c < 0)
            buf_adds(&b, "\xEF\xBF\xBD");
        else
            buf_add(&b, p, n);
    }
    return buf_take(&b);
}

/* Equal, or cut with three dots where the line was full. */
static void check_value(const char *got, const char *value, bool full)
{
    char *want = shown(value);
    size_t len = strlen(got);

    if (strcmp(got, want) != 0)
        PROMISE(full && len >= 3 && !strcmp(got + len - 3, "...") &&
                !strncmp(got, want, len - 3));
    free(want);
}

/* "\uXXXX" of a character below U+10000. */
static const char *read_escape(const char *p, struct buf *out)
{
    unsigned c;
    char json[16], *text;

    if (*p != 'u') {
        buf_addc(out, *p == 'n' ? '\n' : *p);
        return p + 1;
    }
    PROMISE(sscanf(p + 1, "%4x", &c) == 1);
    (void)snprintf(json, sizeof json, "\"\\u%.4s\"", p + 1);
    json_t *v = json_loads(json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    PROMISE(v);
    text = mem_strdup(json_string_value(v));
    buf_adds(out, text);
    free(text);
    json_decref(v);
    return p + 5;
}

/* The value that stands at p; returns what follows it. */
static const char *read_logfmt(const char *p, struct buf *out)
{
    if (*p != '"') {
        size_t n = strcspn(p, " \n");

        PROMISE(n > 0 && !memchr(p, '"', n) && !memchr(p, '=', n));
        buf_add(out, p, n);
        return p + n;
    }
    for (p++; *p != '"';) {
        PROMISE(*p);
        if (*p == '\\')
            p = read_escape(p + 1, out);
        else
            buf_addc(out, *p++);
    }
    return p + 1;
}

static void check_logfmt(const char *line, const char *const values[VALUES], bool full)
{
    const char *p = strstr(line, " event=fuzz");
    struct buf got;

    PROMISE(!strncmp(line, "ts=", 3) && p);
    p += strlen(" event=fuzz");
    buf_init(&got, 1 << 20);
    for (size_t i = 0; i < VALUES; i++) {
        size_t key = strlen(keys[i]);

        if (*p != ' ' || strncmp(p + 1, keys[i], key) != 0 || p[1 + key] != '=') {
            PROMISE(full); /* no room was left for it */
            continue;
        }
        buf_reset(&got);
        p = read_logfmt(p + 2 + key, &got);
        check_value(got.data, values[i], full);
    }
    PROMISE(!strncmp(p, " n=-7", 5) ? !strcmp(p + 5, "\n") : full && !strcmp(p, "\n"));
    buf_done(&got);
}

static void check_json(const char *line, size_t len, const char *const values[VALUES],
                       bool full)
{
    json_t *root = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);

    PROMISE(json_is_object(root) && line[len - 1] == '\n');
    for (size_t i = 0; i < VALUES; i++) {
        const char *got = json_string_value(json_object_get(root, keys[i]));

        PROMISE(got || full);
        if (got)
            check_value(got, values[i], full);
    }
    PROMISE(full || json_integer_value(json_object_get(root, "n")) == -7);
    json_decref(root);
}

/* ---- what is logged ---- */

static void log_fields(enum log_level level, const char *const values[VALUES])
{
    struct log_line l;

    log_begin(&l, level, "fuzz");
    for (size_t i = 0; i < VALUES; i++)
        log_str(&l, keys[i], values[i]);
    log_str(&l, "none", NULL);
    log_int(&l, "n", -7);
    log_end(&l);
}

static void check_lines(const char *text, size_t len, size_t lines)
{
    size_t n = 0;

    PROMISE(text_tame(text, len, "\n"));
    for (size_t i = 0; i < len; i++)
        n += text[i] == '\n';
    PROMISE(n == lines && (!len || text[len - 1] == '\n'));
}

static void check_fields(bool json, enum log_level level,
                         const char *const values[VALUES])
{
    static char text[WRITTEN_MAX + 1];
    size_t len;

    log_setup(LOG_INFO, json);
    begin();
    log_fields(level, values);
    len = end(text);
    check_lines(text, len, level <= LOG_INFO);
    PROMISE(len <= 8192);
    if (len && json)
        check_json(text, len, values, len > 8000);
    else if (len)
        check_logfmt(text, values, len > 8000);
}

static void check_rest(bool json, const char *text)
{
    static char out[WRITTEN_MAX + 1];
    struct err e;
    struct log_line l;

    (void)err_set(&e, ERR_PERMANENT, 550, "%s", text);
    log_setup(LOG_INFO, json);
    begin();
    log_hold(true);
    log_msg(LOG_INFO, "fuzz", "%s", text);
    log_begin(&l, LOG_INFO, "fuzz");
    log_err(&l, &e);
    log_end(&l);
    log_msg(LOG_DEBUG, "fuzz", "%s", text);
    log_hold(false);
    check_lines(out, end(out), 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data + 1, size - 1};
    const char *values[VALUES];
    char *f[VALUES];

    if (!size)
        return 0;
    for (size_t i = 0; i < VALUES; i++)
        values[i] = f[i] = fuzz_field(&in);
    check_fields(data[0] & 1, (enum log_level)(data[0] >> 1 & 3), values);
    check_rest(data[0] & 1, f[0]);
    for (size_t i = 0; i < VALUES; i++)
        free(f[i]);
    return 0;
}
