/* smtp_proto: replies, offers, commands and content, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "mem.h"
#include "smtp_proto.h"

/* Feeds text in pieces of `step` bytes; the outcome of the last piece. */
static enum smtp_feed feed(struct smtp_reader *r, const char *text, size_t step)
{
    enum smtp_feed f = SMTP_FEED_MORE;
    size_t used, len = strlen(text);

    for (size_t i = 0; i < len && f == SMTP_FEED_MORE; i += used) {
        size_t n = len - i < step ? len - i : step;

        f = smtp_proto_feed(r, text + i, n, &used);
        assert_true(used <= n);
    }
    return f;
}

struct reply_case {
    const char *wire;
    enum smtp_feed feed;
    int code;
    const char *text; /* or the fault */
};

static const struct reply_case reply_cases[] = {
    {"250 ok\r\n", SMTP_FEED_REPLY, 250, "ok"},
    {"250\r\n", SMTP_FEED_REPLY, 250, ""},
    {"250 \r\n", SMTP_FEED_REPLY, 250, ""},
    {"250 ok\n", SMTP_FEED_REPLY, 250, "ok"},
    {"250-a\r\n250-b\r\n250 c\r\n", SMTP_FEED_REPLY, 250, "a\nb\nc"},
    {"250-\r\n250 \r\n", SMTP_FEED_REPLY, 250, "\n"},
    {"550-5.1.1 no\r\n550 such user\r\n", SMTP_FEED_REPLY, 550, "5.1.1 no\nsuch user"},
    {"554 a\001b\tc\rd\177\r\n", SMTP_FEED_REPLY, 554, "a b c d "},
    {"554 caf\303\251 \351t\351\r\n", SMTP_FEED_REPLY, 554, "caf\303\251 ?t?"},
    {"554 \300\257\355\240\200\364\220\200\200\360\237\230\200\r\n", SMTP_FEED_REPLY,
     554, "?????????\360\237\230\200"},
    {"554 cut \303\r\n", SMTP_FEED_REPLY, 554, "cut ?"},
    {"250-half\r\n", SMTP_FEED_MORE, 0, NULL},
    {"250 half", SMTP_FEED_MORE, 0, NULL},
    {"250-a\r\n251 b\r\n", SMTP_FEED_BAD, 0, "the codes of one reply differ"},
    {"250-a\r\nb\r\n", SMTP_FEED_BAD, 0, "its answer is not SMTP"},
    {"hello\r\n", SMTP_FEED_BAD, 0, "its answer is not SMTP"},
    {"\r\n", SMTP_FEED_BAD, 0, "its answer is not SMTP"},
    {"25\r\n", SMTP_FEED_BAD, 0, "its answer is not SMTP"},
    {"2500 ok\r\n", SMTP_FEED_BAD, 0, "its answer is not SMTP"},
    {"250:ok\r\n", SMTP_FEED_BAD, 0, "its answer is not SMTP"},
    {"150 no\r\n", SMTP_FEED_BAD, 0, "its answer is not SMTP"},
    {"650 no\r\n", SMTP_FEED_BAD, 0, "its answer is not SMTP"},
    {" 250 no\r\n", SMTP_FEED_BAD, 0, "its answer is not SMTP"},
    {"HTTP/1.1 400 Bad Request\r\n", SMTP_FEED_BAD, 0, "its answer is not SMTP"},
};

static void reads_replies_however_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(reply_cases); i++) {
        const struct reply_case *c = &reply_cases[i];

        for (size_t step = 1; step < 40; step += 3) {
            struct smtp_reader r;

            smtp_proto_init(&r);
            assert_int_equal(feed(&r, c->wire, step), c->feed);
            if (c->feed == SMTP_FEED_REPLY) {
                assert_int_equal(r.code, c->code);
                assert_string_equal(r.text.data, c->text);
            } else if (c->feed == SMTP_FEED_BAD) {
                assert_string_equal(r.fault, c->text);
            } else {
                assert_true(smtp_proto_inside(&r));
            }
            smtp_proto_done(&r);
        }
    }
}

static void takes_one_reply_at_a_time(void **state)
{
    static const char wire[] = "250 one\r\n354-two\r\n354 go\r\n55";
    struct smtp_reader r;
    size_t used, at = 0;

    (void)state;
    smtp_proto_init(&r);
    assert_false(smtp_proto_inside(&r));
    assert_int_equal(smtp_proto_feed(&r, wire, strlen(wire), &used), SMTP_FEED_REPLY);
    assert_int_equal(used, 9);
    assert_int_equal(r.code, 250);
    assert_false(smtp_proto_inside(&r));
    at = used;
    assert_int_equal(smtp_proto_feed(&r, wire + at, strlen(wire) - at, &used),
                     SMTP_FEED_REPLY);
    assert_int_equal(r.code, 354);
    assert_string_equal(r.text.data, "two\ngo");
    at += used;
    assert_int_equal(smtp_proto_feed(&r, wire + at, strlen(wire) - at, &used),
                     SMTP_FEED_MORE);
    assert_int_equal(used, 2);
    assert_true(smtp_proto_inside(&r));
    smtp_proto_restart(&r);
    assert_false(smtp_proto_inside(&r));
    smtp_proto_done(&r);
}

static void a_nul_is_a_blank(void **state)
{
    struct smtp_reader r;
    size_t used;

    (void)state;
    smtp_proto_init(&r);
    assert_int_equal(smtp_proto_feed(&r, "250 a\0b\r\n", 9, &used), SMTP_FEED_REPLY);
    assert_string_equal(r.text.data, "a b");
    smtp_proto_done(&r);
}

/* `lines` lines of `len` bytes each before CRLF. */
static enum smtp_feed feed_lines(size_t lines, size_t len, bool ended)
{
    struct buf wire;
    struct smtp_reader r;
    enum smtp_feed f;
    size_t used;

    buf_init(&wire, 1 << 20);
    for (size_t i = 0; i < lines; i++) {
        buf_adds(&wire, ended && i + 1 == lines ? "250 " : "250-");
        for (size_t k = 4; k < len; k++)
            buf_addc(&wire, 'x');
        buf_adds(&wire, "\r\n");
    }
    smtp_proto_init(&r);
    f = smtp_proto_feed(&r, wire.data, wire.len, &used);
    smtp_proto_done(&r);
    buf_done(&wire);
    return f;
}

static void replies_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(feed_lines(1, SMTP_LINE_MAX - 1, true), SMTP_FEED_REPLY);
    assert_int_equal(feed_lines(1, SMTP_LINE_MAX + 1, true), SMTP_FEED_BAD);
    assert_int_equal(feed_lines(SMTP_LINES_MAX, 80, true), SMTP_FEED_REPLY);
    assert_int_equal(feed_lines(SMTP_LINES_MAX, SMTP_LINE_MAX - 1, true),
                     SMTP_FEED_REPLY);
    assert_int_equal(feed_lines(SMTP_LINES_MAX, 80, false), SMTP_FEED_BAD);
    assert_int_equal(feed_lines(SMTP_LINES_MAX + 1, 80, true), SMTP_FEED_BAD);
}

static void an_endless_line_is_cut_off(void **state)
{
    char piece[1000];
    struct smtp_reader r;
    enum smtp_feed f = SMTP_FEED_MORE;
    size_t used, fed = 0;

    (void)state;
    memset(piece, 'x', sizeof piece);
    smtp_proto_init(&r);
    for (; f == SMTP_FEED_MORE && fed < 100000; fed += used)
        f = smtp_proto_feed(&r, piece, sizeof piece, &used);
    assert_int_equal(f, SMTP_FEED_BAD);
    assert_true(fed <= SMTP_LINE_MAX);
    smtp_proto_done(&r);
}

static void reads_what_is_offered(void **state)
{
    struct smtp_offer o;

    (void)state;
    smtp_proto_offer("mx.example.org PIPELINING\nSIZE 35882577\npipelining\nStartTLS\n"
                     "auth cram-md5 Plain LOGIN\nDSN\n8bitmime\nHELP",
                     &o);
    assert_true(o.pipelining && o.starttls && o.dsn && o.eightbit && o.size);
    assert_true(o.auth && o.auth_plain && o.auth_login);
    assert_int_equal(o.size_max, 35882577);

    smtp_proto_offer("PIPELINING DSN STARTTLS", &o);
    assert_false(o.pipelining || o.dsn || o.starttls);

    smtp_proto_offer("x\nAUTH=LOGIN\nSIZE\nPIPELININGX\nDSNS\nXSTARTTLS\n\n ", &o);
    assert_true(o.auth && o.auth_login && o.size);
    assert_false(o.auth_plain || o.pipelining || o.dsn || o.starttls);
    assert_int_equal(o.size_max, 0);

    smtp_proto_offer("x\nAUTH XOAUTH2 PLAINTEXT\nSIZE 99999999999999999999999", &o);
    assert_true(o.auth);
    assert_false(o.auth_plain || o.auth_login);
    assert_true(o.size_max > 0);
}

static void stuff_is(const char *data, const char *wire, size_t size)
{
    struct buf out;

    buf_init(&out, 4096);
    assert_int_equal(smtp_proto_stuff(&out, data, strlen(data)), size);
    assert_string_equal(out.data, wire);
    buf_done(&out);
}

static void stuffs_dots_and_line_ends(void **state)
{
    (void)state;
    stuff_is("", ".\r\n", 0);
    stuff_is("a\r\n", "a\r\n.\r\n", 3);
    stuff_is("a", "a\r\n.\r\n", 3);
    stuff_is(".\r\n", "..\r\n.\r\n", 3);
    stuff_is(".", "..\r\n.\r\n", 3);
    stuff_is("..\r\n.a\r\n", "...\r\n..a\r\n.\r\n", 8);
    stuff_is("a.\r\n\r\n.b\r\n", "a.\r\n\r\n..b\r\n.\r\n", 10);
    stuff_is("a\n.\nb", "a\r\n..\r\nb\r\n.\r\n", 9);
    stuff_is("a\r.\rb", "a\r\n..\r\nb\r\n.\r\n", 9);
    stuff_is("a\r\n.\r\r\nb\r", "a\r\n..\r\n\r\nb\r\n.\r\n", 11);
    stuff_is("\r\n", "\r\n.\r\n", 2);
    stuff_is("\n\r", "\r\n\r\n.\r\n", 4);
}

static void too_large_content_is_told(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 8);
    (void)smtp_proto_stuff(&out, "0123456789", 10);
    assert_true(out.failed);
    buf_done(&out);
}

static void knows_8bit(void **state)
{
    char data[40];

    (void)state;
    for (size_t len = 1; len <= sizeof data; len++)
        for (size_t at = 0; at < len; at++) {
            memset(data, 'x', sizeof data);
            assert_false(smtp_proto_is_8bit(data, len));
            data[at] = '\200';
            assert_true(smtp_proto_is_8bit(data, len));
            assert_false(smtp_proto_is_8bit(data, at));
        }
    assert_false(smtp_proto_is_8bit("plain\r\n", 7));
    assert_false(smtp_proto_is_8bit("", 0));
    assert_true(smtp_proto_is_8bit("caf\303\251", 5));
}

static void commands_carry_only_what_is_offered(void **state)
{
    struct smtp_mail m = {.from = "b@example.org", .to = "a@x.test", .envid = "j+1=2"};
    struct smtp_offer none = {0};
    struct smtp_offer all = {.size = true, .dsn = true, .eightbit = true};
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    smtp_proto_mail(&out, &none, &m, 100, true);
    smtp_proto_rcpt(&out, &none, &m);
    assert_string_equal(out.data,
                        "MAIL FROM:<b@example.org>\r\nRCPT TO:<a@x.test>\r\n");
    buf_reset(&out);
    smtp_proto_mail(&out, &all, &m, 100, true);
    smtp_proto_rcpt(&out, &all, &m);
    assert_string_equal(out.data, "MAIL FROM:<b@example.org> SIZE=100 BODY=8BITMIME "
                                  "RET=HDRS ENVID=j+2B1+3D2\r\n"
                                  "RCPT TO:<a@x.test> NOTIFY=FAILURE,DELAY\r\n");
    buf_reset(&out);
    m.envid = NULL;
    m.from = "";
    smtp_proto_mail(&out, &all, &m, 0, false);
    assert_string_equal(out.data, "MAIL FROM:<> RET=HDRS\r\n");
    buf_done(&out);
}

static void auth_messages(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    smtp_proto_auth_plain(&out, "user", "pass", 4);
    assert_string_equal(out.data, "AHVzZXIAcGFzcw==");
    buf_reset(&out);
    smtp_proto_auth_plain(&out, "u", NULL, 0);
    assert_string_equal(out.data, "AHUA");
    buf_done(&out);
}

static void nothing_can_start_another_line(void **state)
{
    static const char *const hostile[] = {
        "",
        "a@x\r\nRCPT TO:<b@x",
        "a@x\n",
        "a@x> NOTIFY=NEVER",
        "a@x>",
        "<a@x",
        "a b@x",
        "a\t@x",
        "a\001@x",
        "a\177@x",
        "caf\303\251@x",
    };
    struct smtp_mail good = {.from = "b@x", .to = "a@x", .envid = "id"};
    struct err e = {0};
    char longest[300];

    (void)state;
    assert_int_equal(smtp_proto_check(&good, &e), 0);
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
        struct smtp_mail to = good, from = good, envid = good;

        to.to = from.from = envid.envid = hostile[i];
        assert_int_equal(smtp_proto_check(&to, &e), -1);
        assert_int_equal(e.class, ERR_INVALID);
        if (hostile[i][0]) { /* no sender and no ENVID are fine */
            assert_int_equal(smtp_proto_check(&from, &e), -1);
            assert_int_equal(smtp_proto_check(&envid, &e), -1);
        }
    }
    memset(longest, 'a', sizeof longest);
    longest[255] = '\0';
    good.to = longest;
    assert_int_equal(smtp_proto_check(&good, &e), -1);
    longest[254] = '\0';
    assert_int_equal(smtp_proto_check(&good, &e), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_replies_however_cut),
        cmocka_unit_test(takes_one_reply_at_a_time),
        cmocka_unit_test(a_nul_is_a_blank),
        cmocka_unit_test(replies_are_bounded),
        cmocka_unit_test(an_endless_line_is_cut_off),
        cmocka_unit_test(reads_what_is_offered),
        cmocka_unit_test(stuffs_dots_and_line_ends),
        cmocka_unit_test(too_large_content_is_told),
        cmocka_unit_test(knows_8bit),
        cmocka_unit_test(commands_carry_only_what_is_offered),
        cmocka_unit_test(auth_messages),
        cmocka_unit_test(nothing_can_start_another_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
