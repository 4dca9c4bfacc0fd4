/* Unit tests of httpd_reader: every rule by a table of heads, and every place at which
 * bytes can be cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <string.h>

#include "buf.h"
#include "httpd_reader.h"
#include "mem.h"

#define BODY_MAX 1000
#define HOST "Host: a.test\r\n"
#define LEN5 "Content-Length: 5\r\n"

struct outcome {
    enum httpd_read read;
    int status;
    const char *why;
    struct httpd_head head;
    size_t at;
};

/* As a connection does it: what is there, then more, from memory of just that size. */
static struct outcome feed(const char *bytes, size_t len, size_t step)
{
    struct outcome o = {.read = HTTPD_READ_MORE};
    struct httpd_scan scan = {0};

    for (size_t have = 0; have < len && o.read == HTTPD_READ_MORE;) {
        char *part;

        have = len - have < step ? len : have + step;
        part = mem_new(have, 1);
        memcpy(part, bytes, have);
        o.read =
            httpd_reader_head(&scan, part, have, BODY_MAX, &o.head, &o.status, &o.why);
        free(part);
    }
    o.at = scan.at;
    return o;
}

static bool is_slice(const char *bytes, struct httpd_slice s, const char *text)
{
    return s.len == strlen(text) && memcmp(bytes + s.at, text, s.len) == 0;
}

static const struct {
    const char *head;
    int status; /* 0: taken; -1: more is wanted */
} rows[] = {
    {"GET / HTTP/1.1\r\n" HOST "\r\n", 0},
    {"GET / HTTP/1.0\r\n\r\n", 0},
    {"GET / HTTP/1.0\r\n" HOST "\r\n", 0},
    {"POST / HTTP/1.1\r\n" HOST LEN5 "\r\nhello", 0},
    {"GET / HTTP/1.1\r\n" HOST "\r", -1},
    {"GET /", -1},
    /* the request line */
    {"\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 0},
    {"\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"\nGET / HTTP/1.1\r\n" HOST "\r\n", 400},
    {" GET / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.1 \r\n" HOST "\r\n", 400},
    {"GET /\tHTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET / \r\n" HOST "\r\n", 400},
    {"GET /\r\n" HOST "\r\n", 400},
    {"GET\r\n" HOST "\r\n", 400},
    {" / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"G(T / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"G\xc3\xa4T / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET / http/1.1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.10\r\n" HOST "\r\n", 400},
    {"GET / HTTP/11\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1,1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.x\r\n" HOST "\r\n", 400},
    {"GET / FTP/1.1\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.2\r\n" HOST "\r\n", 505},
    {"GET / HTTP/2.0\r\n" HOST "\r\n", 505},
    {"GET / HTTP/0.9\r\n" HOST "\r\n", 505},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    {"\x16\x03\x01\x02", 400}, /* TLS */
    /* the target */
    {"GET /?a=b&c=%00 HTTP/1.1\r\n" HOST "\r\n", 0},
    {"GET //x/../y HTTP/1.1\r\n" HOST "\r\n", 0},
    {"GET /#a HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /a\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET /a\x7f HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET http://a.test/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"CONNECT a.test:80 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET ?a HTTP/1.1\r\n" HOST "\r\n", 400},
    {"GET x HTTP/1.1\r\n" HOST "\r\n", 400},
    /* lines */
    {"GET / HTTP/1.1\n" HOST "\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a.test\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "A: b\r\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "A: b\x01\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "A: b\x7f\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "A: b\x1b[0m\r\n\r\n", 400},
    /* fields */
    {"GET / HTTP/1.1\r\n" HOST "A: b\tc \xc3\xa4\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" HOST "A:\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" HOST "A:   \t \r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "A: b\r\n\tc\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n A: b\r\n" HOST "\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "A\t: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "A b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "A\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "(A): b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "A\xc3\xa4: b\r\n\r\n", 400},
    /* Host */
    {"GET / HTTP/1.1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400},
    {"GET / HTTP/1.1\r\n" HOST "host: b.test\r\n\r\n", 400},
    {"GET / HTTP/1.0\r\n" HOST HOST "\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a.test:8080\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\nHost: 127.0.0.1:\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: [\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: []\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a.test:8o\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: u@a.test\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: \xc3\xa4.test\r\n\r\n", 400},
    /* the length */
    {"POST / HTTP/1.1\r\n" HOST "\r\n", 411},
    {"PUT / HTTP/1.1\r\n" HOST "\r\n", 411},
    {"PATCH / HTTP/1.1\r\n" HOST "\r\n", 411},
    {"POST / HTTP/1.0\r\n" HOST "\r\n", 411},
    {"post / HTTP/1.1\r\n" HOST "\r\n", 0}, /* another method: case matters */
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" HOST "cONTENT-lENGTH: 0005 \r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n", 413},
    {"GET / HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n", 413},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 999999999999999999\r\n\r\n", 413},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551621\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST LEN5 LEN5 "\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST LEN5 "Content-Length: 6\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: -5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5 5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5.0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length : 5\r\n\r\n", 400},
    /* other framings */
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n", 501},
    {"GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\n" HOST LEN5 "Transfer-Encoding: chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "transfer-encoding: x\r\n" LEN5 "\r\n", 400},
    {"POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n" LEN5 "\r\n", 400},
    /* what is asked besides */
    {"POST / HTTP/1.1\r\n" HOST LEN5 "Expect: 100-Continue\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" HOST LEN5 "Expect: 200-ok\r\n\r\n", 417},
    {"POST / HTTP/1.1\r\n" HOST LEN5 "Expect: 100-continue, x\r\n\r\n", 417},
    {"POST / HTTP/1.0\r\n" HOST LEN5 "Expect: x\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 0},
};

static int status_of(const struct outcome *o)
{
    return o->read == HTTPD_READ_MORE ? -1 : o->read == HTTPD_READ_HEAD ? 0 : o->status;
}

static void test_every_rule_at_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t len = strlen(rows[i].head);

        for (size_t step = len; step > 0; step = step > 7 ? step / 2 : step - 1) {
            struct outcome o = feed(rows[i].head, len, step);

            if (status_of(&o) != rows[i].status)
                fail_msg("%d, not %d (%s), in steps of %zu: %s", status_of(&o),
                         rows[i].status, o.why ? o.why : "", step, rows[i].head);
        }
    }
}

static void test_nul(void **state)
{
    static const char head[] = "GET /a HTTP/1.1\r\nHost: a.test\r\nA: bc\r\n\r\n";

    (void)state;
    for (size_t i = 0; i < sizeof head - 1; i++) {
        char spoilt[sizeof head];
        struct outcome o;

        memcpy(spoilt, head, sizeof head);
        spoilt[i] = '\0';
        o = feed(spoilt, sizeof head - 1, sizeof head);
        assert_int_equal(status_of(&o), 400);
    }
}

static void test_parts(void **state)
{
    static const char bytes[] =
        "\r\nPOST /a/b?c=d?e HTTP/1.1\r\nhost:a.test\r\n"
        "X-Empty:\r\nX-Long: \t a  b\t \r\nContent-Length: 7\r\n"
        "Expect: 100-continue\r\n\r\n1234567GET";
    size_t head_len = sizeof bytes - 1 - 10;

    (void)state;
    for (size_t cut = 1; cut < sizeof bytes; cut++) {
        struct outcome o = feed(bytes, sizeof bytes - 1, cut);

        assert_int_equal(o.read, HTTPD_READ_HEAD);
        assert_int_equal(o.at, head_len);
        assert_int_equal(o.head.len, head_len);
        assert_int_equal(o.head.body_len, 7);
        assert_int_equal(o.head.field_count, 5);
        assert_true(o.head.keep_alive && o.head.wants_continue);
        assert_true(is_slice(bytes, o.head.method, "POST"));
        assert_true(is_slice(bytes, o.head.path, "/a/b"));
        assert_true(is_slice(bytes, o.head.query, "c=d?e"));
        assert_true(is_slice(bytes, o.head.fields[0].name, "host"));
        assert_true(is_slice(bytes, o.head.fields[0].value, "a.test"));
        assert_true(is_slice(bytes, o.head.fields[1].value, ""));
        assert_true(is_slice(bytes, o.head.fields[2].value, "a  b"));
    }
}

/* A good request in two parts, whatever the parts. */
static void test_two_parts(void **state)
{
    static const char head[] = "POST /x?y HTTP/1.1\r\n" HOST LEN5 "\r\n";

    (void)state;
    for (size_t cut = 1; cut < sizeof head - 1; cut++) {
        struct httpd_scan scan = {0};
        struct outcome o = {0};

        assert_int_equal(
            httpd_reader_head(&scan, head, cut, BODY_MAX, &o.head, &o.status, &o.why),
            HTTPD_READ_MORE);
        assert_int_equal(httpd_reader_head(&scan, head, sizeof head - 1, BODY_MAX,
                                           &o.head, &o.status, &o.why),
                         HTTPD_READ_HEAD);
        assert_int_equal(o.head.body_len, 5);
    }
}

static void test_kept_or_closed(void **state)
{
    static const struct {
        const char *head;
        bool kept;
    } cases[] = {
        {"GET / HTTP/1.1\r\n" HOST "\r\n", true},
        {"GET / HTTP/1.1\r\n" HOST "Connection: keep-alive\r\n\r\n", true},
        {"GET / HTTP/1.1\r\n" HOST "Connection: CLOSE\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: x , close,\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: x\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n", true},
        {"GET / HTTP/1.1\r\n" HOST "Connection: ,,\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct outcome o = feed(cases[i].head, strlen(cases[i].head), 4096);

        assert_int_equal(o.read, HTTPD_READ_HEAD);
        assert_int_equal(o.head.keep_alive, cases[i].kept);
    }
}

static void test_no_100_for_http_1_0(void **state)
{
    static const char head[] =
        "POST / HTTP/1.0\r\n" LEN5 "Expect: 100-continue\r\n\r\n";
    struct outcome o = feed(head, sizeof head - 1, 4096);

    (void)state;
    assert_int_equal(o.read, HTTPD_READ_HEAD);
    assert_false(o.head.wants_continue);
}

static struct outcome head_of_size(size_t size)
{
    struct buf b = {.max = 20000};
    struct outcome o;

    buf_adds(&b, "GET / HTTP/1.1\r\n" HOST "A: ");
    while (b.len < size - 4)
        buf_addc(&b, 'a');
    buf_adds(&b, "\r\n\r\n");
    o = feed(b.data, b.len, 1000);
    buf_done(&b);
    return o;
}

static void test_sizes(void **state)
{
    struct outcome o = head_of_size(HTTPD_HEAD_MAX);

    (void)state;
    assert_int_equal(o.read, HTTPD_READ_HEAD);
    assert_int_equal(o.head.len, HTTPD_HEAD_MAX);
    o = head_of_size(HTTPD_HEAD_MAX + 1);
    assert_int_equal(status_of(&o), 431);
    o = head_of_size(15000);
    assert_int_equal(status_of(&o), 431);
    assert_int_equal(o.at, HTTPD_HEAD_MAX);
}

static void test_target_size(void **state)
{
    (void)state;
    for (size_t n = HTTPD_TARGET_MAX; n <= HTTPD_TARGET_MAX + 1; n++) {
        struct buf b = {.max = 20000};
        struct outcome o;

        buf_adds(&b, "GET /");
        for (size_t i = 1; i < n; i++)
            buf_addc(&b, 'a');
        buf_adds(&b, " HTTP/1.1\r\n" HOST "\r\n");
        o = feed(b.data, b.len, b.len);
        assert_int_equal(status_of(&o), n > HTTPD_TARGET_MAX ? 414 : 0);
        buf_done(&b);
    }
}

static void test_field_count(void **state)
{
    (void)state;
    for (size_t n = HTTPD_FIELDS_MAX; n <= HTTPD_FIELDS_MAX + 1; n++) {
        struct buf b = {.max = 20000};
        struct outcome o;

        buf_adds(&b, "GET / HTTP/1.1\r\n" HOST);
        for (size_t i = 1; i < n; i++)
            buf_addf(&b, "A%zu: b\r\n", i);
        buf_adds(&b, "\r\n");
        o = feed(b.data, b.len, b.len);
        assert_int_equal(status_of(&o), n > HTTPD_FIELDS_MAX ? 431 : 0);
        buf_done(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_rule_at_every_cut),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_two_parts),
        cmocka_unit_test(test_kept_or_closed),
        cmocka_unit_test(test_no_100_for_http_1_0),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_target_size),
        cmocka_unit_test(test_field_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
