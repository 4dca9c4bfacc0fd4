/* Tests of utf8, against every character and every sequence of two or three bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "utf8.h"

static size_t encode(char out[static 4], int32_t c)
{
    static const int32_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    for (size_t i = len; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 63));
    out[0] = (char)(lead[len] | c);
    return len;
}

static void test_every_character(void **state)
{
    (void)state;
    for (int32_t c = 0; c <= 0x10FFFF; c++) {
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        char bytes[4];
        size_t len = encode(bytes, c);
        const char *p = bytes;

        if (utf8_next(&p, bytes + len) != (surrogate ? -1 : c))
            fail_msg("U+%04X", (unsigned)c);
        assert_ptr_equal(p, surrogate ? bytes : bytes + len);
        assert_int_equal(utf8_valid_len(bytes, len), surrogate ? 0 : len);
        for (size_t cut = 1; cut < len; cut++)
            assert_int_equal(utf8_valid_len(bytes, cut), 0);
    }
}

/* Nothing but the one encoding of a character is read as it. */
static void test_every_short_sequence(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 0x1000000; n++) {
        char bytes[3] = {(char)(n >> 16), (char)(n >> 8), (char)n}, back[4];
        const char *p = bytes;
        int32_t c = utf8_next(&p, bytes + 3);

        if (c < 0)
            continue;
        if (encode(back, c) != (size_t)(p - bytes) ||
            memcmp(back, bytes, (size_t)(p - bytes)) != 0)
            fail_msg("0x%06X is read as U+%04X", n, (unsigned)c);
    }
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "\x80",
        "\xBF",
        "\xC0\x80",
        "\xC1\xBF",
        "\xE0\x80\x80",
        "\xE0\x9F\xBF",
        "\xF0\x80\x80\x80",
        "\xF0\x8F\xBF\xBF",
        "\xED\xA0\x80",
        "\xED\xBF\xBF",
        "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80",
        "\xFE",
        "\xFF",
        "\xC3(",
        "\xE2\x82(",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(utf8_valid_len(bad[i], strlen(bad[i])), 0);
    assert_int_equal(utf8_valid_len("ab\xC3\xA9\xFFz", 6), 4);
    assert_int_equal(utf8_valid_len("", 0), 0);
    assert_int_equal(utf8_valid_len("a\0b", 3), 3);
}

static void test_printable(void **state)
{
    static const int32_t no[] = {-1,     0,      9,      10,     0x1F,   0x7F,
                                 0x80,   0x85,   0x9F,   0x2028, 0x2029, 0x202A,
                                 0x202E, 0x2066, 0x2069, 0x202C, 0x2067};
    static const int32_t yes[] = {' ',    '~',    0xA0,   0xE9,    0x200D,  0x2027,
                                  0x202F, 0x2065, 0x206A, 0x1F600, 0x10FFFD};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        assert_false(utf8_printable(no[i]));
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        assert_true(utf8_printable(yes[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_character),
        cmocka_unit_test(test_every_short_sequence),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_printable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
