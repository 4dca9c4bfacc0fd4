/* doctor: what its parts share: a line for each thing that was tried, with the result
 * and how to mend it. Each part tries one outside system and changes nothing there. */
#ifndef STOPGAP_DOCTOR_H
#define STOPGAP_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "err.h"

struct http;
struct settings;

enum doctor_result { DOCTOR_OK, DOCTOR_SKIPPED, DOCTOR_WARN, DOCTOR_FAIL };

struct doctor_line {
    const char *what; /* static: "redis", "gitlab token" */
    enum doctor_result result;
    char *found, *mend; /* owned; mend NULL: nothing to do */
};

struct doctor {
    const struct settings *settings;
    struct client *client; /* connected to Redis, or only its loop */
    bool connected;
    bool worker_here; /* the settings are a worker's */
    int64_t connect_ms;
    struct doctor_line *lines;
    size_t count, room;
};

/* Behind a mend: whoever calls doctor by hand has not what a unit is handed. */
#define DOCTOR_OR_UNIT "; if the unit is given it, try as docs/install.md says at Start"

/* mend: what to do, or NULL. */
void doctor_say(struct doctor *d, const char *what, enum doctor_result result,
                const char *mend, const char *fmt, ...) PRINTF_LIKE(5, 6);
void doctor_done(struct doctor *d);

/* The worst of them; DOCTOR_OK for none. */
enum doctor_result doctor_worst(const struct doctor *d);

/* This host's clock. */
int64_t doctor_clock_ms(void);

/* How far another clock is from this host's: a line. granularity_ms: how exactly it was
 * told. */
void doctor_judge_clock(struct doctor *d, const char *what, int64_t their_ms,
                        int64_t granularity_ms);

/* When certificates end: a line, none for 0. mend: whose they are to renew. */
void doctor_judge_end(struct doctor *d, const char *what, int64_t ends_ms,
                      const char *mend);

/* What the last answer of that client showed besides: both of the above. service: for
 * the first word of a line. */
struct doctor_names {
    const char *clock, *certificate;
};
void doctor_judge_seen(struct doctor *d, const struct http *h,
                       const struct doctor_names *names);

/* The parts. */
void doctor_redis(struct doctor *d);
void doctor_queue(struct doctor *d);
void doctor_key(struct doctor *d);
void doctor_seal(struct doctor *d);
void doctor_templates(struct doctor *d);
void doctor_spool(struct doctor *d);
void doctor_gitlab(struct doctor *d);
void doctor_slack(struct doctor *d);
void doctor_zendesk(struct doctor *d);
void doctor_mail(struct doctor *d);

/* Mails a sample that is no license, the way a license goes. */
void doctor_sample(struct doctor *d, const char *to);

#endif
