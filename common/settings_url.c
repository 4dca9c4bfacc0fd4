/* settings_url: URLs, listeners and host names out of a setting's text. Pure: resolves
 * nothing. No fault's text holds a part of the value, since it may hold a password. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "num.h"
#include "settings_internal.h"

#define HOST_MAX 253 /* RFC 1035 section 2.3.4, without the root's dot */

static int refuse(struct err *e, const char *why)
{
    (void)err_set(e, ERR_CONFIG, 0, "%s", why);
    return -1;
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool settings_is_host(const char *text)
{
    struct in6_addr six;
    size_t len = strlen(text), label = 0;

    if (strchr(text, ':'))
        return inet_pton(AF_INET6, text, &six) == 1;
    if (len == 0 || len > HOST_MAX)
        return false;
    for (const char *p = text; *p; p++) {
        bool edge = label == 0 || p[1] == '.' || !p[1];

        if (*p == '.' ? label == 0
                      : !is_alnum(*p) && (edge || (*p != '-' && *p != '_')))
            return false;
        label = *p == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return label > 0;
}

bool settings_is_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;

    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &six) == 1)
        return IN6_IS_ADDR_LOOPBACK(&six);
    return !strcasecmp(host, "localhost");
}

/* The ends of HOST in [text, end), and where what follows it begins. */
static int split_host(const char *text, const char *end, char **host, const char **rest,
                      struct err *e)
{
    const char *stop;

    if (text < end && *text == '[') {
        stop = memchr(text, ']', (size_t)(end - text));
        if (!stop)
            return refuse(e, "[ without ]");
        *host = mem_dup(text + 1, (size_t)(stop - text - 1));
        *rest = stop + 1;
        if (strchr(*host, ':') && settings_is_host(*host))
            return 0;
        free(*host);
        return refuse(e, "no IPv6 address between [ and ]");
    }
    stop = memchr(text, ':', (size_t)(end - text));
    stop = stop ? stop : end;
    *host = mem_dup(text, (size_t)(stop - text));
    *rest = stop;
    if (settings_is_host(*host))
        return 0;
    free(*host);
    return refuse(e, stop == text ? "the host is missing" : "no valid host name");
}

int settings_parse_host_port(const char *text, size_t len, int min_port, char **host,
                             int *port, struct err *e)
{
    const char *end = text + len, *rest = NULL;
    char *found = NULL, *digits = NULL;
    int64_t n = *port;
    int result = -1;

    if (split_host(text, end, &found, &rest, e))
        return -1;
    if (rest < end) {
        digits = mem_dup(rest + 1, (size_t)(end - rest - 1));
        if (*rest != ':' || !num_parse(digits, min_port, 65535, &n)) {
            (void)refuse(e, "no valid port");
            goto out;
        }
    }
    *host = found;
    *port = (int)n;
    found = NULL;
    result = 0;
out:
    free(found);
    free(digits);
    return result;
}

int settings_parse_listen(const char *text, bool off_allowed, struct listen_addr *out,
                          struct err *e)
{
    struct listen_addr got = {.port = -1};

    if (off_allowed && !strcmp(text, "off")) {
        free(out->host);
        *out = (struct listen_addr){0};
        return 0;
    }
    if (settings_parse_host_port(text, strlen(text), 0, &got.host, &got.port, e))
        return -1;
    if (got.port < 0) {
        free(got.host);
        return refuse(e, "the port is missing");
    }
    free(out->host);
    *out = got;
    return 0;
}

bool settings_has_scheme(const char *text, const char *scheme, const char **rest)
{
    size_t len = strlen(scheme);

    if (strncasecmp(text, scheme, len) || strncmp(text + len, "://", 3))
        return false;
    *rest = text + len + 3;
    return true;
}

int settings_parse_smtp_url(const char *text, struct smtp_url *out, struct err *e)
{
    struct smtp_url got = {0};
    const char *rest;
    size_t len;

    if (settings_has_scheme(text, "smtps", &rest))
        got = (struct smtp_url){.implicit_tls = true, .port = 465};
    else if (settings_has_scheme(text, "smtp", &rest))
        got.port = 25;
    else
        return refuse(e, "begins with neither smtp:// nor smtps://");
    if (strchr(rest, '@'))
        return refuse(e, "user and password belong into STOPGAP_SMTP_USER and "
                         "STOPGAP_SMTP_PASSWORD");
    len = strlen(rest);
    if (len && rest[len - 1] == '/')
        len--;
    if (settings_parse_host_port(rest, len, 1, &got.host, &got.port, e))
        return -1;
    free(out->host);
    *out = got;
    return 0;
}

int settings_check_http_url(const char *text, bool path_allowed, struct err *e)
{
    const char *rest, *path;
    char *host;
    int port = 0;

    if (!settings_has_scheme(text, "https", &rest) &&
        !settings_has_scheme(text, "http", &rest))
        return refuse(e, "begins with neither https:// nor http://");
    if (strpbrk(rest, "@?#"))
        return refuse(e, "a user, a ?query or a #fragment has no place here");
    for (const char *p = rest; *p; p++)
        if (*p <= ' ' || *p > '~' || strchr("\"<>\\^`{|}", *p))
            return refuse(e, "a character that no URL may hold");
    path = rest + strcspn(rest, "/");
    if (!path_allowed && path[0] && path[1])
        return refuse(e, "a path has no place here");
    if (settings_parse_host_port(rest, (size_t)(path - rest), 1, &host, &port, e))
        return -1;
    free(host);
    return 0;
}

char *settings_url_host(const char *url)
{
    const char *start = strstr(url, "://") + 3;
    char *host = NULL;
    int port = 0;
    struct err e;

    if (settings_parse_host_port(start, strcspn(start, "/"), 1, &host, &port, &e))
        abort(); /* it was checked */
    return host;
}
