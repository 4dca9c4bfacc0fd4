/* settings_kind_net: the kinds of value that say where something is, and secrets. The
 * parsing is settings_url.c's and settings_redis.c's. */
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "settings_internal.h"

static int parse_redis(const struct setting *row, const char *text, void *slot,
                       struct err *e)
{
    (void)row;
    return settings_parse_redis_url(text, slot, e);
}

static void show_authority(const char *host, int port, struct buf *out)
{
    buf_addf(out, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
}

static void show_redis(const struct setting *row, const void *slot, struct buf *out)
{
    const struct redis_url *url = slot;
    const char *query = "/";

    (void)row;
    buf_adds(out, url->path            ? "unix://"
                  : url->sentinel_name ? "redis-sentinel://"
                  : url->tls           ? "rediss://"
                                       : "redis://");
    if (url->password.len)
        buf_addf(out, "%s:***@", url->user ? url->user : "");
    if (url->path) {
        buf_adds(out, url->path);
        query = "?db=";
    } else if (url->sentinel_name) {
        buf_addf(out, "%s/%s", url->sentinels, url->sentinel_name);
        query = "?db=";
    } else {
        show_authority(url->host, url->port, out);
    }
    buf_addf(out, "%s%d", query, url->db);
}

static void done_redis(void *slot)
{
    settings_redis_url_done(slot);
}

const struct setting_kind settings_kind_redis = {
    .allowed = "redis://HOST:PORT/DB, rediss://HOST:PORT/DB, unix:///PATH?db=N or "
               "redis-sentinel://H1:PORT,H2:PORT/NAME?db=N, each with USER:PASSWORD@ "
               "(percent-encoded) before the host",
    .parse = parse_redis,
    .show = show_redis,
    .done = done_redis,
};

static int parse_smtp(const struct setting *row, const char *text, void *slot,
                      struct err *e)
{
    (void)row;
    return settings_parse_smtp_url(text, slot, e);
}

static void show_smtp(const struct setting *row, const void *slot, struct buf *out)
{
    const struct smtp_url *url = slot;

    (void)row;
    buf_adds(out, url->implicit_tls ? "smtps://" : "smtp://");
    show_authority(url->host, url->port, out);
}

static void done_smtp(void *slot)
{
    free(((struct smtp_url *)slot)->host);
}

const struct setting_kind settings_kind_smtp = {
    .allowed = "smtp://HOST:PORT (25 when no port is given) or smtps://HOST:PORT (465)",
    .parse = parse_smtp,
    .show = show_smtp,
    .done = done_smtp,
};

static int check_http(const struct setting *row, const char *text, struct err *e)
{
    char *host;
    bool refused;

    if (settings_check_http_url(text, !(row->flags & SETTING_NO_PATH), e))
        return -1;
    host = settings_url_host(text);
    refused = (row->flags & SETTING_HTTPS) && strncasecmp(text, "https:", 6) &&
              !settings_is_loopback(host);
    free(host);
    if (refused)
        return err_set(e, ERR_CONFIG, 0, "http:// is for this host only");
    return 0;
}

static int parse_http(const struct setting *row, const char *text, void *slot,
                      struct err *e)
{
    size_t len = strlen(text);
    char *url;

    if (check_http(row, text, e))
        return -1;
    while (len && text[len - 1] == '/')
        len--;
    url = mem_dup(text, len);
    free(*(char **)slot);
    *(char **)slot = url;
    return 0;
}

static void show_http(const struct setting *row, const void *slot, struct buf *out)
{
    const char *text = *(char *const *)slot;

    (void)row;
    if (text)
        buf_adds(out, text);
}

static void done_http(void *slot)
{
    free(*(char **)slot);
}

const struct setting_kind settings_kind_http = {
    .allowed = "https://HOST[:PORT][/PATH]",
    .parse = parse_http,
    .show = show_http,
    .done = done_http,
};

const struct setting_kind settings_kind_origin = {
    .allowed = "https://HOST[:PORT]",
    .parse = parse_http,
    .show = show_http,
    .done = done_http,
};

static int parse_listen(const struct setting *row, const char *text, void *slot,
                        struct err *e)
{
    return settings_parse_listen(text, row->flags & SETTING_OFF, slot, e);
}

static void show_listen(const struct setting *row, const void *slot, struct buf *out)
{
    const struct listen_addr *address = slot;

    (void)row;
    if (address->host)
        show_authority(address->host, address->port, out);
    else
        buf_adds(out, "off");
}

static void done_listen(void *slot)
{
    free(((struct listen_addr *)slot)->host);
}

const struct setting_kind settings_kind_listen = {
    .allowed = "HOST:PORT, as 127.0.0.1:8080 or [::1]:8080 (port 0: any free one)",
    .parse = parse_listen,
    .show = show_listen,
    .done = done_listen,
};

static int parse_secret(const struct setting *row, const char *text, void *slot,
                        struct err *e)
{
    size_t len = strlen(text);

    if ((int64_t)len < row->min || (int64_t)len > row->max)
        return err_set(e, ERR_CONFIG, 0, "too short or too long");
    secret_set(slot, text, len);
    return 0;
}

static void show_secret(const struct setting *row, const void *slot, struct buf *out)
{
    (void)row;
    if (((const struct secret *)slot)->len)
        buf_adds(out, "(secret, set)");
}

static void done_secret(void *slot)
{
    secret_done(slot);
}

const struct setting_kind settings_kind_secret = {
    .parse = parse_secret,
    .show = show_secret,
    .done = done_secret,
};

static int parse_secret_http(const struct setting *row, const char *text, void *slot,
                             struct err *e)
{
    if (check_http(row, text, e))
        return -1;
    secret_set(slot, text, strlen(text));
    return 0;
}

const struct setting_kind settings_kind_secret_http = {
    .allowed = "https://HOST[:PORT]/PATH",
    .parse = parse_secret_http,
    .show = show_secret,
    .done = done_secret,
};
