/* One signature, one id; and no more memory than there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "replay.h"

static void settle(struct replay *r, int signature, char id[static JOB_ID_LEN + 1])
{
    char text[24];

    (void)snprintf(text, sizeof text, "signature %d", signature);
    replay_settle(r, text, id);
}

static void the_first_id_stays(void **state)
{
    static struct replay r;
    char first[JOB_ID_LEN + 1], again[JOB_ID_LEN + 1], other[JOB_ID_LEN + 1];
    char given[JOB_ID_LEN + 1];

    (void)state;
    job_id_make(first);
    job_id_make(again);
    job_id_make(other);
    memcpy(given, first, sizeof given);
    settle(&r, 1, first);
    assert_string_equal(first, given);
    settle(&r, 1, again);
    assert_string_equal(again, first);
    memcpy(given, other, sizeof given);
    settle(&r, 2, other);
    assert_string_equal(other, given);
}

/* Most of the last hundred are known, and none has another's id. */
static void a_slot_taken_over_is_forgotten_whole(void **state)
{
    static struct replay r;
    static char ids[5000][JOB_ID_LEN + 1];
    int known = 0;

    (void)state;
    for (int i = 0; i < 5000; i++) {
        job_id_make(ids[i]);
        settle(&r, i, ids[i]);
    }
    for (int i = 4900; i < 5000; i++) {
        char id[JOB_ID_LEN + 1], fresh[JOB_ID_LEN + 1];

        job_id_make(id);
        memcpy(fresh, id, sizeof fresh);
        settle(&r, i, id);
        assert_true(!strcmp(id, ids[i]) || !strcmp(id, fresh));
        known += !strcmp(id, ids[i]);
    }
    assert_true(known > 80);
}

static int set_up(void **state)
{
    (void)state;
    return sodium_init() < 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_id_stays),
        cmocka_unit_test(a_slot_taken_over_is_forgotten_whole),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
