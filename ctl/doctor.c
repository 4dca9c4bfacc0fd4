/* doctor: see doctor.h. Here: the lines, clocks and certificates. */
#include "doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "buf.h"
#include "http.h"
#include "mem.h"
#include "out.h"
#include "when.h"

#define TEXT_MAX 4096
#define SKEW_WARN_MS 5000
#define SKEW_FAIL_MS 120000 /* a license gives five minutes */
#define END_WARN_MS (14 * WHEN_DAY_MS)
#define END_FAIL_MS (2 * WHEN_DAY_MS)

void doctor_say(struct doctor *d, const char *what, enum doctor_result result,
                const char *mend, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (d->count == d->room) {
        d->room = d->room ? 2 * d->room : 32;
        d->lines = mem_grow(d->lines, d->room * sizeof *d->lines);
    }
    d->lines[d->count++] = (struct doctor_line){.what = what,
                                                .result = result,
                                                .found = mem_strdup(text),
                                                .mend = mem_strdup(mend)};
}

void doctor_done(struct doctor *d)
{
    for (size_t i = 0; i < d->count; i++) {
        free(d->lines[i].found);
        free(d->lines[i].mend);
    }
    free(d->lines);
    d->lines = NULL;
    d->count = d->room = 0;
}

enum doctor_result doctor_worst(const struct doctor *d)
{
    enum doctor_result worst = DOCTOR_OK;

    for (size_t i = 0; i < d->count; i++)
        if (d->lines[i].result > worst)
            worst = d->lines[i].result;
    return worst;
}

int64_t doctor_clock_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail with this clock */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void doctor_judge_clock(struct doctor *d, const char *what, int64_t their_ms,
                        int64_t granularity_ms)
{
    int64_t skew = their_ms - doctor_clock_ms(), size = skew < 0 ? -skew : skew;
    enum doctor_result result = DOCTOR_OK;
    char span[OUT_TIME_MAX];

    size = size > granularity_ms ? size - granularity_ms : 0;
    if (size > SKEW_WARN_MS)
        result = size > SKEW_FAIL_MS ? DOCTOR_FAIL : DOCTOR_WARN;
    out_span(skew < 0 ? -skew : skew, span);
    if (result == DOCTOR_OK)
        doctor_say(d, what, result, NULL, "agrees with this host's");
    else
        doctor_say(d, what, result,
                   "set both clocks by NTP: licenses take their dates from Redis's, "
                   "signatures are checked by the receiver's",
                   "is %s %s this host's", span, skew < 0 ? "behind" : "ahead of");
}

void doctor_judge_end(struct doctor *d, const char *what, int64_t ends_ms,
                      const char *mend)
{
    int64_t left = ends_ms - doctor_clock_ms();
    char end[OUT_TIME_MAX], span[OUT_TIME_MAX];
    enum doctor_result result = left < END_FAIL_MS   ? DOCTOR_FAIL
                                : left < END_WARN_MS ? DOCTOR_WARN
                                                     : DOCTOR_OK;

    if (ends_ms <= 0)
        return;
    out_time(ends_ms, end);
    out_span(left, span);
    doctor_say(d, what, result, result == DOCTOR_OK ? NULL : mend,
               "valid until %s, for another %s", end, span);
}

void doctor_judge_seen(struct doctor *d, const struct http *h,
                       const struct doctor_names *names)
{
    struct http_seen seen;

    http_seen(h, &seen);
    doctor_judge_end(d, names->certificate, seen.tls_ends_ms,
                     "whoever runs that server has to renew it; until then nothing "
                     "would get through");
    if (seen.date_ms)
        doctor_judge_clock(d, names->clock, seen.date_ms, 1000);
}
