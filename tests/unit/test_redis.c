/* Unit tests of redis against a real redis-server, started here on a socket of its own,
 * and against scripted servers for what a real one does not do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <uv.h>

#include "buf.h"
#include "identity.h"
#include "mem.h"
#include "peer.h"
#include "redis.h"
#include "tls.h"

#define PATH_LEN 96

static char loopback[] = "127.0.0.1";

/* --- a real server ------------------------------------------------------------------
 */

static struct {
    char dir[32];
    char sock[PATH_LEN];
    char port[8];
    pid_t pid;
} server;

static const char *in_dir(const char *name)
{
    static char path[4][PATH_LEN];
    static size_t next;
    char *p = path[next++ % ARRAY_LEN(path)];

    (void)snprintf(p, PATH_LEN, "%s/%s", server.dir, name);
    return p;
}

static bool accepts_connections(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok;

    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", server.sock);
    ok = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    (void)close(fd);
    return ok;
}

static void server_run(const char *const *extra)
{
    const char *argv[32] = {"redis-server", "--port",      server.port, "--unixsocket",
                            server.sock,    "--save",      "",          "--appendonly",
                            "no",           "--daemonize", "no",        "--dir",
                            server.dir};
    size_t n = 13;

    while (extra && *extra)
        argv[n++] = *extra++;
    server.pid = fork();
    if (server.pid == 0) {
        int null = open("/dev/null", O_RDWR);

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* not left behind by a crash */
        (void)dup2(null, 1);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
}

/* extra: further arguments, NULL at the end. A port that was free when it was chosen
 * may be somebody's for a moment: it tries again. */
static void server_start(const char *const *extra)
{
    int tries = 0;

    server_run(extra);
    while (!accepts_connections()) {
        if (waitpid(server.pid, NULL, WNOHANG) != 0) {
            if (++tries == 100)
                fail_msg("redis-server did not start");
            server_run(extra);
        }
        uv_sleep(20);
    }
}

static void server_stop(void)
{
    if (server.pid <= 0)
        return;
    (void)kill(server.pid, SIGKILL);
    (void)waitpid(server.pid, NULL, 0);
    server.pid = 0;
    (void)unlink(server.sock);
}

/* --- the client under test ----------------------------------------------------------
 */

enum when { NEVER, AT_UP, AT_DOWN, AT_REPLY };

struct answer {
    struct client *client;
    int calls;
    bool good;
    enum reply_type type;
    int64_t number;
    char text[4096];
    struct err e;
};

struct client {
    uv_loop_t loop;
    struct redis *redis;
    struct redis_url url;
    struct redis_options o;
    int ups, downs;
    struct err down;
    enum when free_at;
    int fallen; /* answers in all */
    bool inside;
};

static void maybe_free(struct client *c, enum when now)
{
    if (c->free_at != now || !c->redis)
        return;
    redis_free(c->redis);
    c->redis = NULL;
}

static void on_up(void *arg)
{
    struct client *c = arg;

    assert_false(c->inside);
    c->ups++;
    assert_true(redis_is_up(c->redis));
    maybe_free(c, AT_UP);
}

static void on_down(void *arg, const struct err *e)
{
    struct client *c = arg;

    assert_false(c->inside);
    assert_false(redis_is_up(c->redis));
    assert_int_equal(e->code, 0);
    c->downs++;
    c->down = *e;
    maybe_free(c, AT_DOWN);
}

static void on_answer(void *arg, const struct redisReply *reply, const struct err *e)
{
    struct answer *a = arg;

    assert_false(a->client->inside);
    assert_true((reply != NULL) == (e->class == ERR_NONE));
    a->calls++;
    a->client->fallen++;
    a->e = *e;
    a->good = reply != NULL;
    if (reply) {
        a->type = reply_type(reply);
        a->number = reply_int(reply);
        (void)snprintf(a->text, sizeof a->text, "%s", reply_str(reply));
    }
    maybe_free(a->client, AT_REPLY);
}

static int setup(void **state)
{
    struct client *c = mem_new(1, sizeof *c);

    assert_int_equal(uv_loop_init(&c->loop), 0);
    c->url.path = server.sock;
    c->o = (struct redis_options){.loop = &c->loop,
                                  .url = &c->url,
                                  .timeout_ms = 20000,
                                  .on_up = on_up,
                                  .on_down = on_down,
                                  .arg = c};
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct client *c = *state;
    int rc;

    redis_free(c->redis);
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    rc = uv_loop_close(&c->loop);
    free(c);
    server_stop();
    return rc;
}

static void turn(struct client *c)
{
    (void)uv_run(&c->loop, UV_RUN_ONCE);
}

/* What was queued leaves; nothing is waited for. */
static void send_out(struct client *c)
{
    (void)uv_run(&c->loop, UV_RUN_NOWAIT);
}

static void start(struct client *c)
{
    c->inside = true;
    c->redis = redis_new(&c->o);
    c->inside = false;
    assert_non_null(c->redis);
}

static void wait_up(struct client *c)
{
    int before = c->ups;

    while (c->ups == before)
        turn(c);
}

static void wait_down(struct client *c)
{
    int before = c->downs;

    while (c->downs == before)
        turn(c);
}

#define ARGV(...) ((const char *const[]){__VA_ARGS__})
#define ARGC(...) ((int)(sizeof ARGV(__VA_ARGS__) / sizeof(char *)))
#define SEND(c, a, ...) send_to(c, a, ARGC(__VA_ARGS__), ARGV(__VA_ARGS__))
#define ASK(c, ...) ask(c, ARGC(__VA_ARGS__), ARGV(__VA_ARGS__))

static void send_to(struct client *c, struct answer *a, int argc,
                    const char *const *argv)
{
    struct err e;

    *a = (struct answer){.client = c};
    c->inside = true;
    assert_int_equal(redis_call(c->redis, on_answer, a, argc, argv, NULL, &e), 0);
    c->inside = false;
}

static void wait_answer(struct client *c, struct answer *a)
{
    while (!a->calls)
        turn(c);
    assert_int_equal(a->calls, 1);
}

static struct answer ask(struct client *c, int argc, const char *const *argv)
{
    struct answer a;

    send_to(c, &a, argc, argv);
    wait_answer(c, &a);
    return a;
}

static void real_server(struct client *c, const char *const *extra)
{
    server_start(extra);
    start(c);
    wait_up(c);
}

static void says(const struct err *e, enum err_class class, const char *words)
{
    assert_int_equal(e->class, class);
    if (!strstr(e->text, words))
        fail_msg("\"%s\" does not say \"%s\"", e->text, words);
}

/* --- against the real one -----------------------------------------------------------
 */

static void test_replies(void **state)
{
    struct client *c = *state;
    struct answer a;

    real_server(c, NULL);
    a = ASK(c, "PING");
    assert_int_equal(a.type, REPLY_STRING);
    assert_string_equal(a.text, "PONG");
    a = ASK(c, "SET", "k", "42");
    a = ASK(c, "GET", "k");
    assert_int_equal(a.type, REPLY_STRING);
    assert_int_equal(a.number, 42);
    a = ASK(c, "INCR", "k");
    assert_int_equal(a.type, REPLY_INT);
    assert_int_equal(a.number, 43);
    a = ASK(c, "GET", "none");
    assert_int_equal(a.type, REPLY_NIL);
    assert_string_equal(a.text, "");
    a = ASK(c, "NOSUCHCOMMAND");
    says(&a.e, ERR_BUG, "unknown command");
    assert_int_equal(a.e.code, 0);
    assert_int_equal(c->downs, 0);
}

static void on_list(void *arg, const struct redisReply *reply, const struct err *e)
{
    struct answer *a = arg;

    assert_int_equal(e->class, ERR_NONE);
    assert_int_equal(reply_type(reply), REPLY_ARRAY);
    assert_int_equal(reply_count(reply), 3);
    assert_int_equal(reply_len(reply_at(reply, 0)), 3);
    assert_memory_equal(reply_str(reply_at(reply, 0)), "a\0b", 3);
    assert_int_equal(reply_len(reply_at(reply, 1)), 0);
    assert_int_equal(reply_type(reply_at(reply, 2)), REPLY_INT);
    assert_int_equal(reply_count(reply_at(reply, 2)), 0);
    a->calls++;
}

static const struct redis_script scripts[] = {
    {"list", "return {ARGV[1], ARGV[2], #KEYS}"},
    {"add", "return redis.call('INCRBY', KEYS[1], ARGV[1])"},
    {"wrong", "return redis.call('INCR')"},
};

static void eval_list(struct client *c)
{
    struct answer a = {.client = c};
    struct err e;

    assert_int_equal(redis_eval(c->redis, on_list, &a, 0, 2, 4,
                                ARGV("k1", "k2", "a\0b", ""), (size_t[]){2, 2, 3, 0},
                                &e),
                     0);
    wait_answer(c, &a);
}

static void use_scripts(struct client *c)
{
    c->o.scripts = scripts;
    c->o.script_count = ARRAY_LEN(scripts);
}

static void test_scripts(void **state)
{
    struct client *c = *state;
    struct answer a = {.client = c};
    struct err e;

    use_scripts(c);
    real_server(c, NULL);
    eval_list(c);
    assert_int_equal(redis_eval(c->redis, on_answer, &a, 2, 0, 0, NULL, NULL, &e), 0);
    wait_answer(c, &a);
    says(&a.e, ERR_BUG, "Wrong number of args");
}

static void test_scripts_flushed(void **state)
{
    struct client *c = *state;
    struct answer a[100], flushed;
    struct err e;
    int64_t sum = 0;

    use_scripts(c);
    real_server(c, NULL);
    SEND(c, &flushed, "SCRIPT", "FLUSH");
    eval_list(c);
    SEND(c, &flushed, "SCRIPT", "FLUSH");
    for (size_t i = 0; i < ARRAY_LEN(a); i++) {
        a[i] = (struct answer){.client = c};
        assert_int_equal(
            redis_eval(c->redis, on_answer, &a[i], 1, 1, 2, ARGV("sum", "1"), NULL, &e),
            0);
    }
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        wait_answer(c, &a[i]);
    for (size_t i = 0; i < ARRAY_LEN(a); i++)
        sum += a[i].number;
    assert_int_equal(sum, 5050); /* each ran once */
    assert_int_equal(ASK(c, "GET", "sum").number, 100);
}

static void test_script_that_does_not_compile(void **state)
{
    static const struct redis_script bad[] = {{"bad", "this is not Lua"}};
    struct client *c = *state;

    c->o.scripts = bad;
    c->o.script_count = 1;
    server_start(NULL);
    start(c);
    wait_down(c);
    assert_non_null(strstr(c->down.text, "SCRIPT LOAD bad: "));
    assert_int_equal(c->ups, 0);
}

static void test_password(void **state)
{
    struct client *c = *state;

    c->url.password = (struct secret){.data = (char[]){"pw"}, .len = 2};
    real_server(c, ARGV("--requirepass", "pw", NULL));
    assert_string_equal(ASK(c, "PING").text, "PONG");
}

static void test_wrong_password(void **state)
{
    struct client *c = *state;

    c->url.password = (struct secret){.data = (char[]){"no"}, .len = 2};
    server_start(ARGV("--requirepass", "pw", NULL));
    start(c);
    wait_down(c);
    says(&c->down, ERR_AUTH, "AUTH: Redis: WRONGPASS");
    assert_null(strstr(c->down.text, "no\""));
    assert_int_equal(c->ups, 0);
}

static void test_password_missing(void **state)
{
    struct client *c = *state;

    server_start(ARGV("--requirepass", "pw", NULL));
    start(c);
    wait_down(c);
    says(&c->down, ERR_AUTH, "NOAUTH");
}

static void test_user(void **state)
{
    struct client *c = *state;

    c->url.user = (char[]){"alice"};
    c->url.password = (struct secret){.data = (char[]){"pw"}, .len = 2};
    real_server(c, ARGV("--user", "alice", "on", ">pw", "~*", "&*", "+@all", NULL));
    assert_string_equal(ASK(c, "ACL", "WHOAMI").text, "alice");
}

static void test_user_who_may_little(void **state)
{
    struct client *c = *state;
    struct answer a;

    c->url.user = (char[]){"bob"};
    c->url.password = (struct secret){.data = (char[]){"pw"}, .len = 2};
    c->o.client_name = "stopgap-test";
    real_server(c, ARGV("--user", "bob", "on", ">pw", "~*", "-@all", "+lpush", NULL));
    assert_int_equal(ASK(c, "LPUSH", "l", "x").number, 1);
    a = ASK(c, "GET", "x");
    says(&a.e, ERR_AUTH, "NOPERM");
    assert_int_equal(c->downs, 0);
}

/* What may be forgiven of the PING that ends the greeting is no PING's own when the
 * greeting ended before it. */
static void test_user_who_may_not_select(void **state)
{
    struct client *c = *state;

    c->url.user = (char[]){"bob"};
    c->url.password = (struct secret){.data = (char[]){"pw"}, .len = 2};
    c->url.db = 3;
    server_start(ARGV("--user", "bob", "on", ">pw", "~*", "-@all", "+lpush", NULL));
    start(c);
    wait_down(c);
    says(&c->down, ERR_AUTH, "SELECT: Redis: NOPERM");
    assert_int_equal(c->ups, 0);
    assert_false(redis_is_up(c->redis));
}

static void test_database_and_name(void **state)
{
    struct client *c = *state;
    struct answer a;

    c->url.db = 3;
    c->o.client_name = "stopgap-test";
    real_server(c, NULL);
    a = ASK(c, "CLIENT", "LIST");
    assert_non_null(strstr(a.text, "name=stopgap-test "));
    assert_non_null(strstr(a.text, " db=3 "));
}

static void test_database_out_of_range(void **state)
{
    struct client *c = *state;

    c->url.db = 99;
    server_start(NULL);
    start(c);
    wait_down(c);
    says(&c->down, ERR_AUTH, "SELECT: Redis: ERR DB index is out of range");
}

static void test_tcp(void **state)
{
    struct client *c = *state;

    (void)snprintf(server.port, sizeof server.port, "%d", peer_dead_port());
    c->url.path = NULL;
    c->url.host = loopback;
    c->url.port = atoi(server.port);
    real_server(c, NULL);
    (void)snprintf(server.port, sizeof server.port, "0");
    assert_string_equal(ASK(c, "PING").text, "PONG");
}

static void test_blocking_has_its_own_time(void **state)
{
    struct client *c = *state;
    struct answer a = {.client = c}, after;
    struct err e;

    c->o.timeout_ms = 150;
    real_server(c, NULL);
    assert_int_equal(redis_call_blocking(c->redis, on_answer, &a, 3,
                                         ARGV("BLPOP", "none", "0.4"), 400, &e),
                     0);
    SEND(c, &after, "PING"); /* waits behind it, and may */
    wait_answer(c, &a);
    assert_true(a.good);
    assert_int_equal(a.type, REPLY_NIL);
    wait_answer(c, &after);
    assert_true(after.good);
    assert_int_equal(c->downs, 0);
}

static void test_killed_by_the_server(void **state)
{
    struct client *c = *state;
    struct answer kill_answer, lost[3];

    real_server(c, NULL);
    SEND(c, &kill_answer, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no");
    for (size_t i = 0; i < ARRAY_LEN(lost); i++)
        SEND(c, &lost[i], "BLPOP", "none", "0");
    wait_down(c);
    assert_int_equal(c->fallen, 4); /* all before on_down */
    for (size_t i = 0; i < ARRAY_LEN(lost); i++) {
        assert_int_equal(lost[i].calls, 1);
        assert_int_equal(lost[i].e.class, ERR_TRANSIENT);
        assert_int_equal(lost[i].e.code, REDIS_LOST);
    }
    wait_up(c);
    assert_string_equal(ASK(c, "PING").text, "PONG");
}

static void test_server_killed_and_restarted(void **state)
{
    struct client *c = *state;
    struct answer a;
    struct err e;

    use_scripts(c);
    real_server(c, NULL);
    SEND(c, &a, "BLPOP", "none", "0");
    send_out(c);
    server_stop();
    wait_down(c);
    assert_int_equal(a.calls, 1);
    assert_int_equal(redis_call(c->redis, on_answer, &a, 1, ARGV("PING"), NULL, &e),
                     -1);
    says(&e, ERR_TRANSIENT, "no connection to Redis");
    assert_int_equal(redis_eval(c->redis, on_answer, &a, 0, 0, 0, NULL, NULL, &e), -1);
    wait_down(c); /* at least one vain try */
    server_start(NULL);
    wait_up(c);
    eval_list(c);
    assert_int_equal(a.calls, 1);
}

static void test_frozen_server(void **state)
{
    struct client *c = *state;
    struct answer a;

    c->o.timeout_ms = 100;
    real_server(c, NULL);
    (void)kill(server.pid, SIGSTOP);
    SEND(c, &a, "PING");
    wait_down(c);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.e.code, REDIS_LOST);
    says(&c->down, ERR_TRANSIENT, "timed out: no reply from Redis for 100 ms");
    (void)kill(server.pid, SIGCONT);
    wait_up(c);
}

/* A stall of our own is not the server's: the reply is there when we come back. */
static void test_our_own_stall(void **state)
{
    struct client *c = *state;
    struct answer a;

    c->o.timeout_ms = 50;
    real_server(c, NULL);
    SEND(c, &a, "SET", "k", "v");
    send_out(c);
    uv_sleep(120); /* the stall itself */
    wait_answer(c, &a);
    assert_true(a.good);
    assert_int_equal(c->downs, 0);
}

static void on_number(void *arg, const struct redisReply *reply, const struct err *e)
{
    int64_t *last = arg;

    assert_int_equal(e->class, ERR_NONE);
    assert_int_equal(reply_int(reply), *last + 1);
    ++*last;
}

static void test_many_in_one_turn(void **state)
{
    struct client *c = *state;
    int64_t last = 0;
    struct err e;

    real_server(c, NULL);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(
            redis_call(c->redis, on_number, &last, 2, ARGV("INCR", "n"), NULL, &e), 0);
    while (last < 20000)
        turn(c);
}

struct busy {
    int answers;
    uint64_t first_turn, turn; /* of the loop */
};

static void on_busy(void *arg, const struct redisReply *reply, const struct err *e)
{
    struct busy *b = arg;
    uint64_t until = uv_hrtime() + 1000000;

    (void)reply;
    assert_int_equal(e->class, ERR_NONE);
    if (b->answers++ == 0)
        b->first_turn = b->turn;
    while (uv_hrtime() < until)
        continue;
}

static void on_turn(uv_prepare_t *h)
{
    ((struct busy *)h->data)->turn++;
}

/* Answers that come in one piece, and lead to work, do not keep the loop from others.
 */
static void test_others_have_their_turn(void **state)
{
    struct client *c = *state;
    struct busy b = {.answers = 0};
    uv_prepare_t turns;
    struct err e;

    real_server(c, NULL);
    (void)uv_prepare_init(&c->loop, &turns);
    turns.data = &b;
    (void)uv_prepare_start(&turns, on_turn);
    for (int i = 0; i < 40; i++)
        assert_int_equal(
            redis_call(c->redis, on_busy, &b, 1, (const char *[]){"PING"}, NULL, &e),
            0);
    while (b.answers < 40)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    assert_true(b.turn - b.first_turn >= 40 / 3);
    uv_close((uv_handle_t *)&turns, NULL);
    (void)uv_run(&c->loop, UV_RUN_NOWAIT); /* until it is closed */
}

static void test_large_value(void **state)
{
    struct client *c = *state;
    size_t len = (size_t)3 << 20;
    char *bytes = mem_new(len, 1);
    struct answer a = {.client = c};
    struct err e;

    real_server(c, NULL);
    memset(bytes, 'v', len);
    assert_int_equal(redis_call(c->redis, on_answer, &a, 3, ARGV("SET", "k", bytes),
                                (size_t[]){3, 1, len}, &e),
                     0);
    wait_answer(c, &a);
    assert_true(a.good);
    assert_int_equal(ASK(c, "STRLEN", "k").number, len);
    assert_int_equal(ASK(c, "GET", "k").text[4094], 'v');
    free(bytes);
}

static void test_no_server(void **state)
{
    struct client *c = *state;

    start(c);
    wait_down(c);
    says(&c->down, ERR_TRANSIENT, "Redis: cannot connect to /");
    wait_down(c);
    assert_int_equal(c->ups, 0);
}

/* --- ending it ----------------------------------------------------------------------
 */

static void test_free_with_pending(void **state)
{
    struct client *c = *state;
    struct answer a;

    real_server(c, NULL);
    SEND(c, &a, "BLPOP", "none", "0");
    send_out(c);
    redis_free(c->redis);
    c->redis = NULL;
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.e.class, ERR_CANCELLED);
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    assert_int_equal(c->downs, 0);
}

static void test_free_while_connecting(void **state)
{
    struct client *c = *state;

    server_start(NULL);
    start(c);
    redis_free(c->redis);
    c->redis = NULL;
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    assert_int_equal(c->ups + c->downs, 0);
    redis_free(NULL);
}

static void test_free_in_up(void **state)
{
    struct client *c = *state;

    c->free_at = AT_UP;
    server_start(NULL);
    start(c);
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    assert_int_equal(c->ups, 1);
    assert_int_equal(c->downs, 0);
}

static void test_free_in_down(void **state)
{
    struct client *c = *state;

    c->free_at = AT_DOWN;
    start(c);
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    assert_int_equal(c->downs, 1);
}

static void test_free_in_reply(void **state)
{
    struct client *c = *state;
    struct answer a, b;

    real_server(c, NULL);
    c->free_at = AT_REPLY;
    SEND(c, &a, "PING");
    SEND(c, &b, "PING");
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    assert_true(a.good);
    assert_int_equal(b.calls, 1);
    assert_int_equal(b.e.class, ERR_CANCELLED);
    assert_int_equal(c->downs, 0);
}

static void test_free_in_lost_reply(void **state)
{
    struct client *c = *state;
    struct answer a, b;

    real_server(c, NULL);
    SEND(c, &a, "BLPOP", "none", "0");
    SEND(c, &b, "PING");
    send_out(c);
    c->free_at = AT_REPLY;
    server_stop();
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.e.class, ERR_TRANSIENT);
    assert_int_equal(b.calls, 1);
    assert_int_equal(b.e.class, ERR_CANCELLED);
    assert_int_equal(c->downs, 0);
}

/* --- against scripted ones ----------------------------------------------------------
 */

static bool hear(int fd, const char *word)
{
    char bytes[4096] = {0};
    size_t have = 0;
    ssize_t n;

    while ((n = recv(fd, bytes + have, sizeof bytes - 1 - have, 0)) > 0) {
        have += (size_t)n;
        if (strstr(bytes, word))
            return true;
    }
    return false;
}

/* Greets well, then says its text in answer to GET. */
static void answer_get(struct peer *p, int fd)
{
    if (!hear(fd, "PING"))
        return;
    peer_say(fd, "+PONG\r\n");
    if (hear(fd, "GET"))
        peer_say(fd, p->text);
    peer_wait_end(fd);
}

/* The same, and hangs up behind its text. */
static void answer_get_and_leave(struct peer *p, int fd)
{
    if (!hear(fd, "PING"))
        return;
    peer_say(fd, "+PONG\r\n");
    if (hear(fd, "GET"))
        peer_say(fd, p->text);
    (void)shutdown(fd, SHUT_WR);
    peer_wait_end(fd);
}

static void answer_greeting(struct peer *p, int fd)
{
    if (hear(fd, "PING"))
        peer_say(fd, p->text);
    peer_wait_end(fd);
}

static void fake_server(struct client *c, struct peer *p,
                        void (*script)(struct peer *, int))
{
    peer_start(p, script, NULL);
    c->url.path = NULL;
    c->url.host = loopback;
    c->url.port = p->port;
    start(c);
}

static void stop_fake(struct client *c, struct peer *p)
{
    redis_free(c->redis);
    c->redis = NULL;
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    peer_stop(p);
}

/* One GET whose answer ends the connection: with which words. */
static void get_ends(struct client *c, void (*script)(struct peer *, int),
                     const char *text, const char *words)
{
    struct peer p = {.text = text};
    struct answer a;

    fake_server(c, &p, script);
    wait_up(c);
    SEND(c, &a, "GET", "k");
    wait_down(c);
    assert_int_equal(a.calls, 1);
    says(&c->down, ERR_TRANSIENT, words);
    if (!a.good)
        assert_int_equal(a.e.code, REDIS_LOST);
    wait_up(c);
    stop_fake(c, &p);
}

static void test_stray_reply(void **state)
{
    get_ends(*state, answer_get, "$1\r\nx\r\n+EXTRA\r\n", "nobody asked for: EXTRA");
}

static void test_cut_reply(void **state)
{
    get_ends(*state, answer_get_and_leave, "$10\r\nabc", "Redis: closed by the peer");
}

static void test_not_its_protocol(void **state)
{
    get_ends(*state, answer_get, "HTTP/1.1 400 Bad Request\r\n\r\n",
             "not its protocol");
}

static void test_huge_array(void **state)
{
    get_ends(*state, answer_get, "*2000000000\r\n", "more than 64 MiB");
}

static void test_huge_arrays_inside(void **state)
{
    get_ends(*state, answer_get, "*4000000\r\n*4000000\r\n*4000000\r\n*4000000\r\n",
             "more than 64 MiB");
}

static void test_negative_array(void **state)
{
    get_ends(*state, answer_get, "*-7\r\n", "Redis sent ");
}

static void test_deep_array(void **state)
{
    char text[400] = "";

    for (int i = 0; i < 60; i++)
        strcat(text, "*1\r\n");
    get_ends(*state, answer_get, text, "not its protocol");
}

static void flood(struct peer *p, int fd)
{
    static char bytes[1 << 20];

    (void)p;
    if (!hear(fd, "PING"))
        return;
    peer_say(fd, "+PONG\r\n");
    if (!hear(fd, "GET"))
        return;
    peer_say(fd, "$500000000\r\n");
    while (send(fd, bytes, sizeof bytes, MSG_NOSIGNAL) > 0)
        ;
}

static void test_huge_string(void **state)
{
    get_ends(*state, flood, NULL, "more than 64 MiB");
}

/* The server's error reaches the caller, and another connection is made. */
static void error_reconnects(struct client *c, const char *line)
{
    struct peer p = {.text = line};
    struct answer a;

    fake_server(c, &p, answer_get);
    wait_up(c);
    SEND(c, &a, "GET", "k");
    wait_down(c);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.e.class, ERR_TRANSIENT);
    assert_int_equal(a.e.code, 0);
    says(&a.e, ERR_TRANSIENT, "Redis: ");
    wait_up(c);
    stop_fake(c, &p);
}

static void test_readonly(void **state)
{
    error_reconnects(*state,
                     "-READONLY You can't write against a read only replica.\r\n");
}

static void test_unblocked(void **state)
{
    error_reconnects(*state, "-UNBLOCKED force unblock from blocking operation\r\n");
}

static void test_masterdown(void **state)
{
    error_reconnects(*state, "-MASTERDOWN Link with MASTER is down\r\n");
}

/* The server's error reaches the caller; the connection stays. */
static void error_stays(struct client *c, const char *line, enum err_class class)
{
    struct peer p = {.text = line};
    struct answer a;

    fake_server(c, &p, answer_get);
    wait_up(c);
    a = ASK(c, "GET", "k");
    assert_int_equal(a.e.class, class);
    assert_int_equal(a.e.code, 0);
    assert_true(redis_is_up(c->redis));
    stop_fake(c, &p);
    assert_int_equal(c->downs, 0);
}

static void test_loading(void **state)
{
    error_stays(*state, "-LOADING Redis is loading the dataset in memory\r\n",
                ERR_TRANSIENT);
}

static void test_noauth(void **state)
{
    error_stays(*state, "-NOAUTH Authentication required.\r\n", ERR_AUTH);
}

/* NOSCRIPT to a command that is no script of ours is an error like others. */
static void test_noscript_of_another(void **state)
{
    error_stays(*state, "-NOSCRIPT No matching script.\r\n", ERR_TRANSIENT);
}

static void greeting_fails(struct client *c, const char *line, enum err_class class)
{
    struct peer p = {.text = line};

    fake_server(c, &p, answer_greeting);
    wait_down(c);
    says(&c->down, class, "PING: Redis: ");
    assert_int_equal(c->ups, 0);
    stop_fake(c, &p);
}

static void test_loading_at_greeting(void **state)
{
    greeting_fails(*state, "-LOADING Redis is loading\r\n", ERR_TRANSIENT);
}

static void test_too_many_clients(void **state)
{
    greeting_fails(*state, "-ERR max number of clients reached\r\n", ERR_TRANSIENT);
}

static void test_protected_mode(void **state)
{
    greeting_fails(*state, "-DENIED Redis is running in protected mode\r\n", ERR_AUTH);
}

/* --- Sentinel -----------------------------------------------------------------------
 */

static void sentinel(struct peer *p, int fd)
{
    if (hear(fd, "get-master-addr-by-name"))
        peer_say(fd, p->arg);
    peer_wait_end(fd);
}

static void use_sentinels(struct client *c, char *list)
{
    static char name[] = "mymaster";

    c->url.path = NULL;
    c->url.sentinel_name = name;
    c->url.sentinels = list;
}

static void test_sentinel(void **state)
{
    struct client *c = *state;
    char told[64], list[64];
    struct peer p;

    (void)snprintf(server.port, sizeof server.port, "%d", peer_dead_port());
    (void)snprintf(told, sizeof told, "*2\r\n$9\r\n127.0.0.1\r\n$%zu\r\n%s\r\n",
                   strlen(server.port), server.port);
    peer_start(&p, sentinel, told);
    /* the first one is dead */
    (void)snprintf(list, sizeof list, "[::1]:%d,127.0.0.1:%d", peer_dead_port(),
                   p.port);
    use_sentinels(c, list);
    real_server(c, NULL);
    assert_string_equal(ASK(c, "PING").text, "PONG");
    assert_int_equal(c->downs, 1);
    says(&c->down, ERR_TRANSIENT, "Sentinel: cannot connect to [::1]:");
    (void)ASK(c, "REPLICAOF", "127.0.0.1", "1"); /* what it names is no master now */
    (void)ASK(c, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no");
    while (!strstr(c->down.text, "is not a master"))
        wait_down(c);
    stop_fake(c, &p);
    (void)snprintf(server.port, sizeof server.port, "0");
}

static void test_sentinel_knows_no_such_master(void **state)
{
    struct client *c = *state;
    char told[] = "*-1\r\n";
    char list[64];
    struct peer p;

    peer_start(&p, sentinel, told);
    (void)snprintf(list, sizeof list, "127.0.0.1:%d", p.port);
    use_sentinels(c, list);
    start(c);
    wait_down(c);
    says(&c->down, ERR_TRANSIENT, "Sentinel knows no master named mymaster");
    stop_fake(c, &p);
}

/* --- TLS ----------------------------------------------------------------------------
 */

static void test_tls(void **state)
{
    struct client *c = *state;
    struct identity ca = identity_issue(NULL, "Authority", NULL, -86400, 86400);
    struct identity id = identity_issue(&ca, "redis", "IP:127.0.0.1", -86400, 86400);
    const char *ca_file = in_dir("ca.pem"), *cert = in_dir("cert.pem"),
               *key = in_dir("key.pem");
    char port[8];
    struct err e = {0};

    identity_write(&ca, ca_file, NULL);
    identity_write(&id, cert, key);
    identity_free(&ca);
    identity_free(&id);
    (void)snprintf(port, sizeof port, "%d", peer_dead_port());
    c->o.tls = tls_new(ca_file, &e);
    assert_non_null(c->o.tls);
    c->url = (struct redis_url){.tls = true, .host = loopback, .port = atoi(port)};
    real_server(c,
                ARGV("--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key,
                     "--tls-ca-cert-file", ca_file, "--tls-auth-clients", "no", NULL));
    assert_string_equal(ASK(c, "PING").text, "PONG");
    server_stop();
    wait_down(c);
    redis_free(c->redis);
    c->redis = NULL;
    tls_free(c->o.tls);
    (void)unlink(ca_file);
    (void)unlink(cert);
    (void)unlink(key);
}

/* --- main ---------------------------------------------------------------------------
 */

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(server.dir, sizeof server.dir, "/tmp/stopgap-redis-XXXXXX");
    (void)snprintf(server.port, sizeof server.port, "0");
    if (!mkdtemp(server.dir))
        return -1;
    (void)snprintf(server.sock, sizeof server.sock, "%s/sock", server.dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    return rmdir(server.dir);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_replies),
        T(test_scripts),
        T(test_scripts_flushed),
        T(test_script_that_does_not_compile),
        T(test_password),
        T(test_wrong_password),
        T(test_password_missing),
        T(test_user),
        T(test_user_who_may_little),
        T(test_user_who_may_not_select),
        T(test_database_and_name),
        T(test_database_out_of_range),
        T(test_tcp),
        T(test_blocking_has_its_own_time),
        T(test_killed_by_the_server),
        T(test_server_killed_and_restarted),
        T(test_frozen_server),
        T(test_our_own_stall),
        T(test_many_in_one_turn),
        T(test_others_have_their_turn),
        T(test_large_value),
        T(test_no_server),
        T(test_free_with_pending),
        T(test_free_while_connecting),
        T(test_free_in_up),
        T(test_free_in_down),
        T(test_free_in_reply),
        T(test_free_in_lost_reply),
        T(test_stray_reply),
        T(test_cut_reply),
        T(test_not_its_protocol),
        T(test_huge_array),
        T(test_huge_arrays_inside),
        T(test_negative_array),
        T(test_deep_array),
        T(test_huge_string),
        T(test_readonly),
        T(test_unblocked),
        T(test_masterdown),
        T(test_loading),
        T(test_noauth),
        T(test_noscript_of_another),
        T(test_loading_at_greeting),
        T(test_too_many_clients),
        T(test_protected_mode),
        T(test_sentinel),
        T(test_sentinel_knows_no_such_master),
        T(test_tls),
    };

    (void)alarm(300);
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
