/* settings_fixture: what the tests of settings share. Each test begins with no STOPGAP_
 * name in the environment and a folder of its own. */
#ifndef STOPGAP_TESTS_SETTINGS_FIXTURE_H
#define STOPGAP_TESTS_SETTINGS_FIXTURE_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "mem.h"
#include "settings_internal.h"

#define TOKEN "glpat-tree-frog-9"

static char folder[64];
static struct buf text; /* faults, or what was printed */

static inline void clear_environment(void)
{
    for (char **p = environ; p && *p;) {
        char name[128];

        (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(*p, "="), *p);
        if (strncmp(name, "STOPGAP_", 8) && strcmp(name, "CREDENTIALS_DIRECTORY"))
            p++;
        else
            (void)unsetenv(name); /* moves the rest up */
    }
}

static inline int begin(void **state)
{
    (void)state;
    clear_environment();
    (void)snprintf(folder, sizeof folder, "/tmp/stopgap-settings-XXXXXX");
    buf_init(&text, 65536);
    return mkdtemp(folder) ? 0 : -1;
}

static inline int end(void **state)
{
    static const char *const names[] = {"file", "env", "stopgap_gitlab_token"};
    char path[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    buf_done(&text);
    return rmdir(folder);
}

static inline const char *write_file(const char *name, const char *content, mode_t mode)
{
    static char path[128];
    int fd;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
    return path;
}

static inline void set(const char *name, const char *value)
{
    assert_int_equal(setenv(name, value, 1), 0);
}

static inline void set_worker(void)
{
    set("STOPGAP_LICENSE_KEY_FILE", "/etc/stopgap/key");
    set("STOPGAP_MAIL_FROM", "Support <support@example.com>");
    set("STOPGAP_GITLAB_PROJECT", "support/licenses");
    set("STOPGAP_GITLAB_TOKEN", TOKEN);
}

static inline struct settings *load_file(enum program program, const char *env_file)
{
    struct settings *s;

    buf_reset(&text);
    s = settings_load(program, env_file, &text);
    if (!s && !text.len)
        fail_msg("no settings and no fault");
    if (s && text.len)
        fail_msg("settings and faults: %s", text.data);
    return s;
}

static inline struct settings *must_load(enum program program)
{
    struct settings *s = load_file(program, NULL);

    if (!s)
        fail_msg("%s", text.data);
    return s;
}

static inline void assert_says(const char *part)
{
    if (!strstr(text.data, part))
        fail_msg("\"%s\" is not in:\n%s", part, text.data);
}

static inline void assert_silent_on(const char *part)
{
    if (strstr(text.data, part))
        fail_msg("\"%s\" is in:\n%s", part, text.data);
}

static inline size_t lines(void)
{
    size_t n = 0;

    for (const char *p = text.data; *p; p++)
        n += *p == '\n';
    return n;
}

/* The settings_print entry of one setting; the caller drops it. */
static inline json_t *print_one(const struct settings *s, const char *name)
{
    json_t *all, *one;

    buf_reset(&text);
    settings_print(s, PROGRAM_WORKER | PROGRAM_WEBHOOK | PROGRAM_CTL, true, &text);
    all = json_loads(text.data, 0, NULL);
    assert_non_null(all);
    one = json_incref(json_object_get(all, name));
    assert_non_null(one);
    json_decref(all);
    return one;
}

#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)

#endif
