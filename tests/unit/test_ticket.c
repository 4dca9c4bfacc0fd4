/* Tests of worker/ticket.c: whether a ticket agrees, and how long Zendesk is waited
 * for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "mem.h"
#include "settings.h"
#include "ticket.h"
#include "worker.h"

static int check(const char *status, const char *theirs, const char *ours,
                 struct err *e)
{
    struct zendesk_ticket ticket = {.status = ""};
    struct request r = {.ticket_id = 42};

    (void)snprintf(ticket.status, sizeof ticket.status, "%s", status);
    (void)snprintf(ticket.requester_email, sizeof ticket.requester_email, "%s", theirs);
    (void)snprintf(r.email, sizeof r.email, "%s", ours);
    return ticket_check(&ticket, &r, e);
}

static void test_agrees(void **state)
{
    static const char *const statuses[] = {"new", "open", "pending", "hold", "solved"};
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        assert_int_equal(check(statuses[i], "jane@x.example", "jane@x.example", &e), 0);
    assert_int_equal(check("open", "jane@X.Example", "jane@x.example", &e), 0);
    assert_int_equal(check("open", "jane@x.example", "Jane@x.example", &e), 0);
    assert_int_equal(check("open",
                           "j@b\xC3\xBC"
                           "cher.example",
                           "j@xn--bcher-kva.example", &e),
                     0);
}

static void test_does_not(void **state)
{
    static const struct {
        const char *status, *theirs, *words;
    } cases[] = {
        {"closed", "jane@x.example", "ticket 42 is closed"},
        {"deleted", "jane@x.example", "ticket 42 is deleted"},
        {"open", "", "has no address"},
        {"open", "jan@x.example", "which is j***@x.example"},
        {"open", "jane@x.example.org", "which is j***@x.example.org"},
        {"open", "jane@x.example ", "is not the address"},
        {"open", "not an address", "is not the address"},
        {"open", "jane", "is not the address"},
    };
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(check(cases[i].status, cases[i].theirs, "jane@x.example", &e),
                         -1);
        assert_int_equal(e.class, ERR_INVALID);
        assert_non_null(strstr(e.text, cases[i].words));
        assert_non_null(strstr(e.text, "an operator can let it through"));
        assert_null(strstr(e.text, "jane@"));
    }
}

static void hear(struct worker *w, enum err_class class)
{
    struct err e = {.class = class};

    ticket_heard(w, &e);
}

static void test_patience(void **state)
{
    uv_loop_t loop;
    struct settings s = {.zendesk_wait_ms = 60000};
    struct worker w = {.loop = &loop, .settings = &s};
    const struct err limit = {.class = ERR_RATE_LIMITED};
    int64_t now;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    now = worker_loop_ms(&w);
    assert_int_equal(ticket_patience_ms(&w), 60000);
    hear(&w, ERR_CANCELLED);
    assert_int_equal(w.zendesk_down_ms, 0);
    hear(&w, ERR_TRANSIENT);
    assert_int_equal(w.zendesk_down_ms, now);
    w.zendesk_down_ms = now - 59000;
    hear(&w, ERR_AUTH);
    assert_int_equal(ticket_patience_ms(&w), 1000); /* counted from the first */
    w.zendesk_down_ms = now - 60000;
    assert_int_equal(ticket_patience_ms(&w), 0);
    w.zendesk_failed_ms = now - 120001; /* old news: to be asked anew */
    assert_int_equal(ticket_patience_ms(&w), 60000);
    hear(&w, ERR_TRANSIENT);
    assert_int_equal(w.zendesk_down_ms, now);
    hear(&w, ERR_PERMANENT); /* it answers */
    assert_int_equal(w.zendesk_down_ms, 0);
    /* A rate limit of an hour: nobody asks, and it does not become old news. */
    ticket_unheard(&w, &limit);
    assert_int_equal(ticket_patience_ms(&w), 60000);
    assert_int_equal(w.zendesk_why.class, ERR_RATE_LIMITED);
    w.zendesk_down_ms = now - 3000000;
    w.zendesk_failed_ms = now - 3000000;
    ticket_unheard(&w, &limit);
    assert_int_equal(ticket_patience_ms(&w), 0);
    hear(&w, ERR_NONE);
    s.zendesk_wait_ms = 0;
    assert_int_equal(ticket_patience_ms(&w), 1);
    hear(&w, ERR_TRANSIENT);
    assert_int_equal(ticket_patience_ms(&w), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees),
        cmocka_unit_test(test_does_not),
        cmocka_unit_test(test_patience),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
