/* load: Zendesk in the benchmark of the receiver: kept connections, each with one
 * delivery of 600 bytes under way, signed, and like no other. Prints how many were
 * taken, the seconds, and percentiles of the time until the answer in microseconds.
 * Blocks its core on purpose: what is measured is the other side. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "mem.h"
#include "num.h"

#define BODY_LEN 600
#define MESSAGE_MAX 4096
#define READY_MAX 256

struct client {
    int fd;
    int64_t began_ns;
    size_t len; /* of what has come of the answer */
    char answer[MESSAGE_MAX];
};

static const char *secret;
static int64_t wanted, first, sent, answered, taken;
static uint32_t *took_us;
static struct buf message = {.max = MESSAGE_MAX};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void make_body(char out[static BODY_LEN + 1], int64_t n)
{
    int len =
        snprintf(out, BODY_LEN + 1,
                 "{\"ticket_id\":\"%lld\",\"email\":\"job-%lld@customer.example\","
                 "\"users\":\"25\",\"requested_by\":\"agent\",\"note\":\"",
                 (long long)n, (long long)n);

    memset(out + len, 'x', BODY_LEN - (size_t)len);
    memcpy(out + BODY_LEN - 2, "\"}", 3);
}

static void sign(const char *timestamp, const char *body, char *out, size_t size)
{
    crypto_auth_hmacsha256_state state;
    unsigned char mac[crypto_auth_hmacsha256_BYTES];

    (void)crypto_auth_hmacsha256_init(&state, (const unsigned char *)secret,
                                      strlen(secret));
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)timestamp,
                                        strlen(timestamp));
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)body, BODY_LEN);
    (void)crypto_auth_hmacsha256_final(&state, mac);
    (void)sodium_bin2base64(out, size, mac, sizeof mac, sodium_base64_VARIANT_ORIGINAL);
}

static void make_message(int64_t n)
{
    char body[BODY_LEN + 1], signature[64], timestamp[32];
    time_t now = time(NULL);
    struct tm utc;

    (void)strftime(timestamp, sizeof timestamp, "%Y-%m-%dT%H:%M:%SZ",
                   gmtime_r(&now, &utc));
    make_body(body, n);
    sign(timestamp, body, signature, sizeof signature);
    buf_reset(&message);
    buf_addf(&message,
             "POST /zendesk HTTP/1.1\r\nHost: licenses.example\r\n"
             "Content-Type: application/json\r\nUser-Agent: Zendesk Webhook\r\n"
             "X-Zendesk-Account-Id: 123456\r\n"
             "X-Zendesk-Webhook-Id: 01F1KRFQ6BG29CNWFR60NK5FNY\r\n"
             "X-Zendesk-Webhook-Invocation-Id: bench-%lld\r\n"
             "X-Zendesk-Webhook-Signature: %s\r\n"
             "X-Zendesk-Webhook-Signature-Timestamp: %s\r\n"
             "Content-Length: %d\r\n\r\n%s",
             (long long)n, signature, timestamp, BODY_LEN, body);
}

static void send_next(struct client *c)
{
    if (sent == wanted)
        return;
    make_message(first + sent++);
    c->len = 0;
    c->began_ns = now_ns();
    if (send(c->fd, message.data, message.len, MSG_NOSIGNAL) != (ssize_t)message.len)
        fail("send");
}

/* False while a part of the answer is missing. */
static bool is_whole(const struct client *c)
{
    const char *end = strstr(c->answer, "\r\n\r\n");
    const char *length = strstr(c->answer, "Content-Length: ");

    if (!end || !length)
        return false;
    return c->len >= (size_t)(end + 4 - c->answer) +
                         strtoul(length + strlen("Content-Length: "), NULL, 10);
}

static void on_readable(struct client *c)
{
    ssize_t n = recv(c->fd, c->answer + c->len, sizeof c->answer - 1 - c->len, 0);

    if (n <= 0)
        fail("the server ended a connection");
    c->len += (size_t)n;
    c->answer[c->len] = '\0';
    if (!is_whole(c))
        return;
    took_us[answered++] = (uint32_t)((now_ns() - c->began_ns) / 1000);
    taken += strncmp(c->answer, "HTTP/1.1 202 ", 13) == 0;
    send_next(c);
}

static void dial(struct client *c, int port, int epoll)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event))
        fail("connect");
}

static void run(int epoll)
{
    struct epoll_event ready[READY_MAX];

    while (answered < wanted) {
        int n = epoll_wait(epoll, ready, READY_MAX, -1);

        for (int i = 0; i < n; i++)
            on_readable(ready[i].data.ptr);
    }
}

static int by_size(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void report(int64_t took_ns)
{
    qsort(took_us, (size_t)wanted, sizeof *took_us, by_size);
    (void)printf("%lld %.6f %u %u\n", (long long)taken, (double)took_ns / 1e9,
                 took_us[wanted / 2], took_us[wanted * 99 / 100]);
}

int main(int argc, char **argv)
{
    int64_t port, connections, began;
    struct client *clients;
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    secret = getenv("STOPGAP_WEBHOOK_SECRET");
    if (argc != 5 || !secret || !num_parse(argv[1], 1, 65535, &port) ||
        !num_parse(argv[2], 1, 1024, &connections) ||
        !num_parse(argv[3], 0, INT32_MAX, &first) ||
        !num_parse(argv[4], connections, INT32_MAX, &wanted)) {
        (void)fputs("Usage: load PORT CONNECTIONS FIRST REQUESTS\n", stderr);
        return 2;
    }
    took_us = mem_new((size_t)wanted, sizeof *took_us);
    clients = mem_new((size_t)connections, sizeof *clients);
    for (int64_t i = 0; i < connections; i++)
        dial(&clients[i], (int)port, epoll);
    began = now_ns();
    for (int64_t i = 0; i < connections; i++)
        send_next(&clients[i]);
    run(epoll);
    report(now_ns() - began);
    return 0;
}
