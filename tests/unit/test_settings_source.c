/* Settings: where values come from, what happens to secrets, and what is shown. */
#include "settings_fixture.h"

#include <sys/wait.h>

/* --- Sources --- */

static void test_env_file(void **state)
{
    const char *path = write_file("env",
                                  "# a comment\n; another\n\n"
                                  "OTHER=x y\n"
                                  "STOPGAP_QUEUE = one  \n"
                                  "STOPGAP_CONCURRENCY=5\r\n"
                                  "STOPGAP_LICENSE_ISSUER=\"a \\\"b\\\" \\\\ \\$\"\n"
                                  "  STOPGAP_GITLAB_LABELS='a #b,\\c'\n"
                                  "STOPGAP_LEASE=\n"
                                  "STOPGAP_MAX_USERS=9",
                                  0644);
    struct settings *s;
    json_t *one;

    (void)state;
    set("STOPGAP_CONCURRENCY", "6");
    s = load_file(PROGRAM_CTL, path);
    assert_non_null(s);
    assert_string_equal(s->queue, "one");
    assert_int_equal(s->concurrency, 6); /* the environment wins */
    assert_string_equal(s->license_issuer, "a \"b\" \\ $");
    assert_string_equal(s->gitlab_labels, "a #b,\\c");
    assert_int_equal(s->lease_ms, 10000);
    assert_int_equal(s->max_users, 9);
    one = print_one(s, "STOPGAP_QUEUE");
    assert_string_equal(json_string_value(json_object_get(one, "source")), "env file");
    json_decref(one);
    settings_free(s);
}

static void test_env_file_faults(void **state)
{
    static char huge[SETTINGS_FILE_MAX + 2];
    static const char *const says[] = {
        "line 1: not of the form NAME=value",
        "line 2: not of the form NAME=value",
        "line 3: a quote is not closed on its line",
        "line 4: text after the closing quote",
        "line 5: within double quotes a \\ may only stand before",
        "line 6: a value with a quote or a \\ in it",
        "line 7: a # after a blank",
        "line 9: STOPGAP_QUEUE is given twice",
        "STOPGAP_QUEU: unknown name; did you mean STOPGAP_QUEUE?",
    };
    const char *path = write_file("env",
                                  "export STOPGAP_QUEUE=x\n"
                                  "hunter2\n"
                                  "STOPGAP_QUEUE=\"hunter2\n"
                                  "STOPGAP_QUEUE='hunter2' x\n"
                                  "STOPGAP_QUEUE=\"\\hunter2\"\n"
                                  "STOPGAP_QUEUE=hunter2\\\n"
                                  "STOPGAP_QUEUE=hunter2 # x\n"
                                  "STOPGAP_QUEUE=x\n"
                                  "STOPGAP_QUEUE=y\n"
                                  "STOPGAP_QUEU=x\n",
                                  0600);

    (void)state;
    assert_null(load_file(PROGRAM_CTL, path));
    assert_int_equal(lines(), ARRAY_LEN(says));
    for (size_t i = 0; i < ARRAY_LEN(says); i++)
        assert_says(says[i]);
    assert_silent_on("hunter2");
    assert_null(load_file(PROGRAM_CTL, "/nowhere/env"));
    assert_says("/nowhere/env: cannot be read: No such file");
    assert_null(load_file(PROGRAM_CTL, folder));
    assert_says("cannot be read: Is a directory");
    memset(huge, '#', sizeof huge - 1);
    assert_null(load_file(PROGRAM_CTL, write_file("env", huge, 0600)));
    assert_says("env: longer than 65536 bytes");
    huge[SETTINGS_FILE_MAX] = '\0';
    settings_free(load_file(PROGRAM_CTL, write_file("env", huge, 0600)));
}

static void test_env_file_with_secrets_is_kept_like_one(void **state)
{
    const char *path;

    (void)state;
    path = write_file("env", "STOPGAP_GITLAB_TOKEN=" TOKEN "\n", 0640);
    assert_null(load_file(PROGRAM_CTL, path));
    assert_int_equal(lines(), 1);
    assert_says("chmod 600");
    assert_silent_on(TOKEN);
    path = write_file("env", "STOPGAP_REDIS_URL=redis://:pw@h\n", 0604);
    assert_null(load_file(PROGRAM_CTL, path));
    path = write_file("env", "STOPGAP_REDIS_URL=redis://h\n", 0644);
    settings_free(load_file(PROGRAM_CTL, path));
    path = write_file("env", "STOPGAP_GITLAB_TOKEN=" TOKEN "\n", 0600);
    settings_free(load_file(PROGRAM_CTL, path));
}

static void test_secret_file(void **state)
{
    const char *path = write_file("file", TOKEN "\n", 0600);
    struct settings *s;

    (void)state;
    set_worker();
    assert_int_equal(unsetenv("STOPGAP_GITLAB_TOKEN"), 0);
    set("STOPGAP_GITLAB_TOKEN_FILE", path);
    s = must_load(PROGRAM_WORKER);
    assert_true(secret_equal(&s->gitlab_token, TOKEN, sizeof TOKEN - 1));
    assert_string_equal(s->gitlab_token_file, path);
    settings_free(s);

    write_file("file", "redis://:pw@h\n", 0600);
    set("STOPGAP_REDIS_URL_FILE", path);
    assert_int_equal(unsetenv("STOPGAP_GITLAB_TOKEN_FILE"), 0);
    s = must_load(PROGRAM_CTL);
    assert_string_equal(s->redis.password.data, "pw");
    settings_free(s);
}

static void test_secret_file_faults(void **state)
{
    static const struct {
        const char *content;
        mode_t mode;
        const char *says;
    } cases[] = {
        {TOKEN, 0640, "chmod 600"},
        {TOKEN, 0604, "chmod 600"},
        {"", 0600, "empty"},
        {"\n", 0600, "empty"},
        {TOKEN "\nmore", 0600, "a control character"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        set_worker();
        assert_int_equal(unsetenv("STOPGAP_GITLAB_TOKEN"), 0);
        set("STOPGAP_GITLAB_TOKEN_FILE",
            write_file("file", cases[i].content, cases[i].mode));
        assert_null(load_file(PROGRAM_WORKER, NULL));
        assert_int_equal(lines(), 1);
        assert_says("STOPGAP_GITLAB_TOKEN: ");
        assert_says(cases[i].says);
        assert_silent_on(TOKEN);
    }
    set("STOPGAP_GITLAB_TOKEN_FILE", "/nowhere/token");
    assert_null(load_file(PROGRAM_WORKER, NULL));
    assert_says("STOPGAP_GITLAB_TOKEN_FILE: /nowhere/token: No such file");
    set("STOPGAP_GITLAB_TOKEN", TOKEN);
    assert_null(load_file(PROGRAM_WORKER, NULL));
    assert_int_equal(lines(), 1);
    assert_says("STOPGAP_GITLAB_TOKEN and STOPGAP_GITLAB_TOKEN_FILE are both set");
}

static void test_credential(void **state)
{
    struct settings *s;
    json_t *one;

    (void)state;
    set_worker();
    assert_int_equal(unsetenv("STOPGAP_GITLAB_TOKEN"), 0);
    (void)write_file("stopgap_gitlab_token", TOKEN "\n", 0600);
    set("CREDENTIALS_DIRECTORY", folder);
    s = must_load(PROGRAM_WORKER);
    assert_true(secret_equal(&s->gitlab_token, TOKEN, sizeof TOKEN - 1));
    assert_non_null(strstr(s->gitlab_token_file, "/stopgap_gitlab_token"));
    one = print_one(s, "STOPGAP_GITLAB_TOKEN");
    assert_string_equal(json_string_value(json_object_get(one, "source")),
                        "credential");
    json_decref(one);
    settings_free(s);
    set("STOPGAP_GITLAB_TOKEN", "another"); /* what was set by name comes first */
    s = must_load(PROGRAM_WORKER);
    assert_true(secret_equal(&s->gitlab_token, "another", 7));
    assert_null(s->gitlab_token_file);
    settings_free(s);
}

/* A key's file is not read here: its credential's path takes the place of the value. */
static void test_credential_of_a_path(void **state)
{
    struct settings *s;

    (void)state;
    set_worker();
    set("STOPGAP_LICENSE_KEY_PASSPHRASE_FILE", "/elsewhere");
    assert_int_equal(unsetenv("STOPGAP_LICENSE_KEY_FILE"), 0);
    assert_null(load_file(PROGRAM_WORKER, NULL));
    assert_says("STOPGAP_LICENSE_KEY_FILE: required and not set");
    set_worker(); /* secrets were wiped as they were read */
    assert_int_equal(unsetenv("STOPGAP_LICENSE_KEY_FILE"), 0);
    (void)write_file("stopgap_license_key_file", "key", 0600);
    set("CREDENTIALS_DIRECTORY", folder);
    s = must_load(PROGRAM_WORKER);
    assert_non_null(strstr(s->license_key_file, "/stopgap_license_key_file"));
    assert_string_equal(s->license_key_passphrase_file, "/elsewhere");
    assert_int_equal(unlink(s->license_key_file), 0);
    settings_free(s);
}

/* One env file serves all programs, but only the worker may read its secrets. */
static void test_foreign_secrets(void **state)
{
    struct settings *s;
    json_t *one;

    (void)state;
    set("STOPGAP_GITLAB_TOKEN_FILE", "/nowhere/token");
    set("STOPGAP_SMTP_PASSWORD", "hunter2");
    s = must_load(PROGRAM_CTL);
    assert_int_equal(s->gitlab_token.len, 0);
    assert_int_equal(s->smtp_password.len, 0);
    one = print_one(s, "STOPGAP_SMTP_PASSWORD");
    assert_string_equal(json_string_value(json_object_get(one, "value")),
                        "(secret, set)");
    json_decref(one);
    assert_null(getenv("STOPGAP_SMTP_PASSWORD"));
    settings_free(s);
    set("STOPGAP_CONCURRENCY", "x"); /* the worker's, but checked for form */
    assert_null(load_file(PROGRAM_CTL, NULL));
}

/* --- What is shown --- */

static void test_print_shows_no_secret(void **state)
{
    struct settings *s;

    (void)state;
    set_worker();
    set("STOPGAP_REDIS_URL", "redis://bob:hunter2@h/1");
    set("STOPGAP_SMTP_USER", "u");
    set("STOPGAP_SMTP_PASSWORD", "hunter2");
    s = must_load(PROGRAM_WORKER);
    for (int json = 0; json < 2; json++) {
        buf_reset(&text);
        settings_print(s, PROGRAM_WORKER, json, &text);
        assert_false(text.failed);
        assert_silent_on("hunter2");
        assert_silent_on(TOKEN);
        assert_says("redis://bob:***@h:6379/1");
        assert_says("(secret, set)");
        assert_says("STOPGAP_LEASE");
        assert_silent_on("STOPGAP_SPOOL_DIR"); /* the receiver's */
    }
    settings_free(s);
}

static void test_print_unset_and_default(void **state)
{
    struct settings *s = must_load(PROGRAM_CTL);
    json_t *one = print_one(s, "STOPGAP_SMTP_USER");

    (void)state;
    assert_true(json_is_null(json_object_get(one, "value")));
    assert_true(json_is_true(json_object_get(one, "default")));
    json_decref(one);
    settings_free(s);
}

static void test_help_names_all(void **state)
{
    (void)state;
    settings_help(PROGRAM_WORKER | PROGRAM_WEBHOOK | PROGRAM_CTL | PROGRAM_RECONCILE,
                  &text);
    assert_false(text.failed);
    for (size_t i = 0; i < settings_count; i++)
        assert_says(settings_table[i].name);
    assert_says("STOPGAP_MAIL_FROM (required)");
    assert_says("STOPGAP_LEASE=10s");
}

static void test_warnings(void **state)
{
    struct settings *s;

    (void)state;
    set_worker();
    set("STOPGAP_MAIL_REPLY_TO", "help@example.com");
    s = must_load(PROGRAM_WORKER);
    buf_reset(&text);
    settings_warnings(s, PROGRAM_WORKER, &text);
    assert_string_equal(text.data, "");
    settings_free(s);

    clear_environment();
    set_worker();
    set("STOPGAP_REDIS_URL", "redis://redis.example.com");
    set("STOPGAP_SMTP_URL", "smtp://mail.example.com");
    set("STOPGAP_SMTP_TLS", "off");
    set("STOPGAP_GITLAB_REQUIRE_PRIVATE", "0");
    set("STOPGAP_GITLAB_URL", "http://git.example.com");
    set("STOPGAP_GITLAB_SETTLE", "1s");
    set("STOPGAP_LATE_AFTER", "6h");
    s = must_load(PROGRAM_WORKER);
    buf_reset(&text);
    settings_warnings(s, PROGRAM_WORKER, &text);
    assert_int_equal(lines(), 7);
    assert_says("STOPGAP_REDIS_URL: no TLS");
    assert_says("STOPGAP_SMTP_TLS: off to another host");
    assert_says("STOPGAP_GITLAB_REQUIRE_PRIVATE: 0");
    assert_says("STOPGAP_GITLAB_URL: http://");
    assert_says("STOPGAP_MAIL_REPLY_TO: not set");
    assert_says("STOPGAP_GITLAB_SETTLE: under");
    assert_says("STOPGAP_LATE_AFTER: not shorter");
    settings_free(s);
}

/* --- The environment of the process itself --- */

/* Runs as a process of its own, begun with secrets in its environment: the number of
 * them that can still be seen. */
static int count_visible_secrets(void)
{
    static char seen[65536];
    struct buf faults;
    struct settings *s;
    int fd, visible = 0;
    ssize_t n;

    buf_init(&faults, 65536);
    s = settings_load(PROGRAM_CTL, NULL, &faults);
    fd = open("/proc/self/environ", O_RDONLY);
    n = read(fd, seen, sizeof seen);
    visible += !s || s->redis.password.len != 7 || n <= 0;
    visible += memmem(seen, (size_t)n, "hunter2", 7) != NULL;
    visible += memmem(seen, (size_t)n, TOKEN, sizeof TOKEN - 1) != NULL;
    visible += memmem(seen, (size_t)n, "STOPGAP_QUEUE=q", 15) == NULL;
    visible += getenv("STOPGAP_GITLAB_TOKEN") || getenv("STOPGAP_REDIS_URL");
    visible += !getenv("STOPGAP_QUEUE");
    settings_free(s);
    buf_done(&faults);
    (void)close(fd);
    return visible;
}

static void test_environ_is_wiped(void **state)
{
    char *argv[] = {(char *)"test_settings_source", (char *)"count", NULL};
    char *envp[] = {(char *)"STOPGAP_QUEUE=q",
                    (char *)"STOPGAP_GITLAB_TOKEN=" TOKEN,
                    (char *)"STOPGAP_REDIS_URL=redis://:hunter2@h",
                    (char *)"STOPGAP_GITLAB_TOKEN=" TOKEN,
                    (char *)"ASAN_OPTIONS=detect_leaks=0",
                    NULL};
    int status;
    pid_t pid;

    (void)state;
#ifdef UNDER_VALGRIND
    skip(); /* which is what /proc/self/exe is then */
#endif
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execve("/proc/self/exe", argv, envp);
        _exit(99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(test_env_file),
        T(test_env_file_faults),
        T(test_env_file_with_secrets_is_kept_like_one),
        T(test_secret_file),
        T(test_secret_file_faults),
        T(test_credential),
        T(test_credential_of_a_path),
        T(test_foreign_secrets),
        T(test_print_shows_no_secret),
        T(test_print_unset_and_default),
        T(test_help_names_all),
        T(test_warnings),
        T(test_environ_is_wiped),
    };

    if (argc == 2 && !strcmp(argv[1], "count"))
        return count_visible_secrets();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
