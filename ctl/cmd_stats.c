/* cmd_stats: the queue in numbers, once or as a live view. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "buf.h"
#include "cmd.h"
#include "ctl.h"
#include "err.h"
#include "mem.h"
#include "out.h"
#include "settings.h"
#include "screen.h"
#include "stats.h"

#define WATCH_MS 2000
#define WATCH_LEAST_MS 100

static void add_row(struct buf *out, const char *name, int64_t n, const char *what,
                    int64_t since_ms, int64_t now_ms)
{
    char span[OUT_TIME_MAX], text[96];

    (void)snprintf(text, sizeof text, "%lld", (long long)n);
    if (n && since_ms > 0) {
        out_span(now_ms - since_ms, span);
        (void)snprintf(text, sizeof text, "%lld (%s %s)", (long long)n, what, span);
    }
    out_field(out, name, text);
}

static void add_lanes(const struct stats *s, struct buf *out)
{
    for (size_t i = 0; i < STATS_LANES; i++) {
        const struct stats_lane *l = &s->lanes[i];
        char since[OUT_TIME_MAX], next[OUT_TIME_MAX], name[32];
        struct buf words;

        if (!l->until_ms)
            continue;
        out_span(s->now_ms - l->since_ms, since);
        out_span(l->until_ms > s->now_ms ? l->until_ms - s->now_ms : 0, next);
        (void)snprintf(name, sizeof name, "%s CLOSED", l->name);
        buf_init(&words, sizeof l->text + 256);
        buf_addf(&words, "for %s, tried again in %s: %s, %s", since, next,
                 err_class_name(l->class), l->text);
        out_field(out, name, words.data);
        buf_done(&words);
    }
}

static void add_stats(const struct stats *s, const char *queue, struct buf *out)
{
    struct buf words;

    buf_init(&words, OUT_MAX);
    out_field(out, "queue", queue);
    if (*s->paused) {
        stats_paused_words(s->paused, &words);
        out_field(out, "PAUSED", words.data);
    }
    add_lanes(s, out);
    add_row(out, "queued", stats_queued(s), "oldest", s->oldest_ready_ms, s->now_ms);
    add_row(out, "active", s->active, "", 0, s->now_ms);
    add_row(out, "delayed", s->delayed, "", 0, s->now_ms);
    add_row(out, "failed", s->failed, "oldest", s->oldest_failed_ms, s->now_ms);
    add_row(out, "done", s->done, "", 0, s->now_ms);
    add_row(out, "in the inbox", s->inbox, "", 0, s->now_ms);
    add_row(out, "follow-ups", s->follow, "", 0, s->now_ms);
    add_row(out, "workers", s->workers, "", 0, s->now_ms);
    if (s->counter_count)
        buf_adds(out, "\nEver since:\n");
    for (size_t i = 0; i < s->counter_count; i++) {
        buf_reset(&words);
        out_str(&words, s->counters[i].name);
        add_row(out, words.data, s->counters[i].value, "", 0, s->now_ms);
    }
    buf_done(&words);
}

/* Closed ones only. */
static json_t *lanes_json(const struct stats *s)
{
    json_t *lanes = json_object();
    struct buf words;

    buf_init(&words, OUT_MAX);
    for (size_t i = 0; i < STATS_LANES; i++) {
        const struct stats_lane *l = &s->lanes[i];

        if (!l->until_ms)
            continue;
        buf_reset(&words);
        out_str(&words, l->text);
        (void)json_object_set_new(
            lanes, l->name,
            json_pack(
                "{s:I, s:I, s:s, s:s}", "closed_ms",
                (json_int_t)stats_age(l->since_ms, s->now_ms), "next_try_ms",
                (json_int_t)(l->until_ms > s->now_ms ? l->until_ms - s->now_ms : 0),
                "class", err_class_name(l->class), "error", words.data));
    }
    buf_done(&words);
    return lanes;
}

static void print_json(const struct stats *s, const char *queue)
{
    json_t *counters = json_object(), *o;
    json_t *lanes = lanes_json(s);
    struct buf words;

    buf_init(&words, OUT_MAX);
    out_str(&words, s->paused);
    for (size_t i = 0; i < s->counter_count; i++)
        (void)json_object_set_new(counters, s->counters[i].name,
                                  json_integer(s->counters[i].value));
    o = json_pack(
        "{s:s, s:b, s:s, s:{s:I, s:I, s:I, s:I, s:I}, s:I, s:I, s:I, s:I, "
        "s:I, s:o, s:o}",
        "queue", queue, "paused", *s->paused != 0, "pause", words.data, "states",
        "queued", (json_int_t)stats_queued(s), "active", (json_int_t)s->active,
        "delayed", (json_int_t)s->delayed, "failed", (json_int_t)s->failed, "done",
        (json_int_t)s->done, "inbox", (json_int_t)s->inbox, "follow_ups",
        (json_int_t)s->follow, "workers", (json_int_t)s->workers, "oldest_queued_ms",
        (json_int_t)stats_age(s->oldest_ready_ms, s->now_ms), "oldest_failed_ms",
        (json_int_t)stats_age(s->oldest_failed_ms, s->now_ms), "counters", counters,
        "lanes", lanes);
    out_json(json_dumps(o, JSON_COMPACT));
    json_decref(o);
    buf_done(&words);
}

static int print_once(const struct ctl *c)
{
    struct stats s;
    struct buf out;
    struct err e;

    if (stats_read(c->client, &s, &e))
        return ctl_fail(&e);
    if (c->json) {
        print_json(&s, c->settings->queue);
        return EXIT_OK;
    }
    buf_init(&out, OUT_MAX);
    add_stats(&s, c->settings->queue, &out);
    out_print(&out);
    buf_done(&out);
    return EXIT_OK;
}

/* ---- the live view ---- */

static void show(const char *text)
{
    struct winsize size;
    struct buf out;

    buf_init(&out, OUT_MAX);
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
        buf_addf(&out, "%s\n", text);
    else
        screen_paint(text, size.ws_col ? size.ws_col : 80,
                     size.ws_row ? size.ws_row : 24, &out);
    out_print(&out);
    buf_done(&out);
}

static int repaint(const struct ctl *c, struct screen_rate *rate)
{
    struct stats stats;
    struct live live;
    struct err e;
    struct screen s = {.queue = c->settings->queue,
                       .live = &live,
                       .why = &e,
                       .rate = rate,
                       .colour = out_may_colour()};
    struct buf text;

    if (!stats_read(c->client, &stats, &e) &&
        !live_read(c->client, stats.now_ms, &live, &e)) {
        s.stats = &stats;
        screen_note(rate, &stats);
    }
    buf_init(&text, OUT_MAX);
    screen_text(&s, &text);
    show(text.data);
    buf_done(&text);
    return s.stats ? EXIT_OK : EXIT_FAILED;
}

/* Until somebody interrupts it, which ends the program, or nobody reads it any more. */
static int watch_on(const struct ctl *c, int64_t every_ms)
{
    struct screen_rate rate = {.count = 0};
    int code;

    if (!c->json && isatty(STDOUT_FILENO))
        (void)fputs("\033[2J", stdout);
    for (;;) {
        code = c->json ? print_once(c) : repaint(c, &rate);
        if (fflush(stdout) || ferror(stdout))
            return code;
        client_pause(c->client, every_ms);
    }
}

int cmd_stats(struct ctl *c, int argc, char **argv)
{
    const char *watch = NULL;
    int64_t every_ms = WATCH_MS;
    const struct arg_option own[] = {{"watch", ARG_SPAN, &watch}, {NULL, 0, NULL}};
    int code;

    if (ctl_args(c, argc, argv, own, 0, 0) < 0)
        return EXIT_USAGE;
    if (watch && *watch && (!args_span(watch, &every_ms) || every_ms < WATCH_LEAST_MS))
        return ctl_usage(c, "--watch \"%s\": allowed: seconds, or a duration as 500ms",
                         watch);
    code = ctl_connect(c);
    if (code)
        return code;
    return watch ? watch_on(c, every_ms) : print_once(c);
}
