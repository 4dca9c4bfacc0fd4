/* ctl: see ctl.h. */
#include "ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"
#include "out.h"
#include "settings.h"

void ctl_init(struct ctl *c, const struct actor_claims *claims)
{
    *c = (struct ctl){.programs = PROGRAM_CTL};
    actor_init(&c->actor, claims);
    c->by = (struct queue_by){c->actor.who, c->actor.from};
    c->global[0] = (struct arg_option){"env-file", ARG_TEXT, &c->env_file};
    c->global[1] = (struct arg_option){"json", ARG_FLAG, &c->json};
}

void ctl_done(struct ctl *c)
{
    client_close(c->client);
    settings_free(c->settings);
    actor_done(&c->actor);
    *c = (struct ctl){.command = NULL};
}

/* The program's name, then the text, escaped: it may quote a remote's words. */
static void complain(const char *text)
{
    struct buf out;

    buf_init(&out, OUT_MAX);
    buf_adds(&out, "stopgapctl: ");
    out_str(&out, text);
    (void)fflush(stdout);
    (void)fprintf(stderr, "%s\n", out.data);
    buf_done(&out);
}

int ctl_fail(const struct err *e)
{
    complain(e->text);
    return e->class == ERR_CONFIG ? EXIT_USAGE : EXIT_FAILED;
}

int ctl_usage(const struct ctl *c, const char *fmt, ...)
{
    struct err e;
    va_list ap;
    char text[ERR_TEXT_MAX];

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)err_set(&e, ERR_CONFIG, 0, "%s: %s", c->command->name, text);
    (void)ctl_fail(&e);
    (void)fprintf(stderr, "`stopgapctl %s --help` shows how it is used.\n",
                  c->command->name);
    return EXIT_USAGE;
}

int ctl_say(const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    complain(text);
    return EXIT_FAILED;
}

int ctl_args(struct ctl *c, int argc, char **argv, const struct arg_option *own,
             int least, int most)
{
    struct err e;
    int n = args_parse(argv, argc, false, own, c->global, &e);

    if (n < 0) {
        (void)ctl_usage(c, "%s", e.text);
    } else if (n > most) {
        (void)ctl_usage(c, "\"%s\" is too much", argv[most]);
        n = -1;
    } else if (n < least) {
        (void)ctl_usage(c, "something is missing");
        n = -1;
    }
    return n;
}

int ctl_settings(struct ctl *c)
{
    struct buf faults;

    if (c->settings)
        return EXIT_OK;
    buf_init(&faults, OUT_MAX);
    c->settings = settings_load((enum program)c->programs, c->env_file, &faults);
    if (!c->settings)
        (void)fprintf(stderr, "stopgapctl: the settings have faults:\n%s", faults.data);
    buf_done(&faults);
    return c->settings ? EXIT_OK : EXIT_USAGE;
}

int ctl_connect(struct ctl *c)
{
    int code = ctl_settings(c);
    struct err e;

    if (code || c->client)
        return code;
    c->client = client_open(c->settings, &e);
    if (c->client)
        return EXIT_OK;
    (void)ctl_fail(&e);
    return EXIT_FAILED;
}
