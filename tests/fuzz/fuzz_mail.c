/* Mails out of hostile values and templates. Whatever is accepted: only our headers,
 * each once and in order; CRLF everywhere; no line over 998; nothing but ASCII; the
 * boundaries stand where we put them and nowhere else; and a reader written for this
 * check alone finds in each header and part what was put in. */
#include <ctype.h>
#include <stdbool.h>

#include "address.h"
#include "fuzz_input.h"
#include "mail.h"
#include "template.h"
#include "template_builtin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const headers[] = {"Date",
                                      "From",
                                      "To",
                                      "Reply-To",
                                      "Subject",
                                      "Message-ID",
                                      "Auto-Submitted",
                                      "X-Auto-Response-Suppress",
                                      "X-Stopgap-Job",
                                      "MIME-Version",
                                      "Content-Type"};

static void check_bytes(const struct buf *b)
{
    size_t line = 0;

    for (size_t i = 0; i < b->len; i++) {
        unsigned char c = (unsigned char)b->data[i];

        PROMISE(c && c < 0x7F);
        PROMISE(c != '\r' || b->data[i + 1] == '\n');
        PROMISE(c != '\n' || (i && b->data[i - 1] == '\r'));
        line = c == '\n' ? 0 : line + 1;
        PROMISE(line <= 998 + 1);
    }
    PROMISE(b->len > 2 && b->data[b->len - 1] == '\n');
}

static void check_headers(const char *p, bool reply_to)
{
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        size_t len = strlen(headers[i]);

        if (!reply_to && !strcmp(headers[i], "Reply-To"))
            continue;
        PROMISE(!strncmp(p, headers[i], len) && p[len] == ':' && p[len + 1] == ' ');
        do {
            PROMISE(strspn(p, " ") != strcspn(p, "\r")); /* not a line of blanks */
            p = strstr(p, "\r\n") + 2;
        } while (*p == ' ');
    }
    PROMISE(p[0] == '\r' && p[1] == '\n');
}

static void check_boundaries(const char *p)
{
    static const char order[] = "mmaaaamm"; /* of both kinds, the first announces it */
    static const char before[] = "\"-\"-----";
    size_t n = 0;

    p = strstr(p, "\r\nContent-Type: multipart/mixed"); /* a subject may say anything */
    for (p = strstr(p, "=_"); p; p = strstr(p + 2, "=_"), n++) {
        PROMISE(n < sizeof order - 1);
        PROMISE(p[2] == order[n]);
        PROMISE(p[-1] == before[n]);
    }
    PROMISE(n == sizeof order - 1);
}

/* ---- a reader ---- */

static int sextet(char c)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Lines of at most 76 characters, each but the last full. */
static void read_base64(const char *p, size_t len, struct buf *out)
{
    unsigned word = 0, have = 0;
    size_t line = 0;

    for (size_t i = 0; i < len; i++) {
        if (p[i] == '\r') {
            PROMISE(line == 76 && p[++i] == '\n');
            line = 0;
            continue;
        }
        line++;
        if (p[i] == '=') {
            PROMISE(i + 2 >= len && (word & ((1U << have) - 1)) == 0);
            continue;
        }
        PROMISE(sextet(p[i]) >= 0);
        word = (word << 6 | (unsigned)sextet(p[i])) & 0xFFFF;
        have += 6;
        if (have >= 8)
            buf_addc(out, (char)(word >> (have -= 8) & 0xFF));
    }
    PROMISE(line <= 76);
}

static unsigned hex(char c)
{
    PROMISE(isdigit((unsigned char)c) || (c >= 'A' && c <= 'F'));
    return (unsigned)(isdigit((unsigned char)c) ? c - '0' : c - 'A' + 10);
}

static void read_qp(const char *p, size_t len, struct buf *out)
{
    size_t line = 0;

    for (size_t i = 0; i < len; i++) {
        bool ends = i + 1 == len || p[i + 1] == '\r';

        line++;
        if (p[i] == '\r') {
            buf_adds(out, "\r\n");
            i++;
            line = 0;
        } else if (p[i] == '=' && p[i + 1] == '\r') {
            i += 2;
            line = 0;
        } else if (p[i] == '=') {
            buf_addc(out, (char)(hex(p[i + 1]) << 4 | hex(p[i + 2])));
            i += 2;
            line += 2;
        } else {
            PROMISE(!ends || (p[i] != ' ' && p[i] != '\t'));
            buf_addc(out, p[i]);
        }
        PROMISE(line <= 76);
    }
}

/* The end of the encoded-word at p; NULL: none is there. It stands alone between blanks
 * (RFC 2047 section 5), so what looks like one within an address is none. */
static const char *find_word(const char *p, bool apart)
{
    const char *end = NULL;

    if (apart && !strncmp(p, "=?UTF-8?B?", 10))
        end = strstr(p + 10, "?=");
    return end && end == p + 10 + strcspn(p + 10, "? \r") && strchr(" \r", end[2])
               ? end
               : NULL;
}

/* Up to the next line end that no blank follows: unfolded, its encoded-words read. */
static const char *read_header(const char *p, struct buf *out)
{
    bool encoded = false;

    while (*p != '\r' || p[2] == ' ') {
        size_t blanks = strspn(p, " \r\n");
        const char *end = find_word(p + blanks, blanks > 0);
        bool word = end != NULL;

        if (!word || !encoded) /* between two of them blanks are none */
            buf_adds(out, blanks ? " " : "");
        encoded = word;
        p += blanks;
        if (word) {
            PROMISE(end + 2 - p <= 75);
            read_base64(p + 10, (size_t)(end - p - 10), out);
            p = end + 2;
        } else if (!blanks) {
            buf_addc(out, *p++);
        }
    }
    return p + 2;
}

/* Blanks at the ends away, runs of them one. */
static void tidy(const char *text, struct buf *out)
{
    for (const char *p = text + strspn(text, " "); *p;) {
        size_t n = strcspn(p, " ");

        buf_add(out, p, n);
        p += n;
        p += strspn(p, " ");
        if (*p)
            buf_addc(out, ' ');
    }
}

static void same_text(const char *a, const char *b)
{
    struct buf x, y;

    buf_init(&x, MAIL_MAX_BYTES);
    buf_init(&y, MAIL_MAX_BYTES);
    tidy(a, &x);
    tidy(b, &y);
    PROMISE(!strcmp(x.data, y.data));
    buf_done(&x);
    buf_done(&y);
}

static void find_header(const char *mail, const char *name, struct buf *out)
{
    char start[64];

    buf_init(out, MAIL_MAX_BYTES);
    (void)snprintf(start, sizeof start, "\r\n%s:", name);
    (void)read_header(strstr(mail, start) + strlen(start), out);
}

/* `name` as it stands in front of <address>: quoted or not. */
static void write_name(const char *name, const char *address, bool quoted,
                       struct buf *out)
{
    buf_init(out, MAIL_MAX_BYTES);
    buf_adds(out, quoted ? "\"" : "");
    for (; *name; name++) {
        if (quoted && strchr("\"\\", *name))
            buf_addc(out, '\\');
        buf_addc(out, *name);
    }
    buf_addf(out, "%s <%s>", quoted ? "\"" : "", address);
}

static void check_mailbox(const char *mail, const char *header, const char *given)
{
    char name[256], address[ADDRESS_MAX + 1];
    struct buf got, want;
    struct err e;

    find_header(mail, header, &got);
    PROMISE(address_parse_mailbox(given, name, address, &e) == 0);
    write_name(name, address, got.data[strspn(got.data, " ")] == '"', &want);
    if (name[strspn(name, " ")])
        same_text(got.data, want.data);
    else
        PROMISE(strstr(got.data, address));
    buf_done(&got);
    buf_done(&want);
}

/* What a part has to hold when it was text: its line ends are those of mail. */
static void to_crlf(const struct buf *text, struct buf *out)
{
    for (const char *p = text->data; *p; p++)
        if (*p == '\n' || *p == '\r') {
            buf_adds(out, "\r\n");
            p += p[0] == '\r' && p[1] == '\n';
        } else {
            buf_addc(out, *p);
        }
}

/* What the mail was made of, rendered by values that are right for these dates. */
static void render(const struct mail *m, const struct templates *t,
                   enum template_part part, struct buf *out)
{
    bool days = !strcmp(m->license_format, "gitlab");
    char name[256], support[ADDRESS_MAX + 1];
    struct err e;
    char *license = mem_strdup(m->license);
    size_t len = strlen(license);

    if (len && license[len - 1] == '\n')
        license[len - 1] = '\0';
    PROMISE(
        !address_parse_mailbox(m->reply_to ? m->reply_to : m->from, name, support, &e));
    const struct template_value values[] = {
        {"ticket", "42"},
        {"users", "150"},
        {"email", m->to},
        {"start_date", days ? "Friday, 30 January 2026" : "Saturday, 31 January 2026"},
        {"end_date", "Tuesday, 10 February 2026"},
        {"end_time", days
                         ? "00:00 on your server's clock (the last full day is Monday, "
                           "9 February 2026)"
                         : "12:00:05 UTC"},
        {"license", license},
        {"license_file", m->file_name},
        {"install", template_builtin_install(m->license_format)},
        {"support", support},
        {"job", m->job_id},
    };

    buf_init(out, MAIL_MAX_BYTES);
    template_render(t, part, values, ARRAY_LEN(values), out);
    free(license);
}

/* A text may hold a line that looks like a part's header, and no boundary. */
static bool follows_boundary(const char *mail, const char *p)
{
    const char *line = p;

    while (line > mail && line[-1] != '\n')
        line--;
    return !strncmp(line, "--=_", 4);
}

/* The part whose header holds `kind`: from the empty line to the boundary. */
static const char *find_part(const char *mail, const char *kind, size_t *len)
{
    const char *p = strstr(mail, kind);

    while (p && !follows_boundary(mail, p))
        p = strstr(p + 2, kind);
    PROMISE(p);
    p = strstr(p, "\r\n\r\n") + 4;
    *len = (size_t)(strstr(p, "\r\n--=_") - p);
    return p;
}

static void check_part(const struct mail *m, const struct templates *t,
                       const char *mail, const char *kind, enum template_part part)
{
    struct buf rendered, want, got;
    size_t len;
    const char *body = find_part(mail, kind, &len);

    buf_init(&want, 4 * MAIL_MAX_BYTES);
    buf_init(&got, MAIL_MAX_BYTES);
    render(m, t, part, &rendered);
    to_crlf(&rendered, &want);
    read_qp(body, len, &got);
    PROMISE(!strcmp(want.data, got.data));
    buf_done(&rendered);
    buf_done(&want);
    buf_done(&got);
}

static void check_content(const struct mail *m, const struct templates *t,
                          const char *mail)
{
    const char *body = strstr(mail, "\r\n\r\n");
    struct buf subject, rendered, license;
    char id[320];
    size_t len;

    find_header(mail, "Message-ID", &subject);
    mail_message_id(m, id);
    same_text(subject.data, id);
    buf_done(&subject);
    find_header(mail, "Subject", &subject);
    render(m, t, TEMPLATE_SUBJECT, &rendered);
    same_text(subject.data, rendered.data);
    check_mailbox(mail, "From", m->from);
    if (m->reply_to)
        check_mailbox(mail, "Reply-To", m->reply_to);
    check_part(m, t, body, "\r\nContent-Type: text/plain;", TEMPLATE_TEXT);
    check_part(m, t, body, "\r\nContent-Type: text/html;", TEMPLATE_HTML);
    buf_init(&license, MAIL_MAX_BYTES);
    body = find_part(body, "\r\nContent-Type: application/octet-stream;", &len);
    read_base64(body, len, &license);
    PROMISE(!strcmp(license.data, m->license));
    buf_done(&subject);
    buf_done(&rendered);
    buf_done(&license);
}

static void check(const struct mail *m, const struct templates *t)
{
    struct err e = {.class = ERR_NONE};
    struct buf a, b;

    buf_init(&a, MAIL_MAX_BYTES);
    buf_init(&b, MAIL_MAX_BYTES);
    if (mail_build(m, t, &a, &e) < 0) {
        PROMISE(e.class == ERR_INVALID || e.class == ERR_CONFIG);
        PROMISE(a.len == 0);
    } else {
        check_bytes(&a);
        check_headers(a.data, m->reply_to != NULL);
        check_boundaries(a.data);
        if (!m->sample)
            check_content(m, t, a.data);
        PROMISE(mail_build(m, t, &b, &e) == 0 && a.len == b.len &&
                !memcmp(a.data, b.data, a.len));
    }
    buf_done(&a);
    buf_done(&b);
}

/* An empty field stands for a good value, so that one mutation is enough to get
 * through to any of them. */
static const char *or_good(const char *field, const char *good)
{
    return field[0] ? field : good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    char *f[9];
    struct err e = {.class = ERR_NONE};
    struct templates *t;

    for (size_t i = 0; i < ARRAY_LEN(f); i++)
        f[i] = fuzz_field(&in);
    const struct mail m = {
        .job_id = or_good(f[0], "0123456789abcdefghjkmnpqrs"),
        .from = or_good(f[1], "Support <support@example.org>"),
        .reply_to = f[2][0] ? f[2] : NULL,
        .to = or_good(f[3], "jane@example.com"),
        .date_ms = 1769860805000,
        .serial = (int64_t)(size % 3),
        .ticket_id = 42,
        .users = 150,
        .issued_ms = 1769860805000,
        .expires_ms = 1770724805000,
        .license = or_good(f[4], "LICENSE\n"),
        .license_format = size % 2 ? "stopgap" : "gitlab",
        .file_name = or_good(f[5], "ticket-42.license"),
        .sample = size % 11 == 10,
    };
    const char *texts[TEMPLATE_COUNT] = {f[6][0] ? f[6] : NULL, f[7][0] ? f[7] : NULL,
                                         f[8][0] ? f[8] : NULL};

    t = templates_parse(texts, &e);
    PROMISE(t || e.class == ERR_CONFIG);
    if (t)
        check(&m, t);
    templates_free(t);
    for (size_t i = 0; i < ARRAY_LEN(f); i++)
        free(f[i]);
    return 0;
}
