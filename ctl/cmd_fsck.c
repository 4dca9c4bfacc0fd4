/* cmd_fsck: what is inconsistent in the queue, told and, if asked, mended. */
#include <jansson.h>
#include <stdio.h>

#include "buf.h"
#include "cmd.h"
#include "ctl.h"
#include "fsck.h"
#include "fsck_tracker.h"
#include "mem.h"
#include "out.h"
#include "settings.h"

static size_t count_mended(const struct fsck *f)
{
    size_t n = 0;

    for (size_t i = 0; i < f->count; i++)
        n += f->items[i].mended;
    return n;
}

/* ---- for people ---- */

static void add_row(struct out_table *t, const struct fsck_item *item, bool repair)
{
    const struct fsck_kind *kind = fsck_kind_of(item->kind);
    struct buf what;

    buf_init(&what, OUT_MAX);
    buf_adds(&what, kind ? kind->meaning : "");
    if (*item->detail)
        buf_addf(&what, ": %s", item->detail);
    out_table_cell(t, item->kind);
    out_table_cell(t, item->where);
    out_table_cell(t, what.data);
    out_table_cell(t, item->mended            ? "mended"
                      : kind && !kind->repair ? "a person has to"
                      : repair                ? "not mended"
                      : kind                  ? kind->repair
                                              : "");
    buf_done(&what);
}

static void print_text(const struct fsck *f, bool repair)
{
    static const char *const heads[] = {"KIND", "WHERE", "WHAT", "REPAIR"};
    struct out_table t;
    struct buf out;

    buf_init(&out, OUT_MAX);
    out_table_init(&t, heads, ARRAY_LEN(heads));
    for (size_t i = 0; i < f->count; i++)
        add_row(&t, &f->items[i], repair);
    if (f->count)
        out_table_add(&t, &out);
    out_table_done(&t);
    buf_addf(&out, "%zu jobs: ", f->jobs);
    if (!f->count)
        buf_adds(&out, "nothing is wrong\n");
    else if (repair)
        buf_addf(&out, "%zu found, %zu mended\n", f->count, count_mended(f));
    else
        buf_addf(&out, "%zu found; `stopgapctl fsck --repair` mends them as said\n",
                 f->count);
    if (f->newer)
        buf_addf(&out, "%zu records are newer than this program and were left alone\n",
                 f->newer);
    out_print(&out);
    buf_done(&out);
}

/* ---- for programs ---- */

/* Foreign: perhaps not even UTF-8. */
static void set_text(json_t *o, const char *name, const char *text)
{
    struct buf plain;

    buf_init(&plain, OUT_MAX);
    out_str(&plain, text);
    (void)json_object_set_new(o, name, json_string(plain.data ? plain.data : ""));
    buf_done(&plain);
}

static json_t *item_json(const struct fsck_item *item)
{
    const struct fsck_kind *kind = fsck_kind_of(item->kind);
    json_t *o = json_object();

    set_text(o, "kind", item->kind);
    set_text(o, "where", item->where);
    set_text(o, "what", kind ? kind->meaning : "");
    set_text(o, "detail", item->detail);
    if (kind && kind->repair)
        set_text(o, "repair", kind->repair);
    (void)json_object_set_new(o, "mended", json_boolean(item->mended));
    return o;
}

static void print_json(const struct fsck *f)
{
    json_t *items = json_array(), *o;

    for (size_t i = 0; i < f->count; i++)
        (void)json_array_append_new(items, item_json(&f->items[i]));
    o = json_pack("{s:I, s:I, s:I, s:I, s:o}", "jobs", (json_int_t)f->jobs, "newer",
                  (json_int_t)f->newer, "found", (json_int_t)f->count, "mended",
                  (json_int_t)count_mended(f), "findings", items);
    out_json(json_dumps(o, JSON_INDENT(2)));
    json_decref(o);
}

/* ---- the command ---- */

struct options {
    bool repair, tracker;
};

static int work(struct ctl *c, const struct options *o)
{
    struct fsck f;
    struct err e;
    int code = EXIT_OK;

    if (fsck_run(c->client, &c->by, o->repair, &f, &e) ||
        (o->tracker &&
         fsck_tracker_run(c->client, c->settings, &c->by, o->repair, &f, &e)))
        code = ctl_fail(&e);
    if (!code || f.count) {
        if (c->json)
            print_json(&f);
        else
            print_text(&f, o->repair);
    }
    if (!code && count_mended(&f) < f.count)
        code = EXIT_FAILED;
    fsck_done(&f);
    return code;
}

int cmd_fsck(struct ctl *c, int argc, char **argv)
{
    struct options o = {.repair = false};
    const struct arg_option own[] = {{"repair", ARG_FLAG, &o.repair},
                                     {"tracker", ARG_FLAG, &o.tracker},
                                     {NULL, 0, NULL}};
    int code;

    if (ctl_args(c, argc, argv, own, 0, 0) < 0)
        return EXIT_USAGE;
    if (o.tracker)
        c->programs |= PROGRAM_TRACKER;
    code = ctl_connect(c);
    return code ? code : work(c, &o);
}
