/* Unit tests of queue_confirm against a scripted server: who is told what of which
 * WAIT, each exactly once. With real replicas:
 * tests/integration/test_redis_replicas.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <stdio.h>
#include <uv.h>

#include "mem.h"
#include "peer.h"
#include "queue_confirm.h"
#include "redis.h"

#define ASKERS 8
#define REPLICAS 2

static const char *const hang_up = "";

/* What the server says to each WAIT, one after the other, when it is told to. */
struct desk {
    const char *answers[ASKERS]; /* NULL: no more */
    sem_t heard, go;             /* a WAIT is there; it may be answered */
    char waits[ASKERS][64];      /* as they came */
};

struct told {
    struct bench *bench;
    int times, at; /* at: in which place of all */
    struct err e;
    struct told *asks; /* who asks inside */
};

struct bench {
    uv_loop_t loop;
    struct redis_url url;
    struct redis_options o;
    struct redis *redis;
    struct queue_confirm *confirm;
    struct peer peer;
    struct desk desk;
    struct told told[ASKERS];
    int ups, downs, count;
};

static bool hear(int fd, const char *word, char *out, size_t room)
{
    size_t len = 0;

    out[0] = '\0';
    while (!strstr(out, word)) {
        ssize_t n = recv(fd, out + len, room - 1 - len, 0);

        if (n <= 0)
            return false;
        len += (size_t)n;
        out[len] = '\0';
    }
    return true;
}

static void serve(struct peer *p, int fd)
{
    struct desk *d = p->arg;
    char greeting[256];

    if (!hear(fd, "PING", greeting, sizeof greeting))
        return;
    peer_say(fd, "+PONG\r\n");
    for (size_t i = 0; d->answers[i]; i++) {
        if (!hear(fd, "250\r\n", d->waits[i], sizeof d->waits[i]))
            return;
        (void)sem_post(&d->heard);
        while (sem_wait(&d->go) != 0)
            ;
        if (d->answers[i] == hang_up)
            return;
        peer_say(fd, d->answers[i]);
    }
    peer_wait_end(fd);
}

static void on_up(void *arg)
{
    struct bench *b = arg;

    b->ups++;
}

static void on_down(void *arg, const struct err *e)
{
    struct bench *b = arg;

    (void)e;
    b->downs++;
}

static int setup(void **state)
{
    static char loopback[] = "127.0.0.1";
    struct bench *b = mem_new(1, sizeof *b);

    (void)uv_loop_init(&b->loop);
    (void)sem_init(&b->desk.heard, 0, 0);
    (void)sem_init(&b->desk.go, 0, 0);
    peer_start(&b->peer, serve, &b->desk);
    b->url.host = loopback;
    b->url.port = b->peer.port;
    b->o = (struct redis_options){.loop = &b->loop,
                                  .url = &b->url,
                                  .timeout_ms = 20000,
                                  .on_up = on_up,
                                  .on_down = on_down,
                                  .arg = b};
    for (size_t i = 0; i < ASKERS; i++)
        b->told[i].bench = b;
    *state = b;
    return 0;
}

static void end_client(struct bench *b)
{
    redis_free(b->redis);
    b->redis = NULL;
    (void)uv_run(&b->loop, UV_RUN_DEFAULT);
}

static int teardown(void **state)
{
    struct bench *b = *state;
    int rc;

    for (size_t i = 0; i < ASKERS; i++)
        (void)sem_post(&b->desk.go);
    end_client(b);
    queue_confirm_free(b->confirm);
    peer_stop(&b->peer);
    rc = uv_loop_close(&b->loop);
    free(b);
    return rc;
}

static void start(struct bench *b, int64_t replicas)
{
    b->redis = redis_new(&b->o);
    b->confirm = queue_confirm_new(b->redis, replicas);
    while (!b->ups)
        (void)uv_run(&b->loop, UV_RUN_ONCE);
}

static void on_told(void *arg, const struct err *e)
{
    struct told *t = arg;
    struct bench *b = t->bench;

    t->times++;
    t->at = ++b->count;
    t->e = *e;
    if (t->asks)
        queue_confirm_ask(b->confirm, on_told, t->asks);
}

static void ask(struct bench *b, size_t i)
{
    queue_confirm_ask(b->confirm, on_told, &b->told[i]);
}

/* Until the next WAIT is at the server. */
static void wait_heard(struct bench *b)
{
    while (sem_trywait(&b->desk.heard) != 0)
        (void)uv_run(&b->loop, UV_RUN_NOWAIT);
}

static void answer(struct bench *b)
{
    (void)sem_post(&b->desk.go);
}

static void wait_told(struct bench *b, int count)
{
    while (b->count < count)
        (void)uv_run(&b->loop, UV_RUN_ONCE);
    assert_int_equal(b->count, count);
}

static void says(const struct told *t, enum err_class class, const char *words)
{
    assert_int_equal(t->times, 1);
    assert_int_equal(t->e.class, class);
    if (!strstr(t->e.text, words))
        fail_msg("\"%s\" does not say \"%s\"", t->e.text, words);
}

static void test_nobody_is_asked_of_no_replicas(void **state)
{
    struct bench *b = *state;

    start(b, 0);
    ask(b, 0);
    assert_int_equal(b->count, 1);
    says(&b->told[0], ERR_NONE, "");
    end_client(b);
    assert_string_equal(b->desk.waits[0], "");
}

static void test_confirmed(void **state)
{
    struct bench *b = *state;

    b->desk.answers[0] = ":2\r\n";
    start(b, REPLICAS);
    ask(b, 0);
    wait_heard(b);
    assert_int_equal(b->count, 0); /* not before it is known */
    answer(b);
    wait_told(b, 1);
    says(&b->told[0], ERR_NONE, "");
    assert_string_equal(b->desk.waits[0],
                        "*3\r\n$4\r\nWAIT\r\n$1\r\n2\r\n$3\r\n250\r\n");
}

static void test_answers_that_are_none(void **state)
{
    static const struct {
        const char *answer;
        enum err_class class;
        const char *words;
    } cases[] = {{":1\r\n", ERR_TRANSIENT, "1 of 2 replicas"},
                 {":0\r\n", ERR_TRANSIENT, "0 of 2 replicas"},
                 {":-1\r\n", ERR_TRANSIENT, "-1 of 2 replicas"},
                 {"+OK\r\n", ERR_TRANSIENT, "0 of 2 replicas"},
                 {"$-1\r\n", ERR_TRANSIENT, "0 of 2 replicas"},
                 {"-NOPERM no right to wait\r\n", ERR_AUTH, "no right to wait"},
                 {"-ERR unknown command\r\n", ERR_BUG, "unknown command"}};
    struct bench *b = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        b->desk.answers[i] = cases[i].answer;
    start(b, REPLICAS);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ask(b, i);
        wait_heard(b);
        answer(b);
        wait_told(b, (int)i + 1);
        says(&b->told[i], cases[i].class, cases[i].words);
    }
    assert_int_equal(b->downs, 0);
}

/* What they wrote may be behind the WAIT under way: the next one is theirs, and one for
 * all of them. */
static void test_who_asks_meanwhile_shares_the_next(void **state)
{
    struct bench *b = *state;

    b->desk.answers[0] = ":2\r\n";
    b->desk.answers[1] = ":1\r\n";
    b->desk.answers[2] = ":5\r\n";
    start(b, REPLICAS);
    ask(b, 0);
    wait_heard(b);
    for (size_t i = 1; i < 5; i++)
        ask(b, i);
    answer(b);
    wait_heard(b);
    wait_told(b, 1);
    says(&b->told[0], ERR_NONE, "");
    ask(b, 5);
    answer(b);
    wait_told(b, 5);
    for (size_t i = 1; i < 5; i++) {
        says(&b->told[i], ERR_TRANSIENT, "1 of 2");
        assert_int_equal(b->told[i].at, i + 1);
    }
    wait_heard(b);
    answer(b);
    wait_told(b, 6);
    says(&b->told[5], ERR_NONE, "");
}

static void test_asks_again_when_told(void **state)
{
    struct bench *b = *state;

    b->desk.answers[0] = ":0\r\n";
    b->desk.answers[1] = ":2\r\n";
    b->told[0].asks = &b->told[1];
    start(b, REPLICAS);
    ask(b, 0);
    wait_heard(b);
    answer(b);
    wait_heard(b);
    wait_told(b, 1);
    says(&b->told[0], ERR_TRANSIENT, "0 of 2");
    answer(b);
    wait_told(b, 2);
    says(&b->told[1], ERR_NONE, "");
}

/* Perhaps another server answers after it, which has not what these have written. */
static void test_a_break_tells_all_no(void **state)
{
    struct bench *b = *state;

    b->desk.answers[0] = hang_up;
    start(b, REPLICAS);
    ask(b, 0);
    wait_heard(b);
    ask(b, 1);
    ask(b, 2);
    answer(b);
    wait_told(b, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(b->told[i].times, 1);
        assert_int_not_equal(b->told[i].e.class, ERR_NONE);
        assert_int_equal(b->told[i].e.code, REDIS_LOST);
    }
}

static void test_asked_while_redis_is_away(void **state)
{
    struct bench *b = *state;

    b->desk.answers[0] = hang_up;
    b->told[0].asks = &b->told[1]; /* inside the break: the client is not up any more */
    start(b, REPLICAS);
    ask(b, 0);
    wait_heard(b);
    answer(b);
    wait_told(b, 2);
    assert_int_not_equal(b->told[1].e.class, ERR_NONE);
    assert_int_equal(b->told[1].times, 1);
}

static void test_the_end_tells_who_waits(void **state)
{
    struct bench *b = *state;

    b->desk.answers[0] = ":2\r\n";
    start(b, REPLICAS);
    ask(b, 0);
    wait_heard(b);
    ask(b, 1);
    redis_free(b->redis);
    b->redis = NULL;
    assert_int_equal(b->count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_not_equal(b->told[i].e.class, ERR_NONE);
    (void)uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(b->count, 2);
}

static void test_judge(void **state)
{
    static const struct {
        int64_t confirmed, replicas;
        enum err_class class;
    } cases[] = {{0, 0, ERR_NONE}, {1, 1, ERR_NONE},      {3, 1, ERR_NONE},
                 {2, 2, ERR_NONE}, {0, 1, ERR_TRANSIENT}, {1, 2, ERR_TRANSIENT}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = {.class = ERR_BUG, .code = 7};

        queue_confirm_judge(cases[i].confirmed, cases[i].replicas, &e);
        assert_int_equal(e.class, cases[i].class);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nobody_is_asked_of_no_replicas),
        TEST(test_confirmed),
        TEST(test_answers_that_are_none),
        TEST(test_who_asks_meanwhile_shares_the_next),
        TEST(test_asks_again_when_told),
        TEST(test_a_break_tells_all_no),
        TEST(test_asked_while_redis_is_away),
        TEST(test_the_end_tells_who_waits),
        cmocka_unit_test(test_judge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
