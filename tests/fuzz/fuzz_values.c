/* Times, numbers, durations, command lines and workers' ids as people and programs
 * write them. What is taken is what the C library makes of it, too, and comes back from
 * its own text; nobody is found dead who did not live here. Fields: the first is a
 * text, the others a command line; the first 8 bytes are an instant besides.
 *
 * Links: ctl/args worker/identity */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <time.h>

#include "args.h"
#include "fuzz_input.h"
#include "identity.h"
#include "num.h"
#include "when.h"

#define ARGS_MAX 12
#define SECOND INT64_C(1000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- Numbers --- */

static void check_number(const char *text)
{
    bool digits = text[text[0] == '-'] != '\0';
    long long theirs;
    int64_t ours = 77;
    bool taken = num_parse(text, INT64_MIN, INT64_MAX, &ours);
    char back[24], libc[24];

    for (const char *p = text + (text[0] == '-'); *p; p++)
        digits &= *p >= '0' && *p <= '9';
    errno = 0;
    theirs = strtoll(text, NULL, 10);
    PROMISE(taken == (digits && !errno && theirs != INT64_MIN));
    PROMISE(ours == (taken ? theirs : 77));
    PROMISE(!taken || !num_parse(text, ours + (ours < INT64_MAX), INT64_MAX, &ours) ||
            ours == INT64_MAX);
    (void)snprintf(libc, sizeof libc, "%" PRId64, ours);
    PROMISE(num_format(ours, back) == strlen(libc) && !strcmp(back, libc));
}

static void check_duration(const char *text)
{
    int64_t ms = 77, back;
    char shown[24];

    if (!num_parse_duration(text, &ms)) {
        PROMISE(ms == 77);
        return;
    }
    PROMISE(ms >= 0 && strspn(text, "0123456789") > 0);
    num_format_duration(ms, shown);
    PROMISE(num_parse_duration(shown, &back) && back == ms);
    PROMISE(strlen(shown) <= strlen(text) || text[0] == '0');
}

/* --- Times --- */

static void check_date(const char *text)
{
    char back[WHEN_TEXT_MAX];
    struct tm tm = {.tm_mday = 1};
    int64_t day = -77;

    if (!when_parse_date(text, &day)) {
        PROMISE(day == -77);
        return;
    }
    when_format_date(day, back);
    PROMISE(!strcmp(back, text));
    tm.tm_year = atoi(text) - 1900;
    tm.tm_mon = atoi(text + 5) - 1;
    tm.tm_mday = atoi(text + 8);
    PROMISE(timegm(&tm) == day * 86400);
}

static void check_instant(const char *text)
{
    char back[WHEN_TEXT_MAX];
    int64_t ms;

    if (!when_parse_iso(text, &ms))
        return;
    PROMISE(ms >= 0 && ms % SECOND == 0);
    when_format_iso(ms, back);
    PROMISE(!strncmp(back, text, 19) && !strcmp(back + 19, "Z"));
}

/* One that the C library can show, too. */
static void check_shown(int64_t ms)
{
    char ours[WHEN_TEXT_MAX], theirs[64];
    time_t s = ms / SECOND;
    struct tm tm;
    int64_t back;

    (void)gmtime_r(&s, &tm);
    when_format_iso(ms, ours);
    (void)strftime(theirs, sizeof theirs, "%Y-%m-%dT%H:%M:%SZ", &tm);
    PROMISE(!strcmp(ours, theirs));
    if (tm.tm_year < 10000 - 1900)
        PROMISE(when_parse_iso(ours, &back) && back == s * SECOND);
    when_format_iso_ms(ms, ours);
    PROMISE(!strncmp(ours, theirs, strlen(theirs) - 1) &&
            atoi(strchr(ours, '.') + 1) == ms % SECOND);
    when_format_mail(ms, ours);
    (void)strftime(theirs, sizeof theirs, "%a, %-d %b %Y %H:%M:%S +0000", &tm);
    PROMISE(!strcmp(ours, theirs));
    when_format_http(ms, ours);
    (void)strftime(theirs, sizeof theirs, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    PROMISE(!strcmp(ours, theirs));
    when_format_long_date(when_day(ms), ours);
    (void)strftime(theirs, sizeof theirs, "%A, %-d %B %Y", &tm);
    PROMISE(!strcmp(ours, theirs));
}

/* --- Command lines --- */

static void check_times_of_people(const char *text)
{
    const int64_t now_ms = INT64_C(1769860805000);
    int64_t ms = -1, date;
    struct err e;

    err_clear(&e);
    if (args_since(text, now_ms, &ms, &e))
        PROMISE(e.class == ERR_CONFIG && e.text[0] && ms == -1);
    else
        PROMISE(ms >= 0 && (ms <= now_ms || when_parse_date(text, &date) ||
                            when_parse_iso(text, &date)));
    if (args_span(text, &ms))
        PROMISE(ms >= 0);
}

static bool is_one_of(const char *text, char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (text == words[i])
            return true;
    return false;
}

/* Operands keep their order, nothing is made up, and each option has got its own. */
static void check_command(char *const *words, int count, bool first_only)
{
    bool flag = false, loud = false;
    const char *text = NULL, *span = NULL;
    char *argv[ARGS_MAX];
    const struct arg_option own[] = {{"flag", ARG_FLAG, &flag},
                                     {"text", ARG_TEXT, (void *)&text},
                                     {"span", ARG_SPAN, (void *)&span},
                                     {0}};
    const struct arg_option global[] = {{"loud", ARG_FLAG, &loud}, {0}};
    struct err e;
    int64_t ms;
    int n, at = 0;

    err_clear(&e);
    memcpy(argv, words, sizeof argv);
    n = args_parse(argv, count, first_only, own, global, &e);
    if (n < 0) {
        PROMISE(n == -1 && e.class == ERR_CONFIG && e.text[0]);
        return;
    }
    PROMISE(n <= count && e.class == ERR_NONE);
    for (int i = 0; i < n; i++, at++)
        while (words[at] != argv[i])
            PROMISE(++at < count);
    PROMISE(!span || !*span || args_span(span, &ms));
    PROMISE(!text || is_one_of(text, words, (size_t)count) ||
            !strncmp(text - strlen("--text="), "--text=", strlen("--text=")));
    if (first_only && n > 0) /* whatever follows the first is left alone */
        PROMISE(argv[n - 1] == words[count - 1]);
}

/* --- Workers --- */

/* tail: of an id of this place, after HOST:BOOT:. */
static void check_worker(const char *text, const char *tail)
{
    static char own[160], host[80], place[160];
    char other[400];
    const char *colon;

    if (!*own) {
        identity_make(own, sizeof own, host, sizeof host);
        colon = strchr(strchr(own, ':') + 1, ':');
        (void)snprintf(place, sizeof place, "%.*s", (int)(colon + 1 - own), own);
    }
    PROMISE(!identity_is_dead_neighbour(own, own));
    PROMISE(!identity_is_dead_neighbour(text, own));
    if (identity_is_dead_neighbour(own, text))
        PROMISE(!strncmp(text, place, strlen(place)));
    (void)snprintf(other, sizeof other, "%s%.200s", place, tail);
    if (identity_is_dead_neighbour(own, other))
        PROMISE(strspn(tail, "0123456789:") > 2 && strlen(tail) < 60);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    char *words[ARGS_MAX] = {0};
    int64_t ms = 0;
    char *text;
    int count = 0;

    memcpy(&ms, data, size < sizeof ms ? size : sizeof ms);
    check_shown((int64_t)((uint64_t)ms % (UINT64_C(400000000) * 1000000)));
    text = fuzz_field(&in);
    check_number(text);
    check_duration(text);
    check_date(text);
    check_instant(text);
    check_times_of_people(text);
    check_worker(text, text);
    while (in.left && count < ARGS_MAX)
        words[count++] = fuzz_field(&in);
    check_command(words, count, size % 2);
    free(text);
    for (int i = 0; i < count; i++)
        free(words[i]);
    return 0;
}
