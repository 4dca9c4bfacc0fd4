/* httpd_reader: see httpd_reader.h. First every byte is looked at once, as it comes
 * (scan: line ends, controls, size); the whole head is then cut into its parts. */
#include "httpd_reader.h"

#include <string.h>
#include <strings.h>

#include "mem.h"

#define LENGTH_DIGITS_MAX 18 /* fits an int64_t; leading zeros count */

struct reader {
    const char *bytes;
    struct httpd_head *head;
    bool old; /* HTTP/1.0 */
    size_t hosts;
    size_t lengths;
    size_t encodings;
    bool close;
    bool expects;
    bool expects_other;
    size_t body_max;
    const char **why;
};

static int refuse(struct reader *r, int status, const char *why)
{
    *r->why = why;
    return status;
}

/* RFC 9110 section 5.6.2. */
static const char token_marks[] = "!#$%&'*+-.^_`|~";

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_token(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!is_alnum(s[i]) && (!s[i] || !strchr(token_marks, s[i])))
            return false;
    return len > 0;
}

static bool is_word(const char *s, size_t len, const char *word)
{
    return strlen(word) == len && strncasecmp(s, word, len) == 0;
}

static struct httpd_slice slice(const struct reader *r, const char *from,
                                const char *to)
{
    return (struct httpd_slice){.at = (uint16_t)(from - r->bytes),
                                .len = (uint16_t)(to - from)};
}

/* --- the request line ---------------------------------------------------------------
 */

static int read_target(struct reader *r, const char *from, const char *to)
{
    const char *mark = memchr(from, '?', (size_t)(to - from));

    if (to - from > HTTPD_TARGET_MAX)
        return refuse(r, 414, "the target is too long");
    if (from == to || *from != '/')
        return refuse(r, 400, "the target is no path");
    for (const char *p = from; p < to; p++)
        if (*p <= ' ' || *p > '~' || *p == '#')
            return refuse(r, 400, "a character that no target has");
    r->head->path = slice(r, from, mark ? mark : to);
    r->head->query = mark ? slice(r, mark + 1, to) : slice(r, to, to);
    return 0;
}

static int read_version(struct reader *r, const char *from, const char *to)
{
    if (to - from != 8 || memcmp(from, "HTTP/", 5) != 0 || !is_digit(from[5]) ||
        from[6] != '.' || !is_digit(from[7]))
        return refuse(r, 400, "no version of HTTP");
    if (from[5] != '1' || from[7] > '1')
        return refuse(r, 505, "this version of HTTP is not spoken here");
    r->old = from[7] == '0';
    return 0;
}

static int read_request_line(struct reader *r, const char *from, const char *to)
{
    const char *first = memchr(from, ' ', (size_t)(to - from));
    const char *second =
        first ? memchr(first + 1, ' ', (size_t)(to - first - 1)) : NULL;
    int status;

    if (!second || !is_token(from, (size_t)(first - from)))
        return refuse(r, 400, "no request line");
    r->head->method = slice(r, from, first);
    status = read_version(r, second + 1, to);
    return status ? status : read_target(r, first + 1, second);
}

/* --- fields -------------------------------------------------------------------------
 */

/* HOST [ ":" PORT ]: a name, an IPv4 address, or an IPv6 one in brackets. */
static int read_host(struct reader *r, const char *v, size_t len)
{
    static const char name_marks[] = "-._~";
    bool bracket = len && *v == '[';
    size_t i = bracket;

    while (i < len &&
           (is_alnum(v[i]) || (v[i] && strchr(bracket ? ":." : name_marks, v[i]))))
        i++;
    if (i == (size_t)bracket || (bracket && (i == len || v[i++] != ']')))
        return refuse(r, 400, "a Host that is none");
    if (i < len && v[i] == ':')
        while (++i < len && is_digit(v[i]))
            ;
    if (i < len)
        return refuse(r, 400, "a Host that is none");
    r->hosts++;
    return 0;
}

static int read_length(struct reader *r, const char *v, size_t len)
{
    size_t n = 0;

    if (r->lengths++)
        return refuse(r, 400, "more than one Content-Length");
    if (!len || len > LENGTH_DIGITS_MAX)
        return refuse(r, 400, "a Content-Length that is none");
    for (size_t i = 0; i < len; i++) {
        if (!is_digit(v[i]))
            return refuse(r, 400, "a Content-Length that is none");
        n = n * 10 + (size_t)(v[i] - '0');
    }
    r->head->body_len = n;
    return 0;
}

static int read_encoding(struct reader *r, const char *v, size_t len)
{
    (void)v;
    (void)len;
    r->encodings++;
    return 0;
}

/* A list; options that we do not know are none of our business. */
static int read_connection(struct reader *r, const char *v, size_t len)
{
    const char *end = v + len;

    while (v < end) {
        const char *stop = memchr(v, ',', (size_t)(end - v));
        const char *to = stop ? stop : end;

        while (v < to && (*v == ' ' || *v == '\t'))
            v++;
        while (to > v && (to[-1] == ' ' || to[-1] == '\t'))
            to--;
        r->close = r->close || is_word(v, (size_t)(to - v), "close");
        v = stop ? stop + 1 : end;
    }
    return 0;
}

static int read_expect(struct reader *r, const char *v, size_t len)
{
    if (is_word(v, len, "100-continue"))
        r->expects = true;
    else
        r->expects_other = true;
    return 0;
}

static const struct {
    const char *name;
    int (*read)(struct reader *r, const char *value, size_t len);
} known[] = {
    {"Host", read_host},
    {"Content-Length", read_length},
    {"Transfer-Encoding", read_encoding},
    {"Connection", read_connection},
    {"Expect", read_expect},
};

static int read_field(struct reader *r, const char *from, const char *to)
{
    const char *colon = memchr(from, ':', (size_t)(to - from));
    const char *value;

    if (*from == ' ' || *from == '\t')
        return refuse(r, 400, "a folded field");
    if (!colon || !is_token(from, (size_t)(colon - from)))
        return refuse(r, 400, "a field without a name");
    if (r->head->field_count == HTTPD_FIELDS_MAX)
        return refuse(r, 431, "too many fields");
    value = colon + 1;
    while (value < to && (*value == ' ' || *value == '\t'))
        value++;
    while (to > value && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    r->head->fields[r->head->field_count++] = (struct httpd_head_field){
        .name = slice(r, from, colon), .value = slice(r, value, to)};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (is_word(from, (size_t)(colon - from), known[i].name))
            return known[i].read(r, value, (size_t)(to - value));
    return 0;
}

/* --- what the head says as a whole --------------------------------------------------
 */

static bool is_method(const struct reader *r, const char *name)
{
    return r->head->method.len == strlen(name) &&
           memcmp(r->bytes + r->head->method.at, name, strlen(name)) == 0;
}

static int check_framing(struct reader *r)
{
    if (r->encodings && (r->lengths || r->old))
        return refuse(r, 400, "a Transfer-Encoding that cannot be");
    if (r->encodings)
        return refuse(r, 501, "a body comes with a Content-Length here");
    if (!r->lengths &&
        (is_method(r, "POST") || is_method(r, "PUT") || is_method(r, "PATCH")))
        return refuse(r, 411, "the Content-Length is missing");
    if (r->head->body_len > r->body_max)
        return refuse(r, 413, "the body is too large");
    return 0;
}

static int check(struct reader *r)
{
    int status;

    if (r->hosts > 1 || (r->hosts == 0 && !r->old))
        return refuse(r, 400, r->hosts ? "more than one Host" : "the Host is missing");
    status = check_framing(r);
    if (status)
        return status;
    if (r->expects_other && !r->old)
        return refuse(r, 417, "an expectation that is not met here");
    r->head->wants_continue = r->expects && !r->old; /* RFC 9110 section 10.1.1 */
    r->head->keep_alive = !r->old && !r->close;
    return 0;
}

/* The lines of a whole head; scan has seen to their ends. */
static int cut(struct reader *r, size_t from, size_t end)
{
    const char *line = r->bytes + from;
    const char *stop = memchr(line, '\r', end - from);
    int status = read_request_line(r, line, stop);

    while (!status) {
        line = stop + 2;
        stop = memchr(line, '\r', (size_t)(r->bytes + end - line));
        if (line == stop)
            break;
        status = read_field(r, line, stop);
    }
    return status ? status : check(r);
}

/* --- bytes as they come -------------------------------------------------------------
 */

static bool is_plain(char c)
{
    unsigned char u = (unsigned char)c;

    return u >= ' ' && u != 0x7f;
}

static bool may_stand(char c, char before)
{
    if (before == '\r' || c == '\n')
        return before == '\r' && c == '\n';
    return is_plain(c) || c == '\t' || c == '\r';
}

/* One empty line before a request is let pass (RFC 9112 section 2.2): old clients send
 * it after a body, and nobody can read it as anything else. */
static bool is_first_empty(const struct httpd_scan *s)
{
    return s->line == 0 && s->at == 1;
}

/* Most bytes need no more than one look. */
static size_t skip_plain(const char *bytes, size_t at, size_t len)
{
    if (at && bytes[at - 1] == '\r')
        return at;
    while (at < len && is_plain(bytes[at]))
        at++;
    return at;
}

static enum httpd_read scan_head(struct httpd_scan *s, const char *bytes, size_t len,
                                 int *status, const char **why)
{
    size_t stop = len < HTTPD_HEAD_MAX ? len : HTTPD_HEAD_MAX;

    while ((s->at = skip_plain(bytes, s->at, stop)) < stop) {
        char c = bytes[s->at];

        if (!may_stand(c, s->at ? bytes[s->at - 1] : ' ')) {
            *status = 400;
            *why = "a control character, or a line that does not end in CRLF";
            return HTTPD_READ_REFUSED;
        }
        if (c == '\n' && s->at == s->line + 1 && !is_first_empty(s)) {
            s->at++;
            return HTTPD_READ_HEAD;
        }
        s->at++;
        if (c == '\n')
            s->line = s->at;
    }
    if (len <= HTTPD_HEAD_MAX)
        return HTTPD_READ_MORE;
    *status = 431;
    *why = "the head is too large";
    return HTTPD_READ_REFUSED;
}

enum httpd_read httpd_reader_head(struct httpd_scan *scan, const char *bytes,
                                  size_t len, size_t body_max, struct httpd_head *head,
                                  int *status, const char **why)
{
    enum httpd_read got = scan_head(scan, bytes, len, status, why);
    struct reader r = {.bytes = bytes, .head = head, .body_max = body_max, .why = why};
    int refused;

    if (got != HTTPD_READ_HEAD)
        return got;
    head->field_count = head->body_len = 0;
    head->len = scan->at;
    refused = cut(&r, bytes[0] == '\r' ? 2 : 0, scan->at);
    if (!refused)
        return HTTPD_READ_HEAD;
    *status = refused;
    return HTTPD_READ_REFUSED;
}
