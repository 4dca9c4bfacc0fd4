/* log: one line per event on stderr, logfmt or JSON, always escaped.
 *
 * Only the layer that decides logs; parsers and clients return errors instead. Never
 * passed in here: license text, tokens, mail bodies, whole addresses above debug. */
#ifndef STOPGAP_LOG_H
#define STOPGAP_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

enum log_level {
    LOG_ERROR,
    LOG_WARN,
    LOG_INFO,
    LOG_DEBUG
}; /* error: someone must act */

/* Until called: info, logfmt. */
void log_setup(enum log_level level, bool json);

bool log_enabled(enum log_level level);

/* A line under construction. Begin, add fields, end. Below the level nothing is built.
 */
struct log_line {
    struct buf buf;
    bool on;
    bool json;
    bool urgent; /* not held */
};

/* event: a short fixed name, e.g. "step". */
void log_begin(struct log_line *l, enum log_level level, const char *event);
void log_str(struct log_line *l, const char *key,
             const char *value); /* NULL: left out */
void log_int(struct log_line *l, const char *key, int64_t value);
void log_err(struct log_line *l, const struct err *e); /* class=, code=, err= */
void log_end(struct log_line *l);

/* A whole line with one free text: msg="...". */
void log_msg(enum log_level level, const char *event, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* From here on lines of info and debug wait for log_flush, so that what one turn of an
 * event loop says is one write; false: no longer. Who holds flushes before it sleeps.
 */
void log_hold(bool hold);
void log_flush(void);

#endif
