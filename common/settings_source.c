/* settings_source: where raw values come from: the environment, the env file, NAME_FILE
 * and systemd's credentials. Takes secrets out of the environment. Judges no value. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"
#include "settings_internal.h"

#define NAME_MAX_LEN 64
#define TAIL (sizeof SETTINGS_PREFIX - 1)

void settings_fault(struct setting_faults *f, const char *name, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    struct err line;
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap); /* cut on purpose */
    va_end(ap);
    (void)err_set(&line, ERR_CONFIG, 0, "%s: %s", name, text); /* one line, tidy */
    buf_addf(f->out, "%s\n", line.text);
    f->count++;
}

static bool is_secret(const struct setting *row)
{
    return row->flags & (SETTING_SECRET | SETTING_MASKED);
}

/* --- A name that is not in the table --- */

/* Edits from a to b (Levenshtein), both shorter than NAME_MAX_LEN. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_LEN + 1], n = strlen(b);

    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];

        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t best = diagonal + (a[i] != b[j]);

            diagonal = row[j + 1];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (diagonal + 1 < best)
                best = diagonal + 1;
            row[j + 1] = best;
        }
    }
    return row[n];
}

/* The known name nearest to name, into out; false when none is near. */
static bool nearest(const char *name, char out[static NAME_MAX_LEN])
{
    size_t best = strlen(name + TAIL) / 2 + 1;
    bool found = false;

    if (strlen(name) >= NAME_MAX_LEN)
        return false;
    for (size_t i = 0; i < settings_count * 2; i++) {
        const struct setting *row = &settings_table[i / 2];
        char known[NAME_MAX_LEN];
        size_t d;

        if (i % 2 && !is_secret(row))
            continue;
        (void)snprintf(known, sizeof known, "%s%s", row->name, i % 2 ? "_FILE" : "");
        d = distance(name + TAIL, known + TAIL);
        if (d >= best)
            continue;
        best = d;
        found = true;
        memcpy(out, known, sizeof known);
    }
    return found;
}

static void report_unknown(const char *name, struct setting_faults *f)
{
    char known[NAME_MAX_LEN];

    if (nearest(name, known))
        settings_fault(f, name, "unknown name; did you mean %s?", known);
    else
        settings_fault(f, name, "unknown name; allowed: the names in docs/config.md");
}

/* --- Taking values --- */

/* Row of NAME or, for a secret, of NAME_FILE. */
static const struct setting *find(const char *name, bool *is_file)
{
    const struct setting *row = settings_find(name);
    size_t len = strlen(name);
    char base[NAME_MAX_LEN];

    *is_file = false;
    if (row || len < 5 || len >= sizeof base || strcmp(name + len - 5, "_FILE"))
        return row;
    (void)snprintf(base, sizeof base, "%.*s", (int)(len - 5), name);
    row = settings_find(base);
    *is_file = true;
    return row && is_secret(row) ? row : NULL;
}

static void wipe_value(struct setting_raw *raw)
{
    secret_wipe(raw->value, raw->len);
    free(raw->value);
    raw->value = NULL;
    raw->len = 0;
}

void settings_take(struct setting_raw *raws, const char *name, const char *value,
                   enum setting_origin origin, struct setting_faults *f)
{
    bool is_file;
    const struct setting *row;
    struct setting_raw *raw;

    if (strncmp(name, SETTINGS_PREFIX, TAIL))
        return;
    row = find(name, &is_file);
    if (!row) {
        report_unknown(name, f);
        return;
    }
    if (!*value)
        return; /* as compose files hand over what is not set */
    raw = &raws[row - settings_table];
    if (is_file) {
        mem_set(&raw->file, value);
        return;
    }
    wipe_value(raw);
    raw->len = strlen(value);
    raw->value = mem_dup(value, raw->len);
    raw->origin = origin;
}

struct env_file {
    struct setting_raw *raws;
    struct setting_faults *faults;
    const char *path;
    struct buf seen; /* names so far, each between newlines */
    bool holds_secret;
};

static void on_line(void *arg, const char *name, const char *value, unsigned line)
{
    struct env_file *file = arg;
    const struct setting *row = settings_find(name);
    char mark[256];

    (void)snprintf(mark, sizeof mark, "\n%.250s\n", name);
    if (strstr(file->seen.data, mark)) {
        settings_fault(file->faults, file->path, "line %u: %s is given twice", line,
                       name);
        return;
    }
    buf_adds(&file->seen, mark);
    if (row && *value)
        file->holds_secret |= row->flags & SETTING_SECRET ||
                              (row->flags & SETTING_MASKED && strchr(value, '@'));
    settings_take(file->raws, name, value, SETTING_ENV_FILE, file->faults);
}

/* The file's text, NUL-terminated; *len without the NUL. NULL after a fault. */
static char *read_env_file(const char *path, size_t *len, struct setting_faults *f)
{
    char *text = mem_new(SETTINGS_FILE_MAX + 2, 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 1;

    *len = 0;
    while (fd >= 0 && n > 0 && *len <= SETTINGS_FILE_MAX) {
        n = read(fd, text + *len, SETTINGS_FILE_MAX + 1 - *len);
        *len += n > 0 ? (size_t)n : 0;
    }
    if (fd < 0 || n < 0)
        settings_fault(f, path, "cannot be read: %s", strerror(errno));
    else if (*len > SETTINGS_FILE_MAX)
        settings_fault(f, path, "longer than %d bytes", SETTINGS_FILE_MAX);
    else if (memchr(text, '\0', *len))
        settings_fault(f, path, "holds a NUL byte: not an env file");
    else
        goto out;
    secret_wipe(text, SETTINGS_FILE_MAX + 2);
    free(text);
    text = NULL;
out:
    if (fd >= 0)
        (void)close(fd); /* only read from */
    return text;
}

static void take_env_file(struct setting_raw *raws, const char *path,
                          struct setting_faults *f)
{
    struct env_file file = {.raws = raws, .faults = f, .path = path};
    struct secret probe = {0};
    struct err e;
    size_t len;
    char *text = read_env_file(path, &len, f);

    if (!text)
        return;
    buf_init(&file.seen, 2 * SETTINGS_FILE_MAX);
    settings_parse_env(text, on_line, &file, path, f);
    secret_wipe(text, len);
    free(text);
    buf_done(&file.seen);
    if (file.holds_secret && /* then it has to be kept like one */
        secret_read_file(&probe, path, SETTINGS_FILE_MAX, false, &e) != 0)
        settings_fault(f, "--env-file", "%s (it holds secrets)", e.text);
    secret_done(&probe);
}

static void take_environment(struct setting_raw *raws, struct setting_faults *f)
{
    for (char **p = environ; p && *p; p++) {
        const char *equals = strchr(*p, '=');
        char *name;

        if (!equals || strncmp(*p, SETTINGS_PREFIX, TAIL))
            continue;
        name = mem_dup(*p, (size_t)(equals - *p));
        settings_take(raws, name, equals + 1, SETTING_ENVIRONMENT, f);
        free(name);
    }
}

/* In place first: /proc/PID/environ shows the memory that the process began with, and
 * unsetenv alone leaves it as it is. */
static void wipe_environment(void)
{
    for (size_t i = 0; i < settings_count; i++) {
        const char *name = settings_table[i].name;
        size_t len = strlen(name);

        if (!is_secret(&settings_table[i]))
            continue;
        for (char **p = environ; p && *p; p++)
            if (!strncmp(*p, name, len) && (*p)[len] == '=')
                secret_wipe(*p + len + 1, strlen(*p + len + 1));
        (void)unsetenv(name);
    }
}

struct setting_raw *settings_gather(const char *env_file, struct setting_faults *f)
{
    struct setting_raw *raws = mem_new(settings_count, sizeof *raws);

    if (env_file)
        take_env_file(raws, env_file, f);
    take_environment(raws, f); /* second: it wins */
    wipe_environment();
    return raws;
}

/* --- Secrets in files --- */

static int fetch(struct setting_raw *raw, const char *path, enum setting_origin origin,
                 struct err *e)
{
    struct secret got = {0};

    if (secret_read_file(&got, path, SETTINGS_FILE_MAX, true, e))
        return -1;
    if (!got.len || memchr(got.data, '\0', got.len)) {
        secret_done(&got);
        return err_set(e, ERR_CONFIG, 0, "%s: empty, or with a NUL byte in it", path);
    }
    wipe_value(raw);
    raw->len = got.len;
    raw->value = mem_dup(got.data, got.len);
    raw->origin = origin;
    secret_done(&got);
    return 0;
}

/* Path of the credential of that name, or NULL; the caller frees it. */
static char *credential_path(const char *name)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    char *path = NULL;

    if (!folder || !*folder)
        return NULL;
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        abort();
    for (char *p = path + strlen(folder); *p; p++)
        *p = (char)tolower((unsigned char)*p);
    if (access(path, F_OK) == 0)
        return path;
    free(path);
    return NULL;
}

void settings_fetch_secret(struct setting_raw *raws, size_t i, struct setting_faults *f)
{
    struct setting_raw *raw = &raws[i];
    const char *name = settings_table[i].name;
    char *credential = NULL;
    struct err e;

    if (!raw->value && !raw->file)
        credential = credential_path(name);
    if (raw->file && fetch(raw, raw->file, SETTING_SECRET_FILE, &e) != 0) {
        settings_fault(f, name, "%s_FILE: %s", name, e.text);
        raw->bad = true;
    } else if (credential && fetch(raw, credential, SETTING_CREDENTIAL, &e) != 0) {
        settings_fault(f, name, "credential: %s", e.text);
        raw->bad = true;
    }
    if (credential)
        raw->file = credential;
}

void settings_find_credential(struct setting_raw *raws, size_t i)
{
    struct setting_raw *raw = &raws[i];

    if (raw->value)
        return;
    raw->value = credential_path(settings_table[i].name);
    if (!raw->value)
        return;
    raw->len = strlen(raw->value);
    raw->origin = SETTING_CREDENTIAL;
}

void settings_raws_free(struct setting_raw *raws)
{
    for (size_t i = 0; i < settings_count; i++) {
        wipe_value(&raws[i]);
        free(raws[i].file);
    }
    free(raws);
}
