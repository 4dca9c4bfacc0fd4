/* settings_check: rules between settings, and what is allowed but worth a warning at
 * start. A rule is skipped when one of its two values is faulty by itself. */
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "settings_internal.h"

/* Zendesk's, the same for everyone: used when a webhook is tested before it is saved.
 */
#define TEST_SECRET "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="
#define GITLAB_REQUEST_LIMIT_MS 60000 /* GitLab ends a request of its own by then */

static bool is_plain_http_abroad(const struct settings *s)
{
    char *host;
    bool abroad;

    if (strncasecmp(s->gitlab_url, "http:", 5))
        return false;
    host = settings_url_host(s->gitlab_url);
    abroad = !settings_is_loopback(host);
    free(host);
    return abroad;
}

static bool is_smtp_in_clear_abroad(const struct settings *s)
{
    return s->smtp_tls == SMTP_TLS_OFF && !s->smtp.implicit_tls &&
           !settings_is_loopback(s->smtp.host);
}

static bool user_alone(const struct settings *s)
{
    return s->smtp_user && !s->smtp_password.len;
}

static bool password_alone(const struct settings *s)
{
    return s->smtp_password.len && !s->smtp_user;
}

static bool password_in_clear(const struct settings *s)
{
    return s->smtp_user && is_smtp_in_clear_abroad(s);
}

static bool smtps_without_tls(const struct settings *s)
{
    return s->smtp.implicit_tls && s->smtp_tls == SMTP_TLS_OFF;
}

static bool gitlab_in_clear(const struct settings *s)
{
    return s->gitlab_require_private && is_plain_http_abroad(s);
}

static bool zendesk_user_alone(const struct settings *s)
{
    return s->zendesk_user && !s->zendesk_token.len;
}

static bool zendesk_token_alone(const struct settings *s)
{
    return s->zendesk_token.len && !s->zendesk_user;
}

static bool zendesk_nowhere(const struct settings *s)
{
    return s->zendesk_user && !s->zendesk_url;
}

static bool base_above_cap(const struct settings *s)
{
    return s->backoff_base_ms > s->backoff_cap_ms;
}

static bool gives_up_within_cap(const struct settings *s)
{
    return s->give_up_after_ms <= s->backoff_cap_ms;
}

static bool forgets_before_giving_up(const struct settings *s)
{
    return s->retention_ms <= s->give_up_after_ms;
}

static bool peer_above_all(const struct settings *s)
{
    return s->webhook_max_per_peer > s->webhook_max_connections;
}

static bool test_secret(const struct settings *s)
{
    return !s->webhook_allow_test_secret &&
           (secret_equal(&s->webhook_secret, TEST_SECRET, sizeof TEST_SECRET - 1) ||
            secret_equal(&s->webhook_secret_2, TEST_SECRET, sizeof TEST_SECRET - 1));
}

static bool reader_may_write(const struct settings *s)
{
    const struct secret *read = &s->api_read_token;

    return read->len && (secret_equal(&s->api_token, read->data, read->len) ||
                         secret_equal(&s->api_token_2, read->data, read->len));
}

static const struct {
    const char *name, *other;
    bool (*wrong)(const struct settings *s);
    const char *text;
} rules[] = {
    {"STOPGAP_SMTP_USER", "STOPGAP_SMTP_PASSWORD", user_alone,
     "set without STOPGAP_SMTP_PASSWORD; allowed: both or neither"},
    {"STOPGAP_SMTP_PASSWORD", "STOPGAP_SMTP_USER", password_alone,
     "set without STOPGAP_SMTP_USER; allowed: both or neither"},
    {"STOPGAP_SMTP_TLS", "STOPGAP_SMTP_URL", smtps_without_tls,
     "off, but STOPGAP_SMTP_URL is smtps://; allowed: required, or an smtp:// URL"},
    {"STOPGAP_SMTP_TLS", "STOPGAP_SMTP_USER", password_in_clear,
     "off would send the password of STOPGAP_SMTP_USER readable to another host; "
     "allowed: required"},
    {"STOPGAP_GITLAB_URL", "STOPGAP_GITLAB_REQUIRE_PRIVATE", gitlab_in_clear,
     "http:// to another host; allowed: https://, http:// to this host, or "
     "STOPGAP_GITLAB_REQUIRE_PRIVATE=0"},
    {"STOPGAP_ZENDESK_USER", "STOPGAP_ZENDESK_TOKEN", zendesk_user_alone,
     "set without STOPGAP_ZENDESK_TOKEN; allowed: both or neither"},
    {"STOPGAP_ZENDESK_TOKEN", "STOPGAP_ZENDESK_USER", zendesk_token_alone,
     "set without STOPGAP_ZENDESK_USER; allowed: both or neither"},
    {"STOPGAP_ZENDESK_USER", "STOPGAP_ZENDESK_URL", zendesk_nowhere,
     "set without STOPGAP_ZENDESK_URL; allowed: both, or neither"},
    {"STOPGAP_BACKOFF_CAP", "STOPGAP_BACKOFF_BASE", base_above_cap,
     "shorter than STOPGAP_BACKOFF_BASE; allowed: at least that"},
    {"STOPGAP_GIVE_UP_AFTER", "STOPGAP_BACKOFF_CAP", gives_up_within_cap,
     "not longer than STOPGAP_BACKOFF_CAP; allowed: longer than that"},
    {"STOPGAP_RETENTION", "STOPGAP_GIVE_UP_AFTER", forgets_before_giving_up,
     "not longer than STOPGAP_GIVE_UP_AFTER; allowed: longer than that"},
    {"STOPGAP_WEBHOOK_MAX_PER_PEER", "STOPGAP_WEBHOOK_MAX_CONNECTIONS", peer_above_all,
     "more than STOPGAP_WEBHOOK_MAX_CONNECTIONS; allowed: at most that"},
    {"STOPGAP_WEBHOOK_SECRET", "STOPGAP_WEBHOOK_ALLOW_TEST_SECRET", test_secret,
     "Zendesk's public test secret, here or in STOPGAP_WEBHOOK_SECRET_2; allowed: the "
     "secret of your own webhook, or STOPGAP_WEBHOOK_ALLOW_TEST_SECRET=1 for a test"},
    {"STOPGAP_API_READ_TOKEN", "STOPGAP_API_TOKEN", reader_may_write,
     "the same as a token that may write; allowed: one of its own"},
};

static bool is_checkable(const char *name, const struct setting_raw *raws,
                         unsigned programs)
{
    const struct setting *row = settings_find(name);

    return !raws[row - settings_table].bad && row->programs & programs;
}

void settings_cross_check(const struct settings *s, const struct setting_raw *raws,
                          unsigned programs, struct setting_faults *f)
{
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if (is_checkable(rules[i].name, raws, programs) &&
            (!rules[i].other || is_checkable(rules[i].other, raws, programs)) &&
            rules[i].wrong(s))
            settings_fault(f, rules[i].name, "%s", rules[i].text);
}

/* --- Warnings --- */

static bool anyone_sees(const struct settings *s)
{
    return !s->gitlab_require_private;
}

static bool no_reply_to(const struct settings *s)
{
    return !s->mail_reply_to;
}

static bool gitlab_unsettled(const struct settings *s)
{
    char *host = settings_url_host(s->gitlab_url);
    bool soon =
        s->gitlab_settle_ms < GITLAB_REQUEST_LIMIT_MS && !settings_is_loopback(host);

    free(host);
    return soon;
}

static bool late_too_late(const struct settings *s)
{
    return s->late_after_ms >= s->give_up_after_ms;
}

static bool test_secret_allowed(const struct settings *s)
{
    return s->webhook_allow_test_secret;
}

/* One that is not this host: the servers that they name will not be, either. */
static bool sentinel_abroad(const struct redis_url *url)
{
    const char *list = url->sentinels;
    bool abroad = false;

    while (list && !abroad) {
        size_t bracket = *list == '[';
        char *host =
            mem_dup(list + bracket, strcspn(list + bracket, bracket ? "]" : ":,"));

        abroad = !settings_is_loopback(host);
        free(host);
        list = strchr(list, ',');
        list = list ? list + 1 : NULL;
    }
    return abroad;
}

static bool redis_in_clear_abroad(const struct settings *s)
{
    const struct redis_url *url = &s->redis;

    return sentinel_abroad(url) ||
           (url->host && !url->tls && !settings_is_loopback(url->host));
}

static const struct {
    unsigned programs;
    bool (*applies)(const struct settings *s);
    const char *text;
} warnings[] = {
    {PROGRAM_WORKER | PROGRAM_WEBHOOK | PROGRAM_CTL, redis_in_clear_abroad,
     "STOPGAP_REDIS_URL: no TLS to another host: requests, addresses and licenses can "
     "be read on the way"},
    {PROGRAM_WORKER, is_smtp_in_clear_abroad,
     "STOPGAP_SMTP_TLS: off to another host: licenses can be read on the way"},
    {PROGRAM_WORKER, anyone_sees,
     "STOPGAP_GITLAB_REQUIRE_PRIVATE: 0: whoever sees the project may see licenses"},
    {PROGRAM_WORKER, is_plain_http_abroad,
     "STOPGAP_GITLAB_URL: http:// to another host: the token and licenses can be read "
     "on the way"},
    {PROGRAM_WORKER, no_reply_to,
     "STOPGAP_MAIL_REPLY_TO: not set: customers' answers go to STOPGAP_MAIL_FROM"},
    {PROGRAM_WORKER, gitlab_unsettled,
     "STOPGAP_GITLAB_SETTLE: under the 60s that GitLab may work on a request: an issue "
     "whose answer was lost may be created twice"},
    {PROGRAM_WORKER, late_too_late,
     "STOPGAP_LATE_AFTER: not shorter than STOPGAP_GIVE_UP_AFTER: nobody hears of a "
     "job before it has failed"},
    {PROGRAM_WEBHOOK, test_secret_allowed,
     "STOPGAP_WEBHOOK_ALLOW_TEST_SECRET: 1: anyone can sign a request"},
};

void settings_warnings(const struct settings *s, enum program program, struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(warnings); i++)
        if (warnings[i].programs & (unsigned)program && warnings[i].applies(s))
            buf_addf(out, "%s\n", warnings[i].text);
}
