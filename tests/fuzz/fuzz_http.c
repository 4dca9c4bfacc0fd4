/* HTTP answers as libcurl and http.c read them: status, headers that we use, bodies of
 * any length and encoding. curl is given one end of a socket pair in place of a
 * connection. Two bytes: what is asked and happens, how often the second piece of the
 * answer comes (from 255 down); then the answer, in pieces divided by 0xFF.
 * Whatever comes: one callback, an answer or an error and not both, numbers within
 * their bounds, and no secret in the clear. */
#include <curl/curl.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "fuzz_input.h"
#include "fuzz_text.h"
#include "http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define TURNS 100
#define CONNECTIONS 4
#define TOKEN "t0ken-of-ours"

enum {
    POST = 1,
    SECRET = 2,
    PUT = 4,
    TWICE = 8,
    WATCH = 16,
    CANCEL = 32,
    FREE = 64,
    MUTE = 128
};

static struct world {
    uv_loop_t loop;
    struct http *http;
    int peers[CONNECTIONS]; /* the server's ends */
    size_t connections;
    unsigned config;
    int answers;
} w;

/* ---- the network ---- */

static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    int ends[2];

    (void)arg;
    (void)purpose;
    (void)a;
    if (w.connections == CONNECTIONS)
        return CURL_SOCKET_BAD;
    PROMISE(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends));
    w.peers[w.connections++] = ends[1];
    return ends[0];
}

/* What curl holds is connected. Nobody else in here connects to anything. */
int connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t len)
{
    (void)fd;
    (void)to;
    (void)len;
    return 0;
}

/* curl keeps no connection of which it does not know where it leads. */
int getpeername(int fd, __SOCKADDR_ARG peer, socklen_t *len)
{
    uint32_t host = w.config & SECRET ? 0xC0000201 : INADDR_LOOPBACK;
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(1), .sin_addr = {htonl(host)}};

    (void)fd;
    PROMISE(*len >= sizeof address);
    memcpy(peer.__sockaddr__, &address, sizeof address);
    *len = sizeof address;
    return 0;
}

/* In place of libcurl's own, which it calls. */
CURL *curl_easy_init(void)
{
    static CURL *(*real)(void);
    CURL *easy;

    if (!real)
        *(void **)(void *)&real = dlsym(RTLD_NEXT, "curl_easy_init");
    easy = real();
    PROMISE(easy);
    PROMISE(!curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket));
    return easy;
}

static void say(const uint8_t *bytes, size_t len)
{
    if (w.connections && len)
        (void)!send(w.peers[w.connections - 1], bytes, len, MSG_NOSIGNAL);
}

/* What has come to the server: no secret, and nothing that we did not mean. */
static void check_sent(void)
{
    char bytes[4096];

    for (size_t i = 0; i < w.connections; i++) {
        ssize_t n = recv(w.peers[i], bytes, sizeof bytes - 1, MSG_DONTWAIT);

        if (n <= 0)
            continue;
        PROMISE(!(w.config & SECRET));
        bytes[n] = '\0';
        PROMISE(strstr(bytes, " /x HTTP/1.1\r\nHost: 127.0.0.1:1\r\n"));
        PROMISE(strstr(bytes, "\r\nX-Token: " TOKEN "\r\n"));
    }
}

/* ---- requests ---- */

static void check_answer(const struct http_response *r)
{
    PROMISE(r->err.class == ERR_NONE && !r->err.text[0]);
    PROMISE(r->status >= 200 && r->status <= 999 && r->connected && !r->too_large);
    PROMISE(r->body_len <= HTTP_BODY_MAX && !r->body[r->body_len]);
    PROMISE(r->retry_after_ms >= 0 && r->retry_after_ms <= 86400000);
    PROMISE(r->next_page >= 0 && r->next_page < 1000000);
    PROMISE(!memmem(r->body, r->body_len, TOKEN, strlen(TOKEN)));
    PROMISE(!strstr(r->location, TOKEN));
    PROMISE(r->location && !strpbrk(r->location, "\r\n"));
}

static void on_done(void *arg, const struct http_response *r)
{
    int *done = arg;

    PROMISE(!*done);
    *done = 1;
    w.answers++;
    if (w.config & FREE && w.config & CANCEL) {
        http_free(w.http);
        w.http = NULL;
    }
    if (r->err.class == ERR_NONE) {
        check_answer(r);
        return;
    }
    PROMISE(r->status == 0 && r->err.text[0] && text_line(r->err.text));
    PROMISE(r->body && r->location && !r->body_len);
    PROMISE(r->err.class == ERR_TRANSIENT || r->err.class == ERR_CANCELLED ||
            r->err.class == ERR_AUTH);
    if (r->err.class == ERR_AUTH)
        PROMISE(w.config & SECRET && !r->connected);
}

static void turn(int *done, int turns)
{
    for (int i = 0; i < turns && !*done; i++)
        (void)uv_run(&w.loop, UV_RUN_NOWAIT);
}

static struct http_op *ask(int *done)
{
    static const char *const headers[] = {"X-Token: " TOKEN, NULL};
    const struct http_request r = {
        .method = w.config & POST  ? "POST"
                  : w.config & PUT ? "PUT"
                                   : "GET",
        .url = w.config & SECRET ? "http://192.0.2.1:1/x" : "http://127.0.0.1:1/x",
        .headers = headers,
        .body = w.config & (POST | PUT) ? "{}" : NULL,
        .body_len = w.config & (POST | PUT) ? 2 : 0,
        .timeout_ms = 5000,
        .hide = {TOKEN},
        .secret = w.config & SECRET,
    };

    *done = 0;
    return http_start(w.http, &r, on_done, done);
}

/* Piece by piece; the second one `times`. */
static void serve(const uint8_t *p, const uint8_t *end, unsigned times, int *done)
{
    for (unsigned piece = 0; p < end && !*done; piece++) {
        const uint8_t *stop = memchr(p, 0xFF, (size_t)(end - p));
        size_t len = (size_t)((stop ? stop : end) - p);

        for (unsigned i = piece == 1 ? times : 0; i < 256 && !*done; i++) {
            say(p, len);
            turn(done, 4);
            if (piece != 1)
                break;
        }
        p += len + (stop != NULL);
    }
}

/* No more will come: what is not whole by now is an error. */
static void end(int *done)
{
    for (size_t i = 0; i < w.connections; i++)
        (void)shutdown(w.peers[i], SHUT_WR);
    turn(done, TURNS);
    for (int i = 0; i < 10 && !*done; i++) /* curl waits for something: for its time */
        (void)uv_run(&w.loop, UV_RUN_ONCE);
}

/* On the same connection, if it was kept; or beside the first. */
static void run_second(const uint8_t *answer, size_t len, unsigned times)
{
    static int second;

    (void)ask(&second);
    turn(&second, 20);
    if (!(w.config & MUTE))
        serve(answer, answer + len, times, &second);
    if (!(w.config & FREE))
        end(&second);
}

static void run(const uint8_t *answer, size_t len, unsigned times)
{
    static int first;
    struct http_op *op = ask(&first);

    turn(&first, 20);
    serve(answer, answer + len, times, &first);
    if (w.config & CANCEL && !first)
        http_cancel(op);
    if (w.config & TWICE && w.http)
        run_second(answer, len, times);
    if (!(w.config & FREE))
        end(&first);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct err e;

    (void)argc;
    (void)argv;
    PROMISE(!curl_global_init(CURL_GLOBAL_DEFAULT) && !uv_loop_init(&w.loop));
    PROMISE(!http_new(&w.loop, "/no/such/file", &e) && e.class == ERR_CONFIG);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_seen seen;
    struct err e;

    if (size < 3)
        return 0;
    w.config = data[0];
    w.answers = 0;
    w.connections = 0;
    w.http = http_new(&w.loop, w.config & WATCH ? "/dev/null" : NULL, &e);
    PROMISE(w.http);
    if (w.config & WATCH)
        http_watch(w.http);
    run(data + 2, size - 2, data[1]);
    if (w.http) {
        http_seen(w.http, &seen);
        PROMISE(seen.date_ms >= 0 && seen.tls_ends_ms == 0);
    }
    check_sent();
    http_free(w.http);
    PROMISE(w.answers == 1 || (w.answers == 2 && w.config & TWICE));
    (void)uv_run(&w.loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < w.connections; i++)
        (void)close(w.peers[i]);
    return 0;
}
