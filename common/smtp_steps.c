/* smtp_steps: the conversation, one row a step (RFC 5321, 2920, 3207, 4954). Not here:
 * bytes (smtp_proto.c), the connection (smtp_session.c), classes (verdict.c). */
#include "smtp_steps.h"

#include <stddef.h>
#include <string.h>

#include "crash.h"
#include "secret.h"
#include "settings.h"

#define AUTH_LINE_MAX 512 /* RFC 4954 section 4, with "AUTH PLAIN " and CRLF */

/* Nothing was asked, or the answer makes no sense here: this connection is done. */
static void refuse(struct smtp_session *s, int code)
{
    struct err e = {0};

    smtp_session_verdict(s, code, &e);
    smtp_session_over(s, &e, NULL);
}

/* The server is not as the settings want it: an operator must act, jobs wait. */
static void unfit(struct smtp_session *s, enum smtp_stage stage, const char *why)
{
    (void)err_set(&s->refusal, ERR_AUTH, 0, "mail server at %s: %s",
                  smtp_stage_name(stage), why);
    s->refused_at = stage;
    smtp_session_over(s, &s->refusal, NULL);
}

/* --- setting up ---------------------------------------------------------------------
 */

static void on_greeting(struct smtp_session *s, int code)
{
    if (code / 100 == 2)
        smtp_session_go(s, SMTP_HELLO);
    else
        refuse(s, code);
}

static void say_hello(struct smtp_session *s)
{
    struct buf *out = smtp_session_command(s);

    buf_adds(out, "EHLO ");
    buf_adds(out, s->options->settings->smtp_ehlo);
    buf_adds(out, "\r\n");
    smtp_session_say(s);
}

static enum smtp_state plain_step(const struct settings *set)
{
    size_t message = strlen(set->smtp_user) + set->smtp_password.len + 2;
    size_t line = strlen("AUTH PLAIN \r\n") + (message + 2) / 3 * 4;

    return line > AUTH_LINE_MAX ? SMTP_PLAIN_LONG : SMTP_PLAIN;
}

static void log_in(struct smtp_session *s)
{
    const struct settings *set = s->options->settings;

    if (!set->smtp_user)
        smtp_session_go(s, SMTP_FREE);
    else if (!stream_is_tls(s->stream) && !settings_is_loopback(set->smtp.host))
        unfit(s, SMTP_AUTH, "the password is not sent to another host without TLS");
    else if (!s->offer.auth)
        unfit(s, SMTP_AUTH, "a user is set, but the server offers no AUTH");
    else if (s->offer.auth_plain)
        smtp_session_go(s, plain_step(set));
    else if (s->offer.auth_login)
        smtp_session_go(s, SMTP_LOGIN);
    else
        unfit(s, SMTP_AUTH, "the server offers neither AUTH PLAIN nor AUTH LOGIN");
}

static void on_hello(struct smtp_session *s, int code)
{
    if (code / 100 != 2) {
        refuse(s, code);
        return;
    }
    smtp_proto_offer(s->reader.text.data, &s->offer);
    if (stream_is_tls(s->stream) || s->options->settings->smtp_tls == SMTP_TLS_OFF)
        log_in(s);
    else if (s->offer.starttls)
        smtp_session_go(s, SMTP_TLS);
    else
        unfit(s, SMTP_STARTTLS, "TLS is required, but the server does not offer it");
}

static void ask_tls(struct smtp_session *s)
{
    smtp_session_say_text(s, "STARTTLS\r\n");
}

static void on_tls(struct smtp_session *s, int code)
{
    const struct smtp_options *o = s->options;

    if (code / 100 != 2) {
        refuse(s, code);
        return;
    }
    s->unread = 0; /* what else came in the clear never came (RFC 3207 section 4.2) */
    smtp_proto_restart(&s->reader);
    stream_start_tls(s->stream, o->tls, o->settings->smtp.host);
    stream_deadline(s->stream, o->timeouts.command, "TLS handshake");
}

/* The command up to the base64 of a PLAIN message. */
static void say_plain(struct smtp_session *s, const char *command)
{
    const struct settings *set = s->options->settings;
    struct buf *out = smtp_session_command(s);

    buf_adds(out, command);
    smtp_proto_auth_plain(out, set->smtp_user, set->smtp_password.data,
                          set->smtp_password.len);
    smtp_session_say_secret(s);
}

static void say_plain_line(struct smtp_session *s)
{
    say_plain(s, "AUTH PLAIN ");
}

static void ask_plain(struct smtp_session *s)
{
    smtp_session_say_text(s, "AUTH PLAIN\r\n");
}

static void say_plain_message(struct smtp_session *s)
{
    say_plain(s, "");
}

static void ask_login(struct smtp_session *s)
{
    smtp_session_say_text(s, "AUTH LOGIN\r\n");
}

static void say_base64(struct smtp_session *s, const char *bytes, size_t len)
{
    buf_add_base64(smtp_session_command(s), bytes, len);
    smtp_session_say_secret(s);
}

static void say_user(struct smtp_session *s)
{
    const char *user = s->options->settings->smtp_user;

    say_base64(s, user, strlen(user));
}

static void say_password(struct smtp_session *s)
{
    const struct secret *password = &s->options->settings->smtp_password;

    say_base64(s, password->data ? password->data : "", password->len);
}

/* In whichever form we have sent it. */
static bool repeats_password(struct smtp_session *s)
{
    const struct settings *set = s->options->settings;
    const struct secret *password = &set->smtp_password;
    const struct buf *text = &s->reader.text;
    struct buf *forms = smtp_session_command(s);
    size_t plain, base64;
    bool yes;

    buf_add(forms, password->data, password->len);
    plain = forms->len;
    buf_add_base64(forms, password->data, password->len);
    base64 = forms->len;
    smtp_proto_auth_plain(forms, set->smtp_user, password->data, password->len);
    yes = memmem(text->data, text->len, forms->data, plain) ||
          memmem(text->data, text->len, forms->data + plain, base64 - plain) ||
          memmem(text->data, text->len, forms->data + base64, forms->len - base64);
    secret_wipe(forms->data, forms->len);
    return yes;
}

/* Servers that say the line again that they did not like are not rare; the words go to
 * logs and issues. */
void smtp_steps_hide_login(struct smtp_session *s)
{
    if (smtp_steps[s->state].stage != SMTP_AUTH || !repeats_password(s))
        return;
    secret_wipe(s->reader.text.data, s->reader.text.len);
    buf_reset(&s->reader.text);
    buf_adds(&s->reader.text, "(words that repeat the password)");
}

static void on_challenge(struct smtp_session *s, int code)
{
    static const enum smtp_state next[] = {
        [SMTP_PLAIN_LONG] = SMTP_PLAIN_MESSAGE,
        [SMTP_LOGIN] = SMTP_LOGIN_USER,
        [SMTP_LOGIN_USER] = SMTP_LOGIN_PASSWORD,
    };

    if (code == 334)
        smtp_session_go(s, next[s->state]);
    else
        refuse(s, code);
}

static void on_logged_in(struct smtp_session *s, int code)
{
    if (code / 100 == 2)
        smtp_session_go(s, SMTP_FREE);
    else
        refuse(s, code);
}

/* --- one mail -----------------------------------------------------------------------
 */

static void on_idle(uv_timer_t *t)
{
    struct smtp_session *s = t->data;

    stream_write(s->stream, "QUIT\r\n",
                 6); /* closing hands it over; no answer wanted */
    smtp_session_over(s, NULL, "not used any more");
}

static void be_free(struct smtp_session *s)
{
    (void)uv_timer_start(&s->clock, on_idle, (uint64_t)s->options->timeouts.idle, 0);
    if (!s->served)
        s->events.on_free(s->arg);
}

static void say_sender(struct smtp_session *s)
{
    struct buf *out = smtp_session_command(s);

    CRASH_POINT("smtp.before");
    smtp_proto_mail(out, &s->offer, s->mail, s->size, s->eightbit);
    if (s->offer.pipelining) {
        smtp_proto_rcpt(out, &s->offer, s->mail);
        buf_adds(out, "DATA\r\n");
    }
    smtp_session_say(s);
    CRASH_SENT(s->stream, "smtp.sent");
}

static void say_recipient(struct smtp_session *s)
{
    if (s->offer.pipelining)
        return;
    smtp_proto_rcpt(smtp_session_command(s), &s->offer, s->mail);
    smtp_session_say(s);
}

static void ask_data(struct smtp_session *s)
{
    if (!s->offer.pipelining)
        smtp_session_say_text(s, "DATA\r\n");
}

/* The first refusal is the mail's; the answers to the rest of a pipelined group have to
 * be read all the same. */
static void refuse_mail(struct smtp_session *s, int code, enum smtp_state next)
{
    if (s->refusal.class == ERR_NONE) {
        s->refused_at = smtp_session_stage(s);
        smtp_session_verdict(s, code, &s->refusal);
    }
    if (code == 421)
        smtp_session_over(s, &s->refusal, NULL);
    else if (s->offer.pipelining && next != SMTP_CLEAR_UP)
        smtp_session_go(s, next);
    else
        smtp_session_finish(s, &s->refusal, s->refused_at, SMTP_CLEAR_UP);
}

static void on_sender(struct smtp_session *s, int code)
{
    if (code / 100 == 2)
        smtp_session_go(s, SMTP_RECIPIENT);
    else
        refuse_mail(s, code, SMTP_RECIPIENT);
}

static void on_recipient(struct smtp_session *s, int code)
{
    if (code / 100 == 2)
        smtp_session_go(s, SMTP_ASK_DATA);
    else
        refuse_mail(s, code, SMTP_ASK_DATA);
}

static void on_data_answer(struct smtp_session *s, int code)
{
    bool refused = s->refusal.class != ERR_NONE;

    if (code == 354 && refused) /* RFC 2920 section 3.1 */
        smtp_session_finish(s, &s->refusal, s->refused_at, SMTP_LONE_DOT);
    else if (code == 354)
        smtp_session_go(s, SMTP_READY);
    else if (code >= 400)
        refuse_mail(s, code, SMTP_CLEAR_UP);
    else
        refuse(s, code);
}

static void be_ready(struct smtp_session *s)
{
    CRASH_POINT("smtp.ready");
    s->events.on_ready(s->arg);
    if (s->state == SMTP_READY && s->released)
        smtp_session_go(s, SMTP_CONTENT);
}

static void on_unasked(struct smtp_session *s, int code)
{
    if (code >= 400)
        refuse(s, code);
    else
        smtp_session_over(s, NULL, "it answered before it was asked");
}

static void on_taken(struct smtp_session *s, int code)
{
    CRASH_POINT("smtp.answered");
    if (!smtp_session_dot_out(s))
        on_unasked(s, code);
    else if (code / 100 == 2)
        smtp_session_finish(s, NULL, SMTP_DOT, SMTP_FREE);
    else if (code < 400) /* neither yes nor no */
        smtp_session_over(s, NULL, s->last.text);
    else if (code == 421)
        refuse(s, code);
    else
        refuse_mail(s, code, SMTP_CLEAR_UP);
}

static void say_lone_dot(struct smtp_session *s)
{
    smtp_session_say_text(s, ".\r\n");
}

static void on_lone_dot(struct smtp_session *s, int code)
{
    if (code == 421)
        refuse(s, code);
    else
        smtp_session_go(s, SMTP_CLEAR_UP);
}

static void clear_up(struct smtp_session *s)
{
    smtp_session_say_text(s, "RSET\r\n");
}

static void on_cleared(struct smtp_session *s, int code)
{
    if (code / 100 != 2) {
        refuse(s, code);
        return;
    }
    smtp_session_go(s, SMTP_FREE);
    s->events.on_free(s->arg);
}

#define TIMEOUT(name) offsetof(struct smtp_timeouts, name)

const struct smtp_step smtp_steps[] = {
    [SMTP_OPENING] = {SMTP_CONNECT, 0, NULL, refuse}, /* the stream keeps the time */
    [SMTP_GREETED] = {SMTP_GREETING, TIMEOUT(command), NULL, on_greeting},
    [SMTP_HELLO] = {SMTP_EHLO, TIMEOUT(command), say_hello, on_hello},
    [SMTP_TLS] = {SMTP_STARTTLS, TIMEOUT(command), ask_tls, on_tls},
    [SMTP_PLAIN] = {SMTP_AUTH, TIMEOUT(command), say_plain_line, on_logged_in},
    [SMTP_PLAIN_LONG] = {SMTP_AUTH, TIMEOUT(command), ask_plain, on_challenge},
    [SMTP_PLAIN_MESSAGE] = {SMTP_AUTH, TIMEOUT(command), say_plain_message,
                            on_logged_in},
    [SMTP_LOGIN] = {SMTP_AUTH, TIMEOUT(command), ask_login, on_challenge},
    [SMTP_LOGIN_USER] = {SMTP_AUTH, TIMEOUT(command), say_user, on_challenge},
    [SMTP_LOGIN_PASSWORD] = {SMTP_AUTH, TIMEOUT(command), say_password, on_logged_in},
    [SMTP_FREE] = {SMTP_MAIL, 0, be_free, on_unasked},
    [SMTP_SENDER] = {SMTP_MAIL, TIMEOUT(command), say_sender, on_sender},
    [SMTP_RECIPIENT] = {SMTP_RCPT, TIMEOUT(command), say_recipient, on_recipient},
    [SMTP_ASK_DATA] = {SMTP_DATA, TIMEOUT(data), ask_data, on_data_answer},
    [SMTP_READY] = {SMTP_BODY, 0, be_ready, on_unasked},
    [SMTP_CONTENT] = {SMTP_DOT, TIMEOUT(dot), smtp_session_say_content, on_taken},
    [SMTP_LONE_DOT] = {SMTP_MAIL, TIMEOUT(command), say_lone_dot, on_lone_dot},
    [SMTP_CLEAR_UP] = {SMTP_MAIL, TIMEOUT(command), clear_up, on_cleared},
    [SMTP_OVER] = {SMTP_CONNECT, 0, NULL, NULL},
};
