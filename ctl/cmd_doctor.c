/* cmd_doctor: tries every outside system before the weekend does, and says what is
 * wrong and how to mend it. What is tried is in the doctor_ files; here: in which
 * order, and how it is shown. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "buf.h"
#include "cmd.h"
#include "ctl.h"
#include "doctor.h"
#include "mem.h"
#include "out.h"
#include "settings.h"

#define WHAT_WIDTH 19

/* ---- what is tried ---- */

/* The faults, one a line, as lines of ours. */
static void say_faults(struct doctor *d, char *faults)
{
    for (char *line = faults; *line;) {
        size_t len = strcspn(line, "\n");

        doctor_say(
            d, "settings", DOCTOR_FAIL,
            "mend that setting (docs/config.md); run doctor as the worker's user "
            "if it is a file that cannot be read",
            "%.*s", (int)len, line);
        line += len + (line[len] == '\n');
    }
}

static int load(struct ctl *c, struct doctor *d)
{
    struct buf faults;

    buf_init(&faults, OUT_MAX);
    c->settings = settings_load(PROGRAM_CTL | PROGRAM_WORKER | PROGRAM_DOCTOR,
                                c->env_file, &faults);
    if (!c->settings)
        say_faults(d, faults.data);
    buf_done(&faults);
    d->settings = c->settings;
    return c->settings ? 0 : -1;
}

/* A host of a receiver, or an operator's, has nothing of a worker. */
static bool is_worker(const struct settings *s)
{
    return s->license_key_file || s->mail_from || s->gitlab_project ||
           s->gitlab_token.len;
}

static void say_warnings(struct doctor *d)
{
    struct buf text;

    buf_init(&text, OUT_MAX);
    settings_warnings(d->settings, d->worker_here ? PROGRAM_WORKER : PROGRAM_CTL,
                      &text);
    for (char *line = text.data; *line;) {
        size_t len = strcspn(line, "\n");

        doctor_say(d, "settings", DOCTOR_WARN,
                   "leave it if it is meant so, else change it: stopgap.env(5)", "%.*s",
                   (int)len, line);
        line += len + (line[len] == '\n');
    }
    buf_done(&text);
}

static const char *mend_of_connection(const struct err *e)
{
    if (e->class == ERR_AUTH)
        return "mend user and password in STOPGAP_REDIS_URL, or the user's rights "
               "(deploy/redis/users.acl)";
    if (strstr(e->text, "certificate"))
        return "mend Redis's certificate, or STOPGAP_CA_FILE";
    return "start Redis, mend STOPGAP_REDIS_URL, or open the way; requests wait in the "
           "receiver's spool meanwhile";
}

/* 0: there is a loop, perhaps without Redis. */
static int connect(struct ctl *c, struct doctor *d)
{
    char where[512];
    struct err e;

    c->client = client_open(d->settings, &e);
    d->connected = c->client != NULL;
    client_where(d->settings, where, sizeof where);
    if (d->connected) {
        doctor_say(d, "redis", DOCTOR_OK, NULL, "connected to %s", where);
    } else {
        doctor_say(d, "redis", DOCTOR_FAIL, mend_of_connection(&e), "%s", e.text);
        c->client = client_offline(&e);
    }
    d->client = c->client;
    return d->client ? 0 : -1;
}

static void (*const worker_parts[])(struct doctor *d) = {
    doctor_key,    doctor_templates, doctor_mail,
    doctor_gitlab, doctor_slack,     doctor_zendesk,
};

static void examine(struct ctl *c, struct doctor *d, const char *mail_to)
{
    if (load(c, d) || connect(c, d))
        return;
    d->worker_here = is_worker(d->settings);
    say_warnings(d);
    if (d->connected) {
        doctor_redis(d);
        doctor_queue(d);
    }
    doctor_spool(d);
    doctor_seal(d);
    for (size_t i = 0; d->worker_here && i < ARRAY_LEN(worker_parts); i++)
        worker_parts[i](d);
    if (!d->worker_here)
        doctor_say(
            d, "worker", DOCTOR_SKIPPED, NULL,
            "no worker's settings here: key, mail, GitLab, Slack and Zendesk were "
            "not tried");
    if (mail_to)
        doctor_sample(d, mail_to);
}

/* ---- how it is shown ---- */

static const char *const words[] = {"ok", "skipped", "warning", "failed"};

static void add_line(const struct doctor_line *l, bool colour, struct buf *out)
{
    static const enum out_colour colours[] = {OUT_GREEN, OUT_GREY, OUT_YELLOW, OUT_RED};
    char word[16];

    (void)snprintf(word, sizeof word, "%-8s", words[l->result]);
    out_paint(out, colour, colours[l->result], word);
    buf_addf(out, " %-*s ", WHAT_WIDTH, l->what);
    out_str(out, l->found);
    buf_addc(out, '\n');
    if (!l->mend)
        return;
    buf_addf(out, "%*s-> ", 10 + WHAT_WIDTH, "");
    out_str(out, l->mend);
    buf_addc(out, '\n');
}

static size_t count_of(const struct doctor *d, enum doctor_result result)
{
    size_t n = 0;

    for (size_t i = 0; i < d->count; i++)
        n += d->lines[i].result == result;
    return n;
}

static void print_text(const struct doctor *d, bool quiet)
{
    bool colour = out_may_colour();
    struct buf out;

    buf_init(&out, OUT_MAX);
    for (size_t i = 0; i < d->count; i++)
        if (!quiet || d->lines[i].result >= DOCTOR_WARN)
            add_line(&d->lines[i], colour, &out);
    if (!quiet)
        buf_addf(&out, "\n%zu tried: %zu failed, %zu warnings\n",
                 d->count - count_of(d, DOCTOR_SKIPPED), count_of(d, DOCTOR_FAIL),
                 count_of(d, DOCTOR_WARN));
    out_print(&out);
    buf_done(&out);
}

static json_t *line_json(const struct doctor_line *l)
{
    struct buf found;
    json_t *o;

    buf_init(&found, OUT_MAX);
    out_str(&found, l->found);
    o = json_pack("{s:s, s:s, s:s}", "check", l->what, "result", words[l->result],
                  "found", found.data);
    if (l->mend)
        (void)json_object_set_new(o, "mend", json_string(l->mend));
    buf_done(&found);
    return o;
}

static void print_json(const struct doctor *d, bool quiet)
{
    json_t *lines = json_array(), *o;

    for (size_t i = 0; i < d->count; i++)
        if (!quiet || d->lines[i].result >= DOCTOR_WARN)
            (void)json_array_append_new(lines, line_json(&d->lines[i]));
    o = json_pack("{s:b, s:I, s:I, s:o}", "ok", doctor_worst(d) < DOCTOR_FAIL, "failed",
                  (json_int_t)count_of(d, DOCTOR_FAIL), "warnings",
                  (json_int_t)count_of(d, DOCTOR_WARN), "checks", lines);
    out_json(json_dumps(o, JSON_INDENT(2)));
    json_decref(o);
}

int cmd_doctor(struct ctl *c, int argc, char **argv)
{
    bool quiet = false;
    const char *mail_to = NULL;
    const struct arg_option own[] = {
        {"mail-to", ARG_TEXT, &mail_to}, {"quiet", ARG_FLAG, &quiet}, {NULL, 0, NULL}};
    char address[ADDRESS_MAX + 1];
    struct doctor d = {.settings = NULL};
    struct err e;
    int code;

    if (ctl_args(c, argc, argv, own, 0, 0) < 0)
        return EXIT_USAGE;
    if (mail_to && address_normalise(mail_to, address, &e))
        return ctl_usage(c, "--mail-to \"%s\": %s", mail_to, e.text);
    examine(c, &d, mail_to ? address : NULL);
    if (c->json)
        print_json(&d, quiet);
    else
        print_text(&d, quiet);
    code = !c->settings                      ? EXIT_USAGE
           : doctor_worst(&d) == DOCTOR_FAIL ? EXIT_FAILED
                                             : EXIT_OK;
    doctor_done(&d);
    return code;
}
