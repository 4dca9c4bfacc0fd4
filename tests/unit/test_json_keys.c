/* Tests of json_keys: members as written, and that no text whatever leads it astray. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "json_keys.h"
#include "mem.h"

/* "key=value|key=value|" of a text that lives in a block of just its size. */
static void list(const char *text, size_t len, struct buf *out)
{
    char *exact = mem_new(len, 1);
    const char *p = exact;
    struct json_member m;

    memcpy(exact, text, len);
    buf_reset(out);
    while (json_keys_next(&p, exact + len, &m)) {
        buf_add(out, m.key, m.key_len);
        buf_addc(out, '=');
        buf_add(out, m.value, m.value_len);
        buf_addc(out, '|');
    }
    free(exact);
}

static void test_members(void **state)
{
    static const struct {
        const char *text, *list;
    } cases[] = {
        {"{}", ""},
        {" { } ", ""},
        {"{\"a\":1}", "a=1|"},
        {" {\n\"a\" : 1e3\t,\r\"b\" :\"x\" } ", "a=1e3|b=\"x\"|"},
        {"{\"a\":{\"b\":[1,{\"c\":2}]},\"d\":[]}", "a={\"b\":[1,{\"c\":2}]}|d=[]|"},
        {"{\"a\":\",\\\"}{\",\"b\":true}", "a=\",\\\"}{\"|b=true|"},
        {"{\"a\\\"\\\\\":\"\\\\\",\"\":null}", "a\\\"\\\\=\"\\\\\"|=null|"},
        {"{\"a\":1,\"a\":2}", "a=1|a=2|"},
        {"[1,2]", ""},
        {"", ""},
    };
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        list(cases[i].text, strlen(cases[i].text), &out);
        assert_string_equal(out.data, cases[i].list);
    }
    buf_done(&out);
}

/* Cut or damaged anywhere: it ends, and stays inside (the sanitizers watch). */
static void test_damaged(void **state)
{
    static const char text[] =
        "{\"a\\u0062\":{\"b\":[1,\"]\"]},\"c\":\"x\\\"\",\"d\":5}";
    static const char bytes[] = "\\\"{}[]:, \0";
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    for (size_t len = 0; len < sizeof text; len++) {
        list(text, len, &out);
        for (size_t b = 0; b < sizeof bytes; b++) {
            char damaged[sizeof text];

            memcpy(damaged, text, sizeof text);
            damaged[len] = bytes[b];
            list(damaged, sizeof text - 1, &out);
            assert_false(out.failed);
        }
    }
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
