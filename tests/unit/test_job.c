/* The durable record: every field read, every fault named, names and ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "job.h"
#include "mem.h"

#define ID "0123456789abcdefghjkmnpqrs"
#define F(n, v)                                                                        \
    {                                                                                  \
        .name = n, .value = v, .value_len = sizeof(v) - 1                              \
    }

static int set_up(void **state)
{
    (void)state;
    return sodium_init() < 0;
}

static void test_every_field(void **state)
{
    static const struct job_field fields[] = {
        F("v", "1"),
        F("state", "delayed"),
        F("raw", "{\"a\0b"),
        F("req", "{\"ticket_id\":5,\"email\":\"a@b.cd\",\"users\":2,"
                 "\"requested_by\":\"jo\"}"),
        F("clash", "clashid"),
        F("accepted_ms", "1000"),
        F("started_ms", "1001"),
        F("ended_ms", "1002"),
        F("due_ms", "1003"),
        F("attempt", "4"),
        F("losses", "2"),
        F("fence", "7"),
        F("owner", "host:1:2:nonce"),
        F("warning", "not asked"),
        F("s:validate", "1700000000001 5 all good, twice"),
        F("s:sign", "1700000000002 6"),
        F("s:email", "1700000000003 7 250 2.0.0 Ok"),
        F("s:record", "1700000000004 8 "),
        F("s:close", "1700000000005 9 x"),
        F("s:ack", "1700000000006 0 y"),
        F("i:email", "host:1:2:nonce 7 1700000000002"),
        F("i:record", "host:1:2:nonce 8 1700000000003"),
        F("lic", "LICENSE\nTEXT\n"),
        F("lic_id", "0123456789abcdefghjkmnpqrx"),
        F("kid", "k4.pid.x"),
        F("lic_format", "stopgap"),
        F("iat_ms", "1700000000000"),
        F("exp_ms", "1700864000000"),
        F("mail_serial", "1"),
        F("mail_date_ms", "1700000000009"),
        F("ambiguous", "2"),
        F("mail_arrived", "1"),
        F("msgid", "<a@b>"),
        F("first_error_ms", "1700000000010"),
        F("iid", "11"),
        F("issue_url", "https://g/11"),
        F("report_iid", "12"),
        F("report_url", "https://g/12"),
        F("dup_of", "dupid"),
        F("fixed_by", "fixid"),
        F("earlier", "e1 e2"),
        F("report_closed", "1"),
        F("report_noted", "0"),
        F("report_tries", "5"),
        F("frozen", "1"),
        F("released", "1"),
        F("lifted", "0"),
        F("discarded", "root@host"),
        F("requeues", "3"),
        F("reruns", "2"),
        F("resends", "1"),
        F("err_class", "transient"),
        F("err_step", "email"),
        F("err_code", "451"),
        F("err_text", "try\nlater"),
        F("of_a_newer_minor_form", "\x01"),
    };
    struct job j;
    struct err e;

    (void)state;
    assert_int_equal(job_decode(&j, ID, fields, ARRAY_LEN(fields), &e), 0);
    assert_string_equal(j.id, ID);
    assert_int_equal(j.version, 1);
    assert_int_equal(j.state, JOB_DELAYED);
    assert_int_equal(j.raw_len, 5);
    assert_memory_equal(j.raw, "{\"a\0b", 5);
    assert_string_equal(j.clash, "clashid");
    assert_int_equal(j.accepted_ms, 1000);
    assert_int_equal(j.started_ms, 1001);
    assert_int_equal(j.ended_ms, 1002);
    assert_int_equal(j.due_ms, 1003);
    assert_int_equal(j.attempt, 4);
    assert_int_equal(j.losses, 2);
    assert_int_equal(j.fence, 7);
    assert_string_equal(j.owner, "host:1:2:nonce");
    assert_string_equal(j.warning, "not asked");
    for (unsigned i = 0; i < STEP_COUNT; i++)
        assert_int_equal(j.steps[i].at_ms, 1700000000001 + i);
    assert_int_equal(j.steps[STEP_VALIDATE].took_ms, 5);
    assert_string_equal(j.steps[STEP_VALIDATE].words, "all good, twice");
    assert_null(j.steps[STEP_SIGN].words);
    assert_string_equal(j.steps[STEP_EMAIL].words, "250 2.0.0 Ok");
    assert_null(j.steps[STEP_RECORD].words);
    assert_int_equal(j.email_intent.at_ms, 1700000000002);
    assert_string_equal(j.email_intent.token, "host:1:2:nonce 7 1700000000002");
    assert_int_equal(j.record_intent.at_ms, 1700000000003);
    assert_string_equal(j.license, "LICENSE\nTEXT\n");
    assert_string_equal(j.license_id, "0123456789abcdefghjkmnpqrx");
    assert_string_equal(j.key_id, "k4.pid.x");
    assert_string_equal(j.license_format, "stopgap");
    assert_int_equal(j.issued_ms, 1700000000000);
    assert_int_equal(j.expires_ms, 1700864000000);
    assert_int_equal(j.mail_serial, 1);
    assert_int_equal(j.mail_date_ms, 1700000000009);
    assert_int_equal(j.ambiguous, 2);
    assert_true(j.mail_arrived);
    assert_string_equal(j.message_id, "<a@b>");
    assert_int_equal(j.first_error_ms, 1700000000010);
    assert_int_equal(j.issue_iid, 11);
    assert_string_equal(j.issue_url, "https://g/11");
    assert_int_equal(j.report_iid, 12);
    assert_string_equal(j.report_url, "https://g/12");
    assert_string_equal(j.dup_of, "dupid");
    assert_string_equal(j.fixed_by, "fixid");
    assert_string_equal(j.earlier, "e1 e2");
    assert_true(j.released);
    assert_false(j.lifted);
    assert_string_equal(j.discarded, "root@host");
    assert_true(j.report_closed);
    assert_false(j.report_noted);
    assert_int_equal(j.report_tries, 5);
    assert_true(j.frozen);
    assert_int_equal(j.requeues, 3);
    assert_int_equal(j.reruns, 2);
    assert_int_equal(j.resends, 1);
    assert_true(j.has_error);
    assert_int_equal(j.error.class, ERR_TRANSIENT);
    assert_int_equal(j.error_step, STEP_EMAIL);
    assert_int_equal(j.error.code, 451);
    assert_string_equal(j.error.text, "try later");
    assert_true(j.has_request);
    job_done(&j);
    assert_null(j.raw);
    job_done(&j); /* a zeroed one is fine */
}

/* Somebody who can write to Redis says what length he likes: it counts only for a text
 * that is not read any more. */
static void test_how_long_the_request_is(void **state)
{
    static const struct {
        size_t here;
        const char *said;
        size_t total;
    } rows[] = {{3, "100", 3},
                {REQUEST_MAX_BYTES, "99999", REQUEST_MAX_BYTES},
                {REQUEST_MAX_BYTES + 1, "99999", 99999},
                {REQUEST_MAX_BYTES + 1, "5", REQUEST_MAX_BYTES + 1}};
    char *text = mem_new(REQUEST_MAX_BYTES + 2, 1);
    struct job j;
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct job_field fields[] = {
            F("v", "1"),
            F("state", "queued"),
            {"raw", text, rows[i].here},
            {"raw_bytes", rows[i].said, strlen(rows[i].said)}};

        assert_int_equal(job_decode(&j, ID, fields, ARRAY_LEN(fields), &e), 0);
        assert_int_equal(job_raw_total(&j), rows[i].total);
        job_done(&j);
    }
    free(text);
}

static void test_request_is_read(void **state)
{
    struct request r = {.ticket_id = 42, .users = 150};
    struct job_field fields[] = {F("v", "1"), F("state", "queued"), {.name = "req"}};
    struct buf json;
    struct job j;
    struct err e;

    (void)state;
    strcpy(r.email, "jane@example.com");
    strcpy(r.requested_by, "agent");
    buf_init(&json, 65536);
    request_encode(&r, &json);
    fields[2].value = json.data;
    fields[2].value_len = json.len;
    assert_int_equal(job_decode(&j, ID, fields, 3, &e), 0);
    assert_true(j.has_request);
    assert_int_equal(j.request.ticket_id, 42);
    assert_string_equal(j.request.email, "jane@example.com");
    job_done(&j);
    buf_done(&json);
}

static void test_validated_without_a_whole_request(void **state)
{
    static const char *const requests[] = {
        "{}", "{\"ticket_id\":5,\"users\":2,\"requested_by\":\"jo\"}"};
    struct job j;
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        const struct job_field fields[] = {F("v", "1"),
                                           F("state", "active"),
                                           {"req", requests[i], strlen(requests[i])},
                                           F("s:validate", "1 2 ")};

        assert_int_equal(job_decode(&j, ID, fields, 3, &e), 0);
        job_done(&j);
        assert_int_equal(job_decode(&j, ID, fields, 4, &e), -1);
        assert_int_equal(e.class, ERR_BUG);
        assert_non_null(strstr(e.text, "no whole request"));
    }
}

static void test_least_record(void **state)
{
    static const struct job_field fields[] = {F("state", "queued"), F("v", "1"),
                                              F("owner", ""), F("s:sign", "5 0")};
    struct job j;
    struct err e;

    (void)state;
    assert_int_equal(job_decode(&j, ID, fields, ARRAY_LEN(fields), &e), 0);
    assert_int_equal(j.state, JOB_QUEUED);
    assert_null(j.owner);
    assert_false(j.has_error);
    assert_int_equal(j.steps[STEP_EMAIL].at_ms, 0);
    job_done(&j);
}

static void assert_fault(const struct job_field *fields, size_t count,
                         enum err_class class, const char *says)
{
    struct err e = {.class = ERR_NONE};
    struct job j, before;

    memset(&j, 0x5A, sizeof j);
    before = j;
    assert_int_equal(job_decode(&j, ID, fields, count, &e), -1);
    assert_int_equal(e.class, class);
    if (!strstr(e.text, says))
        fail_msg("\"%s\" does not say \"%s\"", e.text, says);
    assert_memory_equal(&j, &before, sizeof j);
}

static void test_fields_that_do_not_read(void **state)
{
    static const struct job_field bad[] = {
        F("attempt", ""),
        F("attempt", "1x"),
        F("attempt", " 1"),
        F("attempt", "-1"),
        F("attempt", "9223372036854775808"),
        F("attempt", "1\0"),
        F("fence", "1.5"),
        F("mail_arrived", "2"),
        F("mail_arrived", "true"),
        F("state", "reserved"),
        F("state", ""),
        F("owner", "a\0b"),
        F("lic_id", "0123456789abcdefghjkmnpqrst"),
        F("lic_format", "0123456789abcdef"),
        F("s:email", ""),
        F("s:email", "5"),
        F("s:email", "0 1 x"),
        F("s:email", "x 1 x"),
        F("s:email", "5 x x"),
        F("s:email", "111111111111111111111111111111 1 x"),
        F("i:email", ""),
        F("i:email", "w"),
        F("i:email", "w 1"),
        F("i:email", "w 1 x"),
        F("i:email", "w 1 0"),
        F("i:email", " 1 5"),
        F("i:email", "w 1 5 6"),
        F("i:record", "w x 5"),
        F("err_class", "odd"),
        F("err_step", "sleep"),
        F("err_code", "99999999999"),
        F("req", "{"),
        F("v", "one"),
        F("v", "-1"),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const struct job_field fields[] = {F("v", "1"), F("state", "queued"),
                                           F("lic", "x"), bad[i]};
        char says[64];

        (void)snprintf(says, sizeof says, "job " ID ": field %s does not", bad[i].name);
        if (!strcmp(bad[i].name, "v"))
            assert_fault(&fields[3], 1, ERR_BUG, says);
        else
            assert_fault(fields, 4, ERR_BUG, says);
    }
}

static void test_no_record(void **state)
{
    static const struct job_field only_v[] = {F("v", "1")};

    (void)state;
    assert_fault(NULL, 0, ERR_BUG, "there is no record");
    assert_fault(only_v, 1, ERR_BUG, "field state");
}

/* Nothing of a newer record is looked at: its fields may mean something else. */
static void test_newer_record(void **state)
{
    static const struct job_field fields[] = {F("attempt", "many"), F("v", "3")};

    (void)state;
    assert_fault(fields, 2, ERR_CANCELLED, "written in form 3");
}

static void test_bad_id(void **state)
{
    static const struct job_field fields[] = {F("v", "1"), F("state", "queued")};
    struct err e;
    struct job j;

    (void)state;
    assert_int_equal(job_decode(&j, "../x", fields, 2, &e), -1);
    assert_int_equal(e.class, ERR_BUG);
}

static void test_names(void **state)
{
    static const char *const states[] = {"queued", "active", "delayed", "failed",
                                         "done"};
    static const char *const steps[] = {"validate", "sign",  "email",
                                        "record",   "close", "ack"};

    (void)state;
    assert_int_equal(ARRAY_LEN(states), JOB_STATE_COUNT);
    assert_int_equal(ARRAY_LEN(steps), STEP_COUNT);
    for (unsigned i = 0; i < JOB_STATE_COUNT; i++) {
        assert_string_equal(job_state_name(i), states[i]);
        assert_int_equal(job_state_parse(states[i]), i);
    }
    for (unsigned i = 0; i < STEP_COUNT; i++) {
        assert_string_equal(job_step_name(i), steps[i]);
        assert_int_equal(job_step_parse(steps[i]), i);
    }
    assert_int_equal(job_state_parse("Queued"), JOB_STATE_COUNT);
    assert_int_equal(job_step_parse(""), STEP_COUNT);
    assert_string_equal(job_state_name(JOB_STATE_COUNT), "unknown");
    assert_string_equal(job_step_name(STEP_COUNT), "unknown");
}

static void test_ids(void **state)
{
    char a[JOB_ID_LEN + 1], b[JOB_ID_LEN + 1];

    (void)state;
    job_id_make(a);
    job_id_make(b);
    assert_true(job_id_valid(a));
    assert_true(job_id_valid(b));
    assert_string_not_equal(a, b);
    assert_true(job_id_valid("zzzzzzzzzzzzzzzzzzzzzzzzzz"));
    assert_false(job_id_valid(""));
    assert_false(job_id_valid("zzzzzzzzzzzzzzzzzzzzzzzzz"));
    assert_false(job_id_valid("zzzzzzzzzzzzzzzzzzzzzzzzzzz"));
    assert_false(job_id_valid("Zzzzzzzzzzzzzzzzzzzzzzzzzz"));
    assert_false(job_id_valid("zzzzzzzzzzzz}zzzzzzzzzzzzz"));
}

/* Every position takes many values: no stretch of the id is constant. */
/* The expected id comes from another BLAKE2b. */
static void test_ids_of_keys(void **state)
{
    char a[JOB_ID_LEN + 1], b[JOB_ID_LEN + 1];

    (void)state;
    job_id_of_key("licenses", "8350205582", a);
    assert_string_equal(a, "2haw6zyy73e8k2dz5708s5t11m");
    job_id_of_key("license", "s8350205582", b);
    assert_string_not_equal(a, b);
    job_id_of_key("licenses", "", b);
    assert_true(job_id_valid(b));
}

static void test_ids_are_random_throughout(void **state)
{
    unsigned seen[JOB_ID_LEN] = {0};
    char id[JOB_ID_LEN + 1];

    (void)state;
    for (int n = 0; n < 500; n++) {
        job_id_make(id);
        for (size_t i = 0; i < JOB_ID_LEN; i++)
            seen[i] |= 1u << (id[i] % 32);
    }
    for (size_t i = 0; i < JOB_ID_LEN - 1; i++)
        assert_true(__builtin_popcount(seen[i]) > 16);
    assert_int_equal(__builtin_popcount(seen[JOB_ID_LEN - 1]), 8); /* 3 bits are left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field),
        cmocka_unit_test(test_how_long_the_request_is),
        cmocka_unit_test(test_request_is_read),
        cmocka_unit_test(test_validated_without_a_whole_request),
        cmocka_unit_test(test_least_record),
        cmocka_unit_test(test_fields_that_do_not_read),
        cmocka_unit_test(test_no_record),
        cmocka_unit_test(test_newer_record),
        cmocka_unit_test(test_bad_id),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_ids_of_keys),
        cmocka_unit_test(test_ids_are_random_throughout),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
