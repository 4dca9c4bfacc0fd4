/* The mail: headers and their order, structure, encodings, equal bytes, refusals; the
 * encodings by themselves. The golden files are also read by a mail library, see
 * tests/integration/test_mail_parse.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "golden.h"
#include "mail.h"
#include "mem.h"
#include "mime.h"
#include "template.h"

static const char license[] =
    "-----BEGIN STOPGAP LICENSE-----\n"
    "v4.public.eyJpc3MiOiJzdG9wZ2FwIiwic3ViIjoiamFuZUBleGFtcGxlLmNvbSIsImF1ZCI6InNl"
    "bGYtbWFuYWdlZCIsImp0aSI6IjAxMjM0NTY3ODlhYmNkZWZnaGprbW5wcXJzIn0\n"
    "-----END STOPGAP LICENSE-----\n";

/* 2026-01-31T12:00:05Z, and ten days on. */
static const struct mail good = {
    .job_id = "0123456789abcdefghjkmnpqrs",
    .from = "Example Support <support@example.org>",
    .reply_to = "help@example.org",
    .to = "jane@example.com",
    .date_ms = 1769860805000,
    .ticket_id = 42,
    .users = 150,
    .issued_ms = 1769860805000,
    .expires_ms = 1770724805000,
    .license = license,
    .license_format = "stopgap",
    .file_name = "ticket-42.license",
};

static struct templates *built_in;

static int load(void **state)
{
    struct err e;

    (void)state;
    built_in = templates_load(NULL, &e);
    return built_in ? sodium_init() < 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    templates_free(built_in);
    return 0;
}

/* What every message must be, whatever is in it. */
static void assert_clean(const struct buf *b)
{
    size_t line = 0;

    assert_true(b->len > 2);
    for (size_t i = 0; i < b->len; i++) {
        unsigned char c = (unsigned char)b->data[i];

        assert_true(c < 0x7F);
        if (c == '\r')
            assert_int_equal(b->data[i + 1], '\n');
        if (c == '\n')
            assert_int_equal(b->data[i - 1], '\r');
        line = c == '\n' ? 0 : line + 1;
        assert_true(line <= 998);
    }
    assert_string_equal(b->data + b->len - 2, "\r\n");
}

static void build(const struct mail *m, const struct templates *t, struct buf *out)
{
    struct err e = {.class = ERR_NONE};

    buf_init(out, MAIL_MAX_BYTES);
    if (mail_build(m, t, out, &e) < 0)
        fail_msg("%s", e.text);
    assert_clean(out);
}

static void test_golden(void **state)
{
    struct buf b;

    (void)state;
    build(&good, built_in, &b);
    golden_check("mail-stopgap.eml", b.data, b.len);
    buf_done(&b);
}

static void test_golden_gitlab(void **state)
{
    struct mail m = good;
    struct buf b;

    (void)state;
    m.license_format = "gitlab";
    m.file_name = "ticket-42.gitlab-license";
    m.reply_to = NULL;
    m.from = "\"J\xC3\xB6rg, Support\" <support@example.org>";
    m.serial = 1;
    build(&m, built_in, &b);
    golden_check("mail-gitlab.eml", b.data, b.len);
    buf_done(&b);
}

static void test_header_order(void **state)
{
    static const char *const order[] = {
        "Date: Sat, 31 Jan 2026 12:00:05 +0000\r\n",
        "From: Example Support <support@example.org>\r\n",
        "To: jane@example.com\r\n",
        "Reply-To: help@example.org\r\n",
        "Subject: Emergency license for your ticket 42\r\n",
        "Message-ID: <",
        "Auto-Submitted: auto-generated\r\n",
        "X-Auto-Response-Suppress: All\r\n",
        "X-Stopgap-Job: 0123456789abcdefghjkmnpqrs\r\n",
        "MIME-Version: 1.0\r\n",
        "Content-Type: multipart/mixed;\r\n",
    };
    struct buf b;
    const char *p;

    (void)state;
    build(&good, built_in, &b);
    p = b.data;
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        assert_int_equal(strncmp(p, order[i], strlen(order[i])), 0);
        p = strstr(p, "\r\n") + 2;
    }
    assert_int_equal(strncmp(p, " boundary=\"=_m", 14), 0);
    buf_done(&b);
}

static void test_equal_input_gives_equal_bytes(void **state)
{
    struct buf a, b;

    (void)state;
    build(&good, built_in, &a);
    build(&good, built_in, &b);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    buf_done(&a);
    buf_done(&b);
}

static void test_message_id(void **state)
{
    struct mail m = good;
    char first[320], other[320];

    (void)state;
    mail_message_id(&good, first);
    assert_int_equal(strlen(first), 1 + 32 + strlen("@example.org>"));
    assert_string_equal(first + 33, "@example.org>");
    m.date_ms++;
    m.users++;
    mail_message_id(&m, other);
    assert_string_equal(first, other);
    m.serial = 1;
    mail_message_id(&m, other);
    assert_string_not_equal(first, other);
    m = good;
    m.to = "john@example.com";
    mail_message_id(&m, other);
    assert_string_not_equal(first, other);
    m = good;
    m.job_id = "0123456789abcdefghjkmnpqrt";
    mail_message_id(&m, other);
    assert_string_not_equal(first, other);
    m.from = "nobody";
    mail_message_id(&m, other);
    assert_string_equal(other + 33, "@invalid>");
}

static void assert_subject(const char *subject, const char *wanted)
{
    const char *texts[TEMPLATE_COUNT] = {subject, NULL, NULL};
    struct err e;
    struct templates *t = templates_parse(texts, &e);
    struct buf b;

    assert_non_null(t);
    build(&good, t, &b);
    if (!strstr(b.data, wanted))
        fail_msg("%.900s\ndoes not hold\n%s", b.data, wanted);
    buf_done(&b);
    templates_free(t);
}

static void test_subject_forms(void **state)
{
    (void)state;
    assert_subject("Ticket {{ticket}}", "\r\nSubject: Ticket 42\r\nMessage-ID");
    assert_subject("License f\xC3\xBCr {{ticket}}",
                   "\r\nSubject: =?UTF-8?B?TGljZW5zZSBmw7xyIDQy?=\r\n");
    assert_subject("=?UTF-8?Q?x?=",
                   "\r\nSubject: =?UTF-8?B?PT9VVEYtOD9RP3g/PQ==?=\r\n");
    assert_subject(
        "Emergency license for the support ticket {{ticket}} of your team, "
        "please read",
        "Subject: Emergency license for the support ticket 42 of your team, please"
        "\r\n read\r\n");
}

static void test_subject_refused(void **state)
{
    static const char *const subjects[] = {"{{license}}", "a\tb", "a\x01"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(subjects); i++) {
        const char *texts[TEMPLATE_COUNT] = {subjects[i], NULL, NULL};
        struct err e = {.class = ERR_NONE};
        struct templates *t = templates_parse(texts, &e);
        struct buf b;

        assert_non_null(t);
        buf_init(&b, MAIL_MAX_BYTES);
        assert_int_equal(mail_build(&good, t, &b, &e), -1);
        assert_int_equal(e.class, ERR_CONFIG);
        assert_int_equal(b.len, 0);
        buf_done(&b);
        templates_free(t);
    }
}

static void assert_refused(struct mail m, enum err_class class)
{
    struct err e = {.class = ERR_NONE};
    struct buf b;

    buf_init(&b, MAIL_MAX_BYTES);
    assert_int_equal(mail_build(&m, built_in, &b, &e), -1);
    assert_int_equal(e.class, class);
    assert_true(e.text[0] != '\0');
    assert_int_equal(b.len, 0);
    buf_done(&b);
}

#define REFUSED(member, value, class)                                                  \
    do {                                                                               \
        struct mail bad = good;                                                        \
        bad.member = value;                                                            \
        assert_refused(bad, class);                                                    \
    } while (0)

static void test_values_that_break_out(void **state)
{
    (void)state;
    REFUSED(to, "a@b.example\r\nBcc: c@d.example", ERR_INVALID);
    REFUSED(to, "a@b.example, c@d.example", ERR_INVALID);
    REFUSED(to, "<a@b.example>", ERR_INVALID);
    REFUSED(to, "a@b@c.example", ERR_INVALID);
    REFUSED(to, "@b.example", ERR_INVALID);
    REFUSED(to, "a@", ERR_INVALID);
    REFUSED(to, "", ERR_INVALID);
    REFUSED(to, "j\xC3\xB6@b.example", ERR_INVALID);
    REFUSED(job_id, "a b", ERR_INVALID);
    REFUSED(job_id, "a\nb", ERR_INVALID);
    REFUSED(job_id, "", ERR_INVALID);
    REFUSED(file_name, "a\"b.license", ERR_INVALID);
    REFUSED(file_name, "../a.license", ERR_INVALID);
    REFUSED(file_name, "a\r\nb", ERR_INVALID);
    REFUSED(file_name, ".license", ERR_INVALID);
    REFUSED(license, "", ERR_INVALID);
    REFUSED(license, "a\x01", ERR_INVALID);
    REFUSED(license, "\xC3\xA4", ERR_INVALID);
    REFUSED(from, "nobody", ERR_CONFIG);
    REFUSED(from, "A\nB <a@b.example>", ERR_CONFIG);
    REFUSED(reply_to, "", ERR_CONFIG);
    REFUSED(reply_to, "a@b.example\nBcc: c@d.example", ERR_CONFIG);
}

static void test_too_large_a_mail(void **state)
{
    struct err e = {.class = ERR_NONE};
    struct buf b;

    (void)state;
    buf_init(&b, 2000);
    assert_int_equal(mail_build(&good, built_in, &b, &e), -1);
    assert_int_equal(e.class, ERR_CONFIG);
    assert_int_equal(b.len, 0);
    assert_false(b.failed);
    buf_done(&b);
}

static void assert_says(const struct mail *m, const char *words)
{
    const char *texts[TEMPLATE_COUNT] = {
        NULL, "{{license}}\n{{start_date}}\n{{end_date}}\n{{end_time}}\n{{support}}\n",
        NULL};
    struct err e;
    struct templates *t = templates_parse(texts, &e);
    struct buf b;

    assert_non_null(t);
    build(m, t, &b);
    if (!strstr(b.data, words))
        fail_msg("the mail does not say: %s", words);
    buf_done(&b);
    templates_free(t);
}

static void test_dates_of_the_formats(void **state)
{
    struct mail m = good;

    (void)state;
    assert_says(&m, "\r\nSaturday, 31 January 2026\r\nTuesday, 10 February 2026\r\n"
                    "12:00:05 UTC\r\nhelp@example.org\r\n");
    m.license_format = "gitlab";
    m.reply_to = NULL;
    assert_says(&m, "\r\nFriday, 30 January 2026\r\nTuesday, 10 February 2026\r\n"
                    "00:00 on your server's clock (the last full day is Monday, 9 Feb");
}

#define DIGITS_70                                                                      \
    "0123456789012345678901234567890123456789012345678901234567890123456789"

static void assert_qp(const char *text, const char *wanted)
{
    struct buf b;

    buf_init(&b, 65536);
    mime_add_qp(&b, text, strlen(text));
    assert_string_equal(b.data, wanted);
    buf_done(&b);
}

static void test_quoted_printable(void **state)
{
    (void)state;
    assert_qp("", "");
    assert_qp("a\nb\r\nc\rd", "a\r\nb\r\nc\r\nd");
    assert_qp("a=b", "a=3Db");
    assert_qp("caf\xC3\xA9", "caf=C3=A9");
    assert_qp("a \nb\t\r\nc ", "a=20\r\nb=09\r\nc=20");
    assert_qp("a b\tc", "a b\tc");
    assert_qp("\x01\x7F", "=01=7F");
    assert_qp(DIGITS_70 "012345", DIGITS_70 "012345");
    assert_qp(DIGITS_70 "012345\n", DIGITS_70 "012345\r\n");
    assert_qp(DIGITS_70 "0123456", DIGITS_70 "01234=\r\n56");
    assert_qp(DIGITS_70 "012=", DIGITS_70 "012=3D");
    assert_qp(DIGITS_70 "012=x", DIGITS_70 "012=\r\n=3Dx");
}

static void test_base64_lines(void **state)
{
    char bytes[115];
    struct buf b;

    (void)state;
    memset(bytes, 0, sizeof bytes);
    buf_init(&b, 65536);
    mime_add_base64(&b, bytes, 57);
    assert_int_equal(b.len, 76);
    buf_reset(&b);
    mime_add_base64(&b, bytes, sizeof bytes);
    assert_int_equal(b.len, 76 + 2 + 76 + 2 + 4);
    assert_string_equal(b.data + 154, "\r\nAA==");
    buf_done(&b);
}

static void test_encoded_words_fit_and_keep_characters_whole(void **state)
{
    char subject[301];
    struct buf b;
    size_t line = 0;

    (void)state;
    for (size_t i = 0; i < 300; i += 3)
        memcpy(subject + i, "\xE2\x82\xAC", 4); /* euro signs */
    buf_init(&b, 65536);
    mime_add_text(&b, "Subject", subject);
    for (const char *p = b.data; *p; p++) {
        line = *p == '\n' ? 0 : line + 1;
        assert_true(line <= 77); /* 76 and CR */
    }
    for (const char *p = strstr(b.data, "?B?"); p; p = strstr(p + 3, "?B?"))
        assert_int_equal(strncmp(p + 3, "4oKs", 4), 0);
    buf_done(&b);
}

static void assert_mailbox(const char *display, const char *address, const char *wanted)
{
    struct buf b;

    buf_init(&b, 65536);
    mime_add_mailbox(&b, "From", display, address);
    assert_string_equal(b.data, wanted);
    buf_done(&b);
}

static void test_mailboxes(void **state)
{
    (void)state;
    assert_mailbox("", "a@b.example", "From: a@b.example\r\n");
    assert_mailbox("A B", "a@b.example", "From: A B <a@b.example>\r\n");
    assert_mailbox("B, A", "a@b.example", "From: \"B, A\" <a@b.example>\r\n");
    assert_mailbox("A \"B\" \\", "a@b.example",
                   "From: \"A \\\"B\\\" \\\\\" <a@b.example>\r\n");
    assert_mailbox("J\xC3\xB6rg", "a@b.example",
                   "From: =?UTF-8?B?SsO2cmc=?= <a@b.example>\r\n");
    assert_mailbox("=?x?=", "a@b.example",
                   "From: =?UTF-8?B?PT94Pz0=?= <a@b.example>\r\n");
    assert_mailbox("The team that helps",
                   "a@a-rather-long-domain-name-that-goes-on.and-on.example",
                   "From: The team that helps\r\n"
                   " <a@a-rather-long-domain-name-that-goes-on.and-on.example>\r\n");
}

static void test_header_safe(void **state)
{
    (void)state;
    assert_true(mime_header_safe(""));
    assert_true(mime_header_safe("a b \xC3\xA4"));
    assert_false(mime_header_safe("a\nb"));
    assert_false(mime_header_safe("a\rb"));
    assert_false(mime_header_safe("a\x7F"));
    assert_false(mime_header_safe("a\xC2\x85"));
    assert_false(mime_header_safe("a\xE2\x80\xA8"));
    assert_false(mime_header_safe("a\xFF"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_golden_gitlab),
        cmocka_unit_test(test_header_order),
        cmocka_unit_test(test_equal_input_gives_equal_bytes),
        cmocka_unit_test(test_message_id),
        cmocka_unit_test(test_subject_forms),
        cmocka_unit_test(test_subject_refused),
        cmocka_unit_test(test_values_that_break_out),
        cmocka_unit_test(test_too_large_a_mail),
        cmocka_unit_test(test_dates_of_the_formats),
        cmocka_unit_test(test_quoted_printable),
        cmocka_unit_test(test_base64_lines),
        cmocka_unit_test(test_encoded_words_fit_and_keep_characters_whole),
        cmocka_unit_test(test_mailboxes),
        cmocka_unit_test(test_header_safe),
    };

    return cmocka_run_group_tests(tests, load, unload);
}
