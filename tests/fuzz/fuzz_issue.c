/* Issue texts out of hostile jobs. What stands outside code spans and fences is the
 * same as for a job with harmless values in the same places; markers are found, and
 * not where foreign text fakes one; titles are one line within GitLab's limit in which
 * no sign refers to anything. The last field says what kind of job it is. */
#include <stdbool.h>

#include "fuzz_input.h"
#include "issue.h"
#include "issue_advice.h"
#include "markdown.h"
#include "utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ID "0123456789abcdefghjkmnpqrs"
#define OTHER "zzzzzzzzzzzzzzzzzzzzzzzzzz"
#define FIELDS 18
#define KIND 17
#define JOINER "\xE2\x81\xA0"
#define ELLIPSIS "\xE2\x80\xA6"

enum { NO_ERROR = 1, BEGUN = 2, DATES = 4, ARRIVED = 8, LOST = 16, NO_IDS = 32 };

/* Length of the run of backticks at p. */
static size_t ticks(const char *p, const char *end)
{
    size_t n = 0;

    while (p + n < end && p[n] == '`')
        n++;
    return n;
}

/* The end of the code span whose opening run of n ends at p; NULL: there is none. */
static const char *span_end(const char *p, const char *end, size_t n)
{
    while (p < end) {
        size_t run = ticks(p, end);

        if (run == n)
            return p + run;
        p += run ? run : 1;
    }
    return NULL;
}

static void add_outside(struct buf *out, const char *line, size_t len)
{
    const char *p = line, *end = line + len;

    while (p < end) {
        size_t n = ticks(p, end);
        const char *after = n ? span_end(p + n, end, n) : NULL;

        PROMISE(!n || after); /* each run that we write opens or closes a span */
        if (after)
            buf_addc(out, '`');
        else
            buf_addc(out, *p);
        p = after ? after : p + 1;
    }
    buf_addc(out, '\n');
}

/* Everything that a reader takes for Markdown. */
static void outside(const struct buf *text, struct buf *out)
{
    struct markdown_walk walk = {.next = text->data};
    const char *line;
    size_t len;
    bool code;

    while (markdown_next_line(&walk, &line, &len, &code))
        if (!code)
            add_outside(out, line, len);
    PROMISE(walk.fence_len == 0);
}

/* Of the kind: a class of error, and what else is so. */
static void fill_kind(struct job *j, const char *kind)
{
    unsigned flags = kind[0] ? (unsigned char)kind[1] : 0;
    enum err_class class = (enum err_class)((unsigned char)kind[0] % ERR_CLASS_COUNT);

    if (kind[0])
        j->error.class = class;
    j->error.code = flags & LOST ? 550 : 0;
    j->has_error = !(flags & NO_ERROR);
    j->error_step = flags & ARRIVED ? STEP_VALIDATE : STEP_EMAIL;
    if (flags & BEGUN)
        j->email_intent.at_ms = j->record_intent.at_ms = 1769860805000;
    if (flags & DATES) {
        j->issued_ms = 1769860805000;
        j->expires_ms = 1770724805000;
    }
    j->mail_arrived = flags & ARRIVED;
    j->ambiguous = flags & LOST ? 2 : 0;
    if (flags & NO_IDS)
        j->request.ticket_id = j->request.users = 0;
}

static void fill(struct job *j, char *const f[FIELDS], bool parsed)
{
    struct request *r = &j->request;

    memcpy(j->id, ID, sizeof j->id);
    j->has_request = parsed;
    j->has_error = true;
    j->error_step = STEP_EMAIL;
    j->attempt = 2;
    r->ticket_id = 42;
    r->users = 150;
    (void)snprintf(r->email, sizeof r->email, "%s", f[0]);
    (void)snprintf(r->requested_by, sizeof r->requested_by, "%s", f[1]);
    (void)snprintf(r->note, sizeof r->note, "%s", f[2]);
    (void)snprintf(r->plan, sizeof r->plan, "%s", f[3]);
    (void)snprintf(j->license_format, sizeof j->license_format, "%s", f[4]);
    (void)err_set(&j->error, ERR_PERMANENT, 550, "%s", f[5]);
    j->steps[STEP_SIGN] =
        (struct job_step_mark){1769860805000, 5, f[6][0] ? f[6] : NULL};
    j->warning = f[7];
    j->license = f[8];
    j->message_id = f[9];
    j->clash = f[10][0] ? f[10] : NULL;
    j->earlier = f[11][0] ? f[11] : NULL;
    j->raw = f[12];
    j->raw_len = strlen(f[12]);
    (void)snprintf(r->ticket_url, sizeof r->ticket_url, "%s", f[13]);
    j->discarded = f[14][0] ? f[14] : NULL;
    j->fixed_by = f[15][0] ? f[15] : NULL;
    fill_kind(j, f[KIND]);
}

/* "x" where there is something, so that the same lines are written. The URL stays: as
 * a link it may stand outside, in its one form. */
static void fill_harmless(struct job *j, char *const f[FIELDS], bool parsed)
{
    static char x[] = "x", none[] = "";
    char *calm[FIELDS];

    for (size_t i = 0; i < FIELDS; i++)
        calm[i] = f[i][0] ? x : none;
    if (!strcmp(f[4], "gitlab")) /* one of ours: it chooses words */
        calm[4] = f[4];
    calm[12] = f[12]; /* how long it is gets said */
    calm[13] = f[13];
    calm[KIND] = f[KIND];
    fill(j, calm, parsed);
}

static void render(const struct job *j, unsigned kind, struct buf *out)
{
    if (kind == 0)
        issue_success_text(j, out);
    else
        issue_failed_text(j, kind == 2, out);
}

/* A URL of plain characters may stand as a link; of others nothing stands outside. */
static void check_comment(const struct job *j, const struct job *harmless,
                          const char *url)
{
    char plain[] = "https://x";
    struct buf text, calm, a, b;

    buf_init(&text, 65536);
    buf_init(&calm, 65536);
    buf_init(&a, 65536);
    buf_init(&b, 65536);
    issue_solved_comment(j, url, &text);
    issue_solved_comment(harmless,
                         markdown_plain_url(url) ? plain
                         : url[0]                ? "x"
                                                 : "",
                         &calm);
    PROMISE(!text.failed && utf8_valid_len(text.data, text.len) == text.len);
    outside(&text, &a);
    outside(&calm, &b);
    if (markdown_plain_url(url) && !j->discarded) {
        PROMISE(strspn(url, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                            "0123456789-._~/:?=&%#+") == strlen(url));
        PROMISE(a.len == b.len + strlen(url) - strlen(plain));
    } else {
        PROMISE(!strcmp(a.data, b.data));
    }
    PROMISE(!issue_has_marker(text.data, ID));
    buf_done(&text);
    buf_done(&calm);
    buf_done(&a);
    buf_done(&b);
}

/* The one text of many jobs: ids of ours, whatever their number. */
static void check_shared(size_t count)
{
    char ids[10 * sizeof ID] = "";
    struct issue_shared s = {ID, (int64_t)count, 1769860805000, ids};
    struct buf b;

    for (size_t i = 0; i < count % 10; i++)
        (void)snprintf(ids + strlen(ids), sizeof ids - strlen(ids), "%s" OTHER,
                       i ? " " : "");
    buf_init(&b, 65536);
    issue_shared_title(&s, &b);
    PROMISE(b.len <= ISSUE_TITLE_MAX && !strchr(b.data, '\n'));
    buf_reset(&b);
    issue_shared_text(&s, &b);
    PROMISE(!b.failed && issue_has_marker(b.data, ID));
    PROMISE(!issue_has_marker(b.data, OTHER));
    buf_done(&b);
}

static void check_text(const struct job *j, const struct job *harmless, unsigned kind)
{
    struct buf text, calm, a, b;

    buf_init(&text, 8 * ISSUE_TEXT_MAX);
    buf_init(&calm, 8 * ISSUE_TEXT_MAX);
    buf_init(&a, 8 * ISSUE_TEXT_MAX);
    buf_init(&b, 8 * ISSUE_TEXT_MAX);
    render(j, kind, &text);
    render(harmless, kind, &calm);
    PROMISE(!text.failed && utf8_valid_len(text.data, text.len) == text.len);
    PROMISE(!memchr(text.data, '\r', text.len) && !memchr(text.data, 0, text.len));
    outside(&text, &a);
    outside(&calm, &b);
    PROMISE(!strcmp(a.data, b.data));
    PROMISE(issue_has_marker(text.data, ID));
    PROMISE(!issue_has_marker(text.data, OTHER));
    buf_reset(&a);
    issue_advice_command(j, &a);
    PROMISE(!strncmp(a.data, "requeue " ID, 8 + strlen(ID)));
    buf_done(&text);
    buf_done(&calm);
    buf_done(&a);
    buf_done(&b);
}

static bool word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (c >= 'a' && c <= 'z');
}

/* Whatever GitLab takes for the start of a reference has nothing to refer to. */
static void check_signs(const char *title)
{
    for (const char *p = title; *p; p++)
        if (strchr("#!~%&$^*:[", *p) || (*p == '@' && (p == title || !word(p[-1]))))
            PROMISE(p == title || !strncmp(p + 1, JOINER, 3) ||
                    !strncmp(p + 1, ELLIPSIS, 3));
}

static void check_title(const struct job *j, enum issue_title kind)
{
    struct buf b;
    size_t chars = 0;
    const char *p;

    buf_init(&b, 65536);
    issue_title(kind, j, &b);
    PROMISE(!b.failed);
    for (p = b.data; p < b.data + b.len; chars++)
        PROMISE(utf8_printable(utf8_next(&p, b.data + b.len)));
    PROMISE(chars <= ISSUE_TITLE_MAX);
    PROMISE(b.data[0] == '[');
    PROMISE(strstr(b.data, j->request.users ? " for 150 users" : " for unknown users"));
    check_signs(b.data);
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    struct job j = {.version = 1}, harmless = {.version = 1};
    bool parsed = size % 2;
    char *f[FIELDS];

    if (size > 100000)
        return 0;
    for (size_t i = 0; i < FIELDS; i++)
        f[i] = fuzz_field(&in);
    fill(&j, f, parsed);
    fill_harmless(&harmless, f, parsed);
    for (unsigned kind = 0; kind < 3; kind++)
        check_text(&j, &harmless, kind);
    check_comment(&j, &harmless, f[16]);
    check_shared(size);
    for (unsigned kind = ISSUE_SUCCESS; kind <= ISSUE_DUPLICATE; kind++)
        check_title(&j, (enum issue_title)kind);
    for (size_t i = 0; i < FIELDS; i++)
        free(f[i]);
    return 0;
}
