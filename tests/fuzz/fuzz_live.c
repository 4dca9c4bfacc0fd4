/* What stopgapctl's stats, doctor and fsck read out of a Redis that somebody else has
 * written to. First byte: which of them; the rest are the replies, as they come over
 * the wire. What is shown is harmless for a terminal and fits onto it.
 *
 * Links: ctl/stats ctl/live ctl/screen ctl/doctor ctl/doctor_redis ctl/fsck_look
 * ctl/out */
#include <stdbool.h>

#include "doctor.h"
#include "fsck_look.h"
#include "fuzz_client.h"
#include "out.h"
#include "screen.h"
#include "settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct client client;

int64_t client_loop_ms(struct client *c)
{
    return (int64_t)c->answered;
}

/* --- stats --- */

/* No line is wider than the terminal, and there are no more of them. */
static void check_painted(const char *text, size_t columns, size_t rows)
{
    size_t lines = 0, width = 0;
    struct buf out;

    buf_init(&out, OUT_MAX);
    screen_paint(text, columns, rows, &out);
    PROMISE(!out.failed);
    for (const char *p = out.data, *end = p + out.len; p < end;) {
        if (*p == '\033') { /* ours: nothing foreign has one left */
            p += strcspn(p, "HJKm") + 1;
        } else if (*p == '\n' || *p == '\r') {
            lines += *p == '\n';
            width = 0;
            p++;
        } else {
            PROMISE(utf8_next(&p, end) >= 0 && ++width <= columns);
        }
    }
    PROMISE(lines <= rows);
    buf_done(&out);
}

/* As if it had been watched for a while. */
static void note_some(struct screen_rate *rate, struct stats s)
{
    int64_t now_ms = s.now_ms;

    for (int i = SCREEN_SAMPLES + 3; i > 0; i--) {
        s.now_ms = now_ms - (int64_t)i * 2000;
        screen_note(rate, &s);
        PROMISE(rate->count <= SCREEN_SAMPLES);
    }
}

static void check_stats(void)
{
    struct stats s;
    struct live l;
    struct screen_rate rate = {.count = 0};
    struct err e = {.class = ERR_NONE};
    struct screen screen = {.queue = "licenses", .rate = &rate, .why = &e};
    struct buf text;

    buf_init(&text, OUT_MAX);
    if (stats_read(&client, &s, &e) == 0) {
        PROMISE(s.counter_count <= STATS_COUNTERS &&
                strlen(s.paused) < sizeof s.paused);
        stats_paused_words(s.paused, &text);
        buf_reset(&text);
        note_some(&rate, s);
        screen.stats = &s;
        if (live_read(&client, s.now_ms, &l, &e) == 0) {
            PROMISE(l.worker_count <= LIVE_WORKERS && l.failure_count <= LIVE_FAILURES);
            screen.live = &l;
        } else {
            screen.stats = NULL;
        }
    }
    screen_text(&screen, &text);
    fuzz_check_lines(&text);
    check_painted(text.data, 80, 24);
    check_painted(text.data, 20, 5);
    buf_reset(&text);
    screen.colour = true;
    screen_text(&screen, &text);
    check_painted(text.data, 60, 10);
    buf_done(&text);
}

/* --- doctor --- */

static void check_doctor(void)
{
    static const struct settings settings = {.redis_wait = 1};
    struct doctor d = {.settings = &settings, .client = &client, .connected = true};

    doctor_redis(&d);
    PROMISE(d.count > 0 && doctor_worst(&d) <= DOCTOR_FAIL);
    for (size_t i = 0; i < d.count; i++) {
        PROMISE(d.lines[i].what && d.lines[i].found &&
                d.lines[i].result <= DOCTOR_FAIL);
        PROMISE(d.lines[i].result == DOCTOR_OK || d.lines[i].mend);
    }
    doctor_done(&d);
}

/* --- fsck --- */

static void check_look(const struct fsck_look *l)
{
    for (size_t i = 0; i < l->keys.count; i++) {
        PROMISE(!i || strcmp(l->keys.v[i - 1], l->keys.v[i]) < 0);
        if (strlen(l->keys.v[i]) < 500)
            PROMISE(fsck_look_has_key(l, l->keys.v[i], ""));
    }
    for (size_t i = 0; i < l->place_count; i++) {
        size_t count;
        const struct fsck_place *p = fsck_look_find(l, l->places[i].id, &count);

        PROMISE(p && p <= &l->places[i] && p + count > &l->places[i]);
    }
}

static void check_fsck(void)
{
    struct fsck_look l = {.place_count = 0};
    struct err e;

    if (fsck_look_keys(&client, &l, &e) == 0 && fsck_look_places(&client, &l, &e) == 0)
        check_look(&l);
    fsck_look_done(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const checks[])(void) = {check_stats, check_doctor, check_fsck};

    if (!size)
        return 0;
    fuzz_client_begin(&client, data + 1, size - 1);
    checks[data[0] % ARRAY_LEN(checks)]();
    fuzz_client_end(&client);
    return 0;
}
