/* sink: what the benchmark's mail server and its GitLab share: connections whose
 * answers leave a fixed time after the question, and the count of what arrived.
 * Loopback only; nothing here checks what a real server would check. */
#ifndef STOPGAP_BENCH_SINK_H
#define STOPGAP_BENCH_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "buf.h"

struct conn;

/* Reads what it can of the bytes and says how many that were. */
typedef size_t (*sink_read_fn)(struct conn *c, const char *bytes, size_t len);

struct conn {
    uv_tcp_t tcp;
    sink_read_fn read;
    struct buf in, out;
    size_t looked; /* so much of `in` holds no end of a mail */
    bool in_mail;
    bool gone;
    struct conn *next_dirty;
    bool dirty;
};

/* The answer leaves when the latency is over. */
void sink_answer(struct conn *c, const char *bytes, size_t len);
void sink_say(struct conn *c, const char *text);

enum sink_event { SINK_MAIL, SINK_ISSUE, SINK_CLOSE, SINK_EVENTS };

/* What happened to job N of an address job-N@...; N is what job_number finds. */
void sink_count(size_t number, enum sink_event event);

/* The number after the first "job-" behind `mark`; 0 if there is none. */
size_t sink_job_number(const char *text, size_t len, const char *mark);

/* smtp_sink.c, http_sink.c */
size_t smtp_sink_read(struct conn *c, const char *bytes, size_t len);
size_t http_sink_read(struct conn *c, const char *bytes, size_t len);

#endif
