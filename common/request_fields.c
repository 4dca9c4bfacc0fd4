/* request_fields: see request_fields.h. */
#include "request_fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "utf8.h"
#include "when.h"

#define TICKET_ID_MAX INT64_C(9007199254740991) /* 2^53-1: exact in any JSON parser */
#define USERS_MAX INT64_C(1000000)

const char *request_fields_show(char out[static REQUEST_SHOWN_MAX], const char *text,
                                size_t len)
{
    const char *p = text, *end = text + len;
    size_t chars = 0, at = 0;

    out[at++] = '"';
    for (; p < end && chars < REQUEST_SHOWN_CHARS; chars++) {
        const char *start = p;
        int32_t c = utf8_next(&p, end);

        if (c >= 0 && utf8_printable(c)) {
            memcpy(out + at, start, (size_t)(p - start));
            at += (size_t)(p - start);
            continue;
        }
        if (c < 0)
            c = (unsigned char)*p++;
        at +=
            (size_t)snprintf(out + at, REQUEST_SHOWN_MAX - at, "\\u{%X}", (unsigned)c);
    }
    (void)snprintf(out + at, REQUEST_SHOWN_MAX - at, "%s\"", p < end ? "..." : "");
    return out;
}

void request_fields_fault(struct request_parse *p, const char *field, const char *fmt,
                          ...)
{
    char text[ERR_TEXT_MAX + REQUEST_SHOWN_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap); /* every fault is shorter */
    va_end(ap);
    p->faults_seen++;
    buf_addf(p->faults, "%s: %s\n", field, text);
}

/* Digits alone. No sign, blank, fraction, exponent or leading zero: each has a second
 * reading somewhere (octal, rounding, a cut copy), and a license for a misread number
 * of users is worse than a question back. 0: out of range or no such number. */
static int64_t whole_number(const char *text, int64_t max)
{
    int64_t n = 0;

    if (text[0] == '0')
        return 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return 0;
        n = n * 10 + (*text - '0');
        if (n > max)
            return 0;
    }
    return n;
}

static int64_t read_number(struct request_parse *p, const struct request_field *f,
                           const char *text, int64_t max)
{
    char shown[REQUEST_SHOWN_MAX];
    int64_t n = whole_number(text, max);

    if (n == 0)
        request_fields_fault(
            p, f->name,
            "must be a whole number from 1 to %lld, written in digits alone; got %s",
            (long long)max, request_fields_show(shown, text, strlen(text)));
    return n;
}

static void read_ticket_id(struct request_parse *p, const struct request_field *f,
                           const char *text)
{
    p->out->ticket_id = read_number(p, f, text, TICKET_ID_MAX);
}

static void read_users(struct request_parse *p, const struct request_field *f,
                       const char *text)
{
    int64_t cap = p->rules->max_users;

    p->out->users = read_number(p, f, text, USERS_MAX);
    if (cap > 0 && p->out->users > cap)
        request_fields_fault(p, f->name,
                             "%lld is more than STOPGAP_MAX_USERS allows: at most %lld",
                             (long long)p->out->users, (long long)cap);
}

static void read_email(struct request_parse *p, const struct request_field *f,
                       const char *text)
{
    struct err e;

    if (address_normalise(text, p->out->email, &e))
        request_fields_fault(p, f->name, "%s", e.text);
}

/* Copies text to f's place if it has at most max_chars, all of them printable or one
 * of `also`. Every place has room for that many characters of 4 bytes. */
static void copy_text(struct request_parse *p, const struct request_field *f,
                      const char *text, const char *also)
{
    const char *s = text, *end = text + strlen(text);
    size_t chars = 0;

    for (; s < end; chars++) {
        int32_t c;

        if (*s >= ' ' && *s <= '~') { /* most of it */
            s++;
            continue;
        }
        c = utf8_next(&s, end);
        if (!utf8_printable(c) && !(c > 0 && c < 0x80 && strchr(also, c))) {
            request_fields_fault(
                p, f->name, "the control character U+%04X is not allowed", (unsigned)c);
            return;
        }
    }
    if (chars > f->max_chars) {
        request_fields_fault(p, f->name, "%zu characters; at most %zu are allowed",
                             chars, f->max_chars);
        return;
    }
    memcpy((char *)p->out + f->at, text, (size_t)(end - text) + 1);
}

static void read_line(struct request_parse *p, const struct request_field *f,
                      const char *text)
{
    if (text[strspn(text, " ")] == '\0')
        request_fields_fault(p, f->name, "nothing but spaces");
    else
        copy_text(p, f, text, "");
}

/* Staff only, in a fence: lines and tabs are welcome. CRLF is how some senders end a
 * line; a CR alone would hide text. */
static void read_note(struct request_parse *p, const struct request_field *f,
                      const char *text)
{
    char *lf = mem_strdup(text), *to = lf;

    for (const char *s = text; *s; s++)
        if (s[0] != '\r' || s[1] != '\n')
            *to++ = *s;
    *to = '\0';
    copy_text(p, f, lf, "\n\t");
    free(lf);
}

static void read_plan(struct request_parse *p, const struct request_field *f,
                      const char *text)
{
    size_t len = strlen(text);

    if (len >= sizeof p->out->plan) {
        request_fields_fault(p, f->name, "longer than %zu characters",
                             sizeof p->out->plan - 1);
        return;
    }
    if (text[0] == ' ' || text[len - 1] == ' ') {
        request_fields_fault(p, f->name, "starts or ends with a space");
        return;
    }
    for (size_t i = 0; i < len; i++)
        if (text[i] < 0x20 || text[i] > 0x7E) {
            request_fields_fault(p, f->name,
                                 "only printable ASCII characters are allowed");
            return;
        }
    for (size_t i = 0; i <= len; i++)
        p->out->plan[i] =
            (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
}

static void read_expired_on(struct request_parse *p, const struct request_field *f,
                            const char *text)
{
    char shown[REQUEST_SHOWN_MAX];
    int64_t day;

    if (!when_parse_date(text, &day))
        request_fields_fault(p, f->name,
                             "must be a date that exists, as YYYY-MM-DD; got %s",
                             request_fields_show(shown, text, strlen(text)));
    else
        memcpy(p->out->license_expired_on, text, sizeof p->out->license_expired_on);
}

static void read_version(struct request_parse *p, const struct request_field *f,
                         const char *text)
{
    char shown[REQUEST_SHOWN_MAX];

    if (strcmp(text, "1") != 0)
        request_fields_fault(p, f->name, "this program knows version 1 only; got %s",
                             request_fields_show(shown, text, strlen(text)));
}

static void read_resend(struct request_parse *p, const struct request_field *f,
                        const char *text)
{
    if (strlen(text) != JOB_ID_LEN ||
        strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz") != JOB_ID_LEN)
        request_fields_fault(
            p, f->name, "must be a job's id: %d characters of 0-9 and a-z", JOB_ID_LEN);
    else
        memcpy(p->out->resend_of, text, JOB_ID_LEN + 1);
}

/* Host of an URL: from after "://" to port, path or end. */
static const char *url_host(const char *url, size_t *len)
{
    const char *host = strstr(url, "://");

    host = host ? host + 3 : url;
    *len = strcspn(host, ":/?#");
    return host;
}

/* Why the text is no https URL on the wanted host, or NULL. clear: http is one, too. */
static const char *url_fault(const char *text, bool clear, const char *zendesk_url)
{
    size_t len, want_len, port_len;
    const char *host, *want, *rest;

    for (const char *s = text; *s; s++)
        if (*s <= 0x20 || *s >= 0x7F || strchr("\\\"<>^`{|}", *s))
            return "has a character that no URL may hold";
    if (strncasecmp(text, "https://", 8) != 0 &&
        !(clear && strncasecmp(text, "http://", 7) == 0))
        return "must start with https://";
    host = url_host(text, &len);
    if (memchr(host, '@', strcspn(host, "/?#")))
        return "a user name before the host is not allowed";
    if (len == 0 || strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789.-") < len)
        return "has no valid host name";
    rest = host + len;
    if (*rest == ':') {
        port_len = strspn(++rest, "0123456789");
        if (port_len == 0 || port_len > 5 || !strchr("/?#", rest[port_len]))
            return "has no valid port";
    }
    if (!zendesk_url)
        return NULL;
    want = url_host(zendesk_url, &want_len);
    if (len != want_len || strncasecmp(host, want, len) != 0)
        return "must be on the host of STOPGAP_ZENDESK_URL";
    return NULL;
}

static void read_ticket_url(struct request_parse *p, const struct request_field *f,
                            const char *text)
{
    const char *why = url_fault(text, p->stored, p->rules->zendesk_url);

    if (!why && strlen(text) >= sizeof p->out->ticket_url)
        why = "longer than 1023 characters";
    if (why)
        request_fields_fault(p, f->name, "%s", why);
    else
        memcpy(p->out->ticket_url, text, strlen(text) + 1);
}

void request_fields_build_url(struct request_parse *p)
{
    const char *base = p->rules->zendesk_url;
    size_t len = base ? strlen(base) : 0;

    while (len > 0 && base[len - 1] == '/')
        len--;
    if (len == 0 || len > 512 || p->out->ticket_id == 0 || p->resend)
        return;
    (void)snprintf(p->out->ticket_url, sizeof p->out->ticket_url,
                   "%.*s/agent/tickets/%lld", (int)len, base,
                   (long long)p->out->ticket_id);
}

#define AT(member) offsetof(struct request, member)

const struct request_field request_fields[REQUEST_FIELD_COUNT] = {
    {"ticket_id", FORM_REQUEST, NEED_ALWAYS, true, 0, 0, read_ticket_id},
    {"email", FORM_REQUEST, NEED_ALWAYS, false, 0, 0, read_email},
    {"users", FORM_REQUEST, NEED_ALWAYS, true, 0, 0, read_users},
    {"requested_by", FORM_BOTH, NEED_ALWAYS, false, AT(requested_by), 255, read_line},
    {"ticket_url", FORM_REQUEST, NEED_NEVER, false, 0, 0, read_ticket_url},
    {"note", FORM_REQUEST, NEED_NEVER, false, AT(note), 500, read_note},
    {"plan", FORM_REQUEST, NEED_FOR_SCOPE, false, 0, 0, read_plan},
    {"license_expired_on", FORM_REQUEST, NEED_FOR_SCOPE, false, 0, 0, read_expired_on},
    {"idempotency_key", FORM_REQUEST, NEED_NEVER, false, AT(idempotency_key), 128,
     read_line},
    {"v", FORM_BOTH, NEED_NEVER, true, 0, 0, read_version},
    {"resend", FORM_RESEND, NEED_ALWAYS, false, 0, 0, read_resend},
};
