/* Answers of the queue's scripts, from a Redis that answers what it likes. First byte:
 * which call; the rest is the reply, as it comes over the wire. Each call hears once;
 * what is no answer of its script counts as lost and ends the connection; of what is
 * one, every value is within its type. The client is this file's. */
#include <stdbool.h>

#include "fuzz_input.h"
#include "queue.h"
#include "queue_confirm.h"
#include "queue_lua.h"
#include "resp.h"
#include "settings.h"
#include "utf8.h"
#include "verdict.h"

#define ID "0123456789abcdefghjkmnpqrs"
#define REPLY_MAX (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct redis {
    redis_fn fn; /* of the call under way */
    void *arg;
    int distrusted;
    bool away;
};

static struct redis client;
static struct queue *queue;
static int heard, lost;

/* --- In place of redis.c --- */

static int take(redis_fn fn, void *arg, int argc, const char *const *argv)
{
    PROMISE(!client.fn && argc > 0);
    for (int i = 0; i < argc; i++)
        PROMISE(argv[i]);
    client.fn = fn;
    client.arg = arg;
    return 0;
}

int redis_eval(struct redis *r, redis_fn fn, void *arg, size_t index, int numkeys,
               int argc, const char *const *argv, const size_t *lens, struct err *e)
{
    (void)lens;
    (void)e;
    PROMISE(r == &client && index < QUEUE_SCRIPT_COUNT && numkeys == 1);
    return take(fn, arg, argc, argv);
}

int redis_call(struct redis *r, redis_fn fn, void *arg, int argc,
               const char *const *argv, const size_t *lens, struct err *e)
{
    (void)lens;
    PROMISE(r == &client);
    if (r->away)
        return err_set(e, ERR_TRANSIENT, 0, "no connection to Redis");
    return take(fn, arg, argc, argv);
}

void redis_distrust(struct redis *r, const struct err *why)
{
    PROMISE(r == &client && why->class == ERR_TRANSIENT && why->code == REDIS_LOST);
    client.distrusted++;
}

/* --- What the callbacks are told --- */

/* True if there is something else to look at. */
static bool hear(const struct err *e)
{
    heard++;
    if (e->class == ERR_NONE)
        return true;
    PROMISE(e->text[0]);
    lost += e->code == REDIS_LOST;
    return false;
}

static void check_text(const char *text)
{
    const char *end = text + strlen(text);

    while (text < end)
        PROMISE(utf8_printable(utf8_next(&text, end)));
}

static void check_lane(const struct queue_lane *l)
{
    PROMISE(l->state <= QUEUE_LANE_CLOSED && l->why.class < ERR_CLASS_COUNT && l->by);
    check_text(l->why.text);
}

static void on_beat(void *arg, const struct queue_beat *b, const struct err *e)
{
    static const char *const names[] = {"smtp", "gitlab", ""};

    (void)arg;
    if (!hear(e))
        return;
    PROMISE(b->known >= 0 && b->known <= 2);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct queue_lane l;

        queue_beat_lane(b, names[i], &l);
        PROMISE(l.state == QUEUE_LANE_OPEN || l.state == QUEUE_LANE_CLOSED);
        check_lane(&l);
    }
}

static void check_job(int rc, struct job *j, const struct err *e)
{
    if (rc) {
        PROMISE(e->class == ERR_BUG || e->class == ERR_CANCELLED);
        PROMISE(e->text[0]);
        return;
    }
    PROMISE(job_id_valid(j->id) && j->state < JOB_STATE_COUNT && j->fence >= 0);
    job_done(j);
}

static void on_take(void *arg, const struct queue_batch *b, const struct err *e)
{
    (void)arg;
    if (!hear(e))
        return;
    PROMISE(b->status <= QUEUE_TAKE_EXPIRED);
    for (size_t i = 0; i < b->count; i++) {
        struct job j = {.fence = 0};
        struct err why = {.class = ERR_NONE};
        bool solo;
        int rc = queue_batch_job(b, i, &j, &solo, &why);

        PROMISE(strlen(j.id) < sizeof j.id && j.fence >= 0);
        check_job(rc, &j, &why);
    }
}

static void on_saved(void *arg, enum queue_saved saved, const char *detail,
                     const struct err *e)
{
    (void)arg;
    if (hear(e))
        PROMISE(saved <= QUEUE_CAPPED && detail);
}

static void on_claim(void *arg, enum queue_claim claim, const char *other,
                     const struct err *e)
{
    (void)arg;
    if (hear(e))
        PROMISE(claim <= QUEUE_CLAIM_LOST && other);
}

static void on_done(void *arg, bool yours, const struct err *e)
{
    (void)arg;
    (void)yours;
    (void)hear(e);
}

static void on_follow(void *arg, const struct queue_follows *f, const struct err *e)
{
    (void)arg;
    if (!hear(e))
        return;
    for (size_t i = 0; i < f->count; i++) {
        struct queue_follow item = {.kind = NULL};
        struct err why = {.class = ERR_NONE};
        struct job j;
        int rc = queue_follow_item(f, i, &item, &j, &why);

        check_job(rc, &j, &why);
        if (rc == 0)
            PROMISE(item.kind && item.id && item.fixed_url && item.last_ids &&
                    strlen(item.token) < sizeof item.token);
    }
}

static void on_tell(void *arg, const struct queue_tell *t, const struct err *e)
{
    struct err why = {.class = ERR_NONE};
    struct job j;

    (void)arg;
    if (!hear(e) || !t->id)
        return;
    PROMISE(t->event && strlen(t->token) < sizeof t->token);
    check_job(queue_tell_job(t, &j, &why), &j, &why);
}

static void on_settled(void *arg, enum queue_settled how, const struct err *e)
{
    (void)arg;
    if (hear(e))
        PROMISE(how <= QUEUE_STRAY);
}

static void on_lane(void *arg, const struct queue_lane *l, const struct err *e)
{
    (void)arg;
    if (hear(e))
        check_lane(l);
}

static void on_depth(void *arg, const struct queue_depth *d, const struct err *e)
{
    (void)arg;
    if (hear(e))
        PROMISE(d->now_ms >= 0);
}

static void on_answer(void *arg, const char *word, const char *detail,
                      const struct err *e)
{
    (void)arg;
    if (hear(e))
        PROMISE(word && detail);
}

static void on_findings(void *arg, const struct queue_findings *f, const struct err *e)
{
    (void)arg;
    if (!hear(e))
        return;
    PROMISE(f->count <= QUEUE_CHECK_FINDINGS);
    for (size_t i = 0; i < f->count; i++)
        PROMISE(f->v[i].kind && f->v[i].detail);
}

static void on_confirm(void *arg, const struct err *e)
{
    (void)arg;
    (void)hear(e);
}

/* --- The calls --- */

static const struct queue_by me = {"me", "here"};
static const struct job job = {.id = ID, .fence = 7};
static struct queue_write fields;
static struct err ignored;

static int call_beat(void)
{
    const struct queue_info info = {.host = "h", .state = "running", .server = ""};

    return queue_beat(queue, &info, on_beat, NULL, &ignored);
}

static int call_take(void)
{
    const struct queue_want want = {.jobs = 3, .reap = true};

    return queue_take(queue, &want, on_take, NULL, &ignored);
}

static int call_save(void)
{
    static const struct queue_cap cap = {"day", 200};
    const struct queue_save save = {.job = &job,
                                    .late = STEP_EMAIL,
                                    .guard = "iid",
                                    .caps = &cap,
                                    .cap_count = 1,
                                    .write = &fields};

    return queue_save(queue, &save, on_saved, NULL, &ignored);
}

static int call_claim(void)
{
    static const struct request request = {
        .ticket_id = 1, .users = 5, .email = "a@example.com", .idempotency_key = "k"};

    return queue_claim(queue, &job, &request, on_claim, NULL, &ignored);
}

static int call_finish(void)
{
    return queue_finish(queue, &job, QUEUE_DONE, 0, "", &fields, on_done, NULL,
                        &ignored);
}

static int call_point_at(void)
{
    return queue_point_at(queue, &job, "", ID, on_done, NULL, &ignored);
}

static int call_follow_take(void)
{
    return queue_follow_take(queue, 3, 1000, on_follow, NULL, &ignored);
}

static int call_follow_done(void)
{
    return queue_follow_done(queue, "report", ID, "1", -1, &fields, on_settled, NULL,
                             &ignored);
}

static int call_tell_take(void)
{
    return queue_tell_take(queue, "slack", "slack", 1000, on_tell, NULL, &ignored);
}

static int call_tell_done(void)
{
    const struct queue_told told = {"slack", ID, "1", "done", "words", "", -1};

    return queue_tell_done(queue, &told, &fields, on_done, NULL, &ignored);
}

static int call_disown(void)
{
    return queue_disown(queue, (const char *[]){ID}, 1, on_done, NULL, &ignored);
}

static int call_show(void)
{
    return queue_show(queue, (const char *[]){ID}, 1, on_done, NULL, &ignored);
}

static int call_reap(void)
{
    return queue_reap_worker(queue, "w", on_done, NULL, &ignored);
}

static int call_trim(void)
{
    return queue_trim(queue, on_done, NULL, &ignored);
}

static int call_lane(void)
{
    const struct err why = {.class = ERR_AUTH, .text = "no"};

    return queue_lane(queue, "smtp", QUEUE_LANE_CLOSE, 1000, &why, on_lane, NULL,
                      &ignored);
}

static int call_depth(void)
{
    return queue_depth(queue, on_depth, NULL, &ignored);
}

static int call_requeue(void)
{
    const struct queue_requeue what = {.id = ID, .by = &me, .redo = ""};

    return queue_requeue(queue, &what, on_answer, NULL, &ignored);
}

static int call_resend(void)
{
    return queue_resend(queue, ID, &me, "", on_answer, NULL, &ignored);
}

static int call_discard(void)
{
    return queue_discard(queue, ID, &me, on_answer, NULL, &ignored);
}

static int call_check(void)
{
    const struct queue_check what = {
        .rule = "r", .subject = "s", .by = &me, .more = {"a", "b"}};

    return queue_check(queue, &what, on_findings, NULL, &ignored);
}

static int call_submit(void)
{
    const struct queue_submit request = {
        .id = ID, .raw = "{}", .raw_len = 2, .what = "submit", .by = &me};

    return queue_submit(queue, &request, on_answer, NULL, &ignored);
}

static int call_forget(void)
{
    const struct queue_forget what = {
        .id = ID, .cap = "addr:x", .addresses = {"a@example.com"}, .by = &me};

    return queue_forget(queue, &what, on_answer, NULL, &ignored);
}

static int call_pause(void)
{
    return queue_pause(queue, "why", &me, on_answer, NULL, &ignored);
}

static struct queue_confirm *confirm;

/* Without replicas, and without Redis, the answer is there at once. */
static void confirm_at_once(int64_t replicas)
{
    confirm = queue_confirm_new(&client, replicas);
    client.away = true;
    queue_confirm_ask(confirm, on_confirm, NULL);
    PROMISE(heard == 1);
    heard = 0;
    client.away = false;
    queue_confirm_free(confirm);
}

/* Two who ask at once: one WAIT for the first, the next for the second. */
static int call_confirm(void)
{
    confirm_at_once(0);
    confirm_at_once(1);
    confirm = queue_confirm_new(&client, 2);
    queue_confirm_ask(confirm, on_confirm, NULL);
    queue_confirm_ask(confirm, on_confirm, NULL);
    return 0;
}

static int (*const call[])(void) = {
    call_beat,     call_take,        call_save,        call_claim,     call_finish,
    call_point_at, call_follow_take, call_follow_done, call_tell_take, call_tell_done,
    call_disown,   call_show,        call_reap,        call_trim,      call_lane,
    call_depth,    call_requeue,     call_resend,      call_discard,   call_check,
    call_confirm,  call_submit,      call_forget,      call_pause,
};

/* As pipeline.c does: an error reply by its verdict. */
static void answer(const struct redisReply *reply)
{
    struct err e = {.class = ERR_NONE};
    redis_fn fn = client.fn;

    client.fn = NULL;
    if (reply_error(reply))
        (void)verdict_redis(reply_error(reply), &e);
    fn(client.arg, e.class == ERR_NONE ? reply : NULL, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char name[] = "licenses";
    static const struct settings settings = {.queue = name, .lease_ms = 10000};
    struct resp *wire;
    struct redisReply *reply;
    struct err e = {.class = ERR_TRANSIENT, .code = REDIS_LOST, .text = "gone"};
    int wanted;

    if (!size)
        return 0;
    queue = queue_new(&client, &settings, "host:1:2:3");
    queue_write_init(&fields);
    queue_write_str(&fields, "msgid", "<a@b>");
    queue_write_int(&fields, "fence", 5);
    queue_write_del(&fields, "i:email");
    client = (struct redis){.distrusted = 0};
    heard = lost = 0;
    confirm = NULL;
    PROMISE(call[data[0] % ARRAY_LEN(call)]() == 0 && !heard && client.fn);
    wanted = confirm ? 2 : 1;
    wire = resp_new(REPLY_MAX);
    resp_feed(wire, (const char *)data + 1, size - 1);
    while (client.fn && resp_next(wire, &reply, &e) == 1) {
        answer(reply);
        reply_free(reply);
        e = (struct err){.class = ERR_TRANSIENT, .code = REDIS_LOST, .text = "gone"};
    }
    e.code = REDIS_LOST;
    if (client.fn)
        client.fn(client.arg, NULL, &e);
    else
        PROMISE(confirm || lost == client.distrusted);
    PROMISE(heard == wanted && client.distrusted <= 1);
    resp_free(wire);
    queue_confirm_free(confirm);
    queue_write_done(&fields);
    queue_free(queue);
    return 0;
}
