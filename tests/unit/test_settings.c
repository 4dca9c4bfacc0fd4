/* Settings: defaults, what each name takes and refuses, rules between them. */
#include "settings_fixture.h"

#include "log.h"

/* --- Values --- */

static void test_defaults(void **state)
{
    struct settings *s;

    (void)state;
    set_worker();
    s = must_load(PROGRAM_WORKER);
    assert_string_equal(s->redis.host, "127.0.0.1");
    assert_int_equal(s->redis.port, 6379);
    assert_int_equal(s->redis.db, 0);
    assert_null(s->redis.user);
    assert_int_equal(s->redis.password.len, 0);
    assert_false(s->redis.tls);
    assert_int_equal(s->redis_wait, 0);
    assert_string_equal(s->queue, "licenses");
    assert_int_equal(s->concurrency, 32);
    assert_int_equal(s->license_term_days, 10);
    assert_string_equal(s->license_issuer, "stopgap");
    assert_string_equal(s->smtp.host, "127.0.0.1");
    assert_int_equal(s->smtp.port, 25);
    assert_int_equal(s->smtp_tls, SMTP_TLS_OFF); /* this host */
    assert_int_equal(s->smtp_connections, 8);
    assert_non_null(s->smtp_ehlo);
    assert_string_equal(s->mail_from, "Support <support@example.com>");
    assert_string_equal(s->mail_bounce_to, "support@example.com");
    assert_null(s->mail_reply_to);
    assert_null(s->template_dir);
    assert_string_equal(s->gitlab_url, "https://gitlab.com");
    assert_string_equal(s->gitlab_labels, "emergency-license");
    assert_true(secret_equal(&s->gitlab_token, TOKEN, sizeof TOKEN - 1));
    assert_true(s->gitlab_require_private);
    assert_int_equal(s->gitlab_settle_ms, 65000);
    assert_true(s->slack_mask);
    assert_string_equal(s->webhook_listen.host, "127.0.0.1");
    assert_int_equal(s->webhook_listen.port, 8080);
    assert_int_equal(s->webhook_max_skew_ms, 3600000);
    assert_false(s->webhook_allow_test_secret);
    assert_int_equal(s->webhook_max_connections, 1024);
    assert_int_equal(s->webhook_max_per_peer, 64);
    assert_string_equal(s->spool_dir, "var/spool");
    assert_int_equal(s->spool_max, 10000);
    assert_int_equal(s->metrics_listen.port, 9464);
    assert_int_equal(s->webhook_metrics_listen.port, 9465);
    assert_false(s->allow_root);
    settings_free(s);
}

static void test_default_limits(void **state)
{
    struct settings *s = must_load(PROGRAM_CTL);

    (void)state;
    assert_int_equal(s->give_up_after_ms, 6 * 3600000);
    assert_int_equal(s->late_after_ms, 300000);
    assert_int_equal(s->backoff_base_ms, 1000);
    assert_int_equal(s->backoff_cap_ms, 300000);
    assert_int_equal(s->max_ambiguous, 2);
    assert_false(s->on_ambiguous_hold);
    assert_int_equal(s->lease_ms, 10000);
    assert_int_equal(s->drain_timeout_ms, 30000);
    assert_int_equal(s->retention_ms, INT64_C(30) * 86400000);
    assert_false(s->scope_required);
    assert_int_equal(s->max_per_address, 5);
    assert_int_equal(s->max_per_agent, 20);
    assert_int_equal(s->max_per_day, 200);
    assert_int_equal(s->max_users, 50000);
    assert_int_equal(s->log_level, LOG_INFO);
    assert_false(s->log_json);
    settings_free(s);
}

static const struct {
    const char *name, *value, *shown;
} good[] = {
    {"STOPGAP_REDIS_URL", "redis://h", "redis://h:6379/0"},
    {"STOPGAP_REDIS_URL", "rediss://[::1]:7000/3", "rediss://[::1]:7000/3"},
    {"STOPGAP_REDIS_URL", "unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=2"},
    {"STOPGAP_REDIS_URL", "redis://bob:p%40w@h/1", "redis://bob:***@h:6379/1"},
    {"STOPGAP_REDIS_URL", "redis://:pw@h/", "redis://:***@h:6379/0"},
    {"STOPGAP_REDIS_URL", "redis-sentinel://:pw@h1,[::1]:3/main?db=2",
     "redis-sentinel://:***@h1:26379,[::1]:3/main?db=2"},
    {"STOPGAP_REDIS_WAIT", "0", "0"},
    {"STOPGAP_QUEUE", "a.B_9-", "a.B_9-"},
    {"STOPGAP_CONCURRENCY", "1024", "1024"},
    {"STOPGAP_LICENSE_TERM_DAYS", "1", "1"},
    {"STOPGAP_SMTP_URL", "smtps://mail.example.com", "smtps://mail.example.com:465"},
    {"STOPGAP_SMTP_URL", "smtp://mail.example.com:587/", "smtp://mail.example.com:587"},
    {"STOPGAP_SMTP_TLS", "required", "required"},
    {"STOPGAP_SMTP_EHLO", "[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"},
    {"STOPGAP_MAIL_REPLY_TO", "help@example.com", "help@example.com"},
    {"STOPGAP_MAIL_BOUNCE_TO", "b@EXAMPLE.com", "b@example.com"},
    {"STOPGAP_GITLAB_URL", "https://git.example.com/gl/", "https://git.example.com/gl"},
    {"STOPGAP_GITLAB_URL", "http://127.9.9.9:8080", "http://127.9.9.9:8080"},
    {"STOPGAP_GITLAB_URL", "http://[::1]:8080", "http://[::1]:8080"},
    {"STOPGAP_GITLAB_PROJECT", "278964", "278964"},
    {"STOPGAP_GITLAB_SETTLE", "0", "0ms"},
    {"STOPGAP_ZENDESK_URL", "https://acme.zendesk.com/", "https://acme.zendesk.com"},
    {"STOPGAP_WEBHOOK_LISTEN", "[::]:0", "[::]:0"},
    {"STOPGAP_METRICS_LISTEN", "off", "off"},
    {"STOPGAP_METRICS_LISTEN", "127.0.0.1:0", "127.0.0.1:0"},
    {"STOPGAP_TRUSTED_PROXIES", "10.0.0.0/8,::1", "10.0.0.0/8,::1"},
    {"STOPGAP_LEASE", "10m", "10m"},
    {"STOPGAP_ON_AMBIGUOUS", "hold", "hold"},
    {"STOPGAP_MAX_PER_DAY", "0", "0"},
    {"STOPGAP_LOG_LEVEL", "debug", "debug"},
    {"STOPGAP_LOG_FORMAT", "json", "json"},
    {"STOPGAP_WEBHOOK_SECRET", "0123456789abcdef", "(secret, set)"},
};

static void test_good_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct settings *s;
        json_t *one;

        clear_environment();
        set_worker();
        set(good[i].name, good[i].value);
        s = must_load(PROGRAM_WORKER);
        one = print_one(s, good[i].name);
        assert_string_equal(json_string_value(json_object_get(one, "value")),
                            good[i].shown);
        assert_string_equal(json_string_value(json_object_get(one, "source")),
                            "environment");
        assert_true(json_is_false(json_object_get(one, "default")));
        json_decref(one);
        settings_free(s);
    }
}

static const struct {
    const char *name, *value, *says;
} bad[] = {
    {"STOPGAP_REDIS_URL", "http://h", "allowed: redis://"},
    {"STOPGAP_REDIS_URL", "redis://", "the host is missing"},
    {"STOPGAP_REDIS_URL", "redis://a..b", "no valid host name"},
    {"STOPGAP_REDIS_URL", "redis://a-.b", "no valid host name"},
    {"STOPGAP_REDIS_URL",
     "redis://abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl",
     "no valid host name"},
    {"STOPGAP_REDIS_URL", "redis://h:0", "no valid port"},
    {"STOPGAP_REDIS_URL", "redis://h:65536", "no valid port"},
    {"STOPGAP_REDIS_URL", "redis://h/x", "no valid database number"},
    {"STOPGAP_REDIS_URL", "redis://h?db=1", "the database is /N"},
    {"STOPGAP_REDIS_URL", "redis://bob@h", "a user without a password"},
    {"STOPGAP_REDIS_URL", "redis://bob:%zz@h", "a broken %XX"},
    {"STOPGAP_REDIS_URL", "redis://bob:%0a@h", "a control character"},
    {"STOPGAP_REDIS_URL", "redis://[::1", "[ without ]"},
    {"STOPGAP_REDIS_URL", "redis://[h]:1", "no IPv6 address"},
    {"STOPGAP_REDIS_URL", "unix://run/x", "must begin with /"},
    {"STOPGAP_REDIS_URL", "unix:///run/x?x=1", "only ?db=N"},
    {"STOPGAP_REDIS_URL", "redis-sentinel://a,b:0/m", "no valid port"},
    {"STOPGAP_REDIS_URL", "redis-sentinel://a,b:2", "name of the master set"},
    {"STOPGAP_QUEUE", "a b", "1 to 64 of"},
    {"STOPGAP_QUEUE", "a{b}", "1 to 64 of"},
    {"STOPGAP_CONCURRENCY", "0",
     "\"0\": no whole number within the limits; allowed: "
     "a whole number from 1 to 1024"},
    {"STOPGAP_CONCURRENCY", "1025", "from 1 to 1024"},
    {"STOPGAP_CONCURRENCY", "8 ", "from 1 to 1024"},
    {"STOPGAP_LICENSE_TERM_DAYS", "11", "from 1 to 10"},
    {"STOPGAP_LICENSE_TERM_DAYS", "0", "from 1 to 10"},
    {"STOPGAP_LICENSE_KEY_FILE", "a\nb", "a control character"},
    {"STOPGAP_LICENSE_ISSUER", "\xff", "not printable UTF-8"},
    {"STOPGAP_SMTP_URL", "mail.example.com:25", "neither smtp:// nor smtps://"},
    {"STOPGAP_SMTP_URL", "smtp://h/x", "no valid"},
    {"STOPGAP_SMTP_URL", "smtp://u:hunter2@h", "belong into STOPGAP_SMTP_USER"},
    {"STOPGAP_SMTP_USER", "u", "set without STOPGAP_SMTP_PASSWORD"},
    {"STOPGAP_SMTP_PASSWORD", "hunter2", "set without STOPGAP_SMTP_USER"},
    {"STOPGAP_SMTP_TLS", "on", "allowed: required or off"},
    {"STOPGAP_SMTP_CONNECTIONS", "257", "from 1 to 256"},
    {"STOPGAP_SMTP_EHLO", "a b", "a host name"},
    {"STOPGAP_MAIL_FROM", "nobody", "an address, as"},
    {"STOPGAP_MAIL_FROM", "a@example.com\nBcc: b@example.com", "a control character"},
    {"STOPGAP_MAIL_BOUNCE_TO", "B <b@example.com>", "a bare address"},
    {"STOPGAP_GITLAB_URL", "gitlab.com", "neither https:// nor http://"},
    {"STOPGAP_GITLAB_URL", "https://bob:hunter2@gitlab.com", "has no place here"},
    {"STOPGAP_GITLAB_URL", "https://gitlab.com?x", "has no place here"},
    {"STOPGAP_GITLAB_URL", "http://git.example.com",
     "STOPGAP_GITLAB_REQUIRE_PRIVATE=0"},
    {"STOPGAP_GITLAB_PROJECT", "licenses", "without the host"},
    {"STOPGAP_GITLAB_PROJECT", "https://gitlab.com/a/b", "without the host"},
    {"STOPGAP_GITLAB_PROJECT", "a//b", "without the host"},
    {"STOPGAP_GITLAB_REQUIRE_PRIVATE", "no", "allowed: 0 or 1"},
    {"STOPGAP_GITLAB_SETTLE", "2h", "a duration from 0ms to 1h"},
    {"STOPGAP_SLACK_WEBHOOK_URL", "http://hooks.slack.com/services/hunter2",
     "for this host only"},
    {"STOPGAP_ZENDESK_URL", "https://acme.zendesk.com/agent", "a path has no place"},
    {"STOPGAP_ZENDESK_URL", "http://acme.zendesk.com", "for this host only"},
    {"STOPGAP_WEBHOOK_LISTEN", "off", "HOST:PORT"},
    {"STOPGAP_WEBHOOK_LISTEN", ":8080", "the host is missing"},
    {"STOPGAP_WEBHOOK_LISTEN", "127.0.0.1", "the port is missing"},
    {"STOPGAP_WEBHOOK_SECRET", "hunter2", "16 to 4096 printable characters"},
    {"STOPGAP_WEBHOOK_MAX_SKEW", "3600", "a duration"},
    {"STOPGAP_TRUSTED_PROXIES", "10.0.0.0/33", "IP addresses or networks"},
    {"STOPGAP_TRUSTED_PROXIES", "10.0.0.1, ::1", "without blanks"},
    {"STOPGAP_METRICS_LISTEN", "no", "or off"},
    {"STOPGAP_BACKOFF_BASE", "10m", "STOPGAP_BACKOFF_CAP: shorter than"},
    {"STOPGAP_GIVE_UP_AFTER", "5m", "not longer than STOPGAP_BACKOFF_CAP"},
    {"STOPGAP_RETENTION", "6h", "not longer than STOPGAP_GIVE_UP_AFTER"},
    {"STOPGAP_ON_AMBIGUOUS", "drop", "allowed: resend or hold"},
    {"STOPGAP_LEASE", "999ms", "from 1s to 10m"},
    {"STOPGAP_LEASE", "11m", "from 1s to 10m"},
    {"STOPGAP_LOG_LEVEL", "trace", "error or warn or info or debug"},
    {"STOPGAP_LOG_FORMAT", "xml", "logfmt or json"},
    {"STOPGAP_ALLOW_ROOT", "yes", "allowed: 0 or 1"},
    {"STOPGAP_CONCURENCY", "1", "unknown name; did you mean STOPGAP_CONCURRENCY?"},
    {"STOPGAP_GITLAB_TOKENFILE", "1", "did you mean STOPGAP_GITLAB_TOKEN_FILE?"},
    {"STOPGAP_SMTP_USER_FILE", "/x", "did you mean STOPGAP_SMTP_USER?"},
    {"STOPGAP_XQZ", "hunter2", "unknown name; allowed: the names in docs/config.md"},
};

static void test_bad_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        clear_environment();
        set_worker();
        set(bad[i].name, bad[i].value);
        if (load_file(PROGRAM_WORKER, NULL))
            fail_msg("%s=%s was taken", bad[i].name, bad[i].value);
        assert_says(bad[i].says);
        assert_says(strstr(bad[i].says, "did you") ? "?" : "allowed:");
        assert_silent_on("hunter2");
        if (lines() != 1)
            fail_msg("%s=%s: not one line:\n%s", bad[i].name, bad[i].value, text.data);
    }
}

static void test_all_faults_at_once(void **state)
{
    (void)state;
    set("STOPGAP_LEASE", "soon");
    set("STOPGAP_TERM", "5");
    set("STOPGAP_CONCURRENCY", "many");
    assert_null(load_file(PROGRAM_WORKER, NULL));
    assert_int_equal(lines(), 7);
    assert_says("STOPGAP_LEASE: \"soon\": no duration; allowed: a duration from 1s to");
    assert_says("STOPGAP_TERM: unknown name");
    assert_says("STOPGAP_CONCURRENCY: \"many\"");
    assert_says("STOPGAP_LICENSE_KEY_FILE: required and not set");
    assert_says("STOPGAP_MAIL_FROM: required and not set; allowed: an address");
    assert_says("STOPGAP_GITLAB_PROJECT: required and not set");
    assert_says("STOPGAP_GITLAB_TOKEN: required and not set");
    assert_says(", or STOPGAP_GITLAB_TOKEN_FILE\n");
}

static void test_each_program_demands_its_own(void **state)
{
    (void)state;
    settings_free(must_load(PROGRAM_CTL));
    assert_null(load_file(PROGRAM_WEBHOOK, NULL));
    assert_int_equal(lines(), 1);
    assert_says("STOPGAP_WEBHOOK_SECRET: required and not set");
    set("STOPGAP_WEBHOOK_SECRET", "0123456789abcdef");
    settings_free(must_load(PROGRAM_WEBHOOK));
    assert_null(load_file(PROGRAM_WORKER | PROGRAM_WEBHOOK, NULL));
    assert_int_equal(lines(), 5); /* the secret was wiped above */
    assert_null(load_file(PROGRAM_CTL | PROGRAM_RECONCILE, NULL));
    assert_int_equal(lines(), 4);
    assert_says("STOPGAP_ZENDESK_URL: required and not set");
    assert_says("STOPGAP_ZENDESK_TOKEN: required and not set");
}

/* The worker goes without Zendesk, or with all that it takes. */
static void test_zendesk_whole_or_not_at_all(void **state)
{
    (void)state;
    set("STOPGAP_ZENDESK_USER", "bot@example.com");
    assert_null(load_file(PROGRAM_WORKER, NULL));
    assert_says("STOPGAP_ZENDESK_USER: set without STOPGAP_ZENDESK_TOKEN;");
    assert_says("STOPGAP_ZENDESK_USER: set without STOPGAP_ZENDESK_URL;");
    unsetenv("STOPGAP_ZENDESK_USER");
    set("STOPGAP_ZENDESK_TOKEN", "hunter2");
    assert_null(load_file(PROGRAM_WORKER, NULL));
    assert_says("STOPGAP_ZENDESK_TOKEN: set without STOPGAP_ZENDESK_USER;");
    assert_silent_on("hunter2");
    settings_free(must_load(PROGRAM_CTL)); /* no business of it */
}

/* A ceiling of the caller's buf must not turn a fault into a start. */
static void test_faults_past_the_ceiling(void **state)
{
    struct buf tiny;

    (void)state;
    buf_init(&tiny, 4);
    assert_null(settings_load(PROGRAM_WORKER, NULL, &tiny));
    buf_done(&tiny);
}

static void test_empty_is_unset(void **state)
{
    struct settings *s;

    (void)state;
    set("STOPGAP_CONCURRENCY", "");
    set("STOPGAP_SLACK_WEBHOOK_URL", "");
    s = must_load(PROGRAM_CTL);
    assert_int_equal(s->concurrency, 32);
    settings_free(s);
}

static void test_smtp_tls_default(void **state)
{
    static const struct {
        const char *url;
        enum smtp_tls tls;
    } cases[] = {
        {"smtp://localhost", SMTP_TLS_OFF},
        {"smtp://127.1.2.3:2525", SMTP_TLS_OFF},
        {"smtp://[::1]:25", SMTP_TLS_OFF},
        {"smtps://localhost", SMTP_TLS_REQUIRED},
        {"smtp://mail.example.com", SMTP_TLS_REQUIRED},
        {"smtp://128.0.0.1", SMTP_TLS_REQUIRED},
        {"smtp://localhost.example.com", SMTP_TLS_REQUIRED},
        {"smtp://127.0.0.1.example.com", SMTP_TLS_REQUIRED},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct settings *s;

        set("STOPGAP_SMTP_URL", cases[i].url);
        s = must_load(PROGRAM_CTL);
        assert_int_equal(s->smtp_tls, cases[i].tls);
        settings_free(s);
    }
    set("STOPGAP_SMTP_TLS", "off");
    set("STOPGAP_SMTP_URL", "smtps://mail.example.com");
    set_worker();
    assert_null(load_file(PROGRAM_WORKER, NULL));
    assert_says("STOPGAP_SMTP_TLS: off, but STOPGAP_SMTP_URL is smtps://");
}

static void test_password_never_in_clear(void **state)
{
    (void)state;
    set_worker();
    set("STOPGAP_SMTP_URL", "smtp://mail.example.com");
    set("STOPGAP_SMTP_USER", "u");
    set("STOPGAP_SMTP_PASSWORD", "hunter2");
    set("STOPGAP_SMTP_TLS", "off");
    assert_null(load_file(PROGRAM_WORKER, NULL));
    assert_int_equal(lines(), 1);
    assert_says("readable to another host");
    set_worker();
    set("STOPGAP_SMTP_URL", "smtp://127.0.0.1");
    set("STOPGAP_SMTP_PASSWORD", "hunter2");
    settings_free(must_load(PROGRAM_WORKER));
}

static void test_webhook_rules(void **state)
{
    (void)state;
    set("STOPGAP_WEBHOOK_SECRET", "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==");
    set("STOPGAP_API_TOKEN", "0123456789abcdef");
    set("STOPGAP_API_READ_TOKEN", "0123456789abcdef");
    set("STOPGAP_WEBHOOK_MAX_CONNECTIONS", "8");
    assert_null(load_file(PROGRAM_WEBHOOK, NULL));
    assert_int_equal(lines(), 3);
    assert_says("STOPGAP_WEBHOOK_SECRET: Zendesk's public test secret");
    assert_says("STOPGAP_API_READ_TOKEN: the same as");
    assert_says("STOPGAP_WEBHOOK_MAX_PER_PEER: more than");
}

static void test_redis_url_parts(void **state)
{
    struct redis_url url = {0};
    struct err e;

    (void)state;
    assert_int_equal(
        settings_parse_redis_url("rediss://b%6fb:p%3Aw%20%40@[::1]:1/2", &url, &e), 0);
    assert_true(url.tls);
    assert_string_equal(url.host, "::1");
    assert_int_equal(url.port, 1);
    assert_int_equal(url.db, 2);
    assert_string_equal(url.user, "bob");
    assert_string_equal(url.password.data, "p:w @");
    assert_int_equal(
        settings_parse_redis_url("unix://bob:pw@/run/a%20b?db=4", &url, &e), 0);
    assert_null(url.host);
    assert_string_equal(url.path, "/run/a b");
    assert_int_equal(url.db, 4);
    assert_string_equal(url.password.data, "pw");
    assert_int_equal(settings_parse_redis_url(
                         "redis-sentinel://:pw@h1,[::1]:3,h2:4/main?db=1", &url, &e),
                     0);
    assert_string_equal(url.sentinels, "h1:26379,[::1]:3,h2:4");
    assert_string_equal(url.sentinel_name, "main");
    assert_int_equal(url.db, 1);
    assert_null(url.user);
    /* a failure leaves it as it was */
    assert_int_equal(settings_parse_redis_url("redis://a:b@h/z", &url, &e), -1);
    assert_string_equal(url.sentinel_name, "main");
    settings_redis_url_done(&url);
}

static void knows_this_host(void **state)
{
    (void)state;
    assert_true(settings_is_loopback("127.0.0.1"));
    assert_true(settings_is_loopback("127.9.9.9"));
    assert_true(settings_is_loopback("::1"));
    assert_true(settings_is_loopback("LocalHost"));
    assert_false(settings_is_loopback("128.0.0.1"));
    assert_false(settings_is_loopback("::2"));
    assert_false(settings_is_loopback("localhost.example.org"));
    assert_false(settings_is_loopback("127.0.0.1.example.org"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_defaults),
        T(test_default_limits),
        T(test_good_values),
        T(test_bad_values),
        T(test_all_faults_at_once),
        T(test_each_program_demands_its_own),
        T(test_zendesk_whole_or_not_at_all),
        T(test_faults_past_the_ceiling),
        T(test_empty_is_unset),
        T(test_smtp_tls_default),
        T(test_password_never_in_clear),
        T(test_webhook_rules),
        T(test_redis_url_parts),
        T(knows_this_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
