/* Tests of ctl/reconcile.c: from rows to invocations, and what is found of each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "job.h"
#include "mem.h"
#include "reconcile.h"
#include "when.h"

#define NOW INT64_C(1700000000000)
#define MINUTE INT64_C(60000)
#define BODY                                                                           \
    "{\"ticket_id\":\"42\",\"email\":\"Nina@Customer.Example\",\"users\":\"5\","       \
    "\"requested_by\":\"sam\"}"

static const struct reconcile_rules rules = {
    .now_ms = NOW, .retention_ms = 30 * WHEN_DAY_MS, .old_ms = WHEN_DAY_MS};

static void add_row(struct zendesk_log *log, const char *id, const char *status,
                    int code, int64_t at_ms)
{
    struct zendesk_invocation *row;

    log->v = mem_grow(log->v, (log->count + 1) * sizeof *log->v);
    row = &log->v[log->count++];
    *row = (struct zendesk_invocation){.code = code, .at_ms = at_ms};
    (void)snprintf(row->id, sizeof row->id, "%s", id);
    (void)snprintf(row->status, sizeof row->status, "%s", status);
}

static void test_rows_become_invocations(void **state)
{
    struct zendesk_log log = {0};
    struct reconcile_items items;

    (void)state;
    add_row(&log, "b", "throttled", 0, NOW - 9000);
    add_row(&log, "a", "success", 202, NOW - 5000);
    add_row(&log, "b", "success", 202, NOW - 3000);
    add_row(&log, "c", "terminated", 403, NOW - 3000);
    add_row(&log, "b", "circuit broken", 0, NOW - 7000);
    reconcile_merge(&log, &items);
    assert_int_equal(items.count, 3);
    assert_string_equal(items.v[0].row.id, "c");
    assert_string_equal(items.v[1].row.id, "a");
    assert_string_equal(items.v[2].row.id, "b"); /* asked for first */
    assert_string_equal(items.v[2].row.status, "success");
    assert_int_equal(items.v[2].row.at_ms, NOW - 3000);
    assert_int_equal(items.v[2].first_ms, NOW - 9000);
    zendesk_log_done(&log);
    reconcile_done(&items);
    reconcile_merge(&log, &items);
    assert_int_equal(items.count, 0);
    reconcile_done(&items);
}

/* One item for each of n, newest first, all of them sent and never answered well. */
static void make(struct reconcile_items *items, size_t n)
{
    struct zendesk_log log = {0};
    char id[8];

    for (size_t i = 0; i < n; i++) {
        (void)snprintf(id, sizeof id, "i%zu", i);
        add_row(&log, id, "terminated", 503, NOW - MINUTE * (int64_t)(i + 1));
    }
    reconcile_merge(&log, items);
    zendesk_log_done(&log);
    for (size_t i = 0; i < n; i++) {
        struct zendesk_attempts *a = &items->v[i].attempts;

        *a = (struct zendesk_attempts){
            .count = 1, .code = 503, .payload = mem_strdup(BODY)};
        a->payload_len = sizeof BODY - 1;
        reconcile_read_content(&items->v[i], "licenses");
        items->v[i].ticket_id += (int64_t)i; /* a ticket of its own */
    }
}

static void set_content(struct reconcile_item *item, const char *text)
{
    mem_set(&item->attempts.payload, text);
    item->attempts.payload_len = text ? strlen(text) : 0;
    reconcile_read_content(item, "licenses");
}

static void test_content_names_the_job(void **state)
{
    struct reconcile_items items;
    struct reconcile_item *item;
    char id[JOB_ID_LEN + 1];

    (void)state;
    make(&items, 1);
    item = &items.v[0];
    job_id_of_key("licenses", "i0", id);
    assert_string_equal(item->job_id, id);
    assert_int_equal(item->ticket_id, 42);
    assert_string_equal(item->email, "Nina@customer.example");
    set_content(item,
                "{\"ticket_id\":7,\"idempotency_key\":\"own\"}"); /* faulty, too */
    job_id_of_key("licenses", "own", id);
    assert_string_equal(item->job_id, id);
    assert_int_equal(item->ticket_id, 7);
    set_content(item, "no JSON");
    job_id_of_key("licenses", "i0", id);
    assert_string_equal(item->job_id, id);
    assert_int_equal(item->ticket_id, 0);
    set_content(item, NULL);
    assert_string_equal(item->job_id, id);
    reconcile_done(&items);
}

static void expect(const struct reconcile_item *item, enum reconcile_finding finding,
                   bool missing, bool by_itself, bool by_name)
{
    struct reconcile_item copy = *item;
    struct buf words;

    assert_string_equal(reconcile_name(item->finding), reconcile_name(finding));
    assert_int_equal(reconcile_is_missing(finding), missing);
    copy.named = false;
    assert_int_equal(reconcile_may_submit(&copy), by_itself);
    copy.named = true;
    assert_int_equal(reconcile_may_submit(&copy), by_name);
    buf_init(&words, 1000);
    reconcile_describe(item, &words);
    assert_true(words.len > 0 && !words.failed);
    buf_done(&words);
}

static void set_ticket(struct reconcile_item *item, const char *status,
                       const char *email)
{
    (void)snprintf(item->ticket.status, sizeof item->ticket.status, "%s", status);
    (void)snprintf(item->ticket.requester_email, sizeof item->ticket.requester_email,
                   "%s", email);
}

/* What each fact alone makes of an invocation that was sent and did not arrive. */
static void change(struct reconcile_item *item, enum reconcile_finding finding)
{
    switch (finding) {
    case RECONCILE_ARRIVED:
        item->known = true;
        break;
    case RECONCILE_MISSING:
        set_ticket(item, "open", "Nina@CUSTOMER.example");
        break;
    case RECONCILE_OLD:
        item->first_ms = NOW - WHEN_DAY_MS - 1;
        break;
    case RECONCILE_ACCEPTED:
        item->attempts.accepted = true;
        break;
    case RECONCILE_REFUSED:
        item->attempts.code = 401;
        break;
    case RECONCILE_REQUESTER:
        set_ticket(item, "pending", "other@customer.example");
        break;
    case RECONCILE_LARGE:
        item->attempts.code = 413;
        break;
    case RECONCILE_UNSENT:
        set_content(item, NULL);
        break;
    case RECONCILE_ASKED_AGAIN:
        (void)snprintf(item->again, sizeof item->again, "j");
        break;
    case RECONCILE_SETTLED:
        set_ticket(item, "solved", "Nina@customer.example");
        break;
    case RECONCILE_FORGOTTEN:
        item->first_ms = NOW - 30 * WHEN_DAY_MS - 1;
        break;
    case RECONCILE_COUNT:
        break;
    }
}

static void test_each_finding(void **state)
{
    static const struct {
        enum reconcile_finding finding;
        bool missing, by_itself, by_name;
    } rows[RECONCILE_COUNT] = {
        {RECONCILE_ARRIVED, false, false, false},
        {RECONCILE_MISSING, true, true, true},
        {RECONCILE_OLD, true, false, true},
        {RECONCILE_ACCEPTED, true, false, true},
        {RECONCILE_REFUSED, true, false, true},
        {RECONCILE_REQUESTER, true, false, true},
        {RECONCILE_LARGE, true, false, false},
        {RECONCILE_UNSENT, true, false, false},
        {RECONCILE_ASKED_AGAIN, false, false, true},
        {RECONCILE_SETTLED, false, false, true},
        {RECONCILE_FORGOTTEN, false, false, false},
    };

    (void)state;
    for (size_t i = 0; i < RECONCILE_COUNT; i++) {
        struct reconcile_items items;

        make(&items, 1);
        change(&items.v[0], rows[i].finding);
        reconcile_judge(&items, &rules);
        expect(&items.v[0], rows[i].finding, rows[i].missing, rows[i].by_itself,
               rows[i].by_name);
        reconcile_done(&items);
    }
}

/* Of two facts the one that speaks more clearly against submitting counts. */
static void test_findings_in_order(void **state)
{
    static const enum reconcile_finding pairs[][2] = {
        {RECONCILE_ARRIVED, RECONCILE_FORGOTTEN},
        {RECONCILE_ARRIVED, RECONCILE_REFUSED},
        {RECONCILE_UNSENT, RECONCILE_REFUSED},
        {RECONCILE_LARGE, RECONCILE_ASKED_AGAIN},
        {RECONCILE_ASKED_AGAIN, RECONCILE_ACCEPTED},
        {RECONCILE_ASKED_AGAIN, RECONCILE_OLD},
        {RECONCILE_SETTLED, RECONCILE_ACCEPTED},
        {RECONCILE_SETTLED, RECONCILE_OLD},
        {RECONCILE_ACCEPTED, RECONCILE_REFUSED},
        {RECONCILE_ACCEPTED, RECONCILE_OLD},
        {RECONCILE_REFUSED, RECONCILE_OLD},
        {RECONCILE_REQUESTER, RECONCILE_OLD},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct reconcile_items items;

        make(&items, 1);
        change(&items.v[0], pairs[i][1]);
        change(&items.v[0], pairs[i][0]);
        reconcile_judge(&items, &rules);
        assert_string_equal(reconcile_name(items.v[0].finding),
                            reconcile_name(pairs[i][0]));
        reconcile_done(&items);
    }
}

static void test_the_last_press_counts(void **state)
{
    struct reconcile_items items;
    struct buf words;

    (void)state;
    make(&items, 3);
    items.v[2].ticket_id = items.v[0].ticket_id;
    reconcile_judge(&items, &rules);
    assert_int_equal(items.v[0].finding, RECONCILE_MISSING);
    assert_int_equal(items.v[1].finding, RECONCILE_MISSING);
    assert_int_equal(items.v[2].finding, RECONCILE_ASKED_AGAIN);
    buf_init(&words, 1000);
    reconcile_describe(&items.v[2], &words);
    assert_string_equal(words.data, "asked for again since: invocation i0");
    buf_done(&words);
    items.v[0].known = true; /* on the list, and no worker has read it */
    reconcile_judge(&items, &rules);
    assert_int_equal(items.v[2].finding, RECONCILE_ASKED_AGAIN);
    items.v[0].known = false;
    items.v[0].ticket_id = items.v[1].ticket_id = items.v[2].ticket_id = 0;
    reconcile_judge(&items, &rules); /* what no ticket is known of stands alone */
    assert_int_equal(items.v[2].finding, RECONCILE_MISSING);
    reconcile_done(&items);
}

static void test_ages(void **state)
{
    struct reconcile_rules any = rules;
    struct reconcile_items items;

    (void)state;
    make(&items, 1);
    items.v[0].first_ms = NOW - WHEN_DAY_MS;
    reconcile_judge(&items, &rules);
    assert_int_equal(items.v[0].finding, RECONCILE_MISSING);
    items.v[0].first_ms--;
    reconcile_judge(&items, &rules);
    assert_int_equal(items.v[0].finding, RECONCILE_OLD);
    any.old_ms = 0;
    reconcile_judge(&items, &any);
    assert_int_equal(items.v[0].finding, RECONCILE_MISSING);
    any.retention_ms = WHEN_DAY_MS;
    reconcile_judge(&items, &any);
    assert_int_equal(items.v[0].finding, RECONCILE_FORGOTTEN);
    reconcile_done(&items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_become_invocations),
        cmocka_unit_test(test_content_names_the_job),
        cmocka_unit_test(test_each_finding),
        cmocka_unit_test(test_findings_in_order),
        cmocka_unit_test(test_the_last_press_counts),
        cmocka_unit_test(test_ages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
