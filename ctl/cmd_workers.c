/* cmd_workers: the workers that are alive. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "buf.h"
#include "cmd.h"
#include "ctl.h"
#include "mem.h"
#include "num.h"
#include "out.h"

#define WORKERS_MOST 1000

enum { W_HOST, W_PID, W_BUSY, W_STATE, W_VERSION, W_STARTED, W_LAG, W_FIELDS };

struct worker_row {
    char *wid; /* owned, as are the fields */
    int64_t lease_ms;
    char *field[W_FIELDS];
};

struct worker_list {
    struct worker_row *v;
    size_t count;
    size_t described;
    int64_t now_ms;
};

static void workers_done(struct worker_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->v[i].wid);
        for (size_t f = 0; f < W_FIELDS; f++)
            free(l->v[i].field[f]);
    }
    free(l->v);
}

static void on_workers(void *arg, const struct redisReply *reply)
{
    struct worker_list *l = arg;
    size_t count = reply_count(reply) / 2;

    l->v = mem_new(count + 1, sizeof *l->v);
    for (size_t i = 0; i < count; i++) {
        l->v[i].wid = mem_strdup(reply_str(reply_at(reply, 2 * i)));
        l->v[i].lease_ms = reply_int(reply_at(reply, 2 * i + 1));
    }
    l->count = count;
}

static void on_info(void *arg, const struct redisReply *reply)
{
    struct worker_list *l = arg;
    struct worker_row *row = &l->v[l->described++];

    for (size_t i = 0; i < W_FIELDS && i < reply_count(reply); i++)
        row->field[i] = mem_strdup(reply_str(reply_at(reply, i)));
}

static int read_workers(struct client *client, struct worker_list *l, struct err *e)
{
    char key[QUEUE_KEY_MAX], most[24];

    (void)snprintf(most, sizeof most, "%d", WORKERS_MOST - 1);
    client_key(client, "workers", "", key);
    client_send(client, on_workers, l, 5,
                (const char *[]){"ZREVRANGE", key, "0", most, "WITHSCORES"}, NULL);
    if (client_now(client, &l->now_ms, e))
        return -1;
    for (size_t i = 0; i < l->count; i++) {
        client_key(client, "winfo:", l->v[i].wid, key);
        client_send(client, on_info, l, 9,
                    (const char *[]){"HMGET", key, "host", "pid", "busy", "state",
                                     "version", "started_ms", "lag_ms"},
                    NULL);
    }
    return client_wait(client, e);
}

static void lease_words(int64_t left_ms, char out[static OUT_TIME_MAX])
{
    if (left_ms > 0)
        out_span(left_ms, out);
    else
        (void)snprintf(out, OUT_TIME_MAX, "ran out");
}

static int64_t started_ms(const struct worker_row *row)
{
    int64_t ms;

    return row->field[W_STARTED] && num_parse(row->field[W_STARTED], 0, INT64_MAX, &ms)
               ? ms
               : 0;
}

static void add_workers(const struct worker_list *l, struct buf *out)
{
    static const char *const heads[] = {"HOST",  "PID",        "STATE",
                                        "BUSY",  "LEASE LEFT", "LAG MS",
                                        "SINCE", "VERSION",    "WORKER"};
    char text[OUT_TIME_MAX];
    struct out_table t;

    out_table_init(&t, heads, ARRAY_LEN(heads));
    for (size_t i = 0; i < l->count; i++) {
        const struct worker_row *row = &l->v[i];

        out_table_cell(&t, row->field[W_HOST]);
        out_table_cell(&t, row->field[W_PID]);
        out_table_cell(&t, row->field[W_STATE]);
        out_table_cell(&t, row->field[W_BUSY]);
        lease_words(row->lease_ms - l->now_ms, text);
        out_table_cell(&t, text);
        out_table_cell(&t, row->field[W_LAG]);
        out_time(started_ms(row), text);
        out_table_cell(&t, text);
        out_table_cell(&t, row->field[W_VERSION]);
        out_table_cell(&t, row->wid);
    }
    out_table_add(&t, out);
    out_table_done(&t);
}

static void print_workers_json(const struct worker_list *l)
{
    static const char *const names[W_FIELDS] = {
        [W_HOST] = "host",   [W_PID] = "pid",         [W_BUSY] = "busy",
        [W_STATE] = "state", [W_VERSION] = "version", [W_STARTED] = "started_ms",
        [W_LAG] = "lag_ms"};
    json_t *all = json_array();

    for (size_t i = 0; i < l->count; i++) {
        json_t *o = json_pack("{s:s, s:I}", "worker", l->v[i].wid, "lease_left_ms",
                              (json_int_t)(l->v[i].lease_ms - l->now_ms));

        for (size_t f = 0; f < W_FIELDS; f++) {
            const char *value = l->v[i].field[f];
            int64_t n;

            if (value && num_parse(value, 0, INT64_MAX, &n))
                (void)json_object_set_new(o, names[f], json_integer(n));
            else if (value)
                (void)json_object_set_new(o, names[f], json_string(value));
        }
        (void)json_array_append_new(all, o);
    }
    out_json(json_dumps(all, JSON_INDENT(2)));
    json_decref(all);
}

int cmd_workers(struct ctl *c, int argc, char **argv)
{
    struct worker_list l = {.v = NULL};
    struct buf out;
    struct err e;
    int code;

    if (ctl_args(c, argc, argv, NULL, 0, 0) < 0)
        return EXIT_USAGE;
    code = ctl_connect(c);
    if (code)
        return code;
    buf_init(&out, OUT_MAX);
    if (read_workers(c->client, &l, &e)) {
        (void)ctl_fail(&e);
        code = EXIT_FAILED;
    } else if (c->json) {
        print_workers_json(&l);
    } else if (l.count) {
        add_workers(&l, &out);
        out_print(&out);
    } else {
        (void)puts("no worker is alive");
    }
    buf_done(&out);
    workers_done(&l);
    return code;
}
