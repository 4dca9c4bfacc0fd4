/* backoff: see backoff.h. Full jitter: a recovering server is not hit in lockstep. */
#include "backoff.h"

int64_t backoff_delay_ms(int64_t tries, int64_t base_ms, int64_t cap_ms,
                         uint32_t random)
{
    int64_t ceiling = base_ms;

    for (int64_t i = 0; i < tries && ceiling < cap_ms; i++)
        ceiling = ceiling > cap_ms / 2 ? cap_ms : ceiling * 2;
    if (ceiling > cap_ms)
        ceiling = cap_ms;
    return 1 + (int64_t)((uint64_t)ceiling * random >> 32);
}
