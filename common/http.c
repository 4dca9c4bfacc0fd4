/* http: see http.h. One operation is one easy handle of curl's, kept and used again;
 * how curl gets at the loop is http_loop.c. */
#include "http.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "crash.h"
#include "http_hide.h"
#include "http_loop.h"
#include "http_tls.h"
#include "mem.h"
#include "num.h"
#include "secret.h"

#define CONNECT_TIMEOUT_MS 10000
#define RETRY_AFTER_MAX_MS INT64_C(86400000)
#define ANSWER_HEADERS_MAX 65536
#define SPARE_OPS 32 /* no fewer than run at once: making one takes long */
#define SPARE_BODY_MAX 65536
/* Servers close idle connections after 60 to 75 s; one that is older is not used, since
 * a POST that runs into the close cannot be sent again. */
#define IDLE_MAX_S 30L
/* Names are asked for anew connections only, which are few: a GitLab that has moved is
 * found by the next attempt. */
#define NAMES_KEPT_S 1L

struct http {
    struct http_loop *loop;
    char *ca_file;
    bool closing;
    bool watched;
    struct http_seen seen;
    unsigned callbacks; /* under way: http_free then leaves the memory to the last */
    struct http_op *running;
    struct http_op *spare; /* finished, with their easy handles set up */
    size_t spares;
};

struct http_op {
    struct http *h;
    struct http_op *prev, *next;
    CURL *easy;
    http_fn fn;
    void *arg;
    struct buf answer;
    size_t answer_headers; /* bytes */
    char *block;           /* request: header lines, secrets and body, copied */
    size_t block_len;
    const char *hide[HTTP_HIDE_MAX]; /* in there */
    char *location;
    struct curl_slist headers[HTTP_HEADERS_MAX + 1];
    char why[CURL_ERROR_SIZE];
    bool once;      /* must not leave twice */
    bool no_clear;  /* must not leave unencrypted but to this machine */
    bool sent;      /* curl was about to send it */
    bool sent_lost; /* curl wanted to send it a second time */
    bool refused;   /* it would have left in the clear */
    bool too_large;
};

/* Options that curl refuses only when memory is gone or our call is wrong. */
#define SET(easy, option, value)                                                       \
    do {                                                                               \
        CURLcode set_rc = curl_easy_setopt(easy, option, value);                       \
        assert(set_rc == CURLE_OK);                                                    \
        (void)set_rc;                                                                  \
    } while (0)
/* --- the answer as it comes in --- */

static size_t on_body(char *bytes, size_t one, size_t len, void *arg)
{
    struct http_op *op = arg;

    (void)one; /* always 1 */
    buf_add(&op->answer, bytes, len);
    op->too_large = op->answer.failed;
    return op->answer.failed ? 0 : len;
}

static size_t on_header(char *bytes, size_t one, size_t len, void *arg)
{
    struct http_op *op = arg;

    (void)bytes;
    (void)one;
    op->answer_headers += len;
    return op->answer_headers > ANSWER_HEADERS_MAX ? 0 : len;
}

/* Runs when a connection stands, right before the request goes out on it. curl comes
 * here again when a kept connection died without a byte of an answer and it means to
 * repeat the request. The server may have acted on the first one. */
static int on_before_send(void *arg, char *peer, char *self, int peer_port,
                          int self_port)
{
    struct http_op *op = arg;

    (void)self;
    (void)peer_port;
    (void)self_port;
    op->refused = op->no_clear && strncmp(peer, "127.", 4) && strcmp(peer, "::1");
    op->sent_lost = op->once && op->sent;
    if (op->refused || op->sent_lost)
        return CURL_PREREQFUNC_ABORT;
    op->sent = true;
    CRASH_WAY(op, op->h->loop);
    return CURL_PREREQFUNC_OK;
}

/* --- operations --- */

/* What never changes between requests. */
static void set_up(struct http *h, struct http_op *op)
{
    const char *built_in_ca = NULL;

    SET(op->easy, CURLOPT_PRIVATE, op);
    SET(op->easy, CURLOPT_WRITEFUNCTION, on_body);
    SET(op->easy, CURLOPT_WRITEDATA, op);
    SET(op->easy, CURLOPT_HEADERFUNCTION, on_header);
    SET(op->easy, CURLOPT_HEADERDATA, op);
    SET(op->easy, CURLOPT_PREREQFUNCTION, on_before_send);
    SET(op->easy, CURLOPT_PREREQDATA, op);
    SET(op->easy, CURLOPT_ERRORBUFFER, op->why);
    SET(op->easy, CURLOPT_NOSIGNAL, 1L);
    SET(op->easy, CURLOPT_FOLLOWLOCATION, 0L);
    SET(op->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(op->easy, CURLOPT_PROXY, ""); /* or the environment decides where tokens go */
    SET(op->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(op->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    http_tls_set_up(op->easy);
    SET(op->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    SET(op->easy, CURLOPT_MAXAGE_CONN, IDLE_MAX_S);
    SET(op->easy, CURLOPT_DNS_CACHE_TIMEOUT, NAMES_KEPT_S);
    /* curl 7.88, driven by events, does not go on from an address that says nothing
     * until its time is over: so the next attempt is to begin with another. */
    SET(op->easy, CURLOPT_DNS_SHUFFLE_ADDRESSES, 1L);
    SET(op->easy, CURLOPT_ACCEPT_ENCODING,
        "identity"); /* others are read if they come */
    SET(op->easy, CURLOPT_USERAGENT, "stopgap/" STOPGAP_VERSION);
    if (h->ca_file)
        SET(op->easy, CURLOPT_CAINFO, h->ca_file);
    (void)curl_easy_getinfo(op->easy, CURLINFO_CAINFO, &built_in_ca);
    if (h->ca_file || built_in_ca)
        /* With a directory set curl reads the whole bundle again for each connection:
         * 70 ms on the loop. */
        SET(op->easy, CURLOPT_CAPATH, NULL);
}

static struct http_op *op_take(struct http *h)
{
    struct http_op *op = h->spare;

    if (op) {
        h->spare = op->next;
        h->spares--;
    } else {
        op = mem_new(1, sizeof *op);
        op->h = h;
        buf_init(&op->answer, HTTP_BODY_MAX);
        op->easy = curl_easy_init();
        assert(op->easy);
        set_up(h, op);
    }
    op->prev = NULL;
    op->next = h->running;
    if (h->running)
        h->running->prev = op;
    h->running = op;
    return op;
}

static void op_unlink(struct http_op *op)
{
    if (op->prev)
        op->prev->next = op->next;
    else
        op->h->running = op->next;
    if (op->next)
        op->next->prev = op->prev;
    op->prev = op->next = NULL;
}

static void op_destroy(struct http_op *op)
{
    curl_easy_cleanup(op->easy);
    buf_done(&op->answer);
    free(op);
}

/* Back into the spares, or gone. The request's bytes hold secrets. */
static void op_release(struct http_op *op)
{
    struct http *h = op->h;

    secret_wipe(op->block, op->block_len);
    free(op->block);
    op->block = NULL;
    mem_set(&op->location, NULL);
    if (h->closing || h->spares == SPARE_OPS || op->answer.cap > SPARE_BODY_MAX) {
        op_destroy(op);
        return;
    }
    buf_reset(&op->answer);
    op->answer_headers = 0;
    op->why[0] = '\0';
    op->sent = op->sent_lost = op->refused = op->too_large = false;
    op->next = h->spare;
    h->spare = op;
    h->spares++;
}

/* The next text of the block. */
static char *put_in(struct http_op *op, size_t *at, const char *text)
{
    size_t len = strlen(text) + 1;
    char *copy = memcpy(op->block + *at, text, len);

    *at += len;
    return copy;
}

static size_t length_of(const struct http_request *r, size_t lines)
{
    size_t len = r->body_len + 1;

    for (size_t i = 0; i < lines; i++)
        len += strlen(r->headers[i]) + 1;
    for (size_t i = 0; i < HTTP_HIDE_MAX; i++)
        len += r->hide[i] ? strlen(r->hide[i]) + 1 : 0;
    return len;
}

/* Copies header lines, secrets and body into one block and lists the lines. Our own
 * list in place of curl's, so that it can be wiped. */
static void copy_request(struct http_op *op, const struct http_request *r)
{
    static char no_expect[] = "Expect:"; /* no round trip before a body */
    size_t lines = 0, at = 0;

    while (r->headers && r->headers[lines])
        lines++;
    assert(lines <= HTTP_HEADERS_MAX);
    op->block_len = length_of(r, lines);
    op->block = mem_new(op->block_len, 1);
    for (size_t i = 0; i < lines; i++)
        op->headers[i] =
            (struct curl_slist){put_in(op, &at, r->headers[i]), &op->headers[i + 1]};
    for (size_t i = 0; i < HTTP_HIDE_MAX; i++)
        op->hide[i] = r->hide[i] ? put_in(op, &at, r->hide[i]) : NULL;
    op->headers[lines] = (struct curl_slist){no_expect, NULL};
    SET(op->easy, CURLOPT_HTTPHEADER, op->headers);
    if (!r->body) {
        SET(op->easy, CURLOPT_HTTPGET, 1L);
    } else {
        memcpy(op->block + at, r->body, r->body_len);
        SET(op->easy, CURLOPT_POST, 1L);
        SET(op->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
        SET(op->easy, CURLOPT_POSTFIELDS, op->block + at);
    }
}

struct http_op *http_start(struct http *h, const struct http_request *r, http_fn fn,
                           void *arg)
{
    struct http_op *op = op_take(h);

    op->fn = fn;
    op->arg = arg;
    op->once = r->once || !strcmp(r->method, "POST");
    op->no_clear = r->secret && strncasecmp(r->url, "https:", 6);
    copy_request(op, r);
    SET(op->easy, CURLOPT_URL, r->url);
    SET(op->easy, CURLOPT_CUSTOMREQUEST, r->method);
    SET(op->easy, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
    SET(op->easy, CURLOPT_CERTINFO, (long)h->watched);
    if (!h->closing) /* else http_free, which is running, ends it */
        http_loop_add(h->loop, op->easy);
    return op;
}

/* --- endings --- */

/* The value of an answer's header as a whole number; -1 if absent or something else. */
static int64_t header_number(CURL *easy, const char *name)
{
    struct curl_header *found;
    int64_t n;

    if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &found) != CURLHE_OK ||
        !num_parse(found->value, 0, INT64_C(1) << 40, &n))
        return -1;
    return n;
}

/* When the answer was made, by the server's clock: ours may be hours off. */
static int64_t server_time(CURL *easy)
{
    struct curl_header *date;
    int64_t at = -1;

    if (curl_easy_header(easy, "Date", 0, CURLH_HEADER, -1, &date) == CURLHE_OK)
        at = (int64_t)curl_getdate(date->value, NULL);
    return at < 0 ? (int64_t)time(NULL) : at;
}

/* In whichever form this curl tells it; 0: not at all. */
static int64_t first_end_ms(CURL *easy)
{
    static const char name[] = "Expire date:";
    struct curl_certinfo *chain = NULL;
    int64_t first = 0;

    (void)curl_easy_getinfo(easy, CURLINFO_CERTINFO, &chain);
    for (int i = 0; chain && i < chain->num_of_certs; i++)
        for (struct curl_slist *l = chain->certinfo[i]; l; l = l->next) {
            int64_t at = -1;

            if (strncmp(l->data, name, sizeof name - 1) == 0)
                at = (int64_t)curl_getdate(l->data + sizeof name - 1, NULL) * 1000;
            if (at > 0 && (!first || at < first))
                first = at;
        }
    return first;
}

static void look(struct http_op *op)
{
    struct curl_header *date;
    struct http_seen seen = {0};

    if (curl_easy_header(op->easy, "Date", 0, CURLH_HEADER, -1, &date) == CURLHE_OK)
        seen.date_ms = (int64_t)curl_getdate(date->value, NULL) * 1000;
    if (seen.date_ms < 0)
        seen.date_ms = 0;
    seen.tls_ends_ms = first_end_ms(op->easy);
    op->h->seen = seen;
}

static int64_t retry_after_ms(CURL *easy)
{
    curl_off_t seconds = 0;
    int64_t reset;

    (void)curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds);
    if (seconds <= 0) {
        reset = header_number(easy, "RateLimit-Reset"); /* Unix time */
        seconds = reset < 0 ? 0 : reset - server_time(easy);
    }
    if (seconds <= 0)
        return 0;
    return seconds > RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : seconds * 1000;
}

static void read_answer(struct http_op *op, long status, struct http_response *r)
{
    const char *location = NULL;
    int64_t next_page = header_number(op->easy, "X-Next-Page");

    (void)curl_easy_getinfo(op->easy, CURLINFO_REDIRECT_URL, &location);
    mem_set(&op->location, location ? location : "");
    for (size_t i = 0; i < HTTP_HIDE_MAX; i++) {
        http_hide(op->answer.data, op->answer.len, op->hide[i]);
        http_hide(op->location, strlen(op->location), op->hide[i]);
    }
    r->status = (int)status;
    r->body = op->answer.data;
    r->body_len = op->answer.len;
    r->retry_after_ms = retry_after_ms(op->easy);
    r->next_page = next_page > 0 && next_page < 1000000 ? (int)next_page : 0;
    r->location = op->location;
    if (op->h->watched)
        look(op);
}

/* Why no answer came, in words that an operator can use. */
static void explain(struct http_op *op, CURLcode rc, struct err *e)
{
    if (op->refused)
        (void)err_set(e, ERR_AUTH, 0,
                      "refused to send a secret over plain http to another machine: "
                      "use https");
    else if (op->sent_lost)
        (void)err_set(e, ERR_TRANSIENT, 0,
                      "the kept connection ended without an answer");
    else if (op->too_large)
        (void)err_set(e, ERR_TRANSIENT, 0, "the answer is longer than %zu bytes",
                      HTTP_BODY_MAX);
    else if (op->answer_headers > ANSWER_HEADERS_MAX)
        (void)err_set(e, ERR_TRANSIENT, 0, "the answer's header is too long");
    else if (rc == CURLE_OUT_OF_MEMORY || strstr(op->why, "Out of memory"))
        (void)err_set(e, ERR_TRANSIENT, 0, "a line of the answer's header is too long");
    else if (rc == CURLE_PEER_FAILED_VERIFICATION && op->why[0])
        http_tls_explain(op->easy, op->why, e);
    else if (rc == CURLE_OK)
        (void)err_set(e, ERR_TRANSIENT, 0, "what came is no answer of HTTP");
    else
        (void)err_set(e, ERR_TRANSIENT, 0, "%s",
                      op->why[0] ? op->why : curl_easy_strerror(rc));
}

static void release(struct http *h)
{
    free(h->ca_file);
    free(h);
    curl_global_cleanup();
}

/* A callback may start, cancel and free. */
static void deliver(struct http_op *op, struct http_response *r)
{
    struct http *h = op->h;

    r->connected = op->sent;
    r->too_large = op->too_large;
    op_unlink(op);
    h->callbacks++;
    op->fn(op->arg, r);
    h->callbacks--;
    op_release(op);
    if (!h->loop && !h->callbacks)
        release(h);
}

static void on_ended(CURL *easy, CURLcode rc)
{
    struct http_response r = {.body = "", .location = ""};
    struct http_op *op = NULL;
    long status = 0;

    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &op);
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (rc == CURLE_OK && status >= 200 && status <= 999) /* it lets others pass */
        read_answer(op, status, &r);
    else
        explain(op, rc, &r.err);
    http_loop_remove(op->h->loop, easy);
    deliver(op, &r);
}

void http_cancel(struct http_op *op)
{
    struct http_response r = {.body = "", .location = ""};

    (void)err_set(&r.err, ERR_CANCELLED, 0, "cancelled");
    http_loop_remove(op->h->loop, op->easy);
    deliver(op, &r);
}

struct http *http_new(struct uv_loop_s *loop, const char *ca_file, struct err *e)
{
    struct http *h;
    CURLcode rc;

    if (ca_file && access(ca_file, R_OK)) {
        (void)err_set(e, ERR_CONFIG, 0, "cannot read the CA file %s", ca_file);
        return NULL;
    }
    rc = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (rc != CURLE_OK) {
        (void)err_set(e, ERR_CONFIG, 0, "libcurl: %s", curl_easy_strerror(rc));
        return NULL;
    }
    h = mem_new(1, sizeof *h);
    h->ca_file = mem_strdup(ca_file);
    h->loop = http_loop_open(loop, on_ended);
    return h;
}

void http_watch(struct http *h)
{
    h->watched = true;
}

void http_seen(const struct http *h, struct http_seen *out)
{
    *out = h->seen;
}

void http_free(struct http *h)
{
    struct http_response r = {.body = "", .location = ""};

    if (!h)
        return;
    for (struct http_op *op = h->running; op; op = op->next)
        http_loop_remove(h->loop, op->easy);
    h->closing = true;
    (void)err_set(&r.err, ERR_CANCELLED, 0, "cancelled");
    while (h->running)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the last one was taken off */
        deliver(h->running, &r);
    while (h->spare) {
        struct http_op *op = h->spare;

        h->spare = op->next;
        op_destroy(op);
    }
    http_loop_close(h->loop);
    h->loop = NULL;
    if (!h->callbacks)
        release(h);
}
