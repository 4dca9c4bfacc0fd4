/* settings_redis: the URL that says where Redis is. Pure: resolves nothing. No fault's
 * text holds a part of the value, since it may hold a password. */
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "num.h"
#include "settings_internal.h"

#define UNIX_PATH_MAX_LEN 107 /* sun_path less its NUL */
#define CREDENTIAL_MAX 1024
#define REDIS_DB_MAX 65535

static int refuse(struct err *e, const char *why)
{
    return err_set(e, ERR_CONFIG, 0, "%s", why);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes %XX. -1 for a broken one, a control character, or too much. */
static int decode(const char *text, const char *end, char *out, size_t size)
{
    size_t len = 0;

    while (text < end) {
        int c = (unsigned char)*text++;

        if (c == '%') {
            int high = end - text < 2 ? -1 : hex(text[0]);
            int low = high < 0 ? -1 : hex(text[1]);

            if (low < 0)
                return -1;
            c = high * 16 + low;
            text += 2;
        }
        if (c < 0x20 || c == 0x7F || len + 1 >= size)
            return -1;
        out[len++] = (char)c;
    }
    out[len] = '\0';
    return 0;
}

/* [user]:password in [text, end). */
static int parse_login(const char *text, const char *end, struct redis_url *out,
                       struct err *e)
{
    const char *colon = memchr(text, ':', (size_t)(end - text));
    char user[CREDENTIAL_MAX], password[CREDENTIAL_MAX];
    int result = -1;

    if (!colon) {
        (void)refuse(e, "a user without a password: write user:password@, or "
                        ":password@ without a user");
    } else if (decode(text, colon, user, sizeof user) ||
               decode(colon + 1, end, password, sizeof password)) {
        (void)refuse(e, "user or password: a broken %XX, a control character, or too "
                        "long");
    } else {
        if (user[0])
            mem_set(&out->user, user);
        secret_set(&out->password, password, strlen(password));
        result = 0;
    }
    secret_wipe(password, sizeof password);
    return result;
}

/* Takes LOGIN@ off the front. The password may hold an @ that was not encoded. */
static int take_login(const char **rest, struct redis_url *out, struct err *e)
{
    const char *end = *rest + strcspn(*rest, "/?");
    const char *at = memrchr(*rest, '@', (size_t)(end - *rest));

    if (!at)
        return 0;
    if (parse_login(*rest, at, out, e))
        return -1;
    *rest = at + 1;
    return 0;
}

static int parse_db(const char *text, struct redis_url *out, struct err *e)
{
    int64_t db;

    if (!num_parse(text, 0, REDIS_DB_MAX, &db))
        return refuse(e, "no valid database number");
    out->db = (int)db;
    return 0;
}

/* HOST[:PORT][/DB] */
static int parse_tcp(const char *rest, struct redis_url *out, struct err *e)
{
    size_t len = strcspn(rest, "/?");

    out->port = 6379;
    if (settings_parse_host_port(rest, len, 1, &out->host, &out->port, e))
        return -1;
    rest += len;
    if (*rest == '?')
        return refuse(e, "a ?query has no place here: the database is /N");
    return *rest && rest[1] ? parse_db(rest + 1, out, e) : 0;
}

static int parse_tls(const char *rest, struct redis_url *out, struct err *e)
{
    out->tls = true;
    return parse_tcp(rest, out, e);
}

/* /PATH[?db=N] */
static int parse_unix(const char *rest, struct redis_url *out, struct err *e)
{
    const char *query = strchr(rest, '?');
    char path[UNIX_PATH_MAX_LEN + 1];

    if (*rest != '/')
        return refuse(e, "the socket's path must begin with /: unix:///path");
    if (decode(rest, query ? query : rest + strlen(rest), path, sizeof path))
        return refuse(e, "the socket's path is longer than 107 bytes or has a broken "
                         "%XX");
    mem_set(&out->path, path);
    if (!query)
        return 0;
    if (strncmp(query, "?db=", 4))
        return refuse(e, "only ?db=N may follow the path");
    return parse_db(query + 4, out, e);
}

/* One HOST[:PORT] of the list, in its full form. */
static int add_sentinel(const char *text, size_t len, struct buf *list, struct err *e)
{
    char *host;
    int port = 26379;

    if (settings_parse_host_port(text, len, 1, &host, &port, e))
        return -1;
    buf_addf(list, strchr(host, ':') ? "%s[%s]:%d" : "%s%s:%d", list->len ? "," : "",
             host, port);
    free(host);
    return 0;
}

static int parse_sentinels(const char *rest, size_t len, struct redis_url *out,
                           struct err *e)
{
    struct buf list;
    int result = -1;

    buf_init(&list, 4096);
    for (const char *end = rest + len; rest <= end;) {
        const char *comma = memchr(rest, ',', (size_t)(end - rest));
        const char *stop = comma ? comma : end;

        if (add_sentinel(rest, (size_t)(stop - rest), &list, e))
            goto out;
        rest = stop + 1;
    }
    if (list.failed) {
        (void)refuse(e, "too many sentinels");
        goto out;
    }
    out->sentinels = buf_take(&list);
    result = 0;
out:
    buf_done(&list);
    return result;
}

/* H1[:PORT],H2[:PORT]/NAME[?db=N] */
static int parse_sentinel(const char *rest, struct redis_url *out, struct err *e)
{
    size_t len = strcspn(rest, "/?"), name;

    if (parse_sentinels(rest, len, out, e))
        return -1;
    rest += len;
    name = *rest == '/' ? strcspn(rest + 1, "?/") : 0;
    if (!name)
        return refuse(e, "the name of the master set is missing: /NAME at the end");
    out->sentinel_name = mem_dup(rest + 1, name);
    rest += 1 + name;
    if (!*rest)
        return 0;
    if (strncmp(rest, "?db=", 4))
        return refuse(e, "only ?db=N may follow the name");
    return parse_db(rest + 4, out, e);
}

static const struct {
    const char *scheme;
    int (*parse)(const char *rest, struct redis_url *out, struct err *e);
} redis_schemes[] = {
    {"redis", parse_tcp},
    {"rediss", parse_tls},
    {"unix", parse_unix},
    {"redis-sentinel", parse_sentinel},
};

int settings_parse_redis_url(const char *text, struct redis_url *out, struct err *e)
{
    struct redis_url got = {0};
    const char *rest;

    for (size_t i = 0; i < ARRAY_LEN(redis_schemes); i++) {
        if (!settings_has_scheme(text, redis_schemes[i].scheme, &rest))
            continue;
        if (take_login(&rest, &got, e) || redis_schemes[i].parse(rest, &got, e)) {
            settings_redis_url_done(&got);
            return -1;
        }
        settings_redis_url_done(out);
        *out = got;
        return 0;
    }
    return refuse(e,
                  "begins with none of redis:// rediss:// unix:// redis-sentinel://");
}

void settings_redis_url_done(struct redis_url *url)
{
    free(url->path);
    free(url->host);
    free(url->user);
    free(url->sentinel_name);
    free(url->sentinels);
    secret_done(&url->password);
    *url = (struct redis_url){0};
}
