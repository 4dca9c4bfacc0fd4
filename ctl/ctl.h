/* ctl: what every command has at hand: the options all of them know, the settings and
 * the connection once a command asks for them, and one way to say what went wrong. */
#ifndef STOPGAP_CTL_H
#define STOPGAP_CTL_H

#include <stdbool.h>
#include <stdint.h>

#include "actor.h"
#include "args.h"
#include "client.h"
#include "err.h"

struct settings;
struct ctl;

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct command {
    const char *name;
    int (*run)(struct ctl *c, int argc, char **argv); /* argv without the name */
    const char *help;                                 /* one line */
    const char *usage; /* what follows the name, and a line for each option */
};

struct ctl {
    const struct command *command;
    const char *env_file;
    bool json;
    struct arg_option global[3]; /* the two above */
    unsigned programs;           /* enum program: whose settings the command needs */
    struct actor actor;          /* who is doing this, */
    struct queue_by by;          /* as scripts are told it */
    struct settings *settings;   /* once asked for */
    struct client *client;
};

void ctl_init(struct ctl *c, const struct actor_claims *claims);
void ctl_done(struct ctl *c);

/* Reads a command's options; operands to the front. Returns how many operands there
 * are, or -1 when the command line is wrong, which has then been said. */
int ctl_args(struct ctl *c, int argc, char **argv, const struct arg_option *own,
             int least, int most) MUST_CHECK;

/* 0, or the exit code when it failed, which has then been said. */
int ctl_settings(struct ctl *c) MUST_CHECK;
int ctl_connect(struct ctl *c) MUST_CHECK; /* the settings, too */

/* Says what went wrong, on stderr. The exit code is EXIT_USAGE for ERR_CONFIG. */
int ctl_fail(const struct err *e);
int ctl_usage(const struct ctl *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
int ctl_say(const char *fmt, ...) PRINTF_LIKE(1, 2); /* EXIT_FAILED */

#endif
