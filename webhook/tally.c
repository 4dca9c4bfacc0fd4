/* tally: see tally.h. */
#include "tally.h"

static const int statuses[TALLY_STATUSES] = {200, 202, 400, 401, 404, 405, 408,
                                             411, 413, 414, 415, 417, 429, 431,
                                             500, 501, 503, 505, 0};

unsigned tally_place(int status)
{
    unsigned i = 0;

    while (i < TALLY_STATUSES - 1 && statuses[i] != status)
        i++;
    return i;
}

int tally_status(unsigned place)
{
    return statuses[place];
}
