/* What people are told, out of hostile jobs: the Slack message and the note on the
 * ticket. What stands outside code is the same as for a job with harmless values in the
 * same places; in code nothing ends it, nothing is a link or a placeholder; masked, no
 * address shows more than its first letter. The last field says what is told. */
#include <ctype.h>
#include <stdbool.h>

#include "fuzz_input.h"
#include "fuzz_text.h"
#include "tell.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ID "0123456789abcdefghjkmnpqrs"
#define FIELDS 8
#define KIND 7
#define PLAIN                                                                          \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/:?=&%#+"

enum {
    ERROR = 1,
    MAILED = 2,
    NO_IDS = 4,
    MASK = 8,
    AGAIN = 16,
    EARLIER = 32,
    DAYS = 64
};

struct sides {
    struct buf outside, inside;
};

static const char *event_of(const char *kind)
{
    static const char *const events[] = {"done", "failed", "late", "done 2", "odd"};

    return events[(unsigned char)kind[0] % ARRAY_LEN(events)];
}

static unsigned flags_of(const char *kind)
{
    return kind[0] ? (unsigned char)kind[1] : ERROR | MASK;
}

static void fill(struct job *j, char *const f[FIELDS])
{
    static char x[] = "x";
    unsigned flags = flags_of(f[KIND]);
    struct request *r = &j->request;

    memcpy(j->id, ID, sizeof j->id);
    r->ticket_id = flags & NO_IDS ? 0 : 42;
    r->users = flags & NO_IDS ? 0 : 150;
    (void)snprintf(r->email, sizeof r->email, "%s", f[0]);
    (void)snprintf(r->requested_by, sizeof r->requested_by, "%s", f[1]);
    (void)snprintf(r->ticket_url, sizeof r->ticket_url, "%s", f[2]);
    j->has_error = flags & ERROR;
    j->error.class = ERR_PERMANENT;
    (void)snprintf(j->error.text, sizeof j->error.text, "%s", f[3]);
    j->warning = f[4][0] ? f[4] : NULL;
    j->issue_url = f[5][0] ? f[5] : NULL;
    j->report_url = f[6][0] ? f[6] : NULL;
    j->steps[STEP_EMAIL].at_ms = flags & MAILED ? 1 : 0;
    j->earlier = flags & EARLIER ? x : NULL;
    j->expires_ms = 1770724805000;
    (void)snprintf(j->license_format, sizeof j->license_format, "%s",
                   flags & DAYS ? "gitlab" : "stopgap");
}

/* The URLs stay: where one is a link it stands outside, in its one form. */
static void fill_harmless(struct job *j, char *const f[FIELDS])
{
    static char x[] = "x", none[] = "";
    char *calm[FIELDS];

    for (size_t i = 0; i < FIELDS; i++)
        calm[i] = f[i][0] ? x : none;
    calm[2] = f[2];
    calm[5] = f[5];
    calm[6] = f[6];
    calm[KIND] = f[KIND];
    fill(j, calm);
}

static size_t ticks(const char *p)
{
    return strspn(p, "`");
}

/* A span opens with some backticks and ends at the next run of as many, on its line. */
static void divide(const struct buf *text, struct sides *s)
{
    buf_init(&s->outside, 1 << 20);
    buf_init(&s->inside, 1 << 20);
    for (const char *p = text->data; *p;) {
        size_t n = ticks(p), run;

        if (!n) {
            buf_addc(&s->outside, *p++);
            continue;
        }
        buf_addc(&s->outside, '`');
        for (p += n; (run = ticks(p)) != n; p += run ? run : 1) {
            PROMISE(*p && *p != '\n');
            buf_add(&s->inside, p, run ? run : 1);
        }
        buf_addc(&s->inside, '\n');
        p += n;
    }
}

static void sides_done(struct sides *s)
{
    buf_done(&s->outside);
    buf_done(&s->inside);
}

static bool is_escape(const char *p)
{
    return !strncmp(p, "&amp;", 5) || !strncmp(p, "&lt;", 4) || !strncmp(p, "&gt;", 4);
}

static void check_slack(const struct sides *s)
{
    PROMISE(!strpbrk(s->inside.data, "<>`"));
    for (const char *p = s->inside.data; *p; p++)
        PROMISE(*p != '&' || is_escape(p));
    for (const char *p = strchr(s->outside.data, '<'); p; p = strchr(p + 1, '<')) {
        size_t len = strspn(p + 1, PLAIN ";");

        PROMISE(!strncmp(p + 1, "https://", 8) || !strncmp(p + 1, "http://", 7));
        PROMISE(p[1 + len] == '|' && strchr(p, '>') && !strchr("!@#", p[1]));
    }
}

static void check_note(const struct buf *text)
{
    PROMISE(!strstr(text->data, "{{") && !strstr(text->data, "{%"));
    PROMISE(strstr(text->data, "\nStopgap job " ID " ("));
}

/* Nothing that could be the rest of a local part stands before an @. */
static void check_masked(const struct sides *s)
{
    for (const char *p = strchr(s->inside.data, '@'); p; p = strchr(p + 1, '@')) {
        bool stars = p - s->inside.data >= 3 && !strncmp(p - 3, "***", 3);

        PROMISE(stars || p == s->inside.data || !isalnum((unsigned char)p[-1]));
    }
}

static void check(const struct job *j, const struct job *harmless, const char *kind,
                  bool to_slack)
{
    const struct tell t = {j, event_of(kind), flags_of(kind) & MASK,
                           flags_of(kind) & AGAIN};
    const struct tell calm = {harmless, t.event, t.mask, t.again};
    struct buf text, other;
    struct sides a, b;

    buf_init(&text, TELL_TEXT_MAX);
    buf_init(&other, TELL_TEXT_MAX);
    (to_slack ? tell_slack_text : tell_note_text)(&t, &text);
    (to_slack ? tell_slack_text : tell_note_text)(&calm, &other);
    PROMISE(!text.failed && text_tame(text.data, text.len, "\n"));
    divide(&text, &a);
    divide(&other, &b);
    PROMISE(!strcmp(a.outside.data, b.outside.data));
    if (to_slack)
        check_slack(&a);
    else
        check_note(&text);
    if (t.mask)
        check_masked(&a);
    sides_done(&a);
    sides_done(&b);
    buf_done(&text);
    buf_done(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    struct job j = {.version = 1}, harmless = {.version = 1};
    char *f[FIELDS];

    if (size > 20000)
        return 0;
    for (size_t i = 0; i < FIELDS; i++)
        f[i] = fuzz_field(&in);
    fill(&j, f);
    fill_harmless(&harmless, f);
    check(&j, &harmless, f[KIND], true);
    check(&j, &harmless, f[KIND], false);
    for (size_t i = 0; i < FIELDS; i++)
        free(f[i]);
    return 0;
}
