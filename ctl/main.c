/* stopgapctl: the operator's command line. This file: the table of commands, help, and
 * the way from argv to a command. What a command does is in the cmd_ files. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cmd.h"
#include "ctl.h"
#include "harden.h"
#include "mem.h"
#include "out.h"

static int cmd_help(struct ctl *c, int argc, char **argv);

/* clang-format off: one row, one shape */
static const struct command commands[] = {
    {"submit", cmd_submit, "ask for a license",
     "--ticket N --email ADDRESS --users N [OPTION...] | FILE | -\n"
     "  --requested-by NAME        who asks (default: $USER)\n"
     "  --plan NAME                the customer's paid plan\n"
     "  --license-expired-on DATE  YYYY-MM-DD\n"
     "  --note TEXT                for staff only\n"
     "  --ticket-url URL\n"
     "  --idempotency-key KEY\n"
     "  --wait [SECONDS]           until it is done or has failed (default: 60)\n"
     "FILE, or - for standard input, holds one request as JSON instead.\n"
     "Prints the job's id.\n"},
    {"list", cmd_list, "jobs, newest first",
     "[OPTION...]\n"
     "  --state STATE    queued, active, delayed, failed or done\n"
     "  --ticket N\n"
     "  --email ADDRESS\n"
     "  --since TIME     accepted since: 2h, 3d, 2026-01-31, 2026-01-31T12:00:00Z\n"
     "  --limit N        at most so many (default: 50)\n"},
    {"show", cmd_show, "one job's whole story",
     "ID\n"
     "  --license  with the text of the license\n"
     "A duplicate's id leads to the first job.\n"},
    {"requeue", cmd_requeue, "run failed jobs again",
     "ID... | --all | --where class=CLASS\n"
     "  --redo STEP     this step and all after it once more: validate, sign, email,\n"
     "                  record or close\n"
     "  --mail-arrived  the mail whose answer was lost has arrived\n"
     "  --lift-limit    let it pass the caps\n"
     "With --all or --where:\n"
     "  --since TIME    failed since\n"
     "  --limit N       the newest N of these\n"
     "  --pace N        so many a second (default: 20)\n"
     "  --yes           do it; without it they are only listed\n"
     "Finished steps are kept, unless --redo names them.\n"},
    {"resend", cmd_resend, "mail the same license again",
     "ID\n"
     "At most three times a job, under a new Message-ID and Date.\n"},
    {"discard", cmd_discard, "end jobs without a license",
     "ID...\n"
     "Not those that are being worked on, and not those that are done.\n"},
    {"pause", cmd_pause, "no worker takes another job",
     "[REASON]\n"
     "Requests are still accepted; jobs under way go on.\n"},
    {"resume", cmd_resume, "workers take jobs again", "\n"},
    {"stats", cmd_stats, "the queue in numbers",
     "[--watch [SECONDS]]\n"
     "  --watch [SECONDS]  live: rate, workers with what each does, last failures;\n"
     "                     anew every 2 s, until interrupted\n"},
    {"workers", cmd_workers, "the workers that are alive", "\n"},
    {"keygen", cmd_keygen, "make a signing key, or one that seals",
     "FILE [--type ed25519|rsa|seal] [--bits N]\n"
     "Writes FILE, for its owner alone, and FILE.pub. Neither may exist.\n"
     "  --type ed25519  for PASETO licenses (default)\n"
     "  --type rsa      for license files that GitLab imports\n"
     "  --type seal     for STOPGAP_SEAL_KEY_FILE; there is no FILE.pub\n"
     "  --bits N        of an RSA key: 2048, 3072 or 4096 (default)\n"},
    {"key-id", cmd_key_id, "a key's id",
     "[FILE]\n"
     "FILE: a signing key, its FILE.pub (default: STOPGAP_LICENSE_KEY_FILE), or a "
     "file\n"
     "of seal keys: one id a line, that which seals first\n"},
    {"verify", cmd_verify, "what a license says, and whether it holds",
     "FILE [--key FILE.pub]\n"
     "FILE, or - for standard input, may have other text around the license.\n"
     "  --key FILE.pub  (default: the public half of STOPGAP_LICENSE_KEY_FILE)\n"
     "Exit status 1 when it does not hold.\n"},
    {"reconcile", cmd_reconcile, "what Zendesk sent and never arrived",
     "[OPTION...] [INVOCATION...]\n"
     "  --since TIME  sent since: 2h, 3d, 2026-01-31, 2026-01-31T12:00:00Z (default: "
     "7d,\n"
     "                all that Zendesk keeps)\n"
     "  --submit      put what never arrived onto the list, 20 a second; without it\n"
     "                it is only listed. What is more than a day old is left out,\n"
     "                unless --since or its name asks for it\n"
     "INVOCATION: only these, as the list names them.\n"
     "Exit status 1 when something is missing still.\n"},
    {"fsck", cmd_fsck, "what is inconsistent in the queue",
     "[OPTION...]\n"
     "  --repair   mend it; without it, it is only listed\n"
     "  --tracker  also: jobs that the GitLab project shows as recorded, and that are\n"
     "             not done here, since Redis was restored from a backup. --repair\n"
     "             marks them so; only while paused, with nothing active\n"
     "Safe beside workers that run. Exit status 1 when something is left.\n"},
    {"forget", cmd_forget, "what is held on a person, and removing it",
     "ADDRESS\n"
     "  --yes  remove it; without it, it is only listed\n"
     "Of jobs that are done or have failed. Says what is out of reach: mails, issues,\n"
     "Redis's files. Exit status 1 when something was left.\n"},
    {"audit", cmd_audit, "what operators did, newest first",
     "[OPTION...]\n"
     "  --since TIME  2h, 3d, 2026-01-31, 2026-01-31T12:00:00Z\n"
     "  --job ID      to this job\n"
     "  --who NAME    by them\n"
     "  --limit N     at most so many (default: 50)\n"
     "Who and from where is what their programs said: claimed, not proved.\n"},
    {"doctor", cmd_doctor, "is everything outside as it has to be?",
     "[OPTION...]\n"
     "  --mail-to ADDRESS  also mail a sample there that is no license, the way that\n"
     "                     licenses take\n"
     "  --quiet            only what is wrong; nothing when all is well\n"
     "Tries Redis, the queue, keys, spool, mail server, GitLab, Slack and Zendesk, "
     "and\n"
     "changes nothing. Exit status 1 when something failed.\n"},
    {"config", cmd_config, "the settings in force, secrets masked", "\n"},
    {"help", cmd_help, "this text, or a command's", "[COMMAND]\n"},
};
/* clang-format on */

static void print_overview(FILE *out)
{
    (void)fputs("Usage: stopgapctl [--env-file FILE] [--json] COMMAND [ARGUMENT...]\n"
                "\n",
                out);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        (void)fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].help);
    (void)fputs(
        "\n"
        "  --env-file FILE  settings, as KEY=value lines; the environment wins\n"
        "  --json           for programs\n"
        "  --help           after a command: how it is used\n"
        "  --version\n"
        "Exit status: 0 ok, 1 failed, 2 the command line or a setting is wrong.\n",
        out);
}

static void print_usage(const struct command *command)
{
    (void)printf("Usage: stopgapctl %s %s", command->name, command->usage);
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int unknown(const char *name)
{
    (void)ctl_say("there is no command \"%s\"; there are:", name);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        (void)fprintf(stderr, "  %-9s %s\n", commands[i].name, commands[i].help);
    return EXIT_USAGE;
}

static int cmd_help(struct ctl *c, int argc, char **argv)
{
    const struct command *command;
    int n = ctl_args(c, argc, argv, NULL, 0, 1);

    if (n < 0)
        return EXIT_USAGE;
    if (n == 0) {
        print_overview(stdout);
        return EXIT_OK;
    }
    command = find(argv[0]);
    if (!command)
        return unknown(argv[0]);
    print_usage(command);
    return EXIT_OK;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

static int run(struct ctl *c, int argc, char **argv)
{
    c->command = find(argv[0]);
    if (!c->command)
        return unknown(argv[0]);
    if (wants_help(argc - 1, argv + 1)) {
        print_usage(c->command);
        return EXIT_OK;
    }
    return c->command->run(c, argc - 1, argv + 1);
}

/* What stands before the command. */
static int start(struct ctl *c, int argc, char **argv)
{
    bool help = false, version = false;
    const struct arg_option own[] = {
        {"help", ARG_FLAG, &help}, {"version", ARG_FLAG, &version}, {NULL, 0, NULL}};
    struct err e;
    int n = args_parse(argv, argc, true, own, c->global, &e);

    if (n < 0)
        return ctl_fail(&e);
    if (version) {
        (void)puts("stopgapctl " STOPGAP_VERSION);
        return EXIT_OK;
    }
    if (help || n == 0) {
        print_overview(help ? stdout : stderr);
        return help ? EXIT_OK : EXIT_USAGE;
    }
    return run(c, n, argv);
}

/* What could not be printed was not done: but not when a pager was left. */
static int finish_output(int code)
{
    errno = 0;
    if (!fflush(stdout) && !ferror(stdout))
        return code;
    if (errno && errno != EPIPE)
        return ctl_say("standard output: %s", strerror(errno));
    return code;
}

int main(int argc, char **argv)
{
    const struct actor_claims claims = {.user = getenv("USER"),
                                        .sudo_user = getenv("SUDO_USER"),
                                        .ssh_connection = getenv("SSH_CONNECTION")};
    struct ctl c;
    struct err e;
    int code;

    (void)signal(SIGPIPE, SIG_IGN);
    if (harden_process(&e))
        return ctl_fail(&e);
    ctl_init(&c, &claims);
    code = start(&c, argc - 1, argv + 1);
    ctl_done(&c);
    return finish_output(code);
}
