/* peer: a scripted server for unit tests: a thread that accepts one connection after
 * the other and runs a script on each, with blocking calls. Header only: each test
 * program is one file. */
#ifndef STOPGAP_TEST_PEER_H
#define STOPGAP_TEST_PEER_H

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct peer {
    int fd;
    int port;
    pthread_t thread;
    sem_t served; /* posted after each connection */
    void (*script)(struct peer *p, int fd);
    void *arg;        /* the script's own */
    const char *text; /* the same, for what is only said */
};

static inline void *peer_thread(void *arg)
{
    struct peer *p = arg;
    int fd;

    while ((fd = accept(p->fd, NULL, NULL)) >= 0) {
        p->script(p, fd);
        (void)close(fd);
        (void)sem_post(&p->served);
    }
    return NULL;
}

static inline int peer_listen(const char *address, int port, int *out_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof a;
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert(inet_pton(AF_INET, address, &a.sin_addr) == 1);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    assert(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 16) == 0 &&
           getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    *out_port = ntohs(a.sin_port);
    return fd;
}

static inline void peer_start(struct peer *p, void (*script)(struct peer *, int),
                              void *arg)
{
    p->script = script;
    p->arg = arg;
    p->fd = peer_listen("127.0.0.1", 0, &p->port);
    (void)sem_init(&p->served, 0, 0);
    assert(pthread_create(&p->thread, NULL, peer_thread, p) == 0);
}

static inline void peer_start_path(struct peer *p, void (*script)(struct peer *, int),
                                   void *arg, const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    strncpy(a.sun_path, path, sizeof a.sun_path - 1);
    p->script = script;
    p->arg = arg;
    p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert(bind(p->fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(p->fd, 16) == 0);
    (void)sem_init(&p->served, 0, 0);
    assert(pthread_create(&p->thread, NULL, peer_thread, p) == 0);
}

static inline void peer_stop(struct peer *p)
{
    (void)shutdown(p->fd, SHUT_RDWR); /* wakes accept */
    (void)pthread_join(p->thread, NULL);
    (void)close(p->fd);
}

/* Waits until the script has run to its end on one connection. */
static inline void peer_served(struct peer *p)
{
    while (sem_wait(&p->served) != 0)
        ;
}

/* A port that nobody listens on. */
static inline int peer_dead_port(void)
{
    int port;

    (void)close(peer_listen("127.0.0.1", 0, &port));
    return port;
}

static inline void peer_say(int fd, const char *text)
{
    (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* Closes with a reset instead of an orderly end. */
static inline void peer_reset_on_close(int fd)
{
    struct linger now = {.l_onoff = 1};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/* Reads until the client ends the connection. */
static inline void peer_wait_end(int fd)
{
    char sink[4096];

    while (recv(fd, sink, sizeof sink, 0) > 0)
        ;
}

#endif
