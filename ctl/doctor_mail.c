/* doctor_mail: the mail server, up to where a mail would begin; and, when a person asks
 * for it, one mail that says of itself that it is no license. */
#include "doctor.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mail.h"
#include "mem.h"
#include "settings.h"
#include "smtp.h"
#include "smtp_session.h"
#include "template.h"
#include "tls.h"

#define TIMEOUT_MS 10000
#define SIZE_MIN 65536 /* of a mail that must get through */

struct visit {
    struct client *client;
    bool over, free;
    struct smtp_result result;
};

static const struct {
    const char *words; /* in the error; NULL: any */
    enum smtp_stage stage;
    const char *mend;
} mends[] = {
    {"certificate of", SMTP_CONNECT,
     "renew the server's certificate, name the host in STOPGAP_SMTP_URL as the "
     "certificate does, or add its authority to STOPGAP_CA_FILE"},
    {"cannot resolve", SMTP_CONNECT, "mend DNS, or the host in STOPGAP_SMTP_URL"},
    {"TLS with", SMTP_CONNECT,
     "that port may want STARTTLS: smtp:// in STOPGAP_SMTP_URL in place of smtps://, "
     "or "
     "the port of smtps"},
    {NULL, SMTP_CONNECT,
     "is STOPGAP_SMTP_URL right, does the server run, is a firewall between?"},
    {NULL, SMTP_GREETING,
     "is it a mail server, and does it let this host in? smtps:// if it wants TLS from "
     "the first byte"},
    {NULL, SMTP_EHLO, "set STOPGAP_SMTP_EHLO to a name that the server takes"},
    {NULL, SMTP_STARTTLS,
     "let the server offer STARTTLS, or use smtps://; if nobody changed it, ask who "
     "stands between"},
    {NULL, SMTP_AUTH, "mend STOPGAP_SMTP_USER and STOPGAP_SMTP_PASSWORD"},
    {NULL, SMTP_MAIL, "may this user send as STOPGAP_MAIL_BOUNCE_TO?"},
    {NULL, SMTP_RCPT, "is that an address that the server would deliver to?"},
};

static const char *mend_of(const struct smtp_result *r)
{
    for (size_t i = 0; i < ARRAY_LEN(mends); i++)
        if (mends[i].words ? strstr(r->err.text, mends[i].words) != NULL
                           : mends[i].stage == r->stage)
            return mends[i].mend;
    return "read its words; then the server's log";
}

static void fail(struct doctor *d, const char *what, const struct smtp_result *r)
{
    doctor_say(d, what, DOCTOR_FAIL, mend_of(r), "%s", r->err.text);
}

/* ---- as far as a mail's begin ---- */

static void end(struct visit *v, const struct smtp_result *result)
{
    if (result)
        v->result = *result;
    v->over = true;
    client_wake(v->client);
}

static void on_free(void *arg)
{
    ((struct visit *)arg)->free = true;
    end(arg, NULL);
}

/* Also right behind the answer that let us in: then it did not. */
static void on_end(void *arg, const struct smtp_result *result)
{
    ((struct visit *)arg)->free = false;
    end(arg, result);
}

static void say_open(struct doctor *d, const struct smtp_session *session)
{
    const struct settings *s = d->settings;
    struct smtp_session_facts facts;

    smtp_session_facts(session, &facts);
    doctor_say(d, "smtp", DOCTOR_OK, NULL, "%s port %d lets us in%s%s%s", s->smtp.host,
               s->smtp.port, facts.tls ? ", with TLS" : ", without TLS",
               s->smtp_user ? ", as " : "", s->smtp_user ? s->smtp_user : "");
    doctor_judge_end(d, "smtp certificate", facts.tls_ends_ms,
                     "renew it: after that no mail leaves");
    if (facts.size_max && facts.size_max < SIZE_MIN)
        doctor_say(d, "smtp size", DOCTOR_FAIL, "raise the server's limit",
                   "it takes mails of %lld bytes at most", (long long)facts.size_max);
}

static struct smtp_options options_of(const struct doctor *d, struct tls *tls)
{
    return (struct smtp_options){.loop = client_loop(d->client),
                                 .settings = d->settings,
                                 .tls = tls,
                                 .timeouts = smtp_timeouts_within(TIMEOUT_MS)};
}

/* The system's certificates take 100 ms to read. False: it was needed, and said. */
static bool open_tls(struct doctor *d, struct tls **tls)
{
    const struct settings *s = d->settings;
    struct err e;

    *tls = NULL;
    if (!s->smtp.implicit_tls && s->smtp_tls == SMTP_TLS_OFF && !s->ca_file)
        return true;
    *tls = tls_new(s->ca_file, &e);
    if (!*tls)
        doctor_say(d, "ca", DOCTOR_FAIL,
                   "mend STOPGAP_CA_FILE, or install the "
                   "system's certificates (ca-certificates)",
                   "%s", e.text);
    return *tls;
}

static void check_sender(struct doctor *d)
{
    if (!d->settings->mail_from)
        doctor_say(d, "mail", DOCTOR_FAIL, "set STOPGAP_MAIL_FROM",
                   "STOPGAP_MAIL_FROM is not set");
}

void doctor_mail(struct doctor *d)
{
    static const struct smtp_session_events events = {.on_free = on_free,
                                                      .on_end = on_end};
    struct visit v = {.client = d->client};
    struct smtp_options options;
    struct smtp_session *session;
    struct tls *tls;

    check_sender(d);
    if (!open_tls(d, &tls))
        return;
    options = options_of(d, tls);
    session = smtp_session_open(&options, &events, &v);
    client_await(d->client, &v.over);
    if (v.free)
        say_open(d, session);
    else
        fail(d, "smtp", &v.result);
    smtp_session_close(session);
    tls_free(tls);
}

/* ---- the sample ---- */

static void on_sample_done(void *arg, const struct smtp_result *result)
{
    end(arg, result);
}

static void send_sample(struct doctor *d, const char *to, const struct buf *text,
                        struct tls *tls)
{
    static const struct smtp_events events = {.on_done = on_sample_done};
    struct smtp_options options = options_of(d, tls);
    const struct smtp_mail mail = {.from = d->settings->mail_bounce_to,
                                   .to = to,
                                   .envid = "doctor",
                                   .data = text->data,
                                   .len = text->len};
    struct visit v = {.client = d->client};
    struct smtp *smtp = smtp_new(&options);

    smtp_release(smtp_send(smtp, &mail, &events, &v));
    client_await(d->client, &v.over);
    if (v.result.err.class == ERR_NONE)
        doctor_say(
            d, "sample mail", DOCTOR_OK, NULL,
            "the mail server took it for %s: %s; now look whether it arrives, and "
            "not as spam",
            to, v.result.reply);
    else
        fail(d, "sample mail", &v.result);
    smtp_free(smtp);
}

static int build(const struct doctor *d, const char *to, struct buf *out, struct err *e)
{
    struct templates *templates = templates_load(d->settings->template_dir, e);
    int64_t now_ms = doctor_clock_ms();
    const struct mail m = {.job_id = "doctor",
                           .from = d->settings->mail_from,
                           .reply_to = d->settings->mail_reply_to,
                           .to = to,
                           .date_ms = now_ms,
                           .serial = now_ms,
                           .users = 1,
                           .issued_ms = now_ms,
                           .expires_ms = now_ms,
                           .license = "THIS IS A TEST OF THE WAY THAT LICENSES TAKE.\n"
                                      "It is no license, and nothing can be done with "
                                      "it.\n",
                           .license_format = "stopgap",
                           .file_name = "test-no-license.txt",
                           .sample = true};
    int rc = templates ? mail_build(&m, templates, out, e) : -1;

    templates_free(templates);
    return rc;
}

void doctor_sample(struct doctor *d, const char *to)
{
    struct tls *tls = NULL;
    struct buf text;
    struct err e;

    if (!d->settings->mail_from) {
        doctor_say(d, "sample mail", DOCTOR_FAIL, "set STOPGAP_MAIL_FROM",
                   "nothing was sent: STOPGAP_MAIL_FROM is not set");
        return;
    }
    buf_init(&text, MAIL_MAX_BYTES);
    if (build(d, to, &text, &e))
        doctor_say(d, "sample mail", DOCTOR_FAIL,
                   "mend the setting or the template that it names", "%s", e.text);
    else if (open_tls(d, &tls))
        send_sample(d, to, &text, tls);
    buf_done(&text);
    tls_free(tls);
}
