/* An operator's templates, of any bytes, from files and from memory alike. What is
 * taken renders as a renderer written for this check alone has it, and a value cannot
 * act: in HTML no mark of it is left, and no value is taken for a template. Fields: the
 * three texts, then values. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz_input.h"
#include "fuzz_text.h"
#include "template.h"
#include "template_builtin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define VALUES 11
#define OUT_MAX ((size_t)1 << 24)

static const char *const names[VALUES] = {
    "ticket",  "users",        "email",   "start_date", "end_date", "end_time",
    "license", "license_file", "install", "support",    "job"};
static const char *const files[TEMPLATE_COUNT] = {"mail.subject", "mail.txt",
                                                  "mail.html"};
static char folder[] = "/tmp/fuzz-template-XXXXXX";

/* ---- files ---- */

static void put_file(const char *name, const void *bytes, size_t len)
{
    char path[96];
    int fd;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)unlink(path);
    if (!bytes)
        return;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    PROMISE(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    (void)close(fd);
}

static void refused(const char *words)
{
    struct err e = {.class = ERR_NONE};

    PROMISE(!templates_load(folder, &e));
    PROMISE(e.class == ERR_CONFIG && strstr(e.text, words) && strstr(e.text, folder));
}

static void empty_folder(void)
{
    for (size_t i = 0; i < TEMPLATE_COUNT; i++)
        put_file(files[i], NULL, 0);
}

static void remove_folder(void)
{
    empty_folder();
    (void)rmdir(folder);
}

/* What no text that a fuzzer makes comes to. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char big[32769], path[96];
    struct err e;

    (void)argc;
    (void)argv;
    PROMISE(!templates_load("/no/such/folder", &e) && e.class == ERR_CONFIG);
    PROMISE(mkdtemp(folder));
    (void)atexit(remove_folder);
    memset(big, 'x', sizeof big);
    put_file(files[0], big, sizeof big);
    refused("over 32768 bytes");
    put_file(files[0], "a\0b", 3);
    refused("NUL");
    empty_folder();
    (void)snprintf(path, sizeof path, "%s/%s", folder, files[1]);
    PROMISE(!mkdir(path, 0700)); /* opens, and cannot be read */
    refused(files[1]);
    PROMISE(!rmdir(path) && !symlink(files[1], path)); /* does not open */
    refused(files[1]);
    (void)unlink(path);
    return 0;
}

/* ---- the other renderer ---- */

static void add_value(struct buf *out, const char *value, bool html, bool lines)
{
    static const struct {
        char c;
        const char *form;
    } forms[] = {
        {'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};

    for (; *value; value++) {
        const char *form = NULL;

        for (size_t i = 0; html && i < ARRAY_LEN(forms); i++)
            if (forms[i].c == *value)
                form = forms[i].form;
        if (html && lines && *value == '\n' && value[1] != ' ')
            form = "<br>\n";
        if (form)
            buf_adds(out, form);
        else
            buf_addc(out, *value);
    }
}

static void expand(const char *text, char *const values[VALUES], bool html,
                   struct buf *out)
{
    while (*text) {
        const char *name = text + 2;
        size_t len, which = 0;

        if (strncmp(text, "{{", 2) != 0) {
            buf_addc(out, *text++);
            continue;
        }
        name += strspn(name, " ");
        len = strcspn(name, " }");
        while (which < VALUES &&
               (strlen(names[which]) != len || strncmp(names[which], name, len) != 0))
            which++;
        PROMISE(which < VALUES); /* or it had been refused */
        add_value(out, values[which], html, !strcmp(names[which], "install"));
        text = strstr(name, "}}") + 2;
    }
}

/* As a file is read: no byte order mark, line ends LF, one off a subject. */
static char *tidied(const char *text, bool subject)
{
    struct buf b;

    buf_init(&b, OUT_MAX);
    text += !strncmp(text, "\xEF\xBB\xBF", 3) ? 3 : 0;
    for (; *text; text++)
        if (strncmp(text, "\r\n", 2) != 0)
            buf_addc(&b, *text);
    if (subject && b.len && b.data[b.len - 1] == '\n')
        b.data[--b.len] = '\0';
    return buf_take(&b);
}

static void render(const struct templates *t, size_t part, char *const values[VALUES],
                   struct buf *out)
{
    struct template_value named[VALUES];

    for (size_t i = 0; i < VALUES; i++)
        named[i] = (struct template_value){names[i], values[i]};
    buf_init(out, OUT_MAX);
    template_render(t, (enum template_part)part, named, VALUES, out);
}

static void check_rendered(const struct templates *t, const char *const texts[],
                           char *const values[VALUES])
{
    for (size_t i = 0; i < TEMPLATE_COUNT; i++) {
        const char *text = texts[i] ? texts[i] : template_builtin_texts[i];
        char *source = tidied(text, i == TEMPLATE_SUBJECT);
        struct buf got, want;

        buf_init(&want, OUT_MAX);
        render(t, i, values, &got);
        expand(source, values, i == TEMPLATE_HTML, &want);
        PROMISE(got.len == want.len && !memcmp(got.data, want.data, got.len));
        PROMISE(got.failed == want.failed);
        buf_done(&got);
        buf_done(&want);
        free(source);
    }
}

static void check_refused(const struct err *e)
{
    PROMISE(e->class == ERR_CONFIG && strstr(e->text, "mail.") && text_line(e->text));
}

/* Files say the same as texts in memory. */
static void check_files(const char *const texts[], bool taken)
{
    struct err e = {.class = ERR_NONE};
    struct templates *t;

    for (size_t i = 0; i < TEMPLATE_COUNT; i++)
        put_file(files[i], texts[i], texts[i] ? strlen(texts[i]) : 0);
    t = templates_load(folder, &e);
    PROMISE((t != NULL) == taken);
    if (!t)
        check_refused(&e);
    templates_free(t);
    empty_folder();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    const char *texts[TEMPLATE_COUNT];
    char *fields[TEMPLATE_COUNT], *values[VALUES];
    struct err e = {.class = ERR_NONE};
    struct templates *t;

    for (size_t i = 0; i < TEMPLATE_COUNT; i++) {
        fields[i] = fuzz_field(&in);
        texts[i] = fields[i][0] ? fields[i] : NULL;
    }
    for (size_t i = 0; i < VALUES; i++)
        values[i] = fuzz_field(&in);
    t = templates_parse(texts, &e);
    if (t)
        check_rendered(t, texts, values);
    else
        check_refused(&e);
    if (size < 4096)
        check_files(texts, t != NULL);
    templates_free(t);
    for (size_t i = 0; i < TEMPLATE_COUNT; i++)
        free(fields[i]);
    for (size_t i = 0; i < VALUES; i++)
        free(values[i]);
    return 0;
}
