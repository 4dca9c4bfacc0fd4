/* mail: see mail.h. Order of headers, structure and encodings: RFC 5322, 2046, 3834;
 * nothing here is random and nothing reads a clock. */
#include "mail.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "license.h"
#include "mem.h"
#include "mime.h"
#include "template.h"
#include "template_builtin.h"
#include "utf8.h"
#include "when.h"

#define HASH_BYTES 16
#define PART_MAX 131072
#define SUBJECT_MAX 500
#define MESSAGE_ID_MAX 320
#define LICENSE_MAX 65536

struct mailbox {
    char name[256];
    char address[ADDRESS_MAX + 1];
};

/* Everything that goes into the message, ready to be written. */
struct parts {
    struct mailbox from;
    struct mailbox reply_to; /* address "" when there is none */
    char message_id[MESSAGE_ID_MAX];
    char key[2 * HASH_BYTES + 1]; /* of the boundaries */
    char date[WHEN_TEXT_MAX];
    struct buf rendered[TEMPLATE_COUNT];
};

/* What the templates are told; strings that need room live here. */
struct values {
    char ticket[24];
    char users[24];
    char start_date[WHEN_TEXT_MAX];
    char end_date[WHEN_TEXT_MAX];
    char end_time[160];
    char *license; /* owned; without its last line end */
};

/* Hash over what makes this mail this mail, and what the hash is for. */
static void hash_hex(const struct mail *m, const char *purpose,
                     char out[static 2 * HASH_BYTES + 1])
{
    unsigned char hash[HASH_BYTES];
    struct buf in;

    buf_init(&in, 4096);
    buf_addf(&in, "stopgap %s\n%s\n%lld\n%s", purpose, m->job_id, (long long)m->serial,
             m->to);
    (void)crypto_generichash(hash, sizeof hash, (const unsigned char *)in.data, in.len,
                             NULL, 0); /* fails only for sizes out of range */
    (void)sodium_bin2hex(out, 2 * HASH_BYTES + 1, hash, sizeof hash);
    buf_done(&in);
}

static void format_message_id(const struct mail *m, const char *address,
                              char out[static MESSAGE_ID_MAX])
{
    char hash[2 * HASH_BYTES + 1];
    const char *at = strrchr(address, '@');

    hash_hex(m, "message-id", hash);
    (void)snprintf(out, MESSAGE_ID_MAX, "<%s@%s>", hash, at ? at + 1 : "invalid");
}

void mail_message_id(const struct mail *m, char out[static MESSAGE_ID_MAX])
{
    struct mailbox from = {.name = ""};
    struct err e;

    if (address_parse_mailbox(m->from, from.name, from.address, &e) < 0)
        from.address[0] = '\0';
    format_message_id(m, from.address, out);
}

static int refuse(struct err *e, const char *what)
{
    return err_set(e, ERR_INVALID, 0, "the mail's %s cannot stand in a header", what);
}

/* Only characters of set, and at least one. */
static bool only(const char *value, size_t max, const char *set)
{
    size_t len = strlen(value);

    return len > 0 && len <= max && strspn(value, set) == len;
}

#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static bool address_safe(const char *a)
{
    const char *at = strchr(a, '@');

    return at && at != a && at[1] && !strchr(at + 1, '@') &&
           only(a, ADDRESS_MAX, ALNUM "!#$%&'*+-/=?^_`{|}~.@");
}

static int check_values(const struct mail *m, struct err *e)
{
    if (!only(m->job_id, 64, ALNUM "-_"))
        return refuse(e, "job id");
    if (!address_safe(m->to))
        return refuse(e, "recipient");
    if (!only(m->file_name, 128, ALNUM "-_.") || m->file_name[0] == '.')
        return refuse(e, "file name");
    if (strlen(m->license) == 0 || strlen(m->license) > LICENSE_MAX)
        return err_set(e, ERR_INVALID, 0, "the mail has no license of a usable size");
    for (const char *p = m->license; *p; p++)
        if ((*p < ' ' && *p != '\n') || *p >= 0x7F)
            return err_set(e, ERR_INVALID, 0, "the license is not plain text");
    return 0;
}

static int parse_sender(const char *text, const char *setting, struct mailbox *out,
                        struct err *e)
{
    struct err why;

    if (address_parse_mailbox(text, out->name, out->address, &why) < 0)
        return err_set(e, ERR_CONFIG, 0, "%s: %s", setting, why.text);
    if (!mime_header_safe(out->name) || !address_safe(out->address))
        return refuse(e, setting);
    return 0;
}

/* A GitLab license holds dates only: from the day before the signing (a server west of
 * UTC must not see a future license) to the start of its last date. */
static void set_dates(const struct mail *m, struct values *v)
{
    bool days = license_counts_days(m->license_format);
    int64_t start = when_day(m->issued_ms) - (days ? 1 : 0);
    int64_t end = when_day(m->expires_ms);
    char text[WHEN_TEXT_MAX];

    when_format_long_date(start, v->start_date);
    when_format_long_date(end, v->end_date);
    if (days) {
        when_format_long_date(end - 1, text);
        (void)snprintf(v->end_time, sizeof v->end_time,
                       "00:00 on your server's clock (the last full day is %s)", text);
    } else {
        when_format_iso(m->expires_ms, text);
        (void)snprintf(v->end_time, sizeof v->end_time, "%.8s UTC",
                       strchr(text, 'T') + 1);
    }
}

static void set_values(const struct mail *m, struct values *v)
{
    size_t len = strlen(m->license);

    (void)snprintf(v->ticket, sizeof v->ticket, "%lld", (long long)m->ticket_id);
    (void)snprintf(v->users, sizeof v->users, "%lld", (long long)m->users);
    set_dates(m, v);
    v->license = mem_dup(m->license, m->license[len - 1] == '\n' ? len - 1 : len);
}

static void render(const struct mail *m, const struct templates *t, struct parts *p)
{
    const struct mailbox *support = p->reply_to.address[0] ? &p->reply_to : &p->from;
    struct values v;

    set_values(m, &v);
    const struct template_value values[] = {
        {"ticket", v.ticket},
        {"users", v.users},
        {"email", m->to},
        {"start_date", v.start_date},
        {"end_date", v.end_date},
        {"end_time", v.end_time},
        {"license", v.license},
        {"license_file", m->file_name},
        {"install", template_builtin_install(m->license_format)},
        {"support", support->address},
        {"job", m->job_id},
    };
    for (unsigned i = 0; i < TEMPLATE_COUNT; i++)
        template_render(t, (enum template_part)i, values, ARRAY_LEN(values),
                        &p->rendered[i]);
    free(v.license);
}

/* In front of each part, and behind the page's <body> where there is one. */
static void mark_sample(struct parts *p)
{
    static const char *const marks[TEMPLATE_COUNT] = {
        [TEMPLATE_SUBJECT] = "[TEST, NO LICENSE] ",
        [TEMPLATE_TEXT] = "*** This mail is a test. There is no license in it, and "
                          "nothing to do. ***\n\n",
        [TEMPLATE_HTML] = "<p style=\"color:#c00\"><b>This mail is a test. There is no "
                          "license in it, and nothing to do.</b></p>\n"};

    for (unsigned i = 0; i < TEMPLATE_COUNT; i++) {
        struct buf *text = &p->rendered[i], marked;
        const char *body = i == TEMPLATE_HTML ? strstr(text->data, "<body") : NULL;
        size_t head = body ? (size_t)(body - text->data) + strcspn(body, ">") : 0;

        head += body && text->data[head] == '>';
        buf_init(&marked, PART_MAX);
        buf_add(&marked, text->data, head);
        buf_adds(&marked, marks[i]);
        buf_add(&marked, text->data + head, text->len - head);
        buf_done(text);
        *text = marked;
    }
}

static int check_rendered(const struct parts *p, struct err *e)
{
    const struct buf *subject = &p->rendered[TEMPLATE_SUBJECT];

    for (unsigned i = 0; i < TEMPLATE_COUNT; i++)
        if (p->rendered[i].failed)
            return err_set(e, ERR_CONFIG, 0, "a mail template renders to over %d bytes",
                           PART_MAX);
    if (subject->len > SUBJECT_MAX || !mime_header_safe(subject->data) ||
        subject->data[strspn(subject->data, " ")] == '\0')
        return err_set(e, ERR_CONFIG, 0,
                       "mail.subject must render to one line of 1 to %d bytes",
                       SUBJECT_MAX);
    return 0;
}

static int prepare(const struct mail *m, const struct templates *t, struct parts *p,
                   struct err *e)
{
    if (check_values(m, e) < 0 ||
        parse_sender(m->from, "STOPGAP_MAIL_FROM", &p->from, e) < 0)
        return -1;
    if (m->reply_to &&
        parse_sender(m->reply_to, "STOPGAP_MAIL_REPLY_TO", &p->reply_to, e) < 0)
        return -1;
    format_message_id(m, p->from.address, p->message_id);
    hash_hex(m, "boundary", p->key);
    when_format_mail(m->date_ms, p->date);
    render(m, t, p);
    if (m->sample)
        mark_sample(p);
    return check_rendered(p, e);
}

static void add_headers(const struct mail *m, const struct parts *p, struct buf *out)
{
    buf_addf(out, "Date: %s\r\n", p->date);
    mime_add_mailbox(out, "From", p->from.name, p->from.address);
    buf_addf(out, "To: %s\r\n", m->to);
    if (p->reply_to.address[0])
        mime_add_mailbox(out, "Reply-To", p->reply_to.name, p->reply_to.address);
    mime_add_text(out, "Subject", p->rendered[TEMPLATE_SUBJECT].data);
    buf_addf(out,
             "Message-ID: %s\r\n"
             "Auto-Submitted: auto-generated\r\n"
             "X-Auto-Response-Suppress: All\r\n"
             "X-Stopgap-Job: %s\r\n"
             "MIME-Version: 1.0\r\n",
             p->message_id, m->job_id);
}

/* No check that a boundary is not in a part: "=_" cannot come out of quoted-printable
 * or base64. */
static void add_multipart(const struct parts *p, const char *kind, char mark,
                          struct buf *out)
{
    buf_addf(out,
             "Content-Type: multipart/%s;\r\n"
             " boundary=\"=_%c%s\"\r\n\r\n",
             kind, mark, p->key);
}

static void add_boundary(const struct parts *p, char mark, bool last, struct buf *out)
{
    buf_addf(out, "--=_%c%s%s\r\n", mark, p->key, last ? "--" : "");
}

static void add_text(const struct parts *p, enum template_part part, const char *kind,
                     struct buf *out)
{
    const struct buf *rendered = &p->rendered[part];

    add_boundary(p, 'a', false, out);
    buf_addf(out,
             "Content-Type: text/%s; charset=utf-8\r\n"
             "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
             kind);
    mime_add_qp(out, rendered->data, rendered->len);
    buf_adds(out, "\r\n");
}

static void add_attachment(const struct mail *m, struct buf *out)
{
    buf_addf(out,
             "Content-Type: application/octet-stream;\r\n"
             " name=\"%s\"\r\n"
             "Content-Transfer-Encoding: base64\r\n"
             "Content-Disposition: attachment;\r\n"
             " filename=\"%s\"\r\n\r\n",
             m->file_name, m->file_name);
    mime_add_base64(out, m->license, strlen(m->license));
    buf_adds(out, "\r\n");
}

static void add_message(const struct mail *m, const struct parts *p, struct buf *out)
{
    add_headers(m, p, out);
    add_multipart(p, "mixed", 'm', out);
    add_boundary(p, 'm', false, out);
    add_multipart(p, "alternative", 'a', out);
    add_text(p, TEMPLATE_TEXT, "plain", out);
    add_text(p, TEMPLATE_HTML, "html", out);
    add_boundary(p, 'a', true, out);
    add_boundary(p, 'm', false, out);
    add_attachment(m, out);
    add_boundary(p, 'm', true, out);
}

int mail_build(const struct mail *m, const struct templates *t, struct buf *out,
               struct err *e)
{
    struct parts p = {.from = {.name = ""}};
    int rc;

    buf_reset(out);
    for (unsigned i = 0; i < TEMPLATE_COUNT; i++)
        buf_init(&p.rendered[i], PART_MAX);
    rc = prepare(m, t, &p, e);
    if (rc == 0)
        add_message(m, &p, out);
    if (out->failed) {
        buf_reset(out);
        rc = err_set(e, ERR_CONFIG, 0, "the mail would be over %zu bytes", out->max);
    }
    for (unsigned i = 0; i < TEMPLATE_COUNT; i++)
        buf_done(&p.rendered[i]);
    return rc;
}
