/* Unit tests of TLS on a stream: which certificates are taken, what is said about those
 * that are not, and STARTTLS. The authority and all certificates are made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <openssl/ssl.h>
#include <stdio.h>
#include <unistd.h>
#include <uv.h>

#include "buf.h"
#include "identity.h"
#include "mem.h"
#include "peer.h"
#include "stream.h"
#include "tls.h"

#define DAY 86400L

static struct {
    char ca_file[64];
    struct identity ca, good, expired, by_address, self_signed;
    struct tls *tls;
} world;

static int make_world(void **state)
{
    struct err e = {0};

    (void)state;
    world.ca = identity_issue(NULL, "Test Authority", NULL, -DAY, DAY);
    world.good =
        identity_issue(&world.ca, "good", "DNS:localhost,DNS:*.wild.test", -DAY, DAY);
    world.expired =
        identity_issue(&world.ca, "old", "DNS:localhost", -3 * DAY, -2 * DAY);
    world.by_address =
        identity_issue(&world.ca, "by address", "IP:127.0.0.1", -DAY, DAY);
    world.self_signed = identity_issue(NULL, "myself", "DNS:localhost", -DAY, DAY);
    (void)snprintf(world.ca_file, sizeof world.ca_file, "/tmp/stopgap-ca-XXXXXX");
    (void)close(mkstemp(world.ca_file));
    identity_write(&world.ca, world.ca_file, NULL);
    world.tls = tls_new(world.ca_file, &e);
    return world.tls ? 0 : -1;
}

static int free_world(void **state)
{
    (void)state;
    tls_free(world.tls);
    identity_free(&world.ca);
    identity_free(&world.good);
    identity_free(&world.expired);
    identity_free(&world.by_address);
    identity_free(&world.self_signed);
    return unlink(world.ca_file);
}

/* --- the server ---------------------------------------------------------------------
 */

struct server {
    const struct identity *id;
    const char *in_clear; /* said before the handshake, after one read */
    int max_version;
    bool cut;      /* ends without close_notify */
    size_t amount; /* sent after the greeting */
    char sni[64];
};

static int no_question(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

static SSL_CTX *server_context(const struct server *sv)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, no_question);
    SSL_CTX_set_security_level(ctx, 0);
    (void)SSL_CTX_set_min_proto_version(ctx, 0);
    (void)SSL_CTX_set_max_proto_version(ctx, sv->max_version);
    assert_int_equal(SSL_CTX_use_certificate(ctx, sv->id->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, sv->id->key), 1);
    return ctx;
}

/* Greets, then sends back what comes until the client ends, or until "bye". */
static void converse(struct server *sv, SSL *ssl)
{
    char bytes[16384] = {0};
    int n;

    (void)SSL_write(ssl, "welcome", 7);
    for (size_t sent = 0; sent < sv->amount; sent += sizeof bytes)
        (void)SSL_write(ssl, bytes, sizeof bytes);
    while ((n = SSL_read(ssl, bytes, sizeof bytes)) > 0) {
        (void)SSL_write(ssl, bytes, n);
        if (n >= 3 && memcmp(bytes, "bye", 3) == 0)
            break;
    }
    if (!sv->cut)
        (void)SSL_shutdown(ssl);
}

static void serve(struct peer *p, int fd)
{
    struct server *sv = p->arg;
    SSL_CTX *ctx = server_context(sv);
    SSL *ssl = SSL_new(ctx);
    const char *name;
    char line[64];

    if (sv->in_clear && recv(fd, line, sizeof line, 0) > 0)
        peer_say(fd, sv->in_clear);
    (void)SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
        (void)snprintf(sv->sni, sizeof sv->sni, "%s", name ? name : "");
        converse(sv, ssl);
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

/* --- the client under test ----------------------------------------------------------
 */

struct client {
    uv_loop_t loop;
    struct stream *stream;
    int opens, ends;
    struct buf got;
    struct err end;
    const char *starttls_host; /* upgrade when the first bytes come */
    bool close_at_open;
};

static void on_open(void *arg)
{
    struct client *c = arg;

    c->opens++;
    if (c->starttls_host && c->opens == 1)
        stream_write(c->stream, "STARTTLS\r\n", 10);
    else
        assert_true(stream_is_tls(c->stream));
    if (c->close_at_open) {
        stream_close(c->stream);
        c->stream = NULL;
    }
}

static void on_data(void *arg, const char *bytes, size_t len)
{
    struct client *c = arg;

    if (c->starttls_host && c->opens == 1) {
        stream_write(c->stream, "", 0);
        stream_start_tls(c->stream, world.tls, c->starttls_host);
        stream_write(c->stream, "must not leave", 14);
        return;
    }
    buf_add(&c->got, bytes, len);
}

static void on_end(void *arg, const struct err *e)
{
    struct client *c = arg;

    assert_int_equal(++c->ends, 1);
    assert_int_equal(e->class, ERR_TRANSIENT);
    c->end = *e;
}

static int setup(void **state)
{
    struct client *c = mem_new(1, sizeof *c);

    assert_int_equal(uv_loop_init(&c->loop), 0);
    buf_init(&c->got, (size_t)64 << 20);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct client *c = *state;
    int rc;

    stream_close(c->stream);
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    rc = uv_loop_close(&c->loop);
    buf_done(&c->got);
    free(c);
    return rc;
}

static void dial(struct client *c, const char *host, int port)
{
    static const struct stream_events events = {on_open, on_data, on_end};
    struct stream_target t = {.host = host,
                              .port = port,
                              .tls = c->starttls_host ? NULL : world.tls,
                              .connect_timeout_ms = 20000};

    c->stream = stream_open(&c->loop, &t, &events, c);
}

static void hang_up(struct client *c, struct peer *p)
{
    stream_close(c->stream);
    c->stream = NULL;
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    peer_stop(p);
}

/* One whole visit: until the wanted number of bytes is there, or the end. */
static void visit(struct client *c, struct server *sv, const char *host, size_t want)
{
    struct peer p;

    peer_start(&p, serve, sv);
    dial(c, host, p.port);
    while (!c->ends && c->got.len < want)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    hang_up(c, &p);
}

static void refused(struct client *c, const struct identity *id, const char *host,
                    const char *words)
{
    struct server sv = {.id = id};

    visit(c, &sv, host, 1);
    assert_int_equal(c->opens, 0);
    assert_int_equal(c->got.len, 0);
    if (!strstr(c->end.text, words))
        fail_msg("\"%s\" does not say \"%s\"", c->end.text, words);
}

/* --- tests --------------------------------------------------------------------------
 */

static void test_good(void **state)
{
    struct client *c = *state;
    struct server sv = {.id = &world.good};

    visit(c, &sv, "localhost", 7);
    assert_int_equal(c->opens, 1);
    assert_string_equal(c->got.data, "welcome");
    assert_string_equal(sv.sni, "localhost");
}

static void test_tls12(void **state)
{
    struct client *c = *state;
    struct server sv = {.id = &world.good, .max_version = TLS1_2_VERSION};

    visit(c, &sv, "localhost", 7);
    assert_string_equal(c->got.data, "welcome");
}

static void test_tls11_is_too_old(void **state)
{
    struct client *c = *state;
    struct server sv = {.id = &world.good, .max_version = TLS1_1_VERSION};

    visit(c, &sv, "localhost", 7);
    assert_int_equal(c->opens, 0);
    assert_non_null(strstr(c->end.text, "TLS with localhost: "));
}

static void test_address(void **state)
{
    struct client *c = *state;
    struct server sv = {.id = &world.by_address};

    visit(c, &sv, "127.0.0.1", 7);
    assert_string_equal(c->got.data, "welcome");
    assert_string_equal(sv.sni, "");
}

static void test_wrong_name(void **state)
{
    refused(*state, &world.by_address, "localhost",
            "localhost refused: hostname mismatch");
}

static void test_wrong_address(void **state)
{
    refused(*state, &world.good, "127.0.0.1", "IP address mismatch");
}

static void test_self_signed(void **state)
{
    refused(*state, &world.self_signed, "localhost", "self-signed certificate");
}

static void test_expired(void **state)
{
    refused(*state, &world.expired, "localhost", "expired (CN = old, valid until ");
}

/* OpenSSL takes an empty name for "do not check". */
static void test_empty_name_is_never_trusted(void **state)
{
    struct err e = {0};
    struct buf plain = {.max = 100}, wire = {.max = 1000};
    struct tls_conn *conn = tls_conn_new(world.tls, "");
    bool up = false, ended = false;

    (void)state;
    assert_int_equal(tls_conn_feed(conn, NULL, 0, &plain, &wire, &up, &ended, &e), -1);
    assert_int_equal(wire.len, 0);
    tls_conn_free(conn);
}

static void test_not_a_tls_server(void **state)
{
    struct client *c = *state;
    struct server sv = {.id = &world.good, .in_clear = "220 mail.test ESMTP\r\n"};

    visit(c, &sv, "localhost", 7);
    assert_int_equal(c->opens, 0);
    assert_non_null(strstr(c->end.text, "TLS with localhost: wrong version number"));
}

static void hang_up_at_once(struct peer *p, int fd)
{
    char c;

    (void)p;
    (void)recv(fd, &c, 1, MSG_PEEK);
    (void)shutdown(fd, SHUT_WR);
    peer_wait_end(fd);
}

static void test_end_in_handshake(void **state)
{
    struct client *c = *state;
    struct peer p;

    peer_start(&p, hang_up_at_once, NULL);
    dial(c, "localhost", p.port);
    while (!c->ends)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    assert_string_equal(c->end.text, "closed by the peer during the TLS handshake");
    hang_up(c, &p);
}

static void say_nothing(struct peer *p, int fd)
{
    (void)p;
    peer_wait_end(fd);
}

static void test_silence_in_handshake(void **state)
{
    struct client *c = *state;
    struct stream_target t = {
        .host = "127.0.0.1", .tls = world.tls, .connect_timeout_ms = 30};
    static const struct stream_events events = {on_open, on_data, on_end};
    struct peer p;

    peer_start(&p, say_nothing, NULL);
    t.port = p.port;
    c->stream = stream_open(&c->loop, &t, &events, c);
    while (!c->ends)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    assert_non_null(strstr(c->end.text, "timed out: TLS handshake"));
    hang_up(c, &p);
}

static void say_bye(struct client *c, bool cut)
{
    struct server sv = {.id = &world.good, .cut = cut};
    struct peer p;

    peer_start(&p, serve, &sv);
    dial(c, "localhost", p.port);
    while (c->got.len < 7)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    stream_write(c->stream, "bye", 3);
    while (!c->ends)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    assert_string_equal(c->got.data, "welcomebye");
    assert_string_equal(c->end.text, "closed by the peer");
    hang_up(c, &p);
}

static void test_orderly_end(void **state)
{
    say_bye(*state, false);
}

static void test_cut_end(void **state)
{
    say_bye(*state, true);
}

static void test_large_both_ways(void **state)
{
    struct client *c = *state;
    struct server sv = {.id = &world.good, .amount = (size_t)4 << 20};
    size_t len = (size_t)2 << 20;
    char *bytes = mem_new(len, 1);
    struct peer p;

    memset(bytes, 'x', len);
    peer_start(&p, serve, &sv);
    dial(c, "localhost", p.port);
    while (!c->opens)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    stream_write(c->stream, bytes, len);
    while (c->got.len < 7 + sv.amount + len && !c->ends)
        (void)uv_run(&c->loop, UV_RUN_ONCE);
    assert_int_equal(c->got.len, 7 + sv.amount + len);
    assert_memory_equal(c->got.data + 7 + sv.amount, bytes, len);
    hang_up(c, &p);
    free(bytes);
}

static void test_close_in_open(void **state)
{
    struct client *c = *state;
    struct server sv = {.id = &world.good};
    struct peer p;

    c->close_at_open = true;
    peer_start(&p, serve, &sv);
    dial(c, "localhost", p.port);
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    assert_int_equal(c->opens, 1);
    assert_int_equal(c->ends + (int)c->got.len, 0);
    peer_stop(&p);
}

static void test_starttls(void **state)
{
    struct client *c = *state;
    struct server sv = {.id = &world.good, .in_clear = "220 go\r\n"};

    c->starttls_host = "localhost";
    visit(c, &sv, "localhost", 7);
    assert_int_equal(c->opens, 2);
    assert_string_equal(c->got.data, "welcome");
}

/* RFC 3207 section 4.2: what came in the clear behind the 220 must not be taken for the
 * answers of the protected conversation. */
static void test_starttls_injection(void **state)
{
    struct client *c = *state;
    struct server sv = {.id = &world.good,
                        .in_clear = "220 go\r\n250-EVIL\r\n250 AUTH PLAIN\r\n"};

    c->starttls_host = "localhost";
    visit(c, &sv, "localhost", 7);
    assert_int_equal(c->opens, 2);
    assert_string_equal(c->got.data, "welcome");
}

static void test_starttls_wrong_name(void **state)
{
    struct client *c = *state;
    struct server sv = {.id = &world.good, .in_clear = "220 go\r\n"};

    c->starttls_host = "other.test";
    visit(c, &sv, "localhost", 7);
    assert_int_equal(c->opens, 1);
    assert_non_null(strstr(c->end.text, "other.test refused: hostname mismatch"));
}

static void test_ca_file_missing(void **state)
{
    struct err e = {0};

    (void)state;
    assert_null(tls_new("/nonexistent/ca.pem", &e));
    assert_int_equal(e.class, ERR_CONFIG);
    assert_non_null(strstr(e.text, "/nonexistent/ca.pem"));
}

static void test_system_bundle(void **state)
{
    struct err e = {0};
    struct tls *t = tls_new(NULL, &e);

    (void)state;
    assert_non_null(t);
    tls_free(t);
    tls_free(NULL);
    tls_conn_free(NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_good),
        T(test_tls12),
        T(test_tls11_is_too_old),
        T(test_address),
        T(test_wrong_name),
        T(test_wrong_address),
        T(test_self_signed),
        T(test_expired),
        T(test_not_a_tls_server),
        T(test_end_in_handshake),
        T(test_silence_in_handshake),
        T(test_orderly_end),
        T(test_cut_end),
        T(test_large_both_ways),
        T(test_close_in_open),
        T(test_starttls),
        T(test_starttls_injection),
        T(test_starttls_wrong_name),
        cmocka_unit_test(test_empty_name_is_never_trusted),
        cmocka_unit_test(test_ca_file_missing),
        cmocka_unit_test(test_system_bundle),
    };

    (void)alarm(120);
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, make_world, free_world);
}
