/* Tests of request_scope: the window, day by day, and the plans. */
#include "request_fixture.h"

#include "when.h"

/* License expired on 2026-01-31: grace ends 02-14, in scope 02-13 to 02-18. */
static void test_scope_window(void **state)
{
    static const struct {
        const char *today, *fault;
    } cases[] = {
        {"2026-01-20", "was not yet over on 2026-01-20"},
        {"2026-02-12", "was not yet over on 2026-02-12"},
        {"2026-02-13", NULL},
        {"2026-02-14", NULL},
        {"2026-02-15", NULL},
        {"2026-02-17", NULL},
        {"2026-02-18", NULL},
        {"2026-02-19", "ended on 2026-02-14, too long before 2026-02-19"},
        {"2027-02-14", "ended on 2026-02-14, too long before 2027-02-14"},
    };
    struct request r = {.plan = "premium", .license_expired_on = "2026-01-31"};
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int64_t late = 0; late < 2; late++) {
            int64_t day;
            int rc;

            assert_true(when_parse_date(cases[i].today, &day));
            err_clear(&e);
            rc = request_check_scope(&r, day * WHEN_DAY_MS + late * (WHEN_DAY_MS - 1),
                                     &e);
            assert_int_equal(rc, cases[i].fault ? -1 : 0);
            assert_int_equal(e.class, rc ? ERR_OUT_OF_SCOPE : ERR_NONE);
            if (rc) {
                assert_has(e.text, cases[i].fault, cases[i].today);
                assert_has(e.text, "the license expired on 2026-01-31", "");
                assert_true(strlen(e.text) < ERR_TEXT_MAX - 1);
            }
        }
    }
}

/* Over the ends of months, a leap day and the end of a year. */
static void test_scope_ends_of_months(void **state)
{
    static const struct {
        const char *expired, *first, *last;
    } cases[] = {
        {"2028-02-14", "2028-02-27", "2028-03-03"}, /* grace ends 02-28 */
        {"2028-02-15", "2028-02-28", "2028-03-04"},
        {"2028-02-29", "2028-03-13", "2028-03-18"},
        {"2027-02-14", "2027-02-27", "2027-03-04"},
        {"2027-04-16", "2027-04-29", "2027-05-04"},
        {"2028-12-17", "2028-12-30", "2029-01-04"},
    };
    struct request r = {.plan = "premium"};
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t first, last;

        (void)snprintf(r.license_expired_on, sizeof r.license_expired_on, "%s",
                       cases[i].expired);
        assert_true(when_parse_date(cases[i].first, &first));
        assert_true(when_parse_date(cases[i].last, &last));
        for (int64_t day = first - 2; day <= last + 2; day++)
            assert_int_equal(request_check_scope(&r, day * WHEN_DAY_MS, &e) == 0,
                             day >= first && day <= last);
    }
}

static void test_scope_plan(void **state)
{
    static const struct {
        const char *plan, *expired_on;
        bool in;
    } cases[] = {
        {"", "", true},
        {"premium", "", true},
        {"free", "", false},
        {"none", "", false},
        {"prospect", "", false},
        {"free", "2026-01-31", false},
        {"trial", "", true},
        {"trial", "2020-01-31", true},
        {"", "2020-01-31", false},
        {"ultimate", "2020-01-31", false},
    };
    struct request r;
    struct err e;
    int64_t day;

    (void)state;
    assert_true(when_parse_date("2026-02-15", &day));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        r = (struct request){0};
        memcpy(r.plan, cases[i].plan, strlen(cases[i].plan) + 1);
        memcpy(r.license_expired_on, cases[i].expired_on,
               strlen(cases[i].expired_on) + 1);
        assert_int_equal(request_check_scope(&r, day * WHEN_DAY_MS, &e),
                         cases[i].in ? 0 : -1);
        if (!cases[i].in)
            assert_int_equal(e.class, ERR_OUT_OF_SCOPE);
    }
    assert_string_equal(faults_with("\"plan\":\"FREE\"", &r), "");
    assert_int_equal(request_check_scope(&r, day * WHEN_DAY_MS, &e), -1);
    assert_has(e.text, "plan free: the organization has no paid plan", "");
    memcpy(r.resend_of, ID26, sizeof r.resend_of); /* its first request was checked */
    assert_int_equal(request_check_scope(&r, day * WHEN_DAY_MS, &e), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scope_window),
        cmocka_unit_test(test_scope_ends_of_months),
        cmocka_unit_test(test_scope_plan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
