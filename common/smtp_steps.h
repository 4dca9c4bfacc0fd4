/* smtp_steps: what smtp_session.c and smtp_steps.c share, and nobody else: the session
 * itself, the table of its steps, and the few doors through which a step acts. */
#ifndef STOPGAP_SMTP_STEPS_H
#define STOPGAP_SMTP_STEPS_H

#include <uv.h>

#include "smtp_proto.h"
#include "smtp_session.h"
#include "stream.h"

enum smtp_state {
    SMTP_OPENING,
    SMTP_GREETED,
    SMTP_HELLO,
    SMTP_TLS,
    SMTP_PLAIN,
    SMTP_PLAIN_LONG, /* the message does not fit into the command's line */
    SMTP_PLAIN_MESSAGE,
    SMTP_LOGIN,
    SMTP_LOGIN_USER,
    SMTP_LOGIN_PASSWORD,
    SMTP_FREE,
    SMTP_SENDER,
    SMTP_RECIPIENT,
    SMTP_ASK_DATA,
    SMTP_READY, /* 354 is there, smtp_release perhaps not */
    SMTP_CONTENT,
    SMTP_LONE_DOT,
    SMTP_CLEAR_UP,
    SMTP_OVER
};

struct smtp_session {
    const struct smtp_options *options;
    struct smtp_session_events events;
    void *arg;
    struct stream *stream; /* NULL once over */
    uv_timer_t clock;      /* idle, or progress of the content */
    enum smtp_state state;

    struct smtp_reader reader;
    size_t unread; /* bytes of the chunk in work that come after the reply in work */
    bool early;    /* the server answered what was not asked yet */
    struct smtp_offer offer;
    struct err last; /* the last reply, code included, as text */
    struct buf command;
    unsigned int served;

    const struct smtp_mail *mail; /* NULL: none */
    bool released;
    struct buf content; /* as it goes over the wire */
    size_t size;        /* as RFC 1870 counts it */
    bool eightbit;
    bool content_sent;  /* handed to the stream */
    size_t backlog;     /* of it, when last looked */
    struct err refusal; /* of a group's first refused command; the rest is read on */
    enum smtp_stage refused_at;
};

struct smtp_step {
    enum smtp_stage stage;
    size_t timeout;                                  /* offset; 0: no deadline */
    void (*enter)(struct smtp_session *s);           /* says what there is to say */
    void (*reply)(struct smtp_session *s, int code); /* names the next step */
};
extern const struct smtp_step smtp_steps[];

/* The only place that sets the state, but for the end. */
void smtp_session_go(struct smtp_session *s, enum smtp_state next);

/* An emptied buffer for a command. */
struct buf *smtp_session_command(struct smtp_session *s);
void smtp_session_say(struct smtp_session *s);        /* sends it */
void smtp_session_say_secret(struct smtp_session *s); /* ends the line, sends, wipes */
void smtp_session_say_text(struct smtp_session *s, const char *text);

/* Hands the content to the stream. */
void smtp_session_say_content(struct smtp_session *s);

/* True once the final dot may have left. */
bool smtp_session_dot_out(const struct smtp_session *s);

enum smtp_stage smtp_session_stage(const struct smtp_session *s);

/* The reply in work, as an error at this stage. */
void smtp_session_verdict(const struct smtp_session *s, int code, struct err *e);

/* Words that repeat what we logged in with are replaced. */
void smtp_steps_hide_login(struct smtp_session *s);

/* The mail ended (e NULL: taken); the connection goes on with `next`. */
void smtp_session_finish(struct smtp_session *s, const struct err *e,
                         enum smtp_stage stage, enum smtp_state next);

/* The connection is over: for `e`, or with no answer for the reason `why`. */
void smtp_session_over(struct smtp_session *s, const struct err *e, const char *why);

#endif
