/* lane: see lane.h. */
#include "lane.h"

int64_t lane_wait_ms(struct lane *l, int64_t now_ms)
{
    if (!l->closed_until_ms)
        return 0;
    if (now_ms < l->closed_until_ms)
        return l->closed_until_ms - now_ms;
    l->closed_until_ms = now_ms + l->interval_ms;
    l->probing = true;
    return 0;
}

static enum lane_event opened(struct lane *l)
{
    bool was_closed = l->closed_until_ms != 0;

    if (was_closed && !l->probing)
        return LANE_NO_CHANGE; /* it was asked before the lane closed */
    l->probing = false;
    l->failures = 0;
    l->closed_until_ms = 0;
    return was_closed ? LANE_OPENED : LANE_NO_CHANGE;
}

static enum lane_event closed(struct lane *l, const struct err *e, int64_t until_ms)
{
    bool was_closed = l->closed_until_ms != 0;

    /* A rate limit is not cut short by what follows. */
    if (until_ms > l->closed_until_ms)
        l->closed_until_ms = until_ms;
    l->probing = false;
    l->why = *e;
    return was_closed ? LANE_STILL_CLOSED : LANE_CLOSED;
}

enum lane_event lane_report(struct lane *l, const struct err *e, int64_t now_ms)
{
    switch (e->class) {
    case ERR_AUTH:
        return closed(l, e, now_ms + l->interval_ms);
    case ERR_RATE_LIMITED:
        return closed(l, e, now_ms + e->retry_after_ms);
    case ERR_TRANSIENT:
    case ERR_AMBIGUOUS:
        if (++l->failures < LANE_BREAKS_AFTER)
            return LANE_NO_CHANGE;
        return closed(l, e, now_ms + l->interval_ms);
    case ERR_CANCELLED:
        return LANE_NO_CHANGE;
    default: /* it answered, whatever it said of this job */
        return opened(l);
    }
}
