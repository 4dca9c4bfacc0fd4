/* lane: see lane.h. */
#include "lane.h"

#define SPREAD_EACH_MS 50
#define SPREAD_MOST_MS (5 * 60 * 1000)

bool lane_is_open(const struct lane *l)
{
    return l->closed_until_ms == 0;
}

int64_t lane_left_ms(const struct lane *l, int64_t now_ms)
{
    return l->closed_until_ms > now_ms ? l->closed_until_ms - now_ms : 0;
}

int64_t lane_spread_ms(const struct lane *l, uint32_t random)
{
    int64_t most = SPREAD_MOST_MS;

    if (l->delayed < SPREAD_MOST_MS / SPREAD_EACH_MS)
        most = l->delayed * SPREAD_EACH_MS;
    return (int64_t)((uint64_t)most * random >> 32);
}

static void open_it(struct lane *l)
{
    l->probing = false;
    l->failures = 0;
    l->closed_until_ms = 0;
}

static enum lane_event opened(struct lane *l)
{
    bool was_closed = l->closed_until_ms != 0;

    if (was_closed && !l->probing)
        return LANE_NO_CHANGE; /* it was asked before the lane closed */
    open_it(l);
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

enum lane_event lane_learn(struct lane *l, int64_t closed_until_ms,
                           const struct err *why)
{
    bool was_closed = !lane_is_open(l);

    if (!closed_until_ms) {
        if (!was_closed)
            return LANE_NO_CHANGE; /* failures in a row are our own count */
        open_it(l);
        return LANE_OPENED;
    }
    l->closed_until_ms = closed_until_ms;
    l->why = *why;
    return was_closed ? LANE_STILL_CLOSED : LANE_CLOSED;
}
