/* log: see log.h. The one place that stamps lines with the host's clock: a clock that
 * jumps changes nothing but these stamps. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "utf8.h"
#include "when.h"

#define LINE_MAX_BYTES 8192
#define LINE_SPARE_BYTES 16 /* one last character, "..." and what closes the line */
#define FIELD_BYTES 24 /* of a field beside its name: an integer, or a few letters */

#define HELD_MAX 4096 /* what a pipe takes as one piece (PIPE_BUF) */

static enum log_level log_level = LOG_INFO;
static bool log_json;
static bool holding;
static struct buf held = {.max = HELD_MAX};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_setup(enum log_level level, bool json)
{
    log_level = level;
    log_json = json;
}

bool log_enabled(enum log_level level)
{
    return level <= log_level;
}

static bool needs_quotes(const char *v)
{
    if (!*v)
        return true;
    for (; *v; v++)
        if (*v <= 0x20 || *v >= 0x7F || *v == '"' || *v == '=' || *v == '\\')
            return true; /* beyond ASCII, too, whether or not char is signed */
    return false;
}

/* One character; what is no UTF-8 shows as the replacement character. */
static const char *add_escaped(struct buf *b, const char *v, const char *end)
{
    const char *next = v;
    int32_t c = utf8_next(&next, end);

    if (c == '"' || c == '\\')
        buf_addf(b, "\\%c", c);
    else if (c == '\n')
        buf_adds(b, "\\n");
    else if (c >= 0 && utf8_printable(c))
        buf_add(b, v, (size_t)(next - v));
    else
        buf_addf(b, "\\u%04x", c < 0 ? 0xFFFDu : (unsigned)c);
    return c < 0 ? v + 1 : next;
}

/* A value that the line has no room for is cut: the line stays whole. */
static void add_quoted(struct buf *b, const char *v)
{
    const char *end = v + strlen(v);

    buf_addc(b, '"');
    while (v < end && b->len < LINE_MAX_BYTES - LINE_SPARE_BYTES)
        v = add_escaped(b, v, end);
    buf_adds(b, v < end ? "...\"" : "\"");
}

static bool has_room(const struct log_line *l, size_t len)
{
    return l->buf.len + len < LINE_MAX_BYTES - LINE_SPARE_BYTES;
}

static void add_key(struct log_line *l, const char *key)
{
    bool first = l->buf.len == (l->json ? 1 : 0); /* { stands there already */

    if (!first)
        buf_addc(&l->buf, l->json ? ',' : ' ');
    if (l->json)
        buf_addc(&l->buf, '"');
    buf_adds(&l->buf, key);
    buf_adds(&l->buf, l->json ? "\":" : "=");
}

void log_str(struct log_line *l, const char *key, const char *value)
{
    if (!l->on || !value || !has_room(l, strlen(key) + FIELD_BYTES))
        return;
    add_key(l, key);
    if (l->json || needs_quotes(value) || !has_room(l, strlen(value)))
        add_quoted(&l->buf, value);
    else
        buf_adds(&l->buf, value);
}

void log_int(struct log_line *l, const char *key, int64_t value)
{
    if (!l->on || !has_room(l, strlen(key) + FIELD_BYTES))
        return;
    add_key(l, key);
    buf_add_int(&l->buf, value);
}

void log_err(struct log_line *l, const struct err *e)
{
    log_str(l, "class", err_class_name(e->class));
    if (e->code)
        log_int(l, "code", e->code);
    log_str(l, "err", e->text);
}

void log_begin(struct log_line *l, enum log_level level, const char *event)
{
    struct timespec now;
    char stamp[WHEN_TEXT_MAX];

    l->on = log_enabled(level);
    if (!l->on)
        return;
    l->json = log_json;
    l->urgent = level <= LOG_WARN;
    buf_init(&l->buf, LINE_MAX_BYTES);
    if (l->json)
        buf_addc(&l->buf, '{');
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    when_format_iso_ms((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, stamp);
    log_str(l, "ts", stamp);
    log_str(l, "level", level_names[level]);
    log_str(l, "event", event);
}

static void put_out(const struct buf *b)
{
    ssize_t n = write(STDERR_FILENO, b->data, b->len);

    (void)n; /* nowhere left to say that the log is gone */
}

void log_flush(void)
{
    if (!held.len)
        return;
    put_out(&held);
    buf_reset(&held);
}

void log_hold(bool hold)
{
    log_flush();
    buf_done(&held);
    held.max = HELD_MAX;
    holding = hold;
}

void log_end(struct log_line *l)
{
    if (!l->on)
        return;
    buf_adds(&l->buf, l->json ? "}\n" : "\n");
    if (held.len + l->buf.len > HELD_MAX)
        log_flush();
    if (holding && l->buf.len <= HELD_MAX)
        buf_add(&held, l->buf.data, l->buf.len);
    else
        put_out(&l->buf);
    if (l->urgent)
        log_flush();
    buf_done(&l->buf);
}

void log_msg(enum log_level level, const char *event, const char *fmt, ...)
{
    struct log_line l;
    char text[2048];
    va_list ap;

    if (!log_enabled(level))
        return;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_begin(&l, level, event);
    log_str(&l, "msg", text);
    log_end(&l);
}
