/* Issue texts out of hostile jobs. What stands outside code spans and fences is the
 * same as for a job with harmless values in the same places; markers are found, and
 * not where foreign text fakes one; titles are one line within GitLab's limit. */
#include <stdbool.h>

#include "fuzz_input.h"
#include "issue.h"
#include "markdown.h"
#include "utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ID "0123456789abcdefghjkmnpqrs"
#define OTHER "zzzzzzzzzzzzzzzzzzzzzzzzzz"
#define FIELDS 14

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
}

/* "x" where there is something, so that the same lines are written. The URL stays: as
 * a link it may stand outside, in its one form. */
static void fill_harmless(struct job *j, char *const f[FIELDS], bool parsed)
{
    static char x[] = "x", none[] = "";
    char *calm[FIELDS];

    for (size_t i = 0; i < FIELDS; i++)
        calm[i] = f[i][0] ? x : none;
    calm[12] = f[12]; /* how long it is gets said */
    calm[13] = f[13];
    fill(j, calm, parsed);
}

static void render(const struct job *j, unsigned kind, struct buf *out)
{
    if (kind == 0)
        issue_success_text(j, out);
    else
        issue_failed_text(j, kind == 2, out);
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
    buf_done(&text);
    buf_done(&calm);
    buf_done(&a);
    buf_done(&b);
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
    PROMISE(b.data[0] == '[' && strstr(b.data, " for 150 users"));
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
    for (unsigned kind = ISSUE_SUCCESS; kind <= ISSUE_DUPLICATE; kind++)
        check_title(&j, (enum issue_title)kind);
    for (size_t i = 0; i < FIELDS; i++)
        free(f[i]);
    return 0;
}
