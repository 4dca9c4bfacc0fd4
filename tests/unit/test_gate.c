/* test_gate: which token opens what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "gate.h"
#include "mem.h"

static struct settings settings;

static int with_fields(enum gate_right right, const struct httpd_field *fields,
                       size_t count, struct err *e)
{
    const struct httpd_request request = {.fields = fields, .field_count = count};

    return gate_check(right, &settings, &request, e);
}

/* authorization NULL: there is none. */
static int with(enum gate_right right, const char *authorization, struct err *e)
{
    const struct httpd_field field = {"Authorization", authorization};

    return with_fields(right, &field, authorization ? 1 : 0, e);
}

static void set(struct secret *s, const char *text)
{
    secret_set(s, text, strlen(text));
}

static int setup(void **state)
{
    (void)state;
    set(&settings.webhook_token, "token of the webhook");
    set(&settings.api_token, "token of the API, first");
    set(&settings.api_token_2, "token of the API, second");
    set(&settings.api_read_token, "token that reads");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    secret_done(&settings.webhook_token);
    secret_done(&settings.api_token);
    secret_done(&settings.api_token_2);
    secret_done(&settings.api_read_token);
    return 0;
}

static void test_rights(void **state)
{
    static const struct {
        const char *authorization;
        bool webhook, submit, read;
    } rows[] = {
        {"Bearer token of the webhook", true, false, false},
        {"Bearer token of the API, first", false, true, true},
        {"Bearer token of the API, second", false, true, true},
        {"bEARER token of the API, second", false, true, true},
        {"Bearer token that reads", false, false, true},
        {"Bearer token that read", false, false, false},
        {"Bearer token that readsx", false, false, false},
        {"Bearer  token that reads", false, false, false},
        {"Bearer Token that reads", false, false, false},
        {"Bearer ", false, false, false},
        {"Bearer", false, false, false},
        {"Basic token that reads", false, false, false},
        {"token that reads", false, false, false},
        {"", false, false, false},
        {NULL, false, false, false},
    };
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *given = rows[i].authorization;

        assert_int_equal(with(GATE_WEBHOOK, given, &e), rows[i].webhook - 1);
        assert_int_equal(with(GATE_SUBMIT, given, &e), rows[i].submit - 1);
        assert_int_equal(with(GATE_READ, given, &e), rows[i].read - 1);
        assert_int_equal(with(GATE_ANYONE, given, &e), 0);
        if (rows[i].read)
            continue;
        assert_int_equal(with(GATE_READ, given, &e), -1);
        assert_int_equal(e.class, ERR_AUTH);
        assert_null(strstr(e.text, "token that reads"));
    }
}

static void test_one_header(void **state)
{
    const struct httpd_field fields[] = {{"Authorization", "Bearer token that reads"},
                                         {"authorization", "Bearer token that reads"}};
    struct err e;

    (void)state;
    assert_int_equal(with_fields(GATE_READ, fields, 1, &e), 0);
    assert_int_equal(with_fields(GATE_READ, fields, 2, &e), -1);
    assert_string_equal(e.text, "Authorization: given twice");
}

static void test_webhook_token_is_optional(void **state)
{
    struct err e;

    (void)state;
    secret_done(&settings.webhook_token);
    assert_int_equal(with(GATE_WEBHOOK, NULL, &e), 0);
    assert_int_equal(with(GATE_WEBHOOK, "Basic of another", &e), 0);
}

/* Without a token of its own a right is nobody's, not everybody's. */
static void test_api_off(void **state)
{
    struct err e;

    (void)state;
    secret_done(&settings.api_token);
    secret_done(&settings.api_token_2);
    assert_int_equal(with(GATE_SUBMIT, "Bearer token that reads", &e), -1);
    assert_int_equal(e.class, ERR_CONFIG);
    assert_int_equal(with(GATE_READ, "Bearer token that reads", &e), 0);
    secret_done(&settings.api_read_token);
    assert_int_equal(with(GATE_READ, "Bearer ", &e), -1);
    assert_int_equal(e.class, ERR_CONFIG);
    assert_int_equal(with(GATE_SUBMIT, NULL, &e), -1);
    assert_int_equal(e.class, ERR_CONFIG);
}

static void test_second_alone(void **state)
{
    struct err e;

    (void)state;
    secret_done(&settings.api_token);
    assert_int_equal(with(GATE_SUBMIT, "Bearer token of the API, second", &e), 0);
    assert_int_equal(with(GATE_SUBMIT, "Bearer ", &e), -1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_rights),  T(test_one_header),   T(test_webhook_token_is_optional),
        T(test_api_off), T(test_second_alone),
    };

    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
