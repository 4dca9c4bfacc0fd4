/* tell: see tell.h. Both texts say the same facts; how each writes a link and a piece
 * of foreign text is a style. */
#include "tell.h"

#include <string.h>

#include "issue.h"
#include "issue_advice.h"
#include "license.h"
#include "markdown.h"
#include "when.h"

#define WORDS_MAX 600 /* characters of foreign text */
#define LINK_MAX 512  /* bytes; five times as many where all have to be escaped */
#define ADDRESS_CHARS                                                                  \
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.!#$%&'*+/=?^_`{|}" \
    "~-"

struct style {
    const char *strong; /* around a heading */
    void (*span)(struct buf *out, const char *text);
    void (*link)(struct buf *out, const char *url, const char *label);
};

bool tell_is(const struct tell *t, const char *kind)
{
    size_t len = strlen(kind);

    return !strncmp(t->event, kind, len) && (!t->event[len] || t->event[len] == ' ');
}

void tell_masked(const char *text, struct buf *out)
{
    while (*text) {
        size_t local = strspn(text, ADDRESS_CHARS);
        bool address = local && text[local] == '@';

        if (address)
            buf_addf(out, "%c***@", *text);
        else
            buf_add(out, text, local ? local : 1);
        text += address ? local + 1 : local ? local : 1;
    }
}

/* ---- styles ---- */

/* In code nothing is formatted; a backtick would end it. */
static void slack_span(struct buf *out, const char *text)
{
    struct buf line;

    buf_init(&line, TELL_TEXT_MAX);
    markdown_span(&line, text, WORDS_MAX);
    buf_addc(out, '`');
    for (size_t i = strspn(line.data, "`"), end = line.len - i; i < end; i++) {
        char c = line.data[i];

        if (c == '&')
            buf_adds(out, "&amp;");
        else if (c == '<')
            buf_adds(out, "&lt;");
        else if (c == '>')
            buf_adds(out, "&gt;");
        else
            buf_addc(out, c == '`' ? '\'' : c);
    }
    buf_addc(out, '`');
    buf_done(&line);
}

/* The URL holds plain characters only, of which & alone has a meaning. */
static void slack_link(struct buf *out, const char *url, const char *label)
{
    buf_addc(out, '<');
    for (; *url; url++)
        if (*url == '&')
            buf_adds(out, "&amp;");
        else
            buf_addc(out, *url);
    buf_addf(out, "|%s>", label);
}

/* Zendesk fills in {{...}} and {%...%} in some places where comments end up. */
static void note_span(struct buf *out, const char *text)
{
    struct buf line;

    buf_init(&line, TELL_TEXT_MAX);
    markdown_span(&line, text, WORDS_MAX);
    for (size_t i = 0; i < line.len; i++) {
        buf_addc(out, line.data[i]);
        if (line.data[i] == '{')
            buf_addc(out, ' ');
    }
    buf_done(&line);
}

/* Zendesk makes a link of it by itself. */
static void note_link(struct buf *out, const char *url, const char *label)
{
    buf_addf(out, "%s (%s)", label, url);
}

static const struct style slack = {"*", slack_span, slack_link};
static const struct style note = {"", note_span, note_link};

/* ---- facts ---- */

static void add_foreign(const struct tell *t, const struct style *s, const char *text,
                        struct buf *out)
{
    struct buf masked;

    buf_init(&masked, TELL_TEXT_MAX);
    if (t->mask)
        tell_masked(text, &masked);
    else
        buf_adds(&masked, text);
    s->span(out, masked.data);
    buf_done(&masked);
}

static void add_link(const struct style *s, const char *url, const char *label,
                     struct buf *out)
{
    if (url && strlen(url) <= LINK_MAX && markdown_plain_url(url))
        s->link(out, url, label);
    else
        buf_adds(out, label);
}

static void add_ticket(const struct tell *t, const struct style *s, struct buf *out)
{
    const struct request *r = &t->job->request;
    char label[64];
    struct buf text;

    if (!r->ticket_id) {
        buf_adds(out, "an unknown ticket");
        return;
    }
    buf_init(&text, sizeof label);
    buf_addf(&text, "ticket %lld", (long long)r->ticket_id);
    add_link(s, issue_ticket_page(r) ? r->ticket_url : NULL, text.data, out);
    buf_done(&text);
}

static void add_who(const struct tell *t, const struct style *s, struct buf *out)
{
    const struct request *r = &t->job->request;

    if (r->users > 0)
        buf_addf(out, "%lld users, for ", (long long)r->users);
    else
        buf_adds(out, "For ");
    add_foreign(t, s, *r->email ? r->email : "unknown", out);
    buf_adds(out, ", asked for by ");
    add_foreign(t, s, *r->requested_by ? r->requested_by : "unknown", out);
    buf_adds(out, ".\n");
}

/* The last moment to have the real license at the customer's. */
static void add_end(const struct job *j, struct buf *out)
{
    bool days = license_counts_days(j->license_format);
    int64_t day = when_day(j->expires_ms);
    char last[WHEN_TEXT_MAX], moment[WHEN_TEXT_MAX];

    when_format_long_date(days ? day - 1 : day, last);
    when_format_iso(j->expires_ms, moment);
    if (days)
        buf_addf(out, "Its last full day is %s.\n", last);
    else
        buf_addf(out, "It ends on %s (%s).\n", last, moment);
    buf_addf(out,
             "Follow-up: whoever looks after this customer's subscription sends the "
             "real license by then, %s.\n",
             last);
}

static void add_reason(const struct tell *t, const struct style *s, struct buf *out)
{
    const struct job *j = t->job;

    if (!j->has_error)
        return;
    buf_addf(out, "Why: %s: ", issue_advice_reason(j->error.class));
    add_foreign(t, s, j->error.text, out);
    buf_addc(out, '\n');
}

static void add_done(const struct tell *t, const struct style *s, struct buf *out)
{
    const struct job *j = t->job;

    buf_addf(out, "%sEmergency license sent%s for ", s->strong, s->strong);
    add_ticket(t, s, out);
    buf_adds(out, "\n");
    add_who(t, s, out);
    add_end(j, out);
    if (j->earlier)
        buf_adds(out, "It corrects an earlier license of this ticket.\n");
    if (j->warning) {
        buf_adds(out, "Please note: ");
        add_foreign(t, s, j->warning, out);
        buf_addc(out, '\n');
    }
    buf_adds(out, "Record: ");
    add_link(s, j->issue_url, "GitLab issue", out);
    buf_addc(out, '\n');
}

static void add_failure_issue(const struct tell *t, const struct style *s,
                              struct buf *out)
{
    if (!t->job->report_url) {
        buf_adds(out, "The failure issue is not open yet: GitLab is out of reach.\n");
        return;
    }
    buf_adds(out, "What to do: ");
    add_link(s, t->job->report_url, "GitLab issue", out);
    buf_addc(out, '\n');
}

static void add_failed(const struct tell *t, const struct style *s, struct buf *out)
{
    buf_addf(out, "%sEmergency license failed%s for ", s->strong, s->strong);
    add_ticket(t, s, out);
    buf_adds(out, t->job->steps[STEP_EMAIL].at_ms
                      ? ", after it was mailed\n"
                      : ": the customer has no license from it\n");
    add_who(t, s, out);
    add_reason(t, s, out);
    add_failure_issue(t, s, out);
}

static void add_late(const struct tell *t, const struct style *s, struct buf *out)
{
    buf_addf(out, "%sEmergency license is late%s for ", s->strong, s->strong);
    add_ticket(t, s, out);
    buf_adds(out, ": it is not mailed yet, and still tried\n");
    add_who(t, s, out);
    add_reason(t, s, out);
    add_failure_issue(t, s, out);
}

static void add_text(const struct tell *t, const struct style *s, struct buf *out)
{
    static const struct {
        const char *kind;
        void (*add)(const struct tell *t, const struct style *s, struct buf *out);
    } texts[] = {{"done", add_done}, {"failed", add_failed}, {"late", add_late}};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (tell_is(t, texts[i].kind))
            texts[i].add(t, s, out);
}

void tell_slack_text(const struct tell *t, struct buf *out)
{
    add_text(t, &slack, out);
    buf_addf(out, "Job `%s`", t->job->id);
    if (t->again)
        buf_adds(out, " (perhaps told before: an answer of Slack was lost)");
}

void tell_marker(const struct tell *t, struct buf *out)
{
    buf_addf(out, "Stopgap job %s (%s)", t->job->id, t->event);
}

void tell_note_text(const struct tell *t, struct buf *out)
{
    add_text(t, &note, out);
    buf_addc(out, '\n');
    tell_marker(t, out);
}
