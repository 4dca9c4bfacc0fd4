/* Templates: what loads, what is refused and how that is said, rendering, escaping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"
#include "template.h"

static const struct template_value values[] = {
    {"ticket", "42"},
    {"users", "150"},
    {"email", "o'neil@example.com"},
    {"start_date", "START"},
    {"end_date", "END"},
    {"end_time", "12:00:00 UTC"},
    {"license", "A<B>&\"C\"\nline two"},
    {"license_file", "ticket-42.license"},
    {"install", "1. one\n   more of one\n2. two"},
    {"support", "help@example.com"},
    {"job", "0123456789abcdefghjkmnpqrs"},
};

/* A body part with what every body needs. */
#define NEEDED "{{license}} {{end_date}}"

static struct templates *parse(const char *subject, const char *text, const char *html,
                               struct err *e)
{
    const char *texts[TEMPLATE_COUNT] = {subject, text, html};

    return templates_parse(texts, e);
}

static void assert_renders(const struct templates *t, enum template_part part,
                           const char *wanted)
{
    struct buf out;

    buf_init(&out, 65536);
    template_render(t, part, values, ARRAY_LEN(values), &out);
    assert_false(out.failed);
    assert_string_equal(out.data, wanted);
    buf_done(&out);
}

static void test_built_in_renders(void **state)
{
    struct err e;
    struct templates *t = templates_load(NULL, &e);
    struct buf out;

    (void)state;
    assert_non_null(t);
    assert_renders(t, TEMPLATE_SUBJECT, "Emergency license for your ticket 42");
    buf_init(&out, 65536);
    for (unsigned part = TEMPLATE_TEXT; part < TEMPLATE_COUNT; part++) {
        buf_reset(&out);
        template_render(t, part, values, ARRAY_LEN(values), &out);
        assert_null(strstr(out.data, "{{"));
        assert_null(strstr(out.data, "}}"));
        for (size_t i = 0; i < ARRAY_LEN(values); i++)
            if (!strpbrk(values[i].value, "<'\n"))
                assert_non_null(strstr(out.data, values[i].value));
    }
    buf_done(&out);
    templates_free(t);
}

static void test_every_placeholder_and_blanks(void **state)
{
    struct err e;
    struct templates *t =
        parse("{{ ticket }}/{{users}}", "a{{license}}b{{ end_date}}c", NULL, &e);

    (void)state;
    assert_non_null(t);
    assert_renders(t, TEMPLATE_SUBJECT, "42/150");
    assert_renders(t, TEMPLATE_TEXT, "aA<B>&\"C\"\nline twobENDc");
    templates_free(t);
}

static void test_html_is_escaped(void **state)
{
    struct err e;
    struct templates *t =
        parse(NULL, NULL, "<b>&{{email}}<pre>{{license}}</pre>{{end_date}}", &e);

    (void)state;
    assert_non_null(t);
    assert_renders(t, TEMPLATE_HTML,
                   "<b>&o&#39;neil@example.com<pre>A&lt;B&gt;&amp;&quot;C&quot;\n"
                   "line two</pre>END");
    templates_free(t);
}

static void test_lines_of_install_in_html(void **state)
{
    struct err e;
    struct templates *t = parse(NULL, NULL, "{{install}}" NEEDED, &e);
    struct buf out;

    (void)state;
    assert_non_null(t);
    buf_init(&out, 65536);
    template_render(t, TEMPLATE_HTML, values, ARRAY_LEN(values), &out);
    assert_non_null(strstr(out.data, "1. one\n   more of one<br>\n2. two"));
    buf_done(&out);
    templates_free(t);
}

static void test_line_ends_and_mark_are_tidied(void **state)
{
    struct err e;
    struct templates *t = parse("\xEF\xBB\xBFHello\r\n", "a\r\nb\r\n" NEEDED, NULL, &e);

    (void)state;
    assert_non_null(t);
    assert_renders(t, TEMPLATE_SUBJECT, "Hello");
    assert_renders(t, TEMPLATE_TEXT, "a\nb\nA<B>&\"C\"\nline two END");
    templates_free(t);
}

static void test_braces_that_are_text(void **state)
{
    struct err e;
    struct templates *t = parse("{ticket} } }}", NULL, NULL, &e);

    (void)state;
    assert_non_null(t);
    assert_renders(t, TEMPLATE_SUBJECT, "{ticket} } }}");
    templates_free(t);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *subject, *text;
        const char *says;
    } cases[] = {
        {"Hi {{name}}", NULL, "mail.subject, line 1: unknown placeholder {{name}}"},
        {"Hi {{name}}", NULL, "ticket, users, email, start_date"},
        {NULL, "a\nb\n{{ tickets }}",
         "mail.txt, line 3: unknown placeholder {{tickets"},
        {NULL, "a\n{{ticket", "mail.txt, line 2: {{ is not closed"},
        {NULL, "{{ticket}", "not closed"},
        {NULL, "{{tic\nket}}", "not closed"},
        {NULL, "{{}}", "unknown placeholder {{}}"},
        {"two\nlines", NULL, "must be one line"},
        {" \n", NULL, "is empty"},
        {NULL, "", "mail.txt: is empty"},
        {"caf\xE9", NULL, "is not UTF-8"},
        {NULL, "ok\n\xFF{{license}}", "line 2: is not UTF-8"},
        {NULL, "{{end_date}}", "{{license}} is missing"},
        {NULL, "{{license}}", "{{end_date}} is missing"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = {.class = ERR_NONE};

        assert_null(parse(cases[i].subject, cases[i].text, NULL, &e));
        assert_int_equal(e.class, ERR_CONFIG);
        if (!strstr(e.text, cases[i].says))
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, e.text, cases[i].says);
    }
}

struct dir {
    char path[64];
};

static int make_dir(void **state)
{
    static struct dir d;

    (void)snprintf(d.path, sizeof d.path, "/tmp/stopgap-template-XXXXXX");
    *state = &d;
    return mkdtemp(d.path) ? 0 : -1;
}

static int remove_dir(void **state)
{
    static const char *const names[] = {"mail.subject", "mail.txt", "mail.html"};
    const struct dir *d = *state;
    char path[128];

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", d->path, names[i]);
        (void)unlink(path);
        (void)rmdir(path);
    }
    return rmdir(d->path);
}

static void put(const struct dir *d, const char *name, const char *bytes, size_t len)
{
    char path[128];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/%s", d->path, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void test_dir_replaces_what_it_has(void **state)
{
    struct err e;
    struct templates *t;

    put(*state, "mail.subject", "Mine {{ticket}}\n", 16);
    t = templates_load(((struct dir *)*state)->path, &e);
    assert_non_null(t);
    assert_renders(t, TEMPLATE_SUBJECT, "Mine 42");
    templates_free(t);
}

static void assert_dir_refused(const char *path, const char *says)
{
    struct err e = {.class = ERR_NONE};

    assert_null(templates_load(path, &e));
    assert_int_equal(e.class, ERR_CONFIG);
    if (!strstr(e.text, says))
        fail_msg("\"%s\" does not say \"%s\"", e.text, says);
}

static void test_dir_faults(void **state)
{
    const struct dir *d = *state;
    static char big[40000];
    char path[128];

    assert_dir_refused("/nonexistent/templates", "/nonexistent/templates: No such");
    put(d, "mail.txt", "a\0b", 3);
    assert_dir_refused(d->path, "/mail.txt: holds a NUL byte");
    memset(big, 'a', sizeof big);
    put(d, "mail.txt", big, sizeof big);
    assert_dir_refused(d->path, "/mail.txt: over 32768 bytes");
    put(d, "mail.txt", "{{nobody}}", 10);
    assert_dir_refused(d->path, "/mail.txt, line 1: unknown placeholder {{nobody}}");
    (void)snprintf(path, sizeof path, "%s/mail.txt", d->path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_dir_refused(d->path, "/mail.txt: Is a directory");
}

static void test_docs_name_each_placeholder(void **state)
{
    static char docs[65536];
    char cell[64];
    FILE *f = fopen("docs/templates.md", "r");

    (void)state;
    assert_non_null(f);
    assert_true(fread(docs, 1, sizeof docs - 1, f) > 0);
    assert_int_equal(fclose(f), 0);
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        (void)snprintf(cell, sizeof cell, "| `{{%s}}` |", values[i].name);
        if (!strstr(docs, cell))
            fail_msg("docs/templates.md has no row %s", cell);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_built_in_renders),
        cmocka_unit_test(test_every_placeholder_and_blanks),
        cmocka_unit_test(test_html_is_escaped),
        cmocka_unit_test(test_lines_of_install_in_html),
        cmocka_unit_test(test_line_ends_and_mark_are_tidied),
        cmocka_unit_test(test_braces_that_are_text),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test_setup_teardown(test_dir_replaces_what_it_has, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(test_dir_faults, make_dir, remove_dir),
        cmocka_unit_test(test_docs_name_each_placeholder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
