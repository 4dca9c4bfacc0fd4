/* request_scope: the scope rule of the support workflow, see request_check_scope in
 * request.h. Checked once, against the day on which the request was accepted. */
#include "request.h"

#include <string.h>

#include "mem.h"
#include "when.h"

#define GRACE_DAYS 14
#define WINDOW_DAYS 3
#define SLACK_DAYS 1 /* the customer's day may be the one before or after UTC's */

#define WHERE "if that is wrong, correct plan and license_expired_on; otherwise "

static const struct {
    const char *plan;
    const char *why;
} outside[] = {
    {"free", "the organization has no paid plan"},
    {"none", "the organization has no paid plan"},
    {"prospect", "a prospect is not a customer yet"},
};

static int check_plan(const char *plan, struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(outside); i++)
        if (!strcmp(plan, outside[i].plan))
            return err_set(e, ERR_OUT_OF_SCOPE, 0,
                           "plan %s: %s, and emergency licenses are for paid plans; "
                           "" WHERE "the sales team can help",
                           plan, outside[i].why);
    return 0;
}

static int check_window(int64_t expired, int64_t today, struct err *e)
{
    int64_t since_end = today - (expired + GRACE_DAYS);
    char expired_on[WHEN_TEXT_MAX], end_on[WHEN_TEXT_MAX], today_on[WHEN_TEXT_MAX];

    when_format_date(expired, expired_on);
    when_format_date(expired + GRACE_DAYS, end_on);
    when_format_date(today, today_on);
    if (since_end < -SLACK_DAYS)
        return err_set(e, ERR_OUT_OF_SCOPE, 0,
                       "the license expired on %s, so its grace period of %d days runs "
                       "until %s and was not yet over on %s, when this was accepted; "
                       "" WHERE "the customer can go on working until then",
                       expired_on, GRACE_DAYS, end_on, today_on);
    if (since_end > WINDOW_DAYS + SLACK_DAYS)
        return err_set(e, ERR_OUT_OF_SCOPE, 0,
                       "the license expired on %s, so its grace period of %d days "
                       "ended on %s, too long before %s, when this was accepted: at "
                       "most %d days are allowed; " WHERE
                       "the licensing team can help in business hours",
                       expired_on, GRACE_DAYS, end_on, today_on, WINDOW_DAYS);
    return 0;
}

int request_check_scope(const struct request *r, int64_t accepted_ms, struct err *e)
{
    int64_t expired;

    if (r->resend_of[0])
        return 0; /* the first mail's request was checked */
    if (check_plan(r->plan, e))
        return -1;
    if (!strcmp(r->plan, "trial")) /* a temporary extension: its dates are others */
        return 0;
    if (!when_parse_date(r->license_expired_on, &expired))
        return 0; /* not said; demanded by request_parse where it must be */
    return check_window(expired, when_day(accepted_ms), e);
}
