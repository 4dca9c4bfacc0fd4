/* smtp_server: a scripted mail server on the test's own loop. It answers as a good one
 * would, but for the rules it was given. Header only: each test program is one file. */
#ifndef STOPGAP_TEST_SMTP_SERVER_H
#define STOPGAP_TEST_SMTP_SERVER_H

#include <assert.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

#include "buf.h"
#include "mem.h"

#define SERVER_VERBS 12
#define SERVER_RULES 8

struct server_rule {
    const char *verb; /* of `server_verbs` */
    int nth;          /* which one in the server's life; 0: each */
    const char *say;  /* NULL: close without a word; "": say nothing ever again; a
                         leading '!':  say the rest and close */
};

static const struct {
    const char *verb, *answer;
} server_verbs[SERVER_VERBS] = {
    {"greet", "220 mx.test ESMTP\r\n"},  {"EHLO", NULL}, /* from server.offer */
    {"STARTTLS", "220 go\r\n"},          {"AUTH", "235 welcome\r\n"},
    {"line", "235 welcome\r\n"}, /* after a 334 */
    {"MAIL", "250 2.1.0 sender ok\r\n"}, {"RCPT", "250 2.1.5 recipient ok\r\n"},
    {"DATA", "354 go ahead\r\n"},        {"dot", "250 2.0.0 queued as 4711\r\n"},
    {"RSET", "250 cleared\r\n"},         {"QUIT", "!221 bye\r\n"},
    {"other", "500 what?\r\n"},
};

struct server {
    uv_loop_t *loop;
    uv_tcp_t listener;
    int port;
    const char *offer; /* the EHLO answer */
    struct server_rule rules[SERVER_RULES];
    size_t rule_count;
    SSL_CTX *tls;
    bool tls_at_once;
    bool deaf; /* stops reading once it has said 354 */

    int counts[SERVER_VERBS];
    int connections, open;
    struct buf log;     /* the lines it read; '|' where a chunk began */
    struct buf content; /* of the latest mail, dots still doubled, without the last */
    struct server_conn *conns;
};

struct server_conn {
    struct server *server;
    uv_tcp_t tcp;
    SSL *ssl;
    struct buf in;
    bool content, dialog, mute;
    struct server_conn *next;
    char chunk[65536];
};

static inline int server_count(const struct server *s, const char *verb)
{
    for (size_t i = 0; i < SERVER_VERBS; i++)
        if (strcmp(server_verbs[i].verb, verb) == 0)
            return s->counts[i];
    abort(); /* unknown verb */
}

static inline void server_rule(struct server *s, const char *verb, int nth,
                               const char *say)
{
    assert(s->rule_count < SERVER_RULES);
    s->rules[s->rule_count++] = (struct server_rule){verb, nth, say};
}

static inline void server_conn_closed(uv_handle_t *h)
{
    struct server_conn *c = h->data, **at = &c->server->conns;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->server->open--;
    SSL_free(c->ssl);
    buf_done(&c->in);
    free(c);
}

static inline void server_drop(struct server_conn *c)
{
    if (!uv_is_closing((uv_handle_t *)&c->tcp))
        uv_close((uv_handle_t *)&c->tcp, server_conn_closed);
}

static inline void server_put(struct server_conn *c, const char *bytes, size_t len)
{
    uv_buf_t b = uv_buf_init((char *)(uintptr_t)bytes, (unsigned int)len);

    (void)uv_try_write((uv_stream_t *)&c->tcp, &b, 1);
}

static inline void server_flush_tls(struct server_conn *c)
{
    char out[20000];
    int n;

    while ((n = BIO_read(SSL_get_wbio(c->ssl), out, sizeof out)) > 0)
        server_put(c, out, (size_t)n);
}

static inline void server_send(struct server_conn *c, const char *text)
{
    if (!c->ssl) {
        server_put(c, text, strlen(text));
        return;
    }
    (void)SSL_write(c->ssl, text, (int)strlen(text));
    server_flush_tls(c);
}

static inline void server_start_tls(struct server_conn *c)
{
    c->ssl = SSL_new(c->server->tls);
    SSL_set_bio(c->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(c->ssl);
}

static inline void server_say(struct server_conn *c, const char *verb)
{
    struct server *s = c->server;
    const char *say = NULL;
    size_t i = 0;

    while (strcmp(server_verbs[i].verb, verb) != 0)
        i++;
    s->counts[i]++;
    say = strcmp(verb, "EHLO") == 0 ? s->offer : server_verbs[i].answer;
    for (size_t k = 0; k < s->rule_count; k++)
        if (strcmp(s->rules[k].verb, verb) == 0 &&
            (!s->rules[k].nth || s->rules[k].nth == s->counts[i]))
            say = s->rules[k].say;
    c->mute = say && !say[0];
    if (say && say[0])
        server_send(c, say + (say[0] == '!'));
    if (say && strcmp(verb, "STARTTLS") == 0 && strncmp(say, "220", 3) == 0)
        server_start_tls(c);
    c->content = say && strcmp(verb, "DATA") == 0 && strncmp(say, "354", 3) == 0;
    c->dialog = say && strncmp(say, "334", 3) == 0;
    if (c->content && s->deaf)
        (void)uv_read_stop((uv_stream_t *)&c->tcp);
    if (c->content)
        buf_reset(&s->content);
    if (!say || say[0] == '!')
        server_drop(c);
}

static inline void server_line(struct server_conn *c, const char *line, size_t len)
{
    const char *verb = "other";

    if (c->content) {
        if (len == 1 && line[0] == '.') {
            c->content = false;
            server_say(c, "dot");
            return;
        }
        buf_add(&c->server->content, line, len);
        buf_adds(&c->server->content, "\r\n");
        return;
    }
    buf_add(&c->server->log, line, len);
    buf_adds(&c->server->log, "\n");
    for (size_t i = 0; i < SERVER_VERBS && !c->dialog; i++)
        if (strncasecmp(line, server_verbs[i].verb, strlen(server_verbs[i].verb)) == 0)
            verb = server_verbs[i].verb;
    server_say(c, c->dialog ? "line" : verb);
}

static inline void server_plain(struct server_conn *c, const char *bytes, size_t len)
{
    char *end;

    if (!c->content)
        buf_adds(&c->server->log, "|");
    buf_add(&c->in, bytes, len);
    while (!uv_is_closing((uv_handle_t *)&c->tcp) && !c->mute &&
           (end = memmem(c->in.data, c->in.len, "\r\n", 2))) {
        size_t n = (size_t)(end - c->in.data);
        char *line = mem_dup(c->in.data, n);

        buf_consume(&c->in, n + 2);
        server_line(c, line, n);
        free(line);
    }
}

static inline void server_tls(struct server_conn *c, const char *bytes, size_t len)
{
    bool was_up = SSL_is_init_finished(c->ssl);
    char plain[20000];
    int n;

    (void)BIO_write(SSL_get_rbio(c->ssl), bytes, (int)len);
    n = SSL_do_handshake(c->ssl);
    server_flush_tls(c);
    if (n == 1 && !was_up && c->server->tls_at_once)
        server_say(c, "greet");
    while (!uv_is_closing((uv_handle_t *)&c->tcp) &&
           (n = SSL_read(c->ssl, plain, sizeof plain)) > 0)
        server_plain(c, plain, (size_t)n);
}

static inline void server_on_read(uv_stream_t *h, ssize_t n, const uv_buf_t *b)
{
    struct server_conn *c = h->data;

    if (n < 0)
        server_drop(c);
    else if (c->mute)
        return;
    else if (n > 0 && c->ssl)
        server_tls(c, b->base, (size_t)n);
    else if (n > 0)
        server_plain(c, b->base, (size_t)n);
}

static inline void server_on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *out)
{
    struct server_conn *c = h->data;

    (void)hint;
    *out = uv_buf_init(c->chunk, sizeof c->chunk);
}

static inline void server_on_connection(uv_stream_t *h, int status)
{
    struct server *s = h->data;
    struct server_conn *c = mem_new(1, sizeof *c);

    assert(status == 0);
    c->server = s;
    c->tcp.data = c;
    c->next = s->conns;
    s->conns = c;
    buf_init(&c->in, 64 << 20);
    (void)uv_tcp_init(s->loop, &c->tcp);
    assert(uv_accept(h, (uv_stream_t *)&c->tcp) == 0);
    (void)uv_tcp_nodelay(&c->tcp, 1);
    s->connections++;
    s->open++;
    (void)uv_read_start((uv_stream_t *)&c->tcp, server_on_alloc, server_on_read);
    if (s->tls_at_once)
        server_start_tls(c);
    else
        server_say(c, "greet");
}

static inline void server_start(struct server *s, uv_loop_t *loop)
{
    struct sockaddr_in a;
    int len = sizeof a;

    *s = (struct server){.loop = loop,
                         .offer = "250-mx.test\r\n250-PIPELINING\r\n250-SIZE "
                                  "10000000\r\n250-DSN\r\n250 8BITMIME\r\n"};
    buf_init(&s->log, 1 << 20);
    buf_init(&s->content, 64 << 20);
    (void)uv_tcp_init(loop, &s->listener);
    s->listener.data = s;
    (void)uv_ip4_addr("127.0.0.1", 0, &a);
    assert(uv_tcp_bind(&s->listener, (struct sockaddr *)&a, 0) == 0);
    assert(uv_listen((uv_stream_t *)&s->listener, 64, server_on_connection) == 0);
    assert(uv_tcp_getsockname(&s->listener, (struct sockaddr *)&a, &len) == 0);
    s->port = ntohs(a.sin_port);
}

/* Closes every connection it has, as a restarting server would. */
static inline void server_drop_all(struct server *s)
{
    for (struct server_conn *c = s->conns; c; c = c->next)
        server_drop(c);
}

static inline void server_stop_listening(struct server *s)
{
    if (!uv_is_closing((uv_handle_t *)&s->listener))
        uv_close((uv_handle_t *)&s->listener, NULL);
}

/* The loop has to run once more after it. */
static inline void server_stop(struct server *s)
{
    server_drop_all(s);
    server_stop_listening(s);
}

static inline void server_done(struct server *s)
{
    buf_done(&s->log);
    buf_done(&s->content);
}

#endif
