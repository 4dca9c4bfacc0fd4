/* queue_write: the fields that a call writes into a job's hash; see queue.h. */
#include "queue.h"

#include <assert.h>
#include <string.h>

#include "num.h"

void queue_write_init(struct queue_write *w)
{
    *w = (struct queue_write){0};
    buf_init(&w->text, 1 << 20);
}

void queue_write_done(struct queue_write *w)
{
    buf_done(&w->text);
    *w = (struct queue_write){0};
}

void queue_write_reset(struct queue_write *w)
{
    buf_reset(&w->text);
    w->sets = 0;
    w->dels = 0;
}

bool queue_write_empty(const struct queue_write *w)
{
    return w->sets == 0 && w->dels == 0;
}

void queue_write_bytes(struct queue_write *w, const char *name, const void *value,
                       size_t len)
{
    size_t i = 0;

    while (i < w->sets && strcmp(w->set[i].name, name) != 0)
        i++;
    assert(i < QUEUE_WRITE_MAX);
    w->set[i].name = name;
    w->set[i].at = w->text.len;
    w->set[i].len = len;
    if (i == w->sets)
        w->sets++;
    buf_add(&w->text, value, len);
    assert(!w->text.failed); /* every value is bounded where it comes from */
}

void queue_write_str(struct queue_write *w, const char *name, const char *value)
{
    queue_write_bytes(w, name, value, strlen(value));
}

void queue_write_int(struct queue_write *w, const char *name, int64_t value)
{
    char text[24];

    queue_write_bytes(w, name, text, num_format(value, text));
}

void queue_write_del(struct queue_write *w, const char *name)
{
    assert(w->dels < QUEUE_WRITE_MAX);
    w->del[w->dels++] = name;
}
