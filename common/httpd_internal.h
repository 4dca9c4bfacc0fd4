/* httpd_internal: what httpd.c (listener, deadlines, ends), httpd_conn.c (one
 * connection), httpd_room.c (whose the places are) and httpd_answer.c (the bytes of an
 * answer) share. Nobody else's. */
#ifndef STOPGAP_HTTPD_INTERNAL_H
#define STOPGAP_HTTPD_INTERNAL_H

#include <uv.h>

#include "buf.h"
#include "httpd.h"
#include "httpd_reader.h"
#include "network.h"
#include "when.h"

#define HTTPD_TURNED_AWAY_MAX 64 /* that are told so and read for a while */

/* Connections by how long they have waited; see httpd_room.c. */
struct httpd_line {
    struct httpd_call *first, *last;
};

struct httpd {
    struct httpd_options o; /* its strings are not kept */
    struct network_list trusted;
    uv_poll_t listener;
    int fd; /* -1 once it listens no more */
    int port;
    bool paused;     /* the listener, until the next sweep: accept failed */
    bool pause_told; /* in the log; until an accept succeeds */
    uv_timer_t sweep;
    struct httpd_call *conns;
    size_t count;       /* of them */
    size_t turned_away; /* of them, that have no place */
    struct httpd_line idle, heads;
    bool full_told; /* in the log; until half of the places are free */
    size_t refs;    /* both handles, and conns: the memory goes with the last */
    bool draining;
    bool freed; /* by the owner: no callback any more */
    void (*on_idle)(void *arg);
    struct buf out; /* the answer that is being made */
    int64_t date_s; /* of date */
    char date[WHEN_TEXT_MAX];
};

enum httpd_state {
    HTTPD_IDLE, /* no byte of a request yet */
    HTTPD_HEAD,
    HTTPD_BODY,
    HTTPD_CALL,   /* the owner has it */
    HTTPD_ANSWER, /* is on its way to the client */
    HTTPD_LINGER, /* all is said; lets the client read it */
    HTTPD_CLOSED, /* the handle closes, or has */
};

/* A connection; it has at most one request that waits for its answer, so it is the
 * owner's call, too. */
struct httpd_call {
    struct httpd *h;
    struct httpd_call *prev, *next_conn;
    struct httpd_line *line; /* in which it waits for a head, or NULL */
    struct httpd_call *ahead, *behind;
    uint64_t waits_since;
    uv_tcp_t tcp;
    enum httpd_state state;
    bool called;      /* the owner still has to answer */
    bool gone;        /* the handle has closed */
    bool running;     /* inside httpd_conn_advance */
    bool stopped;     /* reading is */
    bool eof;         /* the client sends no more */
    bool keep;        /* the connection, after this answer */
    bool turned_away; /* at accept, or later for another's sake */
    bool trusted;
    bool late;         /* due has passed; one more poll before it counts */
    uint64_t due;      /* in the loop's time */
    uint64_t whole_by; /* the request under way */
    size_t writes;     /* that libuv has yet to finish */
    size_t drained;    /* bytes thrown away while LINGER */
    struct network_addr addr;
    char peer[NETWORK_TEXT_MAX];
    char client[NETWORK_TEXT_MAX]; /* as peer, or what a trusted proxy says */
    struct buf in;                 /* the request under way; what the call points to */
    struct buf next;               /* what came after it */
    struct httpd_scan scan;
    struct httpd_head head;
    struct httpd_field fields[HTTPD_FIELDS_MAX];
    struct httpd_request request;
};

/* Takes the socket over. why not NULL: it is answered with status and closed. */
void httpd_conn_open(struct httpd *h, int fd, const struct network_addr *addr,
                     bool trusted, int status, const char *why);

/* Its deadline has passed. */
void httpd_conn_expire(struct httpd_call *c);

/* Closes the handle; safe in any state. */
void httpd_conn_hang_up(struct httpd_call *c);

/* The address that the proxies before us say, into c->client. */
void httpd_conn_find_client(struct httpd_call *c);

/* The only way to another state. */
void httpd_room_turn(struct httpd_call *c, enum httpd_state state);

/* Places that an address has. */
size_t httpd_room_held(const struct httpd *h, const struct network_addr *addr);

/* Is there a place for one more, if need be another's? The owner may end the server
 * inside. */
bool httpd_room_make(struct httpd *h, const struct network_addr *newcomer);

/* A connection's memory went. */
void httpd_conn_gone(struct httpd *h);

/* httpd_conn.c, for httpd_answer.c: the answer has left; */
void httpd_conn_answered(struct httpd_call *c);

/* the deadline, in the loop's time; */
void httpd_conn_due(struct httpd_call *c, uint64_t due);
uint64_t httpd_conn_after(const struct httpd_call *c, int64_t ms);

/* frees it once the handle is closed and the owner has answered. */
void httpd_conn_release(struct httpd_call *c);

/* Answers without the owner; the connection ends with it. */
void httpd_answer_refuse(struct httpd_call *c, int status, const char *why);

/* Offers bytes to the kernel; libuv gets a copy of what that leaves. libuv's code. */
int httpd_answer_bytes(struct httpd_call *c, const char *bytes, size_t len);

#endif
