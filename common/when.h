/* when: calendar arithmetic on milliseconds since 1970-01-01 UTC. Pure: reads no clock
 * and no time zone. Every instant comes from Redis's clock, by way of the caller. */
#ifndef STOPGAP_WHEN_H
#define STOPGAP_WHEN_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define WHEN_DAY_MS INT64_C(86400000)
#define WHEN_TEXT_MAX 40

/* Day number (days since 1970-01-01) of an instant. */
int64_t when_day(int64_t ms);

/* "YYYY-MM-DD", a date that exists (leap years known), years 1970 to 9999. */
bool when_parse_date(const char *text, int64_t *out_day) MUST_CHECK;

/* Day number to "YYYY-MM-DD". */
void when_format_date(int64_t day, char out[static WHEN_TEXT_MAX]);

/* "2026-01-31T12:00:00Z" (seconds; PASETO claims) and with milliseconds (logs). */
void when_format_iso(int64_t ms, char out[static WHEN_TEXT_MAX]);
void when_format_iso_ms(int64_t ms, char out[static WHEN_TEXT_MAX]);

/* "2026-01-31T12:00:00Z" or with "+00:00" or a fraction of a second (ignored). */
bool when_parse_iso(const char *text, int64_t *out_ms) MUST_CHECK;

/* RFC 5322 section 3.3: "Sat, 31 Jan 2026 12:00:00 +0000". */
void when_format_mail(int64_t ms, char out[static WHEN_TEXT_MAX]);

/* RFC 9110 section 5.6.7: "Sat, 31 Jan 2026 12:00:00 GMT". */
void when_format_http(int64_t ms, char out[static WHEN_TEXT_MAX]);

/* For people: "Saturday, 31 January 2026". */
void when_format_long_date(int64_t day, char out[static WHEN_TEXT_MAX]);

#endif
