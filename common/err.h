/* err: the error value that every fallible function fills in.
 *
 * Set once, at the source, with the remote's own words; each layer up may prefix it
 * with err_wrap, never replace it. The class decides what becomes of a job (see
 * verdict.h for how codes become classes); nothing here decides anything. */
#ifndef STOPGAP_ERR_H
#define STOPGAP_ERR_H

#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

enum err_class {
    ERR_NONE,
    ERR_INVALID,      /* the request itself is wrong */
    ERR_OUT_OF_SCOPE, /* the scope rule says no */
    ERR_PERMANENT,    /* the remote said no and will say so again */
    ERR_AUTH,         /* our credentials or rights: the lane pauses, jobs wait */
    ERR_RATE_LIMITED, /* wait what was asked */
    ERR_TRANSIENT,    /* will pass; also a bad certificate */
    ERR_AMBIGUOUS,    /* the final dot left and no answer came */
    ERR_LIMIT,        /* a cap of the settings */
    ERR_POISON,       /* the job took its worker down three times */
    ERR_CANCELLED,    /* we gave up on it ourselves; never an outcome of a job */
    ERR_CONFIG,       /* a setting, a key file, a command line */
    ERR_BUG,          /* should not happen: said aloud, never swallowed */
    ERR_CLASS_COUNT
};

#define ERR_TEXT_MAX 1024

struct err {
    enum err_class class;
    int code; /* the remote's own: SMTP reply, HTTP status; 0 when there is none */
    int64_t retry_after_ms;  /* what a rate limit asked for; 0 = not said */
    char text[ERR_TEXT_MAX]; /* one line of UTF-8, nothing unprintable */
};

/* Fills *e. Returns -1 so that `return err_set(...)` reads well. Text past
 * ERR_TEXT_MAX - 1 bytes is cut at a character boundary; what cannot be shown becomes
 * a space and what is no UTF-8 a '?', since remotes' words end in logs and issues. */
int err_set(struct err *e, enum err_class class, int code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* Puts "PREFIX: " before the text. Class and code stay. Returns -1. */
int err_wrap(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

void err_clear(struct err *e);

/* The class's name as operators see it ("invalid", "out_of_scope", ...); "none" for
 * ERR_NONE. */
const char *err_class_name(enum err_class class);

/* The class of a name; ERR_CLASS_COUNT if there is none. */
enum err_class err_class_parse(const char *name);

#endif
