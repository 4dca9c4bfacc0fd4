/* smtp: the client against a scripted server on the same loop: every refusal, drop and
 * silence at every stage, and where the final dot stood. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sodium.h>
#include <uv.h>

#include "mem.h"
#include "secret.h"
#include "smtp.h"
#include "smtp_server.h"
#include "tls.h"

#define MAILS 40

struct got { /* what became of one mail */
    struct fixture *f;
    struct smtp_op *op;
    struct smtp_result result;
    int ready, done;
    bool release_when_ready;
    bool cancel_when_ready;
    bool send_another;
};

struct fixture {
    uv_loop_t loop;
    uv_timer_t watchdog;
    struct server server;
    struct settings settings;
    struct smtp_timeouts timeouts;
    struct tls *tls;
    struct smtp *smtp;
    struct got got[MAILS];
    int done;
};

static SSL_CTX *tls_context;
static char ca_file[] = "/tmp/stopgap-smtp-ca-XXXXXX";
static const struct smtp_mail plain_mail = {
    .from = "bounce@example.org",
    .to = "customer@example.net",
    .envid = "job1",
    .data = "Subject: x\r\n\r\n.dot\r\nend\r\n",
    .len = 25,
};

#ifdef UNDER_VALGRIND
#define PATIENCE_MS 200000
#else
#define PATIENCE_MS 20000
#endif

static void on_watchdog(uv_timer_t *t)
{
    (void)t;
    (void)fprintf(stderr, "a test waits for what does not come\n");
    (void)unlink(ca_file);
    abort();
}

static int set_up(void **state)
{
    struct fixture *f = mem_new(1, sizeof *f);

    (void)uv_loop_init(&f->loop);
    (void)uv_timer_init(&f->loop, &f->watchdog);
    (void)uv_timer_start(&f->watchdog, on_watchdog, PATIENCE_MS, 0);
    uv_unref((uv_handle_t *)&f->watchdog);
    server_start(&f->server, &f->loop);
    f->server.tls = tls_context;
    f->settings.smtp =
        (struct smtp_url){.host = mem_strdup("127.0.0.1"), .port = f->server.port};
    f->settings.smtp_tls = SMTP_TLS_OFF;
    f->settings.smtp_connections = 4;
    f->settings.smtp_ehlo = mem_strdup("client.test");
    f->timeouts = smtp_timeouts_within(5 * 60 * 1000);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    smtp_free(f->smtp);
    server_stop(&f->server);
    uv_close((uv_handle_t *)&f->watchdog, NULL);
    while (uv_run(&f->loop, UV_RUN_DEFAULT))
        ;
    server_done(&f->server);
    tls_free(f->tls);
    secret_done(&f->settings.smtp_password);
    free(f->settings.smtp_user);
    free(f->settings.smtp.host);
    free(f->settings.smtp_ehlo);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
    return 0;
}

static void start(struct fixture *f)
{
    struct smtp_options o = {.loop = &f->loop,
                             .settings = &f->settings,
                             .tls = f->tls,
                             .timeouts = f->timeouts};

    f->smtp = smtp_new(&o);
}

static struct got *send_mail(struct fixture *f, const struct smtp_mail *mail);

static void on_ready(void *arg)
{
    struct got *g = arg;

    g->ready++;
    if (g->cancel_when_ready)
        smtp_cancel(g->op);
    else if (g->release_when_ready)
        smtp_release(g->op);
}

static void on_done(void *arg, const struct smtp_result *result)
{
    struct got *g = arg;

    g->done++;
    g->f->done++;
    g->op = NULL;
    g->result = *result;
    uv_stop(&g->f->loop); /* it may have been a timer: no waiting for more */
    if (g->send_another)
        smtp_release(send_mail(g->f, &plain_mail)->op);
}

static struct got *send_mail(struct fixture *f, const struct smtp_mail *mail)
{
    static const struct smtp_events events = {.on_ready = on_ready, .on_done = on_done};
    struct got *g = f->got;

    while (g->f)
        g++;
    assert_true(g < f->got + MAILS);
    g->f = f;
    g->op = smtp_send(f->smtp, mail, &events, g);
    assert_non_null(g->op);
    assert_int_equal(g->done, 0);
    return g;
}

static struct got *send_released(struct fixture *f)
{
    struct got *g = send_mail(f, &plain_mail);

    smtp_release(g->op);
    return g;
}

static void run_until_done(struct fixture *f, int n)
{
    while (f->done < n)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    for (struct got *g = f->got; g->f; g++)
        assert_true(g->done <= 1);
}

static struct got *one_mail(struct fixture *f)
{
    struct got *g;

    start(f);
    g = send_released(f);
    run_until_done(f, 1);
    return g;
}

static void is_ok(const struct got *g)
{
    if (g->result.err.class != ERR_NONE)
        print_error("%s\n", g->result.err.text);
    assert_int_equal(g->result.err.class, ERR_NONE);
    assert_int_equal(g->result.stage, SMTP_DOT);
    assert_true(g->result.dot_sent);
    assert_int_equal(g->ready, 1);
}

static void is_failed(const struct got *g, enum err_class class, enum smtp_stage stage,
                      int code, const char *words)
{
    const struct smtp_result *r = &g->result;

    if (!strstr(r->err.text, words) || r->err.class != class)
        print_error("%s: %s\n", err_class_name(r->err.class), r->err.text);
    assert_int_equal(r->err.class, class);
    assert_string_equal(smtp_stage_name(r->stage), smtp_stage_name(stage));
    assert_int_equal(r->err.code, code);
    assert_non_null(strstr(r->err.text, words));
}

/* --- what goes well -----------------------------------------------------------------
 */

static void pipelines_in_one_write(void **state)
{
    struct fixture *f = *state;
    struct got *g = one_mail(f);

    is_ok(g);
    assert_string_equal(g->result.reply, "250 2.0.0 queued as 4711");
    assert_string_equal(f->server.log.data,
                        "|EHLO client.test\n"
                        "|MAIL FROM:<bounce@example.org> SIZE=25 RET=HDRS ENVID=job1\n"
                        "RCPT TO:<customer@example.net> NOTIFY=FAILURE,DELAY\n"
                        "DATA\n");
    assert_string_equal(f->server.content.data, "Subject: x\r\n\r\n..dot\r\nend\r\n");
}

static void asks_for_nothing_that_is_not_offered(void **state)
{
    struct fixture *f = *state;

    f->server.offer = "250 mx.test\r\n";
    is_ok(one_mail(f));
    assert_string_equal(f->server.log.data, "|EHLO client.test\n"
                                            "|MAIL FROM:<bounce@example.org>\n"
                                            "|RCPT TO:<customer@example.net>\n"
                                            "|DATA\n");
}

static void nothing_leaves_before_release(void **state)
{
    struct fixture *f = *state;
    struct got *g;

    start(f);
    g = send_mail(f, &plain_mail);
    while (!g->ready)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(f->server.content.len, 0);
    assert_int_equal(server_count(&f->server, "dot"), 0);
    smtp_release(g->op);
    run_until_done(f, 1);
    is_ok(g);
    assert_int_equal(g->ready, 1);
}

static void release_inside_ready(void **state)
{
    struct fixture *f = *state;
    struct got *g;

    start(f);
    g = send_mail(f, &plain_mail);
    g->release_when_ready = true;
    run_until_done(f, 1);
    is_ok(g);
    assert_int_equal(server_count(&f->server, "dot"), 1);
}

static void keeps_connections(void **state)
{
    struct fixture *f = *state;

    start(f);
    for (int i = 0; i < 30; i++)
        (void)send_released(f);
    assert_int_equal(smtp_waiting(f->smtp), 26);
    run_until_done(f, 30);
    for (int i = 0; i < 30; i++)
        is_ok(&f->got[i]);
    assert_int_equal(f->server.connections, 4);
    assert_int_equal(server_count(&f->server, "RSET"), 0);
    assert_int_equal(smtp_waiting(f->smtp), 0);
}

static void the_next_mail_takes_the_freed_connection(void **state)
{
    struct fixture *f = *state;
    struct got *g;

    start(f);
    g = send_released(f);
    g->send_another = true;
    run_until_done(f, 2);
    is_ok(g);
    is_ok(&f->got[1]);
    assert_int_equal(f->server.connections, 1);
}

static void any_2xx_after_the_dot_is_accepted(void **state)
{
    struct fixture *f = *state;

    server_rule(&f->server, "dot", 1, "251 fine\r\n");
    server_rule(&f->server, "dot", 2, "299-multi\r\n299 line\r\n");
    server_rule(&f->server, "RCPT", 1, "251 will forward\r\n");
    server_rule(&f->server, "RCPT", 2, "252 cannot tell\r\n");
    is_ok(one_mail(f));
    assert_string_equal(f->got[0].result.reply, "251 fine");
    (void)send_released(f);
    run_until_done(f, 2);
    is_ok(&f->got[1]);
    assert_string_equal(f->got[1].result.reply, "299 multi line");
}

static void answers_may_come_in_pieces_of_any_size(void **state)
{
    struct fixture *f = *state;

    server_rule(&f->server, "greet", 0, "220-hello\r\n220-there\r\n220 x\r\n");
    server_rule(&f->server, "MAIL", 0, "250-2.1.0 a\r\n250-b\r\n250 c\r\n");
    is_ok(one_mail(f));
}

static void eight_bits(void **state)
{
    struct fixture *f = *state;
    struct smtp_mail mail = plain_mail;
    struct got *g;

    mail.data = "Subject: x\r\n\r\ncaf\303\251\r\n";
    mail.len = strlen(mail.data);
    start(f);
    g = send_mail(f, &mail);
    smtp_release(g->op);
    run_until_done(f, 1);
    is_ok(g);
    assert_non_null(strstr(f->server.log.data, " BODY=8BITMIME"));
    server_drop_all(&f->server);
    f->server.offer = "250 mx.test\r\n";
    g = send_mail(f, &mail);
    smtp_release(g->op);
    run_until_done(f, 2);
    /* the kept connection may still have been taken; it dies at MAIL and is replaced */
    is_failed(g, ERR_PERMANENT, SMTP_CONNECT, 0, "8-bit");
    assert_int_equal(server_count(&f->server, "DATA"), 1);
}

/* --- refusals, drops and silence at each stage --------------------------------------
 */

struct fault {
    const char *verb, *say;
    enum err_class class;
    enum smtp_stage stage;
    int code;
    const char *words;
    bool dot_sent;
    bool kept; /* the connection is used again, after RSET */
};

static const struct fault faults[] = {
    {"greet", "421 too busy\r\n", ERR_TRANSIENT, SMTP_GREETING, 421, "too busy", 0, 0},
    {"greet", "554 go away\r\n", ERR_AUTH, SMTP_GREETING, 554, "go away", 0, 0},
    {"greet", NULL, ERR_TRANSIENT, SMTP_GREETING, 0, "closed by the peer", 0, 0},
    {"greet", "", ERR_TRANSIENT, SMTP_GREETING, 0, "timed out", 0, 0},
    {"greet", "SSH-2.0-x\r\n", ERR_TRANSIENT, SMTP_GREETING, 0, "not SMTP", 0, 0},
    {"greet", "220-a\r\n221 b\r\n", ERR_TRANSIENT, SMTP_GREETING, 0, "codes of one", 0,
     0},
    {"greet", "220 a\r\n250 b\r\n", ERR_TRANSIENT, SMTP_EHLO, 0, "before it was asked",
     0, 0},
    {"greet", "220 a\r\n25", ERR_TRANSIENT, SMTP_EHLO, 0, "before it was asked", 0, 0},
    {"EHLO", "502 what\r\n", ERR_AUTH, SMTP_EHLO, 502, "what", 0, 0},
    {"EHLO", "451 later\r\n", ERR_TRANSIENT, SMTP_EHLO, 451, "later", 0, 0},
    {"EHLO", NULL, ERR_TRANSIENT, SMTP_EHLO, 0, "closed by the peer", 0, 0},
    {"EHLO", "", ERR_TRANSIENT, SMTP_EHLO, 0, "timed out", 0, 0},
    {"MAIL", "550 5.7.1 not you\r\n", ERR_AUTH, SMTP_MAIL, 550, "5.7.1 not you", 0, 1},
    {"MAIL", "451 4.3.0 later\r\n", ERR_TRANSIENT, SMTP_MAIL, 451, "later", 0, 1},
    {"MAIL", "421 bye\r\n", ERR_TRANSIENT, SMTP_MAIL, 421, "bye", 0, 0},
    {"MAIL", NULL, ERR_TRANSIENT, SMTP_MAIL, 0, "closed by the peer", 0, 0},
    {"MAIL", "", ERR_TRANSIENT, SMTP_MAIL, 0, NULL, 0, 0},
    {"RCPT", "550-5.1.1 no such\r\n550 user\r\n", ERR_PERMANENT, SMTP_RCPT, 550,
     "5.1.1 no such user", 0, 1},
    {"RCPT", "450 greylisted\r\n", ERR_TRANSIENT, SMTP_RCPT, 450, "greylisted", 0, 1},
    {"RCPT", "!421 bye\r\n", ERR_TRANSIENT, SMTP_RCPT, 421, "bye", 0, 0},
    {"RCPT", NULL, ERR_TRANSIENT, SMTP_RCPT, 0, "closed by the peer", 0, 0},
    {"DATA", "554 no\r\n", ERR_PERMANENT, SMTP_DATA, 554, "no", 0, 1},
    {"DATA", "451 later\r\n", ERR_TRANSIENT, SMTP_DATA, 451, "later", 0, 1},
    {"DATA", "250 odd\r\n", ERR_TRANSIENT, SMTP_DATA, 250, "odd", 0, 0},
    {"DATA", "!421 bye\r\n", ERR_TRANSIENT, SMTP_DATA, 421, "bye", 0, 0},
    {"DATA", NULL, ERR_TRANSIENT, SMTP_DATA, 0, "closed by the peer", 0, 0},
    {"DATA", "", ERR_TRANSIENT, SMTP_DATA, 0, "timed out", 0, 0},
    {"DATA", "354 go\r\n250 taken\r\n", ERR_TRANSIENT, SMTP_BODY, 0,
     "before it was asked", 0, 0},
    {"DATA", "354 go\r\n25", ERR_TRANSIENT, SMTP_BODY, 0, "before it was asked", 0, 0},
    {"dot", "554 5.7.1 spam\r\n", ERR_PERMANENT, SMTP_DOT, 554, "5.7.1 spam", 1, 1},
    {"dot", "552 too big\r\n", ERR_PERMANENT, SMTP_DOT, 552, "too big", 1, 1},
    {"dot", "451 disk full\r\n", ERR_TRANSIENT, SMTP_DOT, 451, "disk full", 1, 1},
    {"dot", "!421 bye\r\n", ERR_TRANSIENT, SMTP_DOT, 421, "bye", 1, 0},
    {"dot", NULL, ERR_AMBIGUOUS, SMTP_DOT, 0, "closed by the peer", 1, 0},
    {"dot", "", ERR_AMBIGUOUS, SMTP_DOT, 0, "timed out", 1, 0},
    {"dot", "nonsense\r\n", ERR_AMBIGUOUS, SMTP_DOT, 0, "not SMTP", 1, 0},
    {"dot", "!250-2.0.0 que", ERR_AMBIGUOUS, SMTP_DOT, 0, "closed by the peer", 1, 0},
    {"dot", "354 what\r\n", ERR_AMBIGUOUS, SMTP_DOT, 0, "354 what", 1, 0},
};

static void quick(struct fixture *f)
{
    f->timeouts = (struct smtp_timeouts){.connect = 5000,
                                         .command = 60,
                                         .data = 60,
                                         .body = 60,
                                         .dot = 60,
                                         .idle = 5000};
}

static void one_fault(const struct fault *c, const char *offer)
{
    bool silent = c->say && !c->say[0];
    struct fixture *f;
    struct got *g;
    void *state;

    assert_int_equal(set_up(&state), 0);
    f = state;
    if (offer)
        f->server.offer = offer;
    if (silent)
        quick(f);
    f->settings.smtp_connections = 1;
    server_rule(&f->server, c->verb, 1, c->say);
    g = one_mail(f);
    is_failed(g, c->class, c->stage, c->code, c->words ? c->words : "");
    assert_int_equal(g->result.dot_sent, c->dot_sent);
    assert_int_equal(g->ready, c->stage >= SMTP_BODY);
    assert_int_equal(f->server.connections, 1);
    if (c->stage < SMTP_BODY)
        assert_int_equal(f->server.content.len, 0);
    assert_int_equal(server_count(&f->server, "dot"),
                     c->dot_sent || server_count(&f->server, "dot"));

    (void)send_released(f);
    run_until_done(f, 2);
    is_ok(&f->got[1]);
    assert_int_equal(f->server.connections, c->kept ? 1 : 2);
    assert_int_equal(server_count(&f->server, "RSET"), c->kept);
    assert_int_equal(tear_down(&state), 0);
}

static void every_fault_pipelined(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(faults); i++)
        one_fault(&faults[i], NULL);
}

static void every_fault_step_by_step(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(faults); i++)
        one_fault(&faults[i], "250 mx.test\r\n");
}

static void refused_with_354_gets_a_lone_dot(void **state)
{
    struct fixture *f = *state;

    f->settings.smtp_connections = 1;
    server_rule(&f->server, "RCPT", 1, "550 no such user\r\n");
    server_rule(&f->server, "dot", 1, "554 no valid recipients\r\n");
    is_failed(one_mail(f), ERR_PERMANENT, SMTP_RCPT, 550, "no such user");
    assert_false(f->got[0].result.dot_sent);
    assert_int_equal(f->got[0].ready, 0);
    (void)send_released(f);
    run_until_done(f, 2);
    is_ok(&f->got[1]);
    assert_int_equal(server_count(&f->server, "dot"), 2);
    assert_int_equal(f->server.connections, 1);
}

static void the_first_refusal_of_a_group_counts(void **state)
{
    struct fixture *f = *state;

    server_rule(&f->server, "MAIL", 1, "451 4.7.1 sender later\r\n");
    server_rule(&f->server, "RCPT", 1, "503 need MAIL\r\n");
    server_rule(&f->server, "DATA", 1, "!421 enough\r\n");
    is_failed(one_mail(f), ERR_TRANSIENT, SMTP_MAIL, 451, "sender later");
}

static void a_server_out_of_reach(void **state)
{
    struct fixture *f = *state;

    server_stop_listening(&f->server);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    start(f);
    for (int i = 0; i < 20; i++)
        (void)send_released(f);
    run_until_done(f, 20);
    for (int i = 0; i < 20; i++)
        is_failed(&f->got[i], ERR_TRANSIENT, SMTP_CONNECT, 0, "connection refused");
}

static void who_waits_fails_with_the_last_connection(void **state)
{
    struct fixture *f = *state;

    server_rule(&f->server, "greet", 0, "!421 too many\r\n");
    start(f);
    for (int i = 0; i < 20; i++)
        (void)send_released(f);
    run_until_done(f, 20);
    for (int i = 0; i < 20; i++)
        is_failed(&f->got[i], ERR_TRANSIENT,
                  i < 4 ? SMTP_GREETING : f->got[i].result.stage, 421, "too many");
    assert_int_equal(f->server.connections, 4); /* not hammered */
}

static void who_waits_goes_on_with_the_connection_that_lives(void **state)
{
    struct fixture *f = *state;

    for (int i = 2; i <= 4; i++)
        server_rule(&f->server, "greet", i, "!421 too many\r\n");
    start(f);
    for (int i = 0; i < 20; i++)
        (void)send_released(f);
    run_until_done(f, 20);
    for (int i = 0, failed = 0; i < 20; i++) {
        failed += f->got[i].result.err.class != ERR_NONE;
        assert_true(failed <= 3);
    }
    assert_int_equal(f->server.connections, 4);
}

/* --- kept connections that died -----------------------------------------------------
 */

static void a_stale_connection_is_replaced(void **state)
{
    static const char *const ends[] = {NULL, "421 idle\r\n", "!421 idle\r\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct fixture *f;
        void *own;

        assert_int_equal(set_up(&own), 0);
        f = own;
        server_rule(&f->server, "MAIL", 2, ends[i]);
        is_ok(one_mail(f));
        (void)send_released(f);
        run_until_done(f, 2);
        is_ok(&f->got[1]);
        assert_int_equal(f->server.connections, 2);
        assert_int_equal(tear_down(&own), 0);
    }
}

static void but_only_once(void **state)
{
    struct fixture *f = *state;

    server_rule(&f->server, "MAIL", 2, NULL);
    server_rule(&f->server, "MAIL", 3, NULL);
    is_ok(one_mail(f));
    (void)send_released(f);
    run_until_done(f, 2);
    is_failed(&f->got[1], ERR_TRANSIENT, SMTP_MAIL, 0, "closed by the peer");
    assert_int_equal(f->server.connections, 2);
}

static void only_a_drop_at_mail_is_stale(void **state)
{
    struct fixture *f = *state;

    server_rule(&f->server, "RCPT", 2, NULL);
    server_rule(&f->server, "MAIL", 4, "451 4.7.1 later\r\n");
    server_rule(&f->server, "RCPT", 4, NULL);
    is_ok(one_mail(f));
    (void)send_released(f);
    run_until_done(f, 2);
    is_failed(&f->got[1], ERR_TRANSIENT, SMTP_RCPT, 0, "closed by the peer");
    (void)send_released(f);
    run_until_done(f, 3);
    is_ok(&f->got[2]);
    (void)send_released(f);
    run_until_done(f, 4);
    is_failed(&f->got[3], ERR_TRANSIENT, SMTP_MAIL, 451, "4.7.1 later");
    assert_int_equal(f->server.connections, 2);
}

static void a_connection_has_its_mails(void **state)
{
    struct fixture *f = *state;

    start(f);
    for (int i = 0; i < 501; i++) {
        memset(f->got, 0, sizeof f->got);
        f->done = 0;
        (void)send_released(f);
        run_until_done(f, 1);
        is_ok(&f->got[0]);
    }
    while (f->server.open > 1)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->server.connections, 2);
    assert_int_equal(server_count(&f->server, "QUIT"), 1);
}

static void after_a_failure_the_pool_grows_again(void **state)
{
    struct fixture *f = *state;

    server_rule(&f->server, "greet", 1, "!421 too many\r\n");
    (void)one_mail(f);
    assert_int_equal(f->got[0].result.err.class, ERR_TRANSIENT);
    for (int i = 0; i < 8; i++)
        (void)send_released(f);
    assert_int_equal(smtp_waiting(f->smtp), 7); /* one tries for all */
    run_until_done(f, 9);
    for (int i = 1; i <= 8; i++)
        is_ok(&f->got[i]);
    assert_int_equal(f->server.connections, 5);
}

static void a_421_right_after_the_answer_does_no_harm(void **state)
{
    struct fixture *f = *state;

    server_rule(&f->server, "dot", 1, "!250 queued\r\n421 and now go\r\n");
    start(f);
    send_released(f)->send_another = true;
    run_until_done(f, 2);
    is_ok(&f->got[0]);
    assert_string_equal(f->got[0].result.reply, "250 queued");
    is_ok(&f->got[1]);
    assert_int_equal(f->server.connections, 2);
}

static void an_idle_connection_says_quit(void **state)
{
    struct fixture *f = *state;

    f->timeouts.idle = 20;
    is_ok(one_mail(f));
    while (f->server.open)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(server_count(&f->server, "QUIT"), 1);
    (void)send_released(f);
    run_until_done(f, 2);
    is_ok(&f->got[1]);
    assert_int_equal(f->server.connections, 2);
}

static void the_end_says_quit(void **state)
{
    struct fixture *f = *state;

    is_ok(one_mail(f));
    smtp_free(f->smtp);
    f->smtp = NULL;
    while (f->server.open)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(server_count(&f->server, "QUIT"), 1);
}

/* --- where the dot stood ------------------------------------------------------------
 */

static struct smtp_mail large_mail(size_t len)
{
    struct smtp_mail mail = plain_mail;
    char *data = mem_new(len, 1);

    memset(data, 'x', len);
    for (size_t i = 78; i + 1 < len; i += 80)
        memcpy(data + i, "\r\n", 2);
    mail.data = data;
    mail.len = len;
    return mail;
}

static void content_larger_than_the_kernel_takes(void **state)
{
    struct fixture *f = *state;
    struct smtp_mail mail = large_mail(24000000);
    struct got *g;

    f->server.offer = "250 mx.test\r\n";
    start(f);
    g = send_mail(f, &mail);
    smtp_release(g->op);
    run_until_done(f, 1);
    is_ok(g);
    assert_int_equal(f->server.content.len, mail.len);
    free((char *)(uintptr_t)mail.data);
}

/* What ends a mail whose dot is still held back. */
static void held_back(struct fixture *f, void (*end)(struct fixture *f),
                      enum err_class class, const char *words)
{
    struct smtp_mail mail = large_mail(24000000);
    struct got *g;

    f->server.offer = "250 mx.test\r\n";
    f->server.deaf = true;
    start(f);
    g = send_mail(f, &mail);
    smtp_release(g->op);
    while (!g->ready)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    end(f);
    run_until_done(f, 1);
    is_failed(g, class, SMTP_BODY, 0, words);
    assert_false(g->result.dot_sent);
    free((char *)(uintptr_t)mail.data);
}

static void end_by_drop(struct fixture *f)
{
    server_drop_all(&f->server);
}

static void end_by_waiting(struct fixture *f)
{
    (void)f;
}

static void end_by_cancel(struct fixture *f)
{
    smtp_cancel(f->got[0].op);
}

static void a_drop_before_the_dot_left_is_safe(void **state)
{
    held_back(*state, end_by_drop, ERR_TRANSIENT, "content");
}

static void a_cancel_before_the_dot_left_is_safe(void **state)
{
    held_back(*state, end_by_cancel, ERR_CANCELLED, "content");
}

static void a_server_that_stops_reading_times_out(void **state)
{
    struct fixture *f = *state;

    f->timeouts.body = 50;
    held_back(f, end_by_waiting, ERR_TRANSIENT, "takes no more");
}

static void the_time_for_the_answer_starts_after_the_content(void **state)
{
    struct fixture *f = *state;

    f->timeouts.body = 1; /* many ticks, all with the dot out */
    f->timeouts.dot = 60;
    server_rule(&f->server, "dot", 1, "");
    is_failed(one_mail(f), ERR_AMBIGUOUS, SMTP_DOT, 0, "timed out");
}

static void a_drop_while_it_waits_for_release_is_safe(void **state)
{
    struct fixture *f = *state;
    struct got *g;

    start(f);
    g = send_mail(f, &plain_mail);
    while (!g->ready)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    server_drop_all(&f->server);
    run_until_done(f, 1);
    is_failed(g, ERR_TRANSIENT, SMTP_BODY, 0, "closed by the peer");
    assert_false(g->result.dot_sent);
}

static void a_word_while_it_waits_for_release_is_the_reason(void **state)
{
    struct fixture *f = *state;
    struct got *g;

    start(f);
    g = send_mail(f, &plain_mail);
    while (!g->ready)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    server_send(f->server.conns, "421 4.4.2 timeout, closing\r\n");
    run_until_done(f, 1);
    is_failed(g, ERR_TRANSIENT, SMTP_BODY, 421, "timeout, closing");
    assert_string_equal(g->result.reply, "421 4.4.2 timeout, closing");
    assert_false(g->result.dot_sent);
}

/* --- giving up ----------------------------------------------------------------------
 */

static void cancel_anywhere(void **state)
{
    struct fixture *f = *state;
    int before = 0;

    f->settings.smtp_connections = 1;
    server_rule(&f->server, "dot", 1, "");
    start(f);
    (void)send_released(f); /* will hang after the dot */
    (void)send_released(f); /* waits */
    (void)send_released(f); /* goes on in the end */
    smtp_cancel(f->got[1].op);
    is_failed(&f->got[1], ERR_CANCELLED, SMTP_CONNECT, 0, "while it waited");
    while (!server_count(&f->server, "dot"))
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    before = f->done;
    smtp_cancel(f->got[0].op);
    assert_int_equal(f->done, before + 1);
    is_failed(&f->got[0], ERR_AMBIGUOUS, SMTP_DOT, 0, "given up");
    assert_true(f->got[0].result.dot_sent);
    run_until_done(f, 3);
    is_ok(&f->got[2]);
    assert_int_equal(f->server.connections, 2);
}

static void cancel_while_connecting(void **state)
{
    struct fixture *f = *state;
    struct got *g;

    start(f);
    g = send_released(f);
    smtp_cancel(g->op);
    assert_int_equal(f->done, 1);
    is_failed(g, ERR_CANCELLED, SMTP_CONNECT, 0, "given up");
}

static void cancel_inside_ready(void **state)
{
    struct fixture *f = *state;
    struct got *g;

    start(f);
    g = send_mail(f, &plain_mail);
    g->cancel_when_ready = true;
    run_until_done(f, 1);
    is_failed(g, ERR_CANCELLED, SMTP_BODY, 0, "given up");
    assert_false(g->result.dot_sent);
    (void)send_released(f);
    run_until_done(f, 2);
    is_ok(&f->got[1]);
    assert_int_equal(server_count(&f->server, "dot"), 1);
}

static void free_ends_everything(void **state)
{
    struct fixture *f = *state;

    f->settings.smtp_connections = 2;
    server_rule(&f->server, "dot", 1, "");
    start(f);
    for (int i = 0; i < 10; i++)
        (void)send_mail(f, &plain_mail);
    smtp_release(f->got[0].op);
    while (!server_count(&f->server, "dot") || !f->got[1].ready)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    smtp_free(f->smtp);
    f->smtp = NULL;
    assert_int_equal(f->done, 10);
    assert_int_equal(f->got[0].result.err.class, ERR_AMBIGUOUS);
    for (int i = 1; i < 10; i++) {
        assert_int_equal(f->got[i].result.err.class, ERR_CANCELLED);
        assert_false(f->got[i].result.dot_sent);
    }
}

/* --- refused here -------------------------------------------------------------------
 */

static void too_large_for_the_server(void **state)
{
    struct fixture *f = *state;

    f->server.offer = "250-mx.test\r\n250 SIZE 24\r\n";
    is_failed(one_mail(f), ERR_PERMANENT, SMTP_CONNECT, 0, "takes 24");
    assert_int_equal(server_count(&f->server, "MAIL"), 0);
    server_drop_all(&f->server);
    while (f->server.open)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    f->server.offer = "250-mx.test\r\n250 SIZE 25\r\n";
    (void)send_released(f);
    run_until_done(f, 2);
    is_ok(&f->got[1]);
}

static void a_hostile_address_never_leaves(void **state)
{
    struct fixture *f = *state;
    struct smtp_mail mail = plain_mail;

    mail.to = "a@x.test>\r\nRCPT TO:<b@x.test";
    start(f);
    (void)send_mail(f, &mail);
    assert_int_equal(f->done, 0); /* never from inside smtp_send */
    run_until_done(f, 1);
    is_failed(&f->got[0], ERR_INVALID, SMTP_CONNECT, 0, "cannot be sent");
    assert_int_equal(f->server.connections, 0);
}

/* --- AUTH ---------------------------------------------------------------------------
 */

static void set_login(struct fixture *f, const char *user, const char *password)
{
    mem_set(&f->settings.smtp_user, user);
    secret_set(&f->settings.smtp_password, password, strlen(password));
}

static void auth_plain(void **state)
{
    struct fixture *f = *state;

    set_login(f, "user", "pass");
    f->server.offer = "250-mx.test\r\n250 AUTH LOGIN PLAIN\r\n";
    is_ok(one_mail(f));
    assert_non_null(strstr(f->server.log.data, "|AUTH PLAIN AHVzZXIAcGFzcw==\n"));
    (void)send_released(f);
    run_until_done(f, 2);
    assert_int_equal(server_count(&f->server, "AUTH"), 1);
}

static void auth_plain_with_a_long_password(void **state)
{
    struct fixture *f = *state;
    char password[600];

    memset(password, 'p', sizeof password);
    password[599] = '\0';
    set_login(f, "user", password);
    f->server.offer = "250-mx.test\r\n250 AUTH PLAIN\r\n";
    server_rule(&f->server, "AUTH", 1, "334 \r\n");
    is_ok(one_mail(f));
    assert_non_null(strstr(f->server.log.data, "|AUTH PLAIN\n|AHVzZXIAcHBw"));
}

static void auth_login(void **state)
{
    struct fixture *f = *state;

    set_login(f, "user", "pass");
    f->server.offer = "250-mx.test\r\n250 auth=login\r\n";
    server_rule(&f->server, "AUTH", 1, "334 VXNlcm5hbWU6\r\n");
    server_rule(&f->server, "line", 1, "334 UGFzc3dvcmQ6\r\n");
    is_ok(one_mail(f));
    assert_non_null(strstr(f->server.log.data, "|AUTH LOGIN\n|dXNlcg==\n|cGFzcw==\n"));
}

static void auth_refused(void **state)
{
    static const struct {
        const char *offer, *say;
        enum err_class class;
        int code;
        const char *words;
    } cases[] = {
        {"250-m\r\n250 AUTH PLAIN\r\n", "535 5.7.8 bad\r\n", ERR_AUTH, 535, "bad"},
        {"250-m\r\n250 AUTH PLAIN\r\n", "454 later\r\n", ERR_TRANSIENT, 454, "later"},
        {"250-m\r\n250 AUTH PLAIN\r\n", "!421 bye\r\n", ERR_TRANSIENT, 421, "bye"},
        {"250-m\r\n250 AUTH PLAIN\r\n", NULL, ERR_TRANSIENT, 0, "closed by the peer"},
        {"250-m\r\n250 AUTH LOGIN\r\n", "504 no\r\n", ERR_AUTH, 504, "no"},
        {"250-m\r\n250 AUTH LOGIN\r\n", "235 odd\r\n", ERR_TRANSIENT, 235, "odd"},
        {"250-m\r\n250 AUTH CRAM-MD5\r\n", "", ERR_AUTH, 0, "neither"},
        {"250 m\r\n", "", ERR_AUTH, 0, "offers no AUTH"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture *f;
        void *own;

        assert_int_equal(set_up(&own), 0);
        f = own;
        set_login(f, "user", "pass");
        f->server.offer = cases[i].offer;
        server_rule(&f->server, "AUTH", 0, cases[i].say);
        is_failed(one_mail(f), cases[i].class, SMTP_AUTH, cases[i].code,
                  cases[i].words);
        assert_int_equal(server_count(&f->server, "MAIL"), 0);
        assert_int_equal(tear_down(&own), 0);
    }
}

static void no_password_in_the_clear_to_another_host(void **state)
{
    struct fixture *f = *state;

    set_login(f, "user", "pass");
    mem_set(&f->settings.smtp.host,
            "0.0.0.0"); /* arrives, yet is no loopback address */
    f->server.offer = "250-mx.test\r\n250 AUTH PLAIN\r\n";
    is_failed(one_mail(f), ERR_AUTH, SMTP_AUTH, 0, "without TLS");
    assert_int_equal(server_count(&f->server, "AUTH"), 0);
    mem_set(&f->settings.smtp_user, NULL);
    (void)send_released(f);
    run_until_done(f, 2);
    is_ok(&f->got[1]);
}

/* --- TLS ----------------------------------------------------------------------------
 */

static const char tls_offer[] = "250-mx.test\r\n250-STARTTLS\r\n250 PIPELINING\r\n";

static void want_tls(struct fixture *f, const char *ca)
{
    struct err e = {0};

    f->tls = tls_new(ca, &e);
    assert_non_null(f->tls);
    mem_set(&f->settings.smtp.host, "localhost");
    f->settings.smtp_tls = SMTP_TLS_REQUIRED;
    f->server.offer = tls_offer;
}

static void starttls(void **state)
{
    struct fixture *f = *state;

    want_tls(f, ca_file);
    is_ok(one_mail(f));
    assert_string_equal(f->server.log.data,
                        "|EHLO client.test\n|STARTTLS\n|EHLO client.test\n"
                        "|MAIL FROM:<bounce@example.org>\n"
                        "RCPT TO:<customer@example.net>\nDATA\n");
    assert_string_equal(f->server.content.data, "Subject: x\r\n\r\n..dot\r\nend\r\n");
    (void)send_released(f);
    run_until_done(f, 2);
    is_ok(&f->got[1]);
    assert_int_equal(server_count(&f->server, "STARTTLS"), 1);
}

static void smtps(void **state)
{
    struct fixture *f = *state;

    want_tls(f, ca_file);
    f->settings.smtp.implicit_tls = true;
    f->server.tls_at_once = true;
    f->server.offer = "250-mx.test\r\n250 AUTH PLAIN\r\n";
    set_login(f, "user", "pass");
    is_ok(one_mail(f));
    assert_int_equal(server_count(&f->server, "STARTTLS"), 0);
    assert_int_equal(server_count(&f->server, "AUTH"), 1);
}

static void what_came_before_tls_never_came(void **state)
{
    struct fixture *f = *state;

    want_tls(f, ca_file);
    server_rule(&f->server, "STARTTLS", 1,
                "220 go\r\n550 evil\r\n250-x\r\n250 AUTH PLAIN\r\n25");
    is_ok(one_mail(f));
    assert_int_equal(server_count(&f->server, "EHLO"), 2);
    assert_int_equal(server_count(&f->server, "AUTH"), 0);
}

static void the_offer_before_tls_is_forgotten(void **state)
{
    struct fixture *f = *state;

    want_tls(f, ca_file);
    set_login(f, "user", "pass");
    server_rule(&f->server, "EHLO", 1,
                "250-mx.test\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n");
    server_rule(&f->server, "EHLO", 2, "250 mx.test\r\n");
    is_failed(one_mail(f), ERR_AUTH, SMTP_AUTH, 0, "offers no AUTH");
    assert_int_equal(server_count(&f->server, "AUTH"), 0);
}

static void tls_is_never_optional(void **state)
{
    struct fixture *f = *state;

    want_tls(f, ca_file);
    set_login(f, "user", "pass");
    f->server.offer = "250-mx.test\r\n250 AUTH PLAIN\r\n";
    is_failed(one_mail(f), ERR_AUTH, SMTP_STARTTLS, 0, "TLS is required");
    assert_int_equal(server_count(&f->server, "AUTH"), 0);
    assert_int_equal(server_count(&f->server, "MAIL"), 0);
}

static void tls_off_is_off(void **state)
{
    struct fixture *f = *state;

    f->server.offer = tls_offer;
    is_ok(one_mail(f));
    assert_int_equal(server_count(&f->server, "STARTTLS"), 0);
}

static void tls_fails(void **state)
{
    static const struct {
        const char *say, *ca, *words;
        enum err_class class;
        int code;
    } cases[] = {
        {"554 no\r\n", ca_file, "no", ERR_AUTH, 554},
        {"454 later\r\n", ca_file, "later", ERR_TRANSIENT, 454},
        {"!220 go\r\n", ca_file, "closed by the peer", ERR_TRANSIENT, 0},
        {NULL, ca_file, "closed by the peer", ERR_TRANSIENT, 0},
        {"220 go\r\n", "/dev/null", "certificate", ERR_TRANSIENT, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture *f;
        void *own;

        if (strcmp(cases[i].ca, "/dev/null") == 0 &&
            access("/etc/ssl/certs", R_OK) != 0)
            continue;
        assert_int_equal(set_up(&own), 0);
        f = own;
        want_tls(f, cases[i].ca[1] == 'd' ? NULL : cases[i].ca);
        server_rule(&f->server, "STARTTLS", 1, cases[i].say);
        is_failed(one_mail(f), cases[i].class, SMTP_STARTTLS, cases[i].code,
                  cases[i].words);
        assert_int_equal(server_count(&f->server, "MAIL"), 0);
        assert_int_equal(tear_down(&own), 0);
    }
}

static void a_drop_after_the_dot_over_tls_is_ambiguous(void **state)
{
    struct fixture *f = *state;

    want_tls(f, ca_file);
    server_rule(&f->server, "dot", 1, NULL);
    is_failed(one_mail(f), ERR_AMBIGUOUS, SMTP_DOT, 0, "closed by the peer");
}

static void a_drop_before_the_dot_over_tls_is_safe(void **state)
{
    struct fixture *f = *state;
    struct smtp_mail mail = large_mail(24000000);
    struct got *g;

    want_tls(f, ca_file);
    f->server.deaf = true;
    start(f);
    g = send_mail(f, &mail);
    smtp_release(g->op);
    while (!g->ready)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    for (int i = 0; i < 20; i++)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    server_drop_all(&f->server);
    run_until_done(f, 1);
    is_failed(g, ERR_TRANSIENT, SMTP_BODY, 0, "content");
    assert_false(g->result.dot_sent);
    free((char *)(uintptr_t)mail.data);
}

/* --- an authority for the tests -----------------------------------------------------
 */

static void make_certificate(EVP_PKEY *key, X509 *cert)
{
    X509_NAME *name = X509_get_subject_name(cert);
    X509_EXTENSION *san =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost");

    (void)X509_set_version(cert, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), -86400);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    (void)X509_set_pubkey(cert, key);
    (void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                     (const unsigned char *)"mx", -1, -1, 0);
    (void)X509_set_issuer_name(cert, name);
    (void)X509_add_ext(cert, san, -1);
    X509_EXTENSION_free(san);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
}

static int make_authority(void **state)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    FILE *file;

    (void)state;
    assert_true(sodium_init() >= 0);
    make_certificate(key, cert);
    tls_context = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(tls_context, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(tls_context, key), 1);
    file = fdopen(mkstemp(ca_file), "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    assert_int_equal(fclose(file), 0);
    X509_free(cert);
    EVP_PKEY_free(key);
    return 0;
}

static int drop_authority(void **state)
{
    (void)state;
    SSL_CTX_free(tls_context);
    return unlink(ca_file);
}

static void timeouts_have_a_lid(void **state)
{
    struct smtp_timeouts rfc = smtp_timeouts_within(3600 * 1000);
    struct smtp_timeouts brief = smtp_timeouts_within(100);

    (void)state;
    assert_int_equal(rfc.connect, 30 * 1000);
    assert_int_equal(rfc.command, 300 * 1000);
    assert_int_equal(rfc.data, 120 * 1000);
    assert_int_equal(rfc.body, 180 * 1000);
    assert_int_equal(brief.connect, 100);
    assert_int_equal(brief.command, 100);
    assert_int_equal(brief.data, 100);
    assert_int_equal(brief.body, 100);
    assert_int_equal(rfc.dot, 600 * 1000);
    assert_int_equal(brief.dot, rfc.dot); /* no lid: it would make duplicates */
    assert_int_equal(brief.idle, rfc.idle);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(pipelines_in_one_write),
        TEST(asks_for_nothing_that_is_not_offered),
        TEST(nothing_leaves_before_release),
        TEST(release_inside_ready),
        TEST(keeps_connections),
        TEST(the_next_mail_takes_the_freed_connection),
        TEST(any_2xx_after_the_dot_is_accepted),
        TEST(answers_may_come_in_pieces_of_any_size),
        TEST(eight_bits),
        cmocka_unit_test(every_fault_pipelined),
        cmocka_unit_test(every_fault_step_by_step),
        TEST(refused_with_354_gets_a_lone_dot),
        TEST(the_first_refusal_of_a_group_counts),
        TEST(a_server_out_of_reach),
        TEST(who_waits_fails_with_the_last_connection),
        TEST(who_waits_goes_on_with_the_connection_that_lives),
        cmocka_unit_test(a_stale_connection_is_replaced),
        TEST(but_only_once),
        TEST(only_a_drop_at_mail_is_stale),
        TEST(a_connection_has_its_mails),
        TEST(after_a_failure_the_pool_grows_again),
        TEST(a_421_right_after_the_answer_does_no_harm),
        TEST(an_idle_connection_says_quit),
        TEST(the_end_says_quit),
        TEST(content_larger_than_the_kernel_takes),
        TEST(a_drop_before_the_dot_left_is_safe),
        TEST(a_cancel_before_the_dot_left_is_safe),
        TEST(a_server_that_stops_reading_times_out),
        cmocka_unit_test(timeouts_have_a_lid),
        TEST(the_time_for_the_answer_starts_after_the_content),
        TEST(a_drop_while_it_waits_for_release_is_safe),
        TEST(a_word_while_it_waits_for_release_is_the_reason),
        TEST(cancel_anywhere),
        TEST(cancel_while_connecting),
        TEST(cancel_inside_ready),
        TEST(free_ends_everything),
        TEST(too_large_for_the_server),
        TEST(a_hostile_address_never_leaves),
        TEST(auth_plain),
        TEST(auth_plain_with_a_long_password),
        TEST(auth_login),
        cmocka_unit_test(auth_refused),
        TEST(no_password_in_the_clear_to_another_host),
        TEST(starttls),
        TEST(smtps),
        TEST(what_came_before_tls_never_came),
        TEST(the_offer_before_tls_is_forgotten),
        TEST(tls_is_never_optional),
        TEST(tls_off_is_off),
        cmocka_unit_test(tls_fails),
        TEST(a_drop_after_the_dot_over_tls_is_ambiguous),
        TEST(a_drop_before_the_dot_over_tls_is_safe),
    };

    return cmocka_run_group_tests(tests, make_authority, drop_authority);
}
