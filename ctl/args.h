/* args: a command's options and operands, and times as people type them. Pure. */
#ifndef STOPGAP_ARGS_H
#define STOPGAP_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum arg_kind {
    ARG_FLAG, /* bool */
    ARG_TEXT, /* const char *: `--name VALUE` or `--name=VALUE` */
    ARG_SPAN  /* const char *: the same, but VALUE is a number or a duration and may be
                 left out (""), so that an operand may follow */
};

struct arg_option {
    const char *name; /* without its dashes; NULL ends a table */
    enum arg_kind kind;
    void *to;
};

/* Moves the operands of argv[0..argc) to its front and returns how many there are; each
 * option goes where one of the two tables says. "-" is an operand, "--" ends the
 * options. first_only: stops at the first operand and leaves the rest alone. -1,
 * ERR_CONFIG: an unknown option, a value too much or missing, an option given twice in
 * `own`. */
int args_parse(char **argv, int argc, bool first_only, const struct arg_option *own,
               const struct arg_option *global, struct err *e) MUST_CHECK;

/* "2h" (before now_ms), "2026-01-31" or "2026-01-31T12:00:00Z", as an instant. */
int args_since(const char *text, int64_t now_ms, int64_t *out_ms,
               struct err *e) MUST_CHECK;

/* Seconds as a bare number, or a duration. */
bool args_span(const char *text, int64_t *out_ms) MUST_CHECK;

#endif
