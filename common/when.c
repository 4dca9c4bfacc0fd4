/* when: see when.h. Civil-date formulas after Howard Hinnant's public-domain
 * "chrono-Compatible Low-Level Date Algorithms". */
#include "when.h"

#include <stdio.h>
#include <string.h>

static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};
static const char *const weekdays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};

struct civil {
    int year, month, day, hour, minute, second, ms, weekday;
};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t day_from_civil(int64_t y, int m, int d)
{
    int64_t era, yoe, doy, doe;

    y -= m <= 2;
    era = floor_div(y, 400);
    yoe = y - era * 400;
    doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static struct civil civil_from_day(int64_t day)
{
    int64_t z = day + 719468;
    int64_t era = floor_div(z, 146097);
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int month = (int)(mp < 10 ? mp + 3 : mp - 9);

    return (struct civil){
        .year = (int)(yoe + era * 400 + (month <= 2)),
        .month = month,
        .day = (int)(doy - (153 * mp + 2) / 5 + 1),
        .weekday = (int)(((day % 7) + 11) % 7), /* 1970-01-01 was a Thursday */
    };
}

static struct civil civil_from_ms(int64_t ms)
{
    int64_t day = when_day(ms);
    int64_t rest = ms - day * WHEN_DAY_MS;
    struct civil c = civil_from_day(day);

    c.hour = (int)(rest / 3600000);
    c.minute = (int)(rest / 60000 % 60);
    c.second = (int)(rest / 1000 % 60);
    c.ms = (int)(rest % 1000);
    return c;
}

int64_t when_day(int64_t ms)
{
    return floor_div(ms, WHEN_DAY_MS);
}

/* Exactly n digits at text. */
static bool fixed_digits(const char *text, int n, int *out)
{
    int v = 0;

    for (int i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        v = v * 10 + (text[i] - '0');
    }
    *out = v;
    return true;
}

static bool parse_date_prefix(const char *text, int64_t *out_day)
{
    int y, m, d;
    struct civil back;
    int64_t day;

    if (!fixed_digits(text, 4, &y) || text[4] != '-' ||
        !fixed_digits(text + 5, 2, &m) || text[7] != '-' ||
        !fixed_digits(text + 8, 2, &d))
        return false;
    if (y < 1970 || m < 1 || m > 12 || d < 1 || d > 31)
        return false;
    day = day_from_civil(y, m, d);
    back = civil_from_day(day);
    if (back.day != d || back.month != m)
        return false; /* 30 February */
    *out_day = day;
    return true;
}

bool when_parse_date(const char *text, int64_t *out_day)
{
    return strlen(text) == 10 && parse_date_prefix(text, out_day);
}

bool when_parse_iso(const char *text, int64_t *out_ms)
{
    int64_t day;
    int h, m, s;
    const char *p;

    if (strlen(text) < 20 || !parse_date_prefix(text, &day) || text[10] != 'T')
        return false;
    if (!fixed_digits(text + 11, 2, &h) || text[13] != ':' ||
        !fixed_digits(text + 14, 2, &m) || text[16] != ':' ||
        !fixed_digits(text + 17, 2, &s) || h > 23 || m > 59 || s > 59)
        return false;
    p = text + 19;
    if (*p == '.') {
        size_t fraction = strspn(p + 1, "0123456789");

        if (fraction == 0)
            return false;
        p += 1 + fraction;
    }
    if (strcmp(p, "Z") && strcmp(p, "+00:00"))
        return false;
    *out_ms = day * WHEN_DAY_MS + h * INT64_C(3600000) + m * INT64_C(60000) + s * 1000;
    return true;
}

void when_format_date(int64_t day, char out[static WHEN_TEXT_MAX])
{
    struct civil c = civil_from_day(day);

    (void)snprintf(out, WHEN_TEXT_MAX, "%04d-%02d-%02d", c.year, c.month, c.day);
}

/* n with leading zeros and what follows it. Each log line has a time: printf would be a
 * tenth of what the line costs. */
static char *put(char *p, int n, int width, char after)
{
    for (int i = width; i-- > 0; n /= 10)
        p[i] = (char)('0' + n % 10);
    p[width] = after;
    return p + width + 1;
}

/* Up to the seconds; `after` follows them. */
static char *put_time(char *p, const struct civil *c, char after)
{
    if (c->year < 0 || c->year > 9999)
        p += snprintf(p, 16, "%04d-", c->year);
    else
        p = put(p, c->year, 4, '-');
    p = put(p, c->month, 2, '-');
    p = put(p, c->day, 2, 'T');
    p = put(p, c->hour, 2, ':');
    p = put(p, c->minute, 2, ':');
    return put(p, c->second, 2, after);
}

void when_format_iso(int64_t ms, char out[static WHEN_TEXT_MAX])
{
    struct civil c = civil_from_ms(ms);

    *put_time(out, &c, 'Z') = '\0';
}

void when_format_iso_ms(int64_t ms, char out[static WHEN_TEXT_MAX])
{
    struct civil c = civil_from_ms(ms);

    *put(put_time(out, &c, '.'), c.ms, 3, 'Z') = '\0';
}

void when_format_mail(int64_t ms, char out[static WHEN_TEXT_MAX])
{
    struct civil c = civil_from_ms(ms);

    (void)snprintf(out, WHEN_TEXT_MAX, "%.3s, %d %.3s %04d %02d:%02d:%02d +0000",
                   weekdays[c.weekday], c.day, months[c.month - 1], c.year, c.hour,
                   c.minute, c.second);
}

void when_format_http(int64_t ms, char out[static WHEN_TEXT_MAX])
{
    struct civil c = civil_from_ms(ms);

    (void)snprintf(out, WHEN_TEXT_MAX, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
                   weekdays[c.weekday], c.day, months[c.month - 1], c.year, c.hour,
                   c.minute, c.second);
}

void when_format_long_date(int64_t day, char out[static WHEN_TEXT_MAX])
{
    struct civil c = civil_from_day(day);

    (void)snprintf(out, WHEN_TEXT_MAX, "%s, %d %s %d", weekdays[c.weekday], c.day,
                   months[c.month - 1], c.year);
}
