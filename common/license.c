/* license: see license.h. Here: what every format has in common: the limits of the
 * claims, the lines around a license, and reading back what was signed. Keys and their
 * files are in license_key.c, what stands between the lines in the format's own file.
 */
#include "license.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "license_format.h"
#include "mem.h"
#include "settings.h"
#include "when.h"

#define PLAN "ultimate"
#define USERS_MAX INT64_C(1000000)
#define TICKET_MAX ((INT64_C(1) << 53) - 1)
#define ISSUED_MAX_MS INT64_C(253370764800000) /* 9999-01-01: four-digit years */

void license_claims_make(struct license_claims *c, const struct license_key *k,
                         const char *id, const char *issuer, const char *email,
                         int64_t users, int64_t ticket_id, int64_t now_ms,
                         int64_t term_days)
{
    assert(term_days >= 1 && term_days <= LICENSE_TERM_DAYS_MAX);
    assert(strlen(id) < sizeof c->id && strlen(issuer) < sizeof c->issuer);
    assert(strlen(email) < sizeof c->email);
    *c = (struct license_claims){.users = users,
                                 .ticket_id = ticket_id,
                                 .issued_ms = now_ms - now_ms % 1000,
                                 .plan = PLAN,
                                 .trial = true};
    (void)snprintf(c->id, sizeof c->id, "%s", id);
    (void)snprintf(c->issuer, sizeof c->issuer, "%s", issuer);
    (void)snprintf(c->email, sizeof c->email, "%s", email);
    k->format->set_times(c, term_days);
}

int license_time_state(const struct license_claims *c, int64_t now_ms)
{
    if (now_ms < c->starts_ms)
        return -1;
    return now_ms >= c->expires_ms;
}

static bool printable(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    return *text != '\0';
}

static bool is_id(const char *text)
{
    return strlen(text) == LICENSE_ID_LEN &&
           strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz"
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == LICENSE_ID_LEN;
}

/* Whether it ends as one of the terms that there are would have it. */
static bool ends_in_time(const struct license_format *f, const struct license_claims *c)
{
    struct license_claims other = *c;

    for (int64_t days = 1; days <= LICENSE_TERM_DAYS_MAX; days++) {
        f->set_times(&other, days);
        if (other.expires_ms == c->expires_ms)
            return true;
    }
    return false;
}

static bool starts_in_time(const struct license_format *f,
                           const struct license_claims *c)
{
    struct license_claims other = *c;

    f->set_times(&other, 1);
    return other.starts_ms == c->starts_ms;
}

/* What no license of ours may exceed, whoever asks: NULL, or what is wrong. */
static const char *fault_of(const struct license_format *f,
                            const struct license_claims *c)
{
    bool sane = c->issued_ms >= 0 && c->issued_ms <= ISSUED_MAX_MS;
    const struct {
        bool fine;
        const char *words;
    } rules[] = {
        {is_id(c->id), "the license id is not 26 letters and digits"},
        {printable(c->issuer), "the issuer is empty or not printable"},
        {printable(c->email), "the address is empty or not printable"},
        {c->users >= 1 && c->users <= USERS_MAX, "the user count is out of range"},
        {c->ticket_id >= 1 && c->ticket_id <= TICKET_MAX,
         "the ticket number is out of range"},
        {sane && c->issued_ms % 1000 == 0, "the time of issue is out of range"},
        {sane && starts_in_time(f, c),
         "its start does not fit the time of issue: not a little before it"},
        {sane && ends_in_time(f, c), "the term is not 1 to 10 days"},
        {strcmp(c->plan, PLAN) == 0, "the plan is not \"" PLAN "\""},
        {c->trial, "it is not a trial"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if (!rules[i].fine)
            return rules[i].words;
    return NULL;
}

static bool same_claims(const struct license_claims *a, const struct license_claims *b)
{
    return strcmp(a->id, b->id) == 0 && strcmp(a->issuer, b->issuer) == 0 &&
           strcmp(a->email, b->email) == 0 && a->users == b->users &&
           a->ticket_id == b->ticket_id && a->issued_ms == b->issued_ms &&
           a->starts_ms == b->starts_ms && a->expires_ms == b->expires_ms &&
           strcmp(a->plan, b->plan) == 0 && a->trial == b->trial;
}

static void add_armour(const struct license_format *f, const struct buf *body,
                       struct buf *text)
{
    buf_addf(text, "%s\n", f->begin);
    for (size_t at = 0; at < body->len; at += f->line_width) {
        size_t left = body->len - at;

        buf_add(text, body->data + at, left < f->line_width ? left : f->line_width);
        buf_addc(text, '\n');
    }
    buf_addf(text, "%s\n", f->end);
}

int license_sign(const struct license_key *k, struct license_claims *c,
                 struct buf *text, struct err *e)
{
    const char *fault = fault_of(k->format, c);
    struct license_claims read = {0};
    struct buf body, armoured;
    int result = -1;

    assert(k->can_sign);
    if (fault)
        return err_set(e, ERR_BUG, 0, "not signed: %s", fault);
    buf_init(&body, LICENSE_TEXT_MAX);
    buf_init(&armoured, LICENSE_TEXT_MAX);
    if (k->format->sign(k->own, c, &body, e) != 0)
        goto out;
    add_armour(k->format, &body, &armoured);
    if (armoured.failed || text->failed || text->max - text->len < armoured.len) {
        (void)err_set(e, ERR_BUG, 0, "the license does not fit");
        goto out;
    }
    if (license_verify(k, armoured.data, armoured.len, &read, e) != 0) {
        e->class = ERR_BUG;
        (void)err_wrap(e, "the signed license does not read back");
        goto out;
    }
    if (!same_claims(c, &read)) {
        (void)err_set(e, ERR_BUG, 0, "the signed license reads back differently");
        goto out;
    }
    memcpy(c->key_id, read.key_id, sizeof c->key_id);
    buf_add(text, armoured.data, armoured.len);
    result = 0;
out:
    buf_done(&armoured);
    buf_done(&body);
    return result;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

void license_trim(const char **text, size_t *len)
{
    while (*len && is_space((*text)[*len - 1]))
        --*len;
    while (*len && is_space(**text)) {
        ++*text;
        --*len;
    }
}

/* Cuts the next line off *text; in `line` without the white space around it. */
static bool next_line(const char **text, size_t *len, const char **line, size_t *n)
{
    const char *end;
    size_t whole;

    if (!*len)
        return false;
    end = memchr(*text, '\n', *len);
    whole = end ? (size_t)(end - *text) + 1 : *len;
    *line = *text;
    *n = whole;
    *text += whole;
    *len -= whole;
    license_trim(line, n);
    return true;
}

static bool is_line(const char *line, size_t n, const char *wanted)
{
    return n == strlen(wanted) && memcmp(line, wanted, n) == 0;
}

/* The first license in the text, without its lines and without white space. */
static int find_body(const struct license_format *f, const char *text, size_t len,
                     struct buf *body, struct err *e)
{
    const char *line = "";
    size_t n = 0;

    while (!is_line(line, n, f->begin))
        if (!next_line(&text, &len, &line, &n))
            return err_set(e, ERR_INVALID, 0,
                           "no license found: there is no line \"%s\"", f->begin);
    while (next_line(&text, &len, &line, &n) && !is_line(line, n, f->end))
        for (size_t i = 0; i < n; i++)
            if (!is_space(line[i]))
                buf_addc(body, line[i]);
    if (!is_line(line, n, f->end))
        return err_set(e, ERR_INVALID, 0, "the license is cut: there is no line \"%s\"",
                       f->end);
    if (body->failed)
        return err_set(e, ERR_INVALID, 0, "no license of ours is longer than %d bytes",
                       LICENSE_TEXT_MAX);
    return 0;
}

int license_verify(const struct license_key *k, const char *text, size_t len,
                   struct license_claims *out, struct err *e)
{
    struct license_claims c = {0};
    const char *fault;
    struct buf body;
    int result = -1;

    buf_init(&body, LICENSE_TEXT_MAX);
    if (find_body(k->format, text, len, &body, e) != 0 ||
        k->format->verify(k->own, body.data, body.len, &c, e) != 0)
        goto out;
    fault = fault_of(k->format, &c);
    if (fault) {
        (void)err_set(e, ERR_INVALID, 0, "the signature holds, but %s", fault);
        goto out;
    }
    *out = c;
    result = 0;
out:
    buf_done(&body);
    return result;
}

/* From its first line to its last nothing but what may stand in a signed body. */
static bool is_bare(const struct license_format *f, const char *text)
{
    static const char body[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "0123456789+/=-_.\n";
    size_t begin = strlen(f->begin), end = strlen(f->end), len = strlen(text);
    const char *last;

    if (len < begin + end + 2 || memcmp(text, f->begin, begin) != 0 ||
        text[begin] != '\n')
        return false;
    last = text + len - end - 1;
    return memcmp(last, f->end, end) == 0 && last[end] == '\n' &&
           strspn(text + begin, body) >= (size_t)(last - text) - begin;
}

int license_recheck(const struct license_key *k, const char *format, const char *text,
                    const struct license_claims *said, struct err *e)
{
    struct license_claims read;

    if (!is_bare(license_format_named(format), text))
        return err_set(e, ERR_PERMANENT, LICENSE_CHANGED,
                       "the record's license has not its form");
    if (strcmp(said->key_id, k->id) != 0)
        return 0;
    if (license_verify(k, text, strlen(text), &read, e) != 0) {
        e->class = ERR_PERMANENT;
        e->code = LICENSE_CHANGED;
        return err_wrap(e, "the record's license does not hold");
    }
    if (strcmp(read.id, said->id) != 0 || strcmp(read.email, said->email) != 0 ||
        read.users != said->users || read.ticket_id != said->ticket_id ||
        read.expires_ms != said->expires_ms)
        return err_set(e, ERR_PERMANENT, LICENSE_CHANGED,
                       "the record's license is another than the record says");
    return 0;
}
