/* http_loop: see http_loop.h. What looks odd here was measured: a timer of 0 ms stays
 * at 0 (1 would cost a millisecond a request), and finished transfers are collected
 * after every action (one that ends by time-out raises no event of its own). No curl
 * function that acts is called from inside a curl callback. */
#include "http_loop.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <uv.h>

#include "crash.h"
#include "mem.h"

#define IDLE_MAX 40L /* more than our callers let run at once */

struct http_loop {
    uv_loop_t *loop;
    CURLM *multi;
    http_loop_fn fn;
    uv_timer_t timer;
    size_t handles; /* of libuv, open or closing: the memory goes with the last one */
    bool closed;
};

struct watch { /* a socket of curl's */
    uv_poll_t poll;
    struct http_loop *l;
    curl_socket_t fd;
    int events; /* of libuv's */
};

static void check(CURLMcode rc)
{
    assert(rc == CURLM_OK);
    (void)rc;
}

/* A callback may close the loop: then the multi handle is gone, l is not yet. */
static void act(struct http_loop *l, curl_socket_t fd, int flags)
{
    CURLMsg *m;
    int n;

    if (l->closed)
        return;
    check(curl_multi_socket_action(l->multi, fd, flags, &n));
    CRASH_LEFT(l);
    while (!l->closed && (m = curl_multi_info_read(l->multi, &n)))
        if (m->msg == CURLMSG_DONE)
            l->fn(m->easy_handle, m->data.result);
}

static void on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_timer(CURLM *multi, long ms, void *arg)
{
    struct http_loop *l = arg;

    (void)multi;
    if (ms < 0)
        (void)uv_timer_stop(&l->timer);
    else
        (void)uv_timer_start(&l->timer, on_timer, (uint64_t)ms, 0);
    return 0;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    int flags = 0;

    if (status < 0) {
        /* An error on the socket, for which libuv stops to watch it. curl is to find it
         * itself: a whole answer may stand before it, and it knows which errors of a
         * kept connection are none of the request's. */
        flags = CURL_CSELECT_IN | CURL_CSELECT_OUT;
        (void)uv_poll_start(&w->poll, w->events, on_poll);
    }
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    act(w->l, w->fd, flags);
}

static void handle_gone(struct http_loop *l)
{
    if (--l->handles == 0)
        free(l);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;

    handle_gone(w->l);
    free(w);
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_gone(handle->data);
}

static struct watch *watch_new(struct http_loop *l, curl_socket_t fd)
{
    struct watch *w = mem_new(1, sizeof *w);
    int rc = uv_poll_init_socket(l->loop, &w->poll, fd);

    assert(rc == 0);
    (void)rc;
    w->l = l;
    w->fd = fd;
    w->poll.data = w;
    l->handles++;
    check(curl_multi_assign(l->multi, fd, w));
    return w;
}

/* Stopped at once, since curl closes the socket right after this; freed once libuv has
 * let go of it. */
static void watch_end(struct watch *w)
{
    (void)uv_poll_stop(&w->poll);
    uv_close((uv_handle_t *)&w->poll, on_watch_closed);
    (void)curl_multi_assign(w->l->multi, w->fd, NULL);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *slot)
{
    struct watch *w = slot;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            watch_end(w);
        return 0;
    }
    if (!w)
        w = watch_new(arg, fd);
    w->events = 0;
    if (what & CURL_POLL_IN)
        w->events |= UV_READABLE;
    if (what & CURL_POLL_OUT)
        w->events |= UV_WRITABLE;
    (void)uv_poll_start(&w->poll, w->events, on_poll);
    return 0;
}

struct http_loop *http_loop_open(struct uv_loop_s *loop, http_loop_fn fn)
{
    struct http_loop *l = mem_new(1, sizeof *l);

    l->loop = loop;
    l->fn = fn;
    l->multi = curl_multi_init();
    assert(l->multi);
    (void)uv_timer_init(loop, &l->timer);
    l->timer.data = l;
    l->handles = 1;
    check(curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket));
    check(curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l));
    check(curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer));
    check(curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l));
    /* By default curl keeps four for each request that runs at that moment: it closes
     * good connections whenever a burst ends, and opens them again for the next. */
    check(curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, IDLE_MAX));
    return l;
}

void http_loop_add(struct http_loop *l, CURL *easy)
{
    check(curl_multi_add_handle(l->multi, easy));
}

void http_loop_remove(struct http_loop *l, CURL *easy)
{
    check(curl_multi_remove_handle(l->multi, easy));
}

void http_loop_close(struct http_loop *l)
{
    l->closed = true;
    (void)curl_multi_cleanup(l->multi);
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}
