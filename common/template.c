/* template: see template.h. A template is parsed once into pieces: stretches of text
 * and placeholders; rendering is a walk over them. */
#include "template.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "template_builtin.h"
#include "utf8.h"

#define FILE_MAX 32768
#define IS(part) (1u << (part))
#define BODIES (IS(TEMPLATE_TEXT) | IS(TEMPLATE_HTML))

/* The placeholders there are; docs/templates.md says what each holds. */
static const struct placeholder {
    const char *name;
    unsigned needed; /* parts that are useless without it */
    bool lines;      /* in HTML its line ends become <br> */
} placeholders[] = {
    {"ticket", 0, false},       {"users", 0, false},         {"email", 0, false},
    {"start_date", 0, false},   {"end_date", BODIES, false}, {"end_time", 0, false},
    {"license", BODIES, false}, {"license_file", 0, false},  {"install", 0, true},
    {"support", 0, false},      {"job", 0, false},
};

static const char *const file_names[TEMPLATE_COUNT] = {
    [TEMPLATE_SUBJECT] = "mail.subject",
    [TEMPLATE_TEXT] = "mail.txt",
    [TEMPLATE_HTML] = "mail.html",
};

/* Text up to the next placeholder, and that placeholder (NULL at the end). */
struct piece {
    const char *text; /* into the template's source */
    size_t len;
    const struct placeholder *then;
};

struct template
{
    char *source;
    struct piece *pieces;
    size_t count;
};

struct templates {
    struct template parts[TEMPLATE_COUNT];
};

static const struct placeholder *find(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(placeholders); i++)
        if (strlen(placeholders[i].name) == len &&
            !memcmp(placeholders[i].name, name, len))
            return &placeholders[i];
    return NULL;
}

static int line_of(const char *source, const char *at)
{
    int line = 1;

    for (const char *p = source; p < at; p++)
        line += *p == '\n';
    return line;
}

static int fault_unknown(const char *where, int line, const char *name, size_t len,
                         struct err *e)
{
    struct buf known;

    buf_init(&known, 1024);
    for (size_t i = 0; i < ARRAY_LEN(placeholders); i++)
        buf_addf(&known, "%s%s", i ? ", " : "", placeholders[i].name);
    (void)err_set(e, ERR_CONFIG, 0,
                  "%s, line %d: unknown placeholder {{%.*s}}; there are: %s", where,
                  line, (int)(len < 64 ? len : 64), name, known.data);
    buf_done(&known);
    return -1;
}

static void add_piece(struct template *t, const char *text, size_t len,
                      const struct placeholder *then)
{
    t->pieces = mem_grow(t->pieces, (t->count + 1) * sizeof *t->pieces);
    t->pieces[t->count++] = (struct piece){text, len, then};
}

/* Reads the placeholder that opens at p. Returns what follows it, or NULL. */
static const char *parse_placeholder(struct template *t, const char *text,
                                     const char *p, const char *where, struct err *e)
{
    const char *name = p + 2 + strspn(p + 2, " ");
    size_t len = strcspn(name, " {}\n");
    const char *end = name + len + strspn(name + len, " ");
    const struct placeholder *found;

    if (strncmp(end, "}}", 2) != 0) {
        (void)err_set(e, ERR_CONFIG, 0,
                      "%s, line %d: {{ is not closed by }} (write {{name}})", where,
                      line_of(t->source, p));
        return NULL;
    }
    found = find(name, len);
    if (!found) {
        (void)fault_unknown(where, line_of(t->source, p), name, len, e);
        return NULL;
    }
    add_piece(t, text, (size_t)(p - text), found);
    return end + 2;
}

static int parse_pieces(struct template *t, const char *where, struct err *e)
{
    const char *text = t->source;
    const char *p;

    while ((p = strstr(text, "{{")) != NULL) {
        text = parse_placeholder(t, text, p, where, e);
        if (!text)
            return -1;
    }
    add_piece(t, text, strlen(text), NULL);
    return 0;
}

static bool has(const struct template *t, const struct placeholder *ph)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->pieces[i].then == ph)
            return true;
    return false;
}

static int check_needed(const struct template *t, enum template_part part,
                        const char *where, struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(placeholders); i++)
        if ((placeholders[i].needed & IS(part)) && !has(t, &placeholders[i]))
            return err_set(e, ERR_CONFIG, 0, "%s: {{%s}} is missing and is needed",
                           where, placeholders[i].name);
    return 0;
}

/* Line ends to LF, a byte order mark away; the subject's last line end too. */
static void tidy(char *source, enum template_part part)
{
    char *to = source;
    const char *from = source;

    if (!strncmp(from, "\xEF\xBB\xBF", 3))
        from += 3;
    for (; *from; from++)
        if (from[0] != '\r' || from[1] != '\n')
            *to++ = *from;
    if (part == TEMPLATE_SUBJECT && to > source && to[-1] == '\n')
        to--;
    *to = '\0';
}

static int check_source(const char *source, enum template_part part, const char *where,
                        struct err *e)
{
    size_t len = strlen(source);
    size_t valid = utf8_valid_len(source, len);

    if (valid < len)
        return err_set(e, ERR_CONFIG, 0, "%s, line %d: is not UTF-8", where,
                       line_of(source, source + valid));
    if (source[strspn(source, " \t\n")] == '\0')
        return err_set(e, ERR_CONFIG, 0, "%s: is empty", where);
    if (part == TEMPLATE_SUBJECT && strchr(source, '\n'))
        return err_set(e, ERR_CONFIG, 0, "%s: the subject must be one line", where);
    return 0;
}

static int parse_one(struct template *t, enum template_part part, const char *source,
                     const char *where, struct err *e)
{
    t->source = mem_strdup(source);
    tidy(t->source, part);
    if (check_source(t->source, part, where, e) < 0 || parse_pieces(t, where, e) < 0)
        return -1;
    return check_needed(t, part, where, e);
}

/* texts[i] from wheres[i]; a NULL text is the built-in one. */
static struct templates *parse_all(const char *const *texts, const char *const *wheres,
                                   struct err *e)
{
    struct templates *t = mem_new(1, sizeof *t);

    for (unsigned i = 0; i < TEMPLATE_COUNT; i++) {
        const char *source = texts[i] ? texts[i] : template_builtin_texts[i];

        if (parse_one(&t->parts[i], (enum template_part)i, source, wheres[i], e) < 0) {
            templates_free(t);
            return NULL;
        }
    }
    return t;
}

struct templates *templates_parse(const char *const texts[static TEMPLATE_COUNT],
                                  struct err *e)
{
    return parse_all(texts, file_names, e);
}

static int read_stream(FILE *f, const char *path, char **out, struct err *e)
{
    char *data = mem_new(FILE_MAX + 2, 1);
    size_t len = fread(data, 1, FILE_MAX + 1, f);
    int rc = -1;

    if (ferror(f))
        (void)err_set(e, ERR_CONFIG, 0, "%s: %s", path, strerror(errno));
    else if (len > FILE_MAX)
        (void)err_set(e, ERR_CONFIG, 0, "%s: over %d bytes", path, FILE_MAX);
    else if (memchr(data, '\0', len))
        (void)err_set(e, ERR_CONFIG, 0, "%s: holds a NUL byte", path);
    else
        rc = 0;
    if (rc < 0)
        free(data);
    else
        *out = data;
    return rc;
}

/* *out stays NULL when the file is not there: built in. */
static int read_optional(const char *path, char **out, struct err *e)
{
    FILE *f = fopen(path, "re");
    int rc;

    if (!f && errno == ENOENT)
        return 0;
    if (!f)
        return err_set(e, ERR_CONFIG, 0, "%s: %s", path, strerror(errno));
    rc = read_stream(f, path, out, e);
    (void)fclose(f); /* read only: nothing can be lost */
    return rc;
}

static int check_dir(const char *dir, struct err *e)
{
    char *path = realpath(dir, NULL);

    if (!path)
        return err_set(e, ERR_CONFIG, 0, "%s: %s", dir, strerror(errno));
    free(path);
    return 0;
}

static struct templates *load_dir(const char *dir, struct err *e)
{
    char *texts[TEMPLATE_COUNT] = {NULL};
    struct buf paths[TEMPLATE_COUNT];
    const char *wheres[TEMPLATE_COUNT];
    struct templates *t = NULL;
    int rc = check_dir(dir, e);

    for (size_t i = 0; i < TEMPLATE_COUNT; i++) {
        buf_init(&paths[i], 8192);
        buf_addf(&paths[i], "%s/%s", dir, file_names[i]);
        wheres[i] = paths[i].data;
        if (rc == 0)
            rc = read_optional(wheres[i], &texts[i], e);
    }
    if (rc == 0)
        t = parse_all((const char *const *)texts, wheres, e);
    for (size_t i = 0; i < TEMPLATE_COUNT; i++) {
        buf_done(&paths[i]);
        free(texts[i]);
    }
    return t;
}

struct templates *templates_load(const char *dir, struct err *e)
{
    static const char *const none[TEMPLATE_COUNT] = {NULL};

    return dir ? load_dir(dir, e) : templates_parse(none, e);
}

void templates_free(struct templates *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < TEMPLATE_COUNT; i++) {
        free(t->parts[i].source);
        free(t->parts[i].pieces);
    }
    free(t);
}

static const char *value_of(const struct template_value *values, size_t count,
                            const char *name)
{
    size_t i = 0;

    while (i < count && strcmp(values[i].name, name) != 0)
        i++;
    assert(i < count); /* the caller knows every placeholder */
    return values[i].value;
}

/* What stands for *p in HTML. A line that goes on indented is one line there. */
static const char *html_form(const char *p, bool lines)
{
    switch (*p) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return lines && p[1] != ' ' ? "<br>\n" : "\n";
    }
}

static void add_html(struct buf *out, const char *value, bool lines)
{
    const char *p = value;

    for (;;) {
        size_t n = strcspn(p, "&<>\"'\n");

        buf_add(out, p, n);
        p += n;
        if (!*p)
            return;
        buf_adds(out, html_form(p++, lines));
    }
}

void template_render(const struct templates *t, enum template_part part,
                     const struct template_value *values, size_t count, struct buf *out)
{
    const struct template *of = &t->parts[part];

    for (size_t i = 0; i < of->count; i++) {
        const struct piece *piece = &of->pieces[i];
        const char *value;

        buf_add(out, piece->text, piece->len);
        if (!piece->then)
            continue;
        value = value_of(values, count, piece->then->name);
        if (part == TEMPLATE_HTML)
            add_html(out, value, piece->then->lines);
        else
            buf_adds(out, value);
    }
}
