/* cmd_config: the settings in force, for all three programs. */
#include <stdio.h>

#include "cmd.h"
#include "ctl.h"
#include "out.h"
#include "settings.h"

#define EVERY_PROGRAM                                                                  \
    ((enum program)(PROGRAM_WEBHOOK | PROGRAM_WORKER | PROGRAM_CTL |                   \
                    PROGRAM_RECONCILE | PROGRAM_TRACKER))

int cmd_config(struct ctl *c, int argc, char **argv)
{
    struct buf text;
    int code;

    if (ctl_args(c, argc, argv, NULL, 0, 0) < 0)
        return EXIT_USAGE;
    code = ctl_settings(c);
    if (code)
        return code;
    buf_init(&text, OUT_MAX);
    settings_print(c->settings, EVERY_PROGRAM, c->json, &text);
    out_print(&text);
    (void)fflush(stdout);
    buf_reset(&text);
    settings_warnings(c->settings, EVERY_PROGRAM, &text);
    (void)fputs(text.data, stderr);
    buf_done(&text);
    return EXIT_OK;
}
