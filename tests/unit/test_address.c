/* Tests of address: one table of what is accepted and in which form, one of what is
 * refused and for which reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "address.h"
#include "mem.h"

#define A10 "aaaaaaaaaa"
#define A60 A10 A10 A10 A10 A10 A10
#define A63 A60 "aaa"

static const struct {
    const char *text;
    const char *normal; /* NULL: as it is */
} accepted[] = {
    {"jane@example.com", NULL},
    {"Jane.Doe@EXAMPLE.Com", "Jane.Doe@example.com"},
    {"o'brien+license@example.com", NULL},
    {"a@b.co", NULL},
    {"-a@example.com", NULL},
    {"#$&'*+/=?^_`{|}~-@example.com", NULL},
    {"1@1.example", NULL},
    {"a@123.com", NULL},
    {"a@r3---sn.example.com", NULL},
    {"a.b.c.d@a.b.c.d.example", NULL},
    {A63 "a@example.com", NULL},
    {"a@" A63 ".com", NULL},
    {"a@" A63 "." A63 "." A63 "." A60, NULL},
    {"a@m\u00FCnchen.de", "a@xn--mnchen-3ya.de"},
    {"a@M\u00DCNCHEN.DE", "a@xn--mnchen-3ya.de"},
    {"a@mu\u0308nchen.de", "a@xn--mnchen-3ya.de"},
    {"a@XN--MNCHEN-3YA.de", "a@xn--mnchen-3ya.de"},
    {"a@fa\u00DF.de", "a@xn--fa-hia.de"},
    {"a@\u65E5\u672C.jp", "a@xn--wgv71a.jp"},
    {"a@\u65E5\u672C\u3002jp", "a@xn--wgv71a.jp"},
    {"a@foo.\u0440\u0444", "a@foo.xn--p1ai"},
};

static const struct {
    const char *text;
    const char *reason; /* part of it */
} refusals[] = {
    {"", "empty"},
    {"jane", "no @"},
    {"@", "before the @"},
    {"@example.com", "before the @"},
    {"jane@", "after the @"},
    {"jane@@example.com", "more than one @"},
    {"jane@a.com@b.com", "more than one @"},
    /* a second header, line or recipient */
    {"jane@example.com\r\nBcc: eve@evil.example", "line break"},
    {"jane@example.com\nBcc:eve@evil.example", "line break"},
    {"jane@example.com\r", "line break"},
    {"jane@example.com\n", "line break"},
    {"\njane@example.com", "line break"},
    {"jane\r\n@example.com", "line break"},
    {"jane@exa\r\nmple.com", "line break"},
    {"jane@example.com,eve@evil.example", "only one address"},
    {"jane@example.com;eve@evil.example", "only one address"},
    {"jane@example.com eve@evil.example", "space"},
    {"jane@example.com>\r\nRCPT TO:<eve@evil.example", "angle brackets"},
    {"<jane@example.com>", "angle brackets"},
    {"Jane <jane@example.com>", "space"},
    {"jane@example.com> SIZE=1", "angle brackets"},
    {" jane@example.com", "space"},
    {"jane@example.com ", "space"},
    {"jane\t@example.com", "space"},
    {"jane doe@example.com", "space"},
    {"jane@exam ple.com", "space"},
    {"jane@example.com\x01", "U+0001"},
    {"jane\x7F@example.com", "U+007F"},
    {"jane@example.com\x1B[31m", "U+001B"},
    {"jane@example.com\xC2\x85@evil.example", "U+0085"},
    {"jane@example.com\u2028Bcc:x@evil.example", "U+2028"},
    {"jane@example.com\u2029", "U+2029"},
    {"jane@\u202Emoc.elpmaxe", "U+202E"},
    {"jane@\u2066example.com", "U+2066"},
    {"jane@exam\u00ADple.com", "U+00AD"},
    {"jane@exam\u200Bple.com", "U+200B"},
    {"jane@exam\uFEFFple.com", "U+FEFF"},
    {"jane@exam\uFE0Fple.com", "U+FE0F"},
    {"jane@exam\u2060ple.com", "U+2060"},
    {"jane@exam\U000E0001ple.com", "U+E0001"},
    /* forms of the standard that are not wanted */
    {"\"jane doe\"@example.com", "quoted"},
    {"\"jane\"@example.com", "quoted"},
    {"jane(comment)@example.com", "parentheses"},
    {"jane@(comment)example.com", "parentheses"},
    {"jane\\@example.com", "backslash"},
    {"@relay.example:jane@example.com", "colon"},
    {"mailto:jane@example.com", "colon"},
    {"jane%evil.example@example.com", "routing"},
    {"evil.example!jane@example.com", "routing"},
    {"jane@[127.0.0.1]", "literal"},
    {"jane@[IPv6:::1]", "literal"},
    {"jane@127.0.0.1", "IP address"},
    {"jane@\uFF11.2.3.4", "IP address"},
    {"jane@example.123", "IP address"},
    /* dots, hyphens, letters */
    {".jane@example.com", "starts or ends with a dot"},
    {"jane.@example.com", "starts or ends with a dot"},
    {"jane..doe@example.com", "two dots"},
    {"jane@.example.com", "dot"},
    {"jane@example..com", "dot"},
    {"jane@example.com.", "dot"},
    {"jane@.", "dot"},
    {"jane@localhost", "no dot"},
    {"jane@-example.com", "hyphen"},
    {"jane@example-.com", "hyphen"},
    {"jane@example.-com", "hyphen"},
    {"jane@exam_ple.com", "_ in the domain"},
    {"jane@exam/ple.com", "/ in the domain"},
    {"jane@example.com?x=1", "? in the domain"},
    {"jane@exam%ple.com", "% in the domain"},
    {"jane@exam*ple.com", "* in the domain"},
    {"jane@{{ticket.domain}}.com", "{ in the domain"},
    /* other than ASCII */
    {"j\u00E4ne@example.com", "SMTPUTF8"},
    {"\u91CD@example.com", "SMTPUTF8"},
    {"jane\uFF20example.com", "no @"},
    {"jane@\u00FC_b.com", "_ in the domain"},
    {"jane@\u00E9\uFF20b.com", "IDNA"},
    {"jane@\u00E9\uFF0Fb.com", "IDNA"},
    {"jane@\u2603.com", "IDNA"},
    {"jane@\U0001F600.com", "IDNA"},
    {"jane@xn--n3h.com", "IDNA"},
    {"jane@xn--zzzzzzzz99999.de", "IDNA"},
    {"jane@xn--.de", "IDNA"},
    {"jane@-\u00FC.de", "IDNA"},
    {"jane@ab--\u00FC.de", "IDNA"},
    {"jane@\u05D0a.com", "IDNA"},
    {"jane@\u0338x.com", "IDNA"},
    {"jane@\u200Dx.com", "IDNA"},
    {"jane@\u00FC..de", "dot"},
    {"jane@\xFF.com", "UTF-8"},
    {"jane@\xC3", "UTF-8"},
    {"jane@\xC0\xAE.com", "UTF-8"},
    {"jane@\xED\xA0\x80.com", "UTF-8"},
    {"\xC0\x80jane@example.com", "UTF-8"},
    /* lengths */
    {A63 "aa@example.com", "longer than 64"},
    {"a@" A63 "a.com", "longer than 63"},
    {"a@" A63 "." A63 "." A63 "." A60 "aa", "longer than 253"},
    {A63 "@" A63 "." A63 "." A63, "longer than 254"},
};

static void test_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(accepted); i++) {
        const char *want = accepted[i].normal ? accepted[i].normal : accepted[i].text;
        char out[ADDRESS_MAX + 1], again[ADDRESS_MAX + 1];
        struct err e = {0};

        if (address_normalise(accepted[i].text, out, &e))
            fail_msg("%s: %s", accepted[i].text, e.text);
        assert_string_equal(out, want);
        assert_int_equal(address_normalise(out, again, &e), 0);
        assert_string_equal(again, out);
    }
}

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        char out[ADDRESS_MAX + 1] = "untouched";
        struct err e = {0};

        if (address_normalise(refusals[i].text, out, &e) != -1)
            fail_msg("accepted: %s as %s", refusals[i].text, out);
        if (!strstr(e.text, refusals[i].reason))
            fail_msg("%s: \"%s\" lacks \"%s\"", refusals[i].text, e.text,
                     refusals[i].reason);
        assert_int_equal(e.class, ERR_INVALID);
        assert_string_equal(out, "untouched");
    }
}

static void test_overlong(void **state)
{
    char *text = mem_new(100001, 1), out[ADDRESS_MAX + 1];
    struct err e;

    (void)state;
    memset(text, 'a', 100000);
    text[5] = '@';
    assert_int_equal(address_normalise(text, out, &e), -1);
    assert_non_null(strstr(e.text, "longer"));
    free(text);
}

/* U+0080 to U+10FFFF in UTF-8. */
static void encode(char out[static 5], unsigned c)
{
    static const unsigned lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    for (size_t i = len; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 63));
    out[0] = (char)(lead[len] | c);
    out[len] = '\0';
}

/* Every character there is, inside a domain: it changes the result or is refused, but
 * never vanishes; what comes out is letters, digits, hyphens and dots. */
static void test_no_character_vanishes(void **state)
{
    char plain[ADDRESS_MAX + 1], out[ADDRESS_MAX + 1], text[32], c8[5];
    struct err e;

    (void)state;
    assert_int_equal(address_normalise("a@\u00E9ab.de", plain, &e), 0);
    for (unsigned c = 0x80; c <= 0x10FFFF; c++) {
        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        encode(c8, c);
        (void)snprintf(text, sizeof text, "a@\u00E9a%sb.de", c8);
        if (address_normalise(text, out, &e))
            continue;
        if (!strcmp(out, plain))
            fail_msg("U+%04X vanished", c);
        if (strspn(out + 2, "abcdefghijklmnopqrstuvwxyz0123456789-.") !=
            strlen(out + 2))
            fail_msg("U+%04X: %s", c, out);
    }
}

/* Every byte at every place of an address: accepted only where it can do no harm. */
static void test_every_byte(void **state)
{
    static const char base[] = "ab@cd.ef";

    (void)state;
    for (size_t at = 0; at < sizeof base; at++) {
        for (int byte = 1; byte < 256; byte++) {
            char text[16], out[ADDRESS_MAX + 1];
            struct err e;

            (void)snprintf(text, sizeof text, "%.*s%c%s", (int)at, base, byte,
                           base + at);
            if (address_normalise(text, out, &e))
                continue;
            for (const char *p = out; *p; p++)
                if (*p <= 0x20 || *p >= 0x7F || strchr("<>()[]\\,;:\"%!", *p))
                    fail_msg("byte 0x%02X at %zu: %s", (unsigned)byte, at, out);
            assert_ptr_equal(strchr(out, '@'), strrchr(out, '@'));
        }
    }
}

static void test_mask(void **state)
{
    static const struct {
        const char *address, *masked;
    } cases[] = {
        {"jane@example.com", "j***@example.com"},
        {"j@example.com", "j***@example.com"},
        {"", "***"},
        {"secret", "***"},
        {"@example.com", "***@example.com"},
        {"\u00E9va@example.com", "\u00E9***@example.com"},
        {"\xFF@example.com", "***@example.com"},
        {"\njane@example.com", "***@example.com"},
        {"jane@exam\nple.com", "j***"},
        {"a@b secret@example.com", "a***@example.com"},
    };
    char out[ADDRESS_MAX + 8], text[400];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        address_mask(cases[i].address, out);
        assert_string_equal(out, cases[i].masked);
    }
    memset(text, 'a', sizeof text);
    text[1] = '@';
    text[sizeof text - 1] = '\0';
    address_mask(text, out);
    assert_string_equal(out, "a***");
}

static void test_mailbox(void **state)
{
    static const struct {
        const char *text, *name, *address, *reason;
    } cases[] = {
        {"licenses@Example.com", "", "licenses@example.com", NULL},
        {" licenses@example.com\t", "", "licenses@example.com", NULL},
        {"<licenses@example.com>", "", "licenses@example.com", NULL},
        {"Support <licenses@example.com>", "Support", "licenses@example.com", NULL},
        {"Support<licenses@example.com>", "Support", "licenses@example.com", NULL},
        {"Support, Inc. <a@b.cd>", "Support, Inc.", "a@b.cd", NULL},
        {"\"Say \\\"hi\\\" <b>\" <a@b.cd>", "Say \"hi\" <b>", "a@b.cd", NULL},
        {"J\u00F6rg <a@m\u00FCnchen.de>", "J\u00F6rg", "a@xn--mnchen-3ya.de", NULL},
        {"", NULL, NULL, "empty"},
        {"   ", NULL, NULL, "empty"},
        {"Support", NULL, NULL, "no @"},
        {"Support <>", NULL, NULL, "empty"},
        {"Support licenses@example.com>", NULL, NULL, "without a <"},
        {"Support <licenses@example.com", NULL, NULL, "space"},
        {"Support < a@b.cd >", NULL, NULL, "space"},
        {"A <a@b.cd>, B <c@d.ef>", NULL, NULL, "brackets"},
        {"A\r\nBcc: x <a@b.cd>", NULL, NULL, "control"},
        {"A\u202E <a@b.cd>", NULL, NULL, "control"},
        {"A\xFF <a@b.cd>", NULL, NULL, "UTF-8"},
        {"A\"B <a@b.cd>", NULL, NULL, "double quotes"},
        {"\" <a@b.cd>", NULL, NULL, "double quotes"},
        {"\"A\\\" <a@b.cd>", NULL, NULL, "double quotes"},
        {"\"A\"B\" <a@b.cd>", NULL, NULL, "double quotes"},
        {A60 A60 A60 A60 A10 "aaaaaa <a@b.cd>", NULL, NULL, "longer than 255"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char name[256] = "old", address[ADDRESS_MAX + 1] = "old";
        struct err e = {0};
        int rc = address_parse_mailbox(cases[i].text, name, address, &e);

        if ((rc != 0) != (cases[i].reason != NULL))
            fail_msg("%s: %s", cases[i].text, rc ? e.text : "accepted");
        if (rc && !strstr(e.text, cases[i].reason))
            fail_msg("%s: \"%s\" lacks \"%s\"", cases[i].text, e.text, cases[i].reason);
        assert_string_equal(name, rc ? "old" : cases[i].name);
        assert_string_equal(address, rc ? "old" : cases[i].address);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_overlong),   cmocka_unit_test(test_no_character_vanishes),
        cmocka_unit_test(test_every_byte), cmocka_unit_test(test_mask),
        cmocka_unit_test(test_mailbox),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
