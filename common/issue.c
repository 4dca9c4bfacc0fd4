/* issue: see issue.h. Layout of the texts; how foreign text is kept from acting is
 * markdown.c's work. Titles: issue_title.c. What to do about each class of failure:
 * issue_advice.c. */
#include "issue.h"

#include <stdio.h>
#include <string.h>

#include "issue_advice.h"
#include "license.h"
#include "markdown.h"
#include "template_builtin.h"
#include "when.h"

#define WORDS_MAX 1000 /* characters of foreign text in a line */
#define RAW_SHOWN 4096

/* `- **label:** value`, value as a code span. */
static void add_item(struct buf *out, const char *label, const char *value)
{
    buf_addf(out, "- **%s:** ", label);
    markdown_span(out, value, WORDS_MAX);
    buf_addc(out, '\n');
}

static void add_item_if(struct buf *out, const char *label, const char *value)
{
    if (value && value[0])
        add_item(out, label, value);
}

static void add_number(struct buf *out, const char *label, int64_t n)
{
    if (n > 0)
        buf_addf(out, "- **%s:** %lld\n", label, (long long)n);
    else
        buf_addf(out, "- **%s:** unknown\n", label);
}

/* "2026-01-31T12:00:00Z" */
static void add_time(struct buf *out, int64_t ms)
{
    char text[WHEN_TEXT_MAX];

    when_format_iso(ms, text);
    buf_adds(out, text);
}

static void add_time_item(struct buf *out, const char *label, int64_t ms)
{
    if (ms <= 0)
        return;
    buf_addf(out, "- **%s:** ", label);
    add_time(out, ms);
    buf_addc(out, '\n');
}

/* A live link to anywhere could point at an issue and leave a note there; the form of
 * Zendesk's own ticket pages cannot. */
bool issue_ticket_page(const struct request *r)
{
    const char *url = r->ticket_url;
    char page[64];
    size_t len = strlen(url), n;

    (void)snprintf(page, sizeof page, "/agent/tickets/%lld", (long long)r->ticket_id);
    n = strlen(page);
    return markdown_plain_url(url) && !strncmp(url, "https://", 8) && len > 8 + n &&
           !strcmp(url + len - n, page) && strcspn(url + 8, "/?#%") == len - 8 - n;
}

static void add_ticket_link(struct buf *out, const struct request *r)
{
    if (!r->ticket_url[0])
        return;
    buf_adds(out, "- **Ticket page:** ");
    markdown_span(out, r->ticket_url, WORDS_MAX);
    if (issue_ticket_page(r))
        buf_addf(out, " ([open](%s))", r->ticket_url);
    buf_addc(out, '\n');
}

static void add_request(struct buf *out, const struct job *j)
{
    const struct request *r = &j->request;

    add_item(out, "Asked for by", r->requested_by[0] ? r->requested_by : "unknown");
    add_item(out, "Customer", r->email[0] ? r->email : "unknown");
    add_number(out, "Users", r->users);
    add_number(out, "Zendesk ticket", r->ticket_id);
    add_ticket_link(out, r);
    add_item_if(out, "Customer's plan", r->plan);
    add_item_if(out, "Paid license expired on", r->license_expired_on);
    add_time_item(out, "Accepted", j->accepted_ms);
}

/* What a format with a clock ends at is a moment; with a calendar it is the day that
 * the customer's server does not see any more. */
static void add_end(struct buf *out, const struct job *j)
{
    int64_t day = when_day(j->expires_ms);
    char last[WHEN_TEXT_MAX], end[WHEN_TEXT_MAX];

    if (j->expires_ms <= 0 || !license_counts_days(j->license_format)) {
        add_time_item(out, "Ends", j->expires_ms);
        return;
    }
    when_format_date(day - 1, last);
    when_format_date(day, end);
    buf_addf(out,
             "- **Last full day:** %s; ends at 00:00 of %s on the clock of the "
             "customer's server\n",
             last, end);
}

static void add_license_facts(struct buf *out, const struct job *j)
{
    add_item_if(out, "License id", j->license_id);
    add_item_if(out, "Key id", j->key_id);
    add_item_if(out, "Format", j->license_format);
    add_time_item(out, "Signed", j->issued_ms);
    add_end(out, j);
}

/* "Accepted" on purpose: a server's yes is not a delivery. */
static void add_mail_facts(struct buf *out, const struct job *j)
{
    const struct job_step_mark *sent = &j->steps[STEP_EMAIL];

    add_item_if(out, "Message-ID", j->message_id);
    add_time_item(out, "Accepted by the mail server", sent->at_ms);
    add_item_if(out, "The mail server's answer", sent->words);
    if (j->mail_arrived)
        buf_adds(out, "- **Arrived:** an operator says so\n");
    if (j->ambiguous > 0)
        buf_addf(out, "- **Answers lost after the mail was out:** %lld\n",
                 (long long)j->ambiguous);
}

static void add_heading(struct buf *out, const char *text)
{
    buf_addf(out, "### %s\n\n", text);
}

static void add_fenced(struct buf *out, const char *heading, const char *text)
{
    if (!text || !text[0])
        return;
    add_heading(out, heading);
    markdown_fence(out, text, strlen(text));
}

/* The issue is written all the same. */
static void add_sealed(struct buf *out, const struct job *j)
{
    add_heading(out, "Copy of the license");
    buf_addf(out,
             "It is sealed in Redis, and the worker that wrote this could not open it. "
             "Where it can be opened, this shows it:\n\n```\nstopgapctl show %s "
             "--license\n```\n\n",
             j->id);
}

/* The license, and what to tell a customer who asks how to install it. Not what
 * somebody has put in its place. */
static void add_license(struct buf *out, const struct job *j)
{
    if (j->sealed)
        add_sealed(out, j);
    if (!j->license || !j->license[0] || job_license_changed(j))
        return;
    add_heading(out, "How to install it, as the mail says");
    buf_addf(out, "%s\n\n", template_builtin_install(j->license_format));
    add_fenced(out, "Copy of the license", j->license);
}

void issue_marker(const char *job_id, struct buf *out)
{
    buf_addf(out, "Job: %s", job_id);
}

/* Paragraphs of their own, last in every text. */
static void add_marks(struct buf *out, const struct job *j)
{
    if (j->request.ticket_id > 0)
        buf_addf(out, "Ticket: %lld\n\n", (long long)j->request.ticket_id);
    else
        buf_adds(out, "Ticket: unknown\n\n");
    issue_marker(j->id, out);
    buf_addc(out, '\n');
}

void issue_success_text(const struct job *j, struct buf *out)
{
    buf_adds(out, "An emergency license was signed and mailed to the customer. It is a "
                  "trial of plan Ultimate and ends by itself.\n\n");
    add_request(out, j);
    add_license_facts(out, j);
    add_mail_facts(out, j);
    if (j->earlier) {
        add_item(out, "Corrects the earlier licenses of jobs", j->earlier);
        buf_adds(out, "\nThe earlier license stays valid until it ends; the customer "
                      "should use this one.\n");
    }
    buf_addc(out, '\n');
    add_fenced(out, "Please note", j->warning);
    add_fenced(out, "Note of the requester", j->request.note);
    add_license(out, j);
    add_marks(out, j);
}

/* A lost worker is no step's failure, and says nothing of where it was. */
static bool failed_in_step(const struct job *j)
{
    return j->has_error && j->error.class != ERR_POISON;
}

static const char *step_standing(const struct job *j, enum job_step step)
{
    bool begun = (step == STEP_EMAIL && j->email_intent.at_ms > 0) ||
                 (step == STEP_RECORD && j->record_intent.at_ms > 0);

    if (begun)
        return "begun, its outcome is not known";
    return failed_in_step(j) && j->error_step == step ? "failed" : "not done";
}

static void add_step(struct buf *out, const struct job *j, enum job_step step)
{
    const struct job_step_mark *mark = &j->steps[step];

    buf_addf(out, "- **%s:** ", job_step_name(step));
    if (mark->at_ms <= 0) {
        buf_addf(out, "%s\n", step_standing(j, step));
        return;
    }
    buf_adds(out, "done at ");
    add_time(out, mark->at_ms);
    buf_addf(out, " in %lld ms", (long long)mark->took_ms);
    if (mark->words) {
        buf_adds(out, ": ");
        markdown_span(out, mark->words, WORDS_MAX);
    }
    buf_addc(out, '\n');
}

static void add_steps(struct buf *out, const struct job *j)
{
    add_heading(out, "Done so far");
    for (unsigned i = 0; i < STEP_COUNT; i++)
        add_step(out, j, (enum job_step)i);
    buf_addc(out, '\n');
}

static void add_what_happened(struct buf *out, const struct job *j, bool late)
{
    add_heading(out, "What happened");
    buf_adds(out, late ? "The license is **not at the customer's yet**. Stopgap is "
                         "still trying; this issue is closed when it is out."
                       : "The job **failed** and nobody is working on it.");
    if (failed_in_step(j))
        buf_addf(out, " At step **%s**", job_step_name(j->error_step));
    if (j->has_error)
        buf_addf(out, "%s %s (class `%s`).", failed_in_step(j) ? ":" : " Reason:",
                 issue_advice_reason(j->error.class), err_class_name(j->error.class));
    buf_addf(out, " Attempts: %lld.\n\n", (long long)j->attempt);
    if (j->clash) {
        buf_adds(out, "The same key was used before, with other content, by job ");
        markdown_span(out, j->clash, WORDS_MAX);
        buf_adds(out, ".\n\n");
    }
}

static void add_why(struct buf *out, const struct job *j)
{
    if (!j->has_error)
        return;
    add_heading(out, "Why");
    if (j->error.code)
        buf_addf(out, "Code %d, in the other side's own words:\n\n", j->error.code);
    markdown_fence(out, j->error.text[0] ? j->error.text : "(no words)",
                   strlen(j->error.text[0] ? j->error.text : "(no words)"));
}

/* The bytes as they came, where nothing better could be made of them. */
static void add_raw(struct buf *out, const struct job *j)
{
    bool unreadable =
        j->has_error && j->error_step == STEP_VALIDATE && j->error.class == ERR_INVALID;

    if ((j->has_request && !unreadable) || j->raw_len == 0)
        return;
    add_heading(out, "The request as it came");
    if (j->raw_len > RAW_SHOWN)
        buf_addf(out, "The first %d of %zu bytes; all of them are in the job.\n\n",
                 RAW_SHOWN, job_raw_total(j));
    markdown_fence_bytes(out, j->raw, j->raw_len, RAW_SHOWN);
}

void issue_failed_text(const struct job *j, bool late, struct buf *out)
{
    add_what_happened(out, j, late);
    add_why(out, j);
    add_heading(out, "What to do next");
    issue_advice(j, late, out);
    add_steps(out, j);
    add_heading(out, "The request");
    add_request(out, j);
    add_license_facts(out, j);
    add_mail_facts(out, j);
    buf_addc(out, '\n');
    add_fenced(out, "Please note", j->warning);
    add_fenced(out, "Note of the requester", j->request.note);
    add_raw(out, j);
    add_license(out, j);
    add_marks(out, j);
}

static void add_record_link(struct buf *out, const char *url)
{
    if (!url || !url[0])
        return;
    buf_adds(out, "Its record: ");
    if (markdown_plain_url(url))
        buf_addf(out, "[success issue](%s)", url);
    else
        markdown_span(out, url, WORDS_MAX);
    buf_adds(out, ". ");
}

void issue_solved_comment(const struct job *j, const char *success_url, struct buf *out)
{
    if (j->discarded) {
        buf_adds(out, "Discarded by ");
        markdown_span(out, j->discarded, WORDS_MAX);
        buf_adds(out, ": nothing more comes of this job.\n");
        return;
    }
    buf_adds(out, "Solved: the license of this ticket went out. ");
    add_record_link(out, success_url);
    buf_adds(out, "Made by job ");
    markdown_span(out, j->fixed_by ? j->fixed_by : j->id, WORDS_MAX);
    buf_adds(out, ".\n");
}

/* Length of a line without the blanks at its end. */
static size_t trimmed(const char *line, size_t len)
{
    while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t'))
        len--;
    return len;
}

bool issue_has_marker(const char *description, const char *job_id)
{
    struct markdown_walk walk = {.next = description};
    const char *line;
    size_t len;
    bool code, found = false;
    struct buf marker;

    buf_init(&marker, 256);
    issue_marker(job_id, &marker);
    while (!found && markdown_next_line(&walk, &line, &len, &code))
        found = !code && trimmed(line, len) == marker.len &&
                !memcmp(line, marker.data, marker.len);
    buf_done(&marker);
    return found;
}
