/* Settings as an operator, or whoever has got at the operator's files, may write them.
 * First byte below 200: the rest is a value of one row of the table: what is taken
 * shows as a text that is taken, too, and shows the same. Else fields: an env file, a
 * secret's file, then variables of the environment: every fault is a line that can be
 * shown, and no secret is in any of them nor in what `config` prints. */
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>

#include <jansson.h>

#include "fuzz_input.h"
#include "settings_internal.h"
#include "utf8.h"

#define PROGRAMS 64
#define ALL (PROGRAM_WEBHOOK | PROGRAM_WORKER | PROGRAM_CTL)
#define TEXT_MAX (1 << 20)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64], env_path[96], secret_path[96];

static void clean_up(void)
{
    (void)unlink(env_path);
    (void)unlink(secret_path);
    (void)rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_folder(folder);
    (void)snprintf(env_path, sizeof env_path, "%s/env", folder);
    (void)snprintf(secret_path, sizeof secret_path, "%s/stopgap_gitlab_token", folder);
    PROMISE(!setenv("CREDENTIALS_DIRECTORY", folder, 1) && !atexit(clean_up));
    return 0;
}

static void check_lines(const char *p, size_t len)
{
    const char *end = p + len;

    while (p < end) {
        int32_t c = utf8_next(&p, end);

        PROMISE(c == '\n' || utf8_printable(c));
    }
}

/* --- One value --- */

static void show(const struct setting *row, const void *slot, struct buf *out)
{
    buf_reset(out);
    row->kind->show(row, slot, out);
    PROMISE(!out->failed);
}

/* A password is not shown: what stands in its place is taken as one. */
static void check_value(const struct setting *row, const char *text)
{
    union {
        struct settings room; /* any field's */
        char bytes[1];
    } slot = {0}, again = {0};
    struct buf once, twice;
    struct err e;

    buf_init(&once, TEXT_MAX);
    buf_init(&twice, TEXT_MAX);
    err_clear(&e);
    if (row->kind->parse(row, text, &slot, &e) != 0) {
        PROMISE(e.class != ERR_NONE && e.text[0]);
        for (size_t i = 0; i < sizeof slot; i++)
            PROMISE(!slot.bytes[i]); /* untouched */
    } else {
        show(row, &slot, &once);
        check_lines(once.data, (row->flags & SETTING_SECRET) ? once.len : 0);
        if (!(row->flags & SETTING_SECRET)) {
            PROMISE(row->kind->parse(row, once.data, &again, &e) == 0);
            show(row, &again, &twice);
            PROMISE(!strcmp(once.data, twice.data));
        } else if (text[0]) {
            PROMISE(!strstr(once.data, text) || strlen(text) < 8);
        }
    }
    if (row->kind->done) {
        row->kind->done(&slot);
        row->kind->done(&again);
    }
    buf_done(&once);
    buf_done(&twice);
}

/* --- All of them --- */

/* A secret of which it can be told whether it got out: marked, and said only once. */
struct canary {
    const char *input;
    size_t len;
    char value[256];
};

static bool is_marked(const struct canary *c, const char *value)
{
    size_t len = strlen(value);
    const char *first = memmem(c->input, c->len, value, len ? len : 1);

    return len >= 10 && len < sizeof c->value && strstr(value, "~~") && first &&
           !memmem(first + 1, c->len - (size_t)(first + 1 - c->input), value, len);
}

static void find_secret(void *arg, const char *name, const char *value, unsigned line)
{
    const struct setting *row = settings_find(name);
    struct canary *c = arg;

    (void)line;
    if (row && row->flags & SETTING_SECRET && is_marked(c, value))
        (void)snprintf(c->value, sizeof c->value, "%s", value);
}

static void note_secret(struct canary *c, const char *env)
{
    char *copy = mem_strdup(env);
    struct setting_faults ignored = {0};
    struct buf text;

    buf_init(&text, TEXT_MAX);
    ignored.out = &text;
    settings_parse_env(copy, find_secret, c, "env", &ignored);
    check_lines(text.data, text.len);
    buf_done(&text);
    free(copy);
}

static void write_file(const char *path, const char *bytes, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    PROMISE(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    PROMISE(!fchmod(fd, mode) && !close(fd));
}

static void clear_environment(void)
{
    for (char **p = environ; *p;) {
        char name[256];

        (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(*p, "="), *p);
        if (strncmp(*p, "STOPGAP_", 8) || strlen(name) == sizeof name - 1)
            p++;
        else
            (void)unsetenv(name); /* moves the rest up */
    }
}

static void set_variable(const char *text)
{
    char name[128];
    size_t len = strcspn(text, "=");

    if (!text[len] || len >= sizeof name - 8)
        return;
    (void)snprintf(name, sizeof name, "STOPGAP_%.*s", (int)len, text);
    PROMISE(!setenv(name, text + len + 1, 1));
}

static void check_printed(const struct settings *s, enum program program,
                          const struct canary *c)
{
    struct buf text;
    json_t *root;

    buf_init(&text, TEXT_MAX);
    settings_print(s, program, true, &text);
    root = json_loads(text.data, JSON_REJECT_DUPLICATES, NULL);
    PROMISE(json_is_object(root));
    PROMISE(!*c->value || !strstr(text.data, c->value));
    json_decref(root);
    buf_reset(&text);
    settings_print(s, program, false, &text);
    settings_warnings(s, program, &text);
    PROMISE(!*c->value || !strstr(text.data, c->value));
    check_lines(text.data, text.len);
    buf_done(&text);
}

static void check_secrets_gone(void)
{
    for (char **p = environ; *p; p++)
        for (size_t i = 0; i < settings_count; i++) {
            size_t len = strlen(settings_table[i].name);

            if (settings_table[i].flags & (SETTING_SECRET | SETTING_MASKED))
                PROMISE(strncmp(*p, settings_table[i].name, len) || (*p)[len] != '=');
        }
}

static void check_all(enum program program, struct fuzz_input *in, struct canary *c)
{
    size_t env_len, secret_len;
    char *env = fuzz_bytes(in, &env_len), *secret = fuzz_bytes(in, &secret_len);
    struct settings *s;
    struct buf faults;

    buf_init(&faults, TEXT_MAX);
    note_secret(c, env);
    write_file(env_path, env, env_len, program & 1 ? 0600 : 0644);
    write_file(secret_path, secret, secret_len, program & 2 ? 0600 : 0644);
    while (in->left) {
        char *text = fuzz_field(in);

        set_variable(text);
        free(text);
    }
    s = settings_load(program, env_path, &faults);
    PROMISE(!s == (faults.len > 0));
    PROMISE(!*c->value || !strstr(faults.data, c->value));
    check_lines(faults.data, faults.len);
    check_secrets_gone();
    if (s)
        check_printed(s, program, c);
    settings_free(s);
    clear_environment();
    buf_done(&faults);
    free(env);
    free(secret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct canary canary = {.input = (const char *)data, .len = size};
    struct fuzz_input in = {data + 1, size - 1};
    char *text;

    if (!size)
        return 0;
    if (data[0] >= 200) {
        check_all((enum program)(data[0] % PROGRAMS), &in, &canary);
        return 0;
    }
    text = fuzz_field(&in);
    if (*text) /* an empty one counts as not set */
        check_value(&settings_table[data[0] % settings_count], text);
    free(text);
    return 0;
}
