/* Mails out of hostile values and templates. Whatever is accepted: only our headers,
 * each once and in order; CRLF everywhere; no line over 998; nothing but ASCII; the
 * boundaries stand where we put them and nowhere else. */
#include <stdbool.h>

#include "fuzz_input.h"
#include "mail.h"
#include "template.h"

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
