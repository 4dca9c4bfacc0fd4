/* screen: see screen.h. */
#include "screen.h"

#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "out.h"

#define OLD_MS 60000 /* a job that could run for so long is worth a colour */
#define MINUTE_MS 60000

/* ---- how fast ---- */

static int64_t counter(const struct stats *s, const char *name)
{
    for (size_t i = 0; i < s->counter_count; i++)
        if (strcmp(s->counters[i].name, name) == 0)
            return s->counters[i].value;
    return 0;
}

void screen_note(struct screen_rate *r, const struct stats *s)
{
    if (r->count == SCREEN_SAMPLES) {
        memmove(r->samples, r->samples + 1,
                (SCREEN_SAMPLES - 1) * sizeof r->samples[0]);
        r->count--;
    }
    r->samples[r->count].at_ms = s->now_ms;
    r->samples[r->count].done = counter(s, "done");
    r->samples[r->count].failed = counter(s, "failed");
    r->count++;
}

static void add_rate(const struct screen_rate *r, struct buf *out)
{
    size_t last = r->count ? r->count - 1 : 0;
    int64_t span = r->samples[last].at_ms - r->samples[0].at_ms;
    char words[OUT_TIME_MAX];

    if (span <= 0) {
        out_field(out, "rate", "not known yet");
        return;
    }
    out_span(span, words);
    buf_addf(out, "%-13s %.1f done, %.1f failed a minute, over the last %s\n", "rate",
             (double)(r->samples[last].done - r->samples[0].done) * MINUTE_MS /
                 (double)span,
             (double)(r->samples[last].failed - r->samples[0].failed) * MINUTE_MS /
                 (double)span,
             words);
}

/* ---- the queue ---- */

static void add_count(const struct screen *s, const char *name, int64_t n, bool bad,
                      const char *note, struct buf *out)
{
    char text[128];

    (void)snprintf(text, sizeof text, "%s %lld%s", name, (long long)n, note);
    buf_adds(out, out->len && out->data[out->len - 1] != '\n' ? "   " : "");
    out_paint(out, s->colour && n && bad, OUT_RED, text);
}

static void add_states(const struct screen *s, struct buf *out)
{
    const struct stats *st = s->stats;
    int64_t age = stats_age(st->oldest_ready_ms, st->now_ms);
    char span[OUT_TIME_MAX], oldest[OUT_TIME_MAX + 16] = "";

    out_span(age, span);
    if (age)
        (void)snprintf(oldest, sizeof oldest, " (oldest %s)", span);
    add_count(s, "queued", stats_queued(st), age > OLD_MS, oldest, out);
    add_count(s, "active", st->active, false, "", out);
    add_count(s, "delayed", st->delayed, false, "", out);
    out_span(stats_age(st->oldest_failed_ms, st->now_ms), span);
    (void)snprintf(oldest, sizeof oldest, " (oldest %s)", span);
    add_count(s, "failed", st->failed, true, st->failed ? oldest : "", out);
    add_count(s, "done", st->done, false, "", out);
    add_count(s, "follow-ups", st->follow, false, "", out);
    buf_addc(out, '\n');
}

static void add_paused(const struct screen *s, struct buf *out)
{
    struct buf words;

    if (!*s->stats->paused)
        return;
    buf_init(&words, sizeof s->stats->paused + 128);
    stats_paused_words(s->stats->paused, &words);
    out_paint(out, s->colour, OUT_YELLOW, "PAUSED        ");
    out_str(out, words.data);
    buf_addc(out, '\n');
    buf_done(&words);
}

static void add_lanes(const struct screen *s, struct buf *out)
{
    bool all_open = true;

    for (size_t i = 0; i < STATS_LANES; i++) {
        const struct stats_lane *l = &s->stats->lanes[i];
        char since[OUT_TIME_MAX], next[OUT_TIME_MAX], name[32];

        if (!l->until_ms)
            continue;
        all_open = false;
        out_span(stats_age(l->since_ms, s->stats->now_ms), since);
        out_span(l->until_ms - s->stats->now_ms, next);
        (void)snprintf(name, sizeof name, "%s CLOSED", l->name);
        out_paint(out, s->colour, OUT_RED, name);
        buf_addf(out, " for %s, tried again in %s: %s, ", since, next,
                 err_class_name(l->class));
        out_str(out, l->text);
        buf_addc(out, '\n');
    }
    if (all_open)
        out_field(out, "lanes", "all open");
}

/* ---- workers and failures ---- */

static void add_jobs(const struct live_worker *w, int64_t now_ms, struct buf *out)
{
    char span[OUT_TIME_MAX];

    for (size_t i = 0; i < w->job_count; i++) {
        const struct live_job *j = &w->jobs[i];

        out_span(stats_age(j->started_ms, now_ms), span);
        buf_addf(out, "    ticket ");
        out_str(out, *j->ticket ? j->ticket : "-");
        buf_addf(out, "  %s  %s  %s\n", j->step ? j->step : "-", span, j->id);
    }
}

static void add_workers(const struct screen *s, struct buf *out)
{
    const struct live *l = s->live;

    buf_addc(out, '\n');
    if (!s->stats->workers)
        out_paint(out, s->colour, OUT_RED, "no worker is alive\n");
    for (size_t i = 0; i < l->worker_count; i++) {
        const struct live_worker *w = &l->workers[i];
        char lease[OUT_TIME_MAX];
        bool out_of_it = w->lease_ms <= l->now_ms;

        out_span(w->lease_ms - l->now_ms, lease);
        out_str(out, *w->host ? w->host : w->wid);
        buf_adds(out, " ");
        out_str(out, w->pid);
        buf_adds(out, "  ");
        out_str(out, w->state);
        buf_addf(out, ", %lld busy, lag ", (long long)w->busy);
        out_str(out, w->lag);
        buf_adds(out, " ms, lease ");
        out_paint(out, s->colour && out_of_it, OUT_RED, out_of_it ? "ran out" : lease);
        buf_addc(out, '\n');
        add_jobs(w, l->now_ms, out);
    }
    if (s->stats->workers > LIVE_WORKERS)
        buf_addf(out, "and %lld more\n", (long long)s->stats->workers - LIVE_WORKERS);
}

static void add_failures(const struct screen *s, struct buf *out)
{
    const struct live *l = s->live;

    if (l->failure_count)
        buf_adds(out, "\nLast failures:\n");
    for (size_t i = 0; i < l->failure_count; i++) {
        const struct live_failure *f = &l->failures[i];
        char span[OUT_TIME_MAX];

        out_span(stats_age(f->at_ms, l->now_ms), span);
        buf_addf(out, "%7s ago  %s  ticket ", span, f->id);
        out_str(out, *f->ticket ? f->ticket : "-");
        buf_adds(out, "  ");
        out_str(out, f->class);
        buf_adds(out, " at ");
        out_str(out, f->step);
        buf_adds(out, ": ");
        out_str(out, f->why);
        buf_addc(out, '\n');
    }
}

void screen_text(const struct screen *s, struct buf *out)
{
    char now[OUT_TIME_MAX];

    if (!s->stats) {
        buf_addf(out, "queue %s\n\n", s->queue);
        out_paint(out, s->colour, OUT_RED, "Redis does not answer: ");
        out_str(out, s->why->text);
        buf_addc(out, '\n');
        return;
    }
    out_time(s->stats->now_ms, now);
    buf_addf(out, "queue %s   %s   %lld workers\n\n", s->queue, now,
             (long long)s->stats->workers);
    add_paused(s, out);
    add_states(s, out);
    add_rate(s->rate, out);
    add_lanes(s, out);
    add_workers(s, out);
    add_failures(s, out);
}

/* ---- onto a terminal ---- */

/* A colour takes no column; of a character in UTF-8 its first byte does. */
static const char *cut_line(const char *p, size_t columns, struct buf *out)
{
    size_t used = 0;

    for (; *p && *p != '\n'; p++) {
        if (*p == '\033') {
            size_t len = strcspn(p, "m\n");

            buf_add(out, p, len + (p[len] == 'm'));
            p += len - (p[len] != 'm');
            continue;
        }
        used += ((unsigned char)*p & 0xc0) != 0x80;
        if (used <= columns)
            buf_addc(out, *p);
    }
    return p;
}

void screen_paint(const char *text, size_t columns, size_t rows, struct buf *out)
{
    size_t row = 0;

    buf_adds(out, "\033[H"); /* to the corner; each line clears its own rest */
    for (const char *p = text; *p && row + 1 < rows; row++) {
        p = cut_line(p, columns, out);
        p += *p == '\n';
        buf_adds(out, "\033[K\n");
    }
    buf_adds(out, "\033[J");
}
