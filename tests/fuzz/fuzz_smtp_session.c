/* One SMTP session against a hostile server, without a socket: the stream under it is
 * this file's, and so is what happens when. First byte: the settings, second: how the
 * server's bytes are cut; the rest is what the server says, with 0xFF and a letter for
 * what happens besides:
 *   T the TLS handshake completes     E the connection ends      D all is written
 *   K from here on nothing is         R the mail is released     B it is broken off
 *   I the idle time is over           C the owner closes
 * Whatever comes: no password and no content where it must not go, each mail ends once,
 * and a mail that may be out is never called safe to send again. */
#include <uv.h>

#include "fuzz_input.h"
#include "fuzz_text.h"
#include "secret.h"
#include "smtp_proto.h"
#include "smtp_session.h"
#include "stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define PASSWORD "sesame, open"
#define PASSWORD_64 "c2VzYW1lLCBvcGVu"
#define PLAIN_64 "AHRoaWVmAHNlc2FtZSwgb3Blbg=="
#define MAILS 3

enum {
    REQUIRE_TLS = 1,
    USER = 2,
    LONG = 4,
    LOCAL = 8,
    IMPLICIT = 16,
    LATE = 32,
    EIGHT = 64
};

struct stream {
    const struct stream_events *events;
    void *arg;
    bool open, tls, shaking, closed, stuck;
    size_t backlog;
};

static struct world {
    struct stream stream;
    struct smtp_session *session;
    struct settings settings;
    uv_loop_t loop;
    unsigned config;
    unsigned mails;  /* taken by the session */
    unsigned ended;  /* of them */
    bool released;   /* the one under way */
    bool content;    /* of it was handed over */
    bool over;       /* on_end ran */
    bool told;       /* the password has left */
    struct buf said; /* by the server before that */
    struct buf wire; /* the content as it has to leave */
} w;

static struct secret long_password, short_password;
static char big[600];

/* In any form in which it leaves. */
static bool holds_password(const char *bytes, size_t len)
{
    static const char *const forms[] = {PASSWORD, PASSWORD_64, PLAIN_64};

    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        if (memmem(bytes, len, forms[i], strlen(forms[i])))
            return true;
    return false;
}

/* ---- the stream ---- */

static void check_clear(const char *bytes, size_t len)
{
    if (!(w.config & LOCAL)) {
        PROMISE(!holds_password(bytes, len));
        PROMISE(len < 5 || memcmp(bytes, "AUTH ", 5) != 0);
    }
    if (w.config & REQUIRE_TLS)
        PROMISE(!memcmp(bytes, "EHLO ", 5) || !memcmp(bytes, "STARTTLS\r\n", 10));
}

static void check_written(const char *bytes, size_t len)
{
    PROMISE(len >= 2 && !memcmp(bytes + len - 2, "\r\n", 2));
    if (!w.stream.tls)
        check_clear(bytes, len);
    w.told = w.told || holds_password(bytes, len);
    if (w.wire.len && len == w.wire.len && !memcmp(bytes, w.wire.data, len)) {
        PROMISE(w.released && w.mails > w.ended && !w.content);
        w.content = true;
        return;
    }
    for (size_t i = 0; i < len; i++)
        PROMISE((bytes[i] >= ' ' && bytes[i] < 0x7F) || bytes[i] == '\n' ||
                (bytes[i] == '\r' && bytes[i + 1] == '\n'));
}

struct stream *stream_open(struct uv_loop_s *loop, const struct stream_target *target,
                           const struct stream_events *events, void *arg)
{
    (void)loop;
    PROMISE(!!target->tls == !!(w.config & IMPLICIT));
    w.stream = (struct stream){.events = events, .arg = arg};
    w.stream.tls = target->tls != NULL;
    return &w.stream;
}

void stream_write(struct stream *s, const void *bytes, size_t len)
{
    PROMISE(s == &w.stream && !s->closed);
    if (!s->open || s->shaking) {
        PROMISE(!s->shaking);
        return;
    }
    check_written(bytes, len);
    s->backlog = s->stuck ? s->backlog + len : 0;
}

void stream_give(struct stream *s, struct buf *bytes)
{
    stream_write(s, bytes->data, bytes->len);
    buf_reset(bytes);
}

size_t stream_backlog(const struct stream *s)
{
    PROMISE(s == &w.stream);
    return s->backlog;
}

void stream_start_tls(struct stream *s, struct tls *tls, const char *host)
{
    PROMISE(tls && host && !s->tls && !s->shaking && !s->closed);
    s->shaking = true;
}

void stream_deadline(struct stream *s, int64_t ms, const char *what)
{
    PROMISE(s == &w.stream && !s->closed && ms >= 0 && what);
}

bool stream_is_tls(const struct stream *s)
{
    return s->tls;
}

int64_t stream_tls_ends_ms(const struct stream *s)
{
    return s->tls ? 1 : 0;
}

void stream_close(struct stream *s)
{
    if (s)
        s->closed = true;
}

/* ---- the owner ---- */

static void check_result(const struct smtp_result *r)
{
    bool taken = r->err.class == ERR_NONE;

    PROMISE(text_line(r->reply) && text_line(r->err.text));
    if (taken)
        PROMISE(w.content && r->dot_sent && r->stage == SMTP_DOT && r->reply[0] == '2');
    else
        PROMISE(r->err.text[0]);
    if (r->err.class == ERR_AMBIGUOUS)
        PROMISE(r->dot_sent && w.content);
    if (w.content && !w.stream.backlog)
        PROMISE(r->dot_sent);
    /* A server that knew it before may have said it anywhere. */
    if (w.told && r->stage == SMTP_AUTH && !holds_password(w.said.data, w.said.len))
        PROMISE(!holds_password(r->reply, strlen(r->reply)) &&
                !holds_password(r->err.text, strlen(r->err.text)));
}

static void end_mail(void)
{
    PROMISE(w.ended < w.mails);
    w.ended++;
    w.content = false;
}

static void take(void)
{
    static const struct smtp_mail plain = {.from = "bounce@example.org",
                                           .to = "jane@example.com",
                                           .envid = "job+1",
                                           .data = "Subject: x\r\n\r\n.dot\r\nend\r\n",
                                           .len = 25};
    struct smtp_mail mail = plain;
    struct err e = {.class = ERR_NONE};
    static struct smtp_mail taken;

    if (w.mails == MAILS)
        return;
    if (w.config & EIGHT) {
        mail.data = "Subject: x\r\n\r\n\xC3\xBC\r\n";
        mail.len = strlen(mail.data);
    }
    buf_reset(&w.wire);
    (void)smtp_proto_stuff(&w.wire, mail.data, mail.len);
    taken = mail;
    w.mails++;
    w.released = !(w.config & LATE);
    w.content = false;
    if (smtp_session_take(w.session, &taken, w.released, &e) < 0) {
        PROMISE(e.class == ERR_PERMANENT && text_line(e.text) && e.text[0]);
        PROMISE(smtp_session_is_free(w.session));
        w.mails = MAILS;
        w.ended = MAILS;
    }
}

static void on_free(void *arg)
{
    struct smtp_session_facts facts;

    (void)arg;
    PROMISE(!w.over && w.ended == w.mails);
    smtp_session_facts(w.session, &facts);
    PROMISE(facts.tls == w.stream.tls && facts.size_max >= 0);
    PROMISE(facts.tls || !(w.config & REQUIRE_TLS));
    if (smtp_session_is_free(w.session))
        take();
}

static void on_ready(void *arg)
{
    (void)arg;
    PROMISE(!w.over && w.mails == w.ended + 1 && !w.content);
}

static void on_done(void *arg, const struct smtp_result *r)
{
    (void)arg;
    PROMISE(!w.over);
    check_result(r);
    end_mail();
    if (smtp_session_is_free(w.session))
        take();
}

static void close_session(void)
{
    struct smtp_session *s = w.session;

    w.session = NULL;
    smtp_session_close(s);
}

static void on_end(void *arg, const struct smtp_result *r)
{
    (void)arg;
    PROMISE(!w.over && w.stream.closed);
    w.over = true;
    check_result(r);
    PROMISE(r->err.class != ERR_NONE);
    if (w.ended < w.mails)
        end_mail();
    close_session();
}

/* ---- what happens ---- */

static void end_connection(void)
{
    struct err e;

    (void)err_set(&e, ERR_TRANSIENT, 0, "closed by the peer");
    w.stream.events->on_end(w.stream.arg, &e);
}

static void release(void)
{
    if (w.mails > w.ended) {
        w.released = true;
        smtp_session_release(w.session);
    }
}

static void break_off(void)
{
    struct smtp_result r;

    if (w.mails == w.ended)
        return;
    smtp_session_break(w.session, &r);
    PROMISE(r.err.class == (r.dot_sent ? ERR_AMBIGUOUS : ERR_CANCELLED));
    PROMISE(r.dot_sent == (w.content && !w.stream.backlog));
    end_mail();
    close_session();
}

static void shake(void)
{
    if (!w.stream.shaking)
        return;
    w.stream.shaking = false;
    w.stream.tls = true;
    w.stream.events->on_open(w.stream.arg);
}

static void happen(uint8_t what)
{
    if (what == 'T')
        shake();
    else if (what == 'E')
        end_connection();
    else if (what == 'R')
        release();
    else if (what == 'B')
        break_off();
    else if (what == 'C')
        close_session();
    else if (what == 'I')
        (void)uv_run(&w.loop, UV_RUN_NOWAIT);
    else if (what == 'D')
        w.stream.backlog = 0;
    w.stream.stuck = w.stream.stuck ? what != 'D' : what == 'K';
}

/* From memory of the size that is there. In the clear nothing arrives any more once
 * TLS was begun: that is the stream's promise. */
static void say(const uint8_t *bytes, size_t len, size_t step)
{
    if (!w.told)
        buf_add(&w.said, bytes, len);
    for (size_t at = 0; at < len && w.session && !w.stream.shaking; at += step) {
        size_t n = len - at < step ? len - at : step;
        char *copy = malloc(n);

        PROMISE(copy);
        memcpy(copy, bytes + at, n);
        w.stream.events->on_data(w.stream.arg, copy, n);
        free(copy);
    }
}

static void set_up(unsigned config)
{
    static char local[] = "127.0.0.1", remote[] = "mail.example.org";
    static char ehlo[] = "stopgap.example.org", user[] = "thief";
    bool tls = config & IMPLICIT;

    w.config = config;
    w.settings = (struct settings){
        .smtp = {tls, config & LOCAL ? local : remote, 25},
        .smtp_tls = config & REQUIRE_TLS ? SMTP_TLS_REQUIRED : SMTP_TLS_OFF,
        .smtp_ehlo = ehlo,
        .smtp_user = config & USER ? user : NULL,
        .smtp_password = config & LONG ? long_password : short_password,
    };
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    memset(big, 'p', sizeof big);
    secret_set(&long_password, big, sizeof big);
    secret_set(&short_password, PASSWORD, strlen(PASSWORD));
    return uv_loop_init(&w.loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct smtp_session_events events = {on_free, on_ready, on_done,
                                                      on_end};
    const uint8_t *end = data + size;
    static char tls;

    if (size < 2)
        return 0;
    set_up(data[0]);
    w.mails = w.ended = 0;
    w.released = w.content = w.over = w.told = false;
    buf_init(&w.said, 1 << 20);
    buf_init(&w.wire, 4096);
    const struct smtp_options options = {.loop = &w.loop,
                                         .settings = &w.settings,
                                         .tls = (struct tls *)(void *)&tls,
                                         .timeouts = {1, 1, 1, 0, 1, 0}};

    w.session = smtp_session_open(&options, &events, NULL);
    w.stream.open = true;
    w.stream.events->on_open(w.stream.arg);
    for (const uint8_t *p = data + 2; p < end && w.session;) {
        const uint8_t *stop = memchr(p, 0xFF, (size_t)(end - p));
        size_t len = (size_t)((stop ? stop : end) - p);

        say(p, len, (size_t)data[1] % 61 + 1);
        p += len;
        if (p + 1 < end && w.session)
            happen(p[1]);
        p += stop ? 2 : 0;
    }
    if (w.session)
        close_session();
    (void)uv_run(&w.loop, UV_RUN_DEFAULT);
    buf_done(&w.said);
    buf_done(&w.wire);
    return 0;
}
