/* test_buf: growth, the ceiling and its sticky failure, the text encodings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "mem.h"

static void test_adds(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_string_equal(b.data, "");
    buf_adds(&b, "ab");
    buf_addc(&b, 'c');
    buf_add(&b, "\0d", 2);
    buf_addf(&b, "-%d-%s", 5, "x");
    buf_add_int(&b, INT64_MIN);
    assert_false(b.failed);
    assert_int_equal(b.len, 5 + 4 + 20);
    assert_memory_equal(b.data, "abc\0d-5-x-9223372036854775808", b.len + 1);
    buf_done(&b);
    assert_null(b.data);
    buf_done(&b); /* a zeroed one is fine */
}

static void test_percent(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    buf_add_percent(&b, "group/sub group/p-1._~\xC3\xA9?&=");
    assert_string_equal(b.data, "group%2Fsub%20group%2Fp-1._~%C3%A9%3F%26%3D");
    buf_done(&b);
}

static void test_grows_byte_by_byte(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 5000);
    for (size_t i = 0; i < 5000; i++) {
        buf_addc(&b, (char)('a' + i % 26));
        assert_int_equal(b.data[b.len], 0);
    }
    assert_false(b.failed);
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(b.data[i], 'a' + i % 26);
    buf_addc(&b, 'x');
    assert_true(b.failed);
    assert_int_equal(b.len, 5000);
    buf_done(&b);
}

/* Each append with room for all but one byte of it. */
static void test_ceiling_changes_nothing(void **state)
{
    static const size_t sizes[] = {3, 3, 1, 5, 4, 4, 3, 6};

    (void)state;
    for (size_t kind = 0; kind < ARRAY_LEN(sizes); kind++) {
        for (size_t room = 0; room <= sizes[kind]; room++) {
            struct buf b;

            buf_init(&b, 2 + room);
            buf_adds(&b, "in");
            switch (kind) {
            case 0:
                buf_add(&b, "abc", 3);
                break;
            case 1:
                buf_adds(&b, "abc");
                break;
            case 2:
                buf_addc(&b, 'a');
                break;
            case 3:
                buf_addf(&b, "%05d", 7);
                break;
            case 4:
                buf_add_int(&b, -123);
                break;
            case 5:
                buf_add_base64(&b, "ab", 2);
                break;
            case 6:
                buf_add_base64url(&b, "ab", 2);
                break;
            default:
                buf_add_hex(&b, "abc", 3);
            }
            assert_int_equal(b.failed, room < sizes[kind]);
            assert_int_equal(b.len, room < sizes[kind] ? 2 : 2 + sizes[kind]);
            assert_int_equal(strlen(b.data), b.len);
            buf_done(&b);
        }
    }
}

static void test_long_encodings_fail_whole(void **state)
{
    char bytes[300] = {0};
    struct buf b;

    (void)state;
    buf_init(&b, 399);
    buf_add_base64(&b, bytes, sizeof bytes); /* 400 characters */
    assert_true(b.failed);
    assert_int_equal(b.len, 0);
    buf_reset(&b);
    buf_add_hex(&b, bytes, 200);
    assert_true(b.failed);
    assert_int_equal(b.len, 0);
    buf_done(&b);
}

static void test_failure_sticks(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 4);
    buf_adds(&b, "abcde");
    buf_adds(&b, "a");
    buf_addf(&b, "%s", "");
    assert_true(b.failed);
    assert_int_equal(b.len, 0);
    buf_reset(&b);
    buf_adds(&b, "abcd");
    assert_false(b.failed);
    assert_string_equal(b.data, "abcd");
    buf_done(&b);
}

static void test_huge_append(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_adds(&b, "ab");
    buf_add(&b, "x", SIZE_MAX); /* refused before a byte is read */
    assert_true(b.failed);
    assert_string_equal(b.data, "ab");
    buf_done(&b);
}

static void test_encodings(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *base64, *base64url, *hex;
    } rows[] = {
        {"", 0, "", "", ""}, /* RFC 4648 section 10, and each letter beyond it */
        {"f", 1, "Zg==", "Zg", "66"},
        {"fo", 2, "Zm8=", "Zm8", "666f"},
        {"foo", 3, "Zm9v", "Zm9v", "666f6f"},
        {"foob", 4, "Zm9vYg==", "Zm9vYg", "666f6f62"},
        {"fooba", 5, "Zm9vYmE=", "Zm9vYmE", "666f6f6261"},
        {"foobar", 6, "Zm9vYmFy", "Zm9vYmFy", "666f6f626172"},
        {"\xfb\xff\xfe", 3, "+//+", "-__-", "fbfffe"},
        {"\0\0", 2, "AAA=", "AAA", "0000"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf b;

        buf_init(&b, 100);
        buf_add_base64(&b, rows[i].bytes, rows[i].len);
        assert_string_equal(b.data, rows[i].base64);
        buf_reset(&b);
        buf_add_base64url(&b, rows[i].bytes, rows[i].len);
        assert_string_equal(b.data, rows[i].base64url);
        buf_reset(&b);
        buf_add_hex(&b, rows[i].bytes, rows[i].len);
        assert_string_equal(b.data, rows[i].hex);
        buf_done(&b);
    }
}

static void test_consume(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_adds(&b, "first second");
    buf_consume(&b, 0);
    buf_consume(&b, 6);
    assert_string_equal(b.data, "second");
    buf_consume(&b, 6);
    assert_string_equal(b.data, "");
    assert_int_equal(b.len, 0);
    buf_done(&b);
}

static void test_take(void **state)
{
    struct buf b;
    char *text;

    (void)state;
    buf_init(&b, 10);
    buf_adds(&b, "given");
    text = buf_take(&b);
    assert_string_equal(text, "given");
    free(text);
    buf_consume(&b, 0);
    buf_reset(&b);
    text = buf_take(&b);
    assert_string_equal(text, "");
    free(text);
    buf_adds(&b, ""); /* usable after, with the same ceiling */
    assert_string_equal(b.data, "");
    buf_adds(&b, "0123456789");
    assert_string_equal(b.data, "0123456789");
    buf_addc(&b, 'x');
    assert_true(b.failed);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adds),
        cmocka_unit_test(test_percent),
        cmocka_unit_test(test_grows_byte_by_byte),
        cmocka_unit_test(test_ceiling_changes_nothing),
        cmocka_unit_test(test_long_encodings_fail_whole),
        cmocka_unit_test(test_failure_sticks),
        cmocka_unit_test(test_huge_append),
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_consume),
        cmocka_unit_test(test_take),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
