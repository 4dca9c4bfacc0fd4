/* smtp_session: one connection's conversation with the mail server, mail after mail.
 *
 * Not here: which mail goes over which connection (smtp.c). */
#ifndef STOPGAP_SMTP_SESSION_H
#define STOPGAP_SMTP_SESSION_H

#include <stdbool.h>

#include "smtp.h"

struct smtp_session;

/* All from the loop; the owner may close the session inside any of them. */
struct smtp_session_events {
    /* It can take a mail: set up, or cleared up after a refusal. Not after on_done:
     * there smtp_session_is_free tells. */
    void (*on_free)(void *arg);
    /* See smtp_events. */
    void (*on_ready)(void *arg);
    /* Its mail ended, the connection lives. */
    void (*on_done)(void *arg, const struct smtp_result *result);
    /* The connection is over, and with it the mail it had: result is the mail's. With
     * no mail in it, result.err says why the connection ended. Nothing follows; the
     * owner closes it. */
    void (*on_end)(void *arg, const struct smtp_result *result);
};

/* Connects, greets, STARTTLS, AUTH as the settings say. options and what they point to
 * are borrowed for the session's life. Never NULL. Pair: smtp_session_close. */
struct smtp_session *smtp_session_open(const struct smtp_options *options,
                                       const struct smtp_session_events *events,
                                       void *arg);

bool smtp_session_is_free(const struct smtp_session *s);

/* Of a free session: whether it is encrypted, when the first certificate of the
 * server's chain ends (0: not known), and the size of a mail that it takes (0: it did
 * not say). */
struct smtp_session_facts {
    bool tls, pipelining;
    int64_t tls_ends_ms, size_max;
};
void smtp_session_facts(const struct smtp_session *s, struct smtp_session_facts *out);

/* Mails that ended while the connection lived. */
unsigned int smtp_session_served(const struct smtp_session *s);

/* Starts a mail (borrowed until it ended) in a free session; released: see
 * smtp_release. -1 if this server will not take it, said before anything is sent; the
 * session stays free. */
int smtp_session_take(struct smtp_session *s, const struct smtp_mail *mail,
                      bool released, struct err *e) MUST_CHECK;

void smtp_session_release(struct smtp_session *s);

/* Breaks the mail off: the connection is cut, *result says whether the final dot may
 * have left. No callback runs. The owner closes it. */
void smtp_session_break(struct smtp_session *s, struct smtp_result *result);

/* At once; QUIT is sent if it was free, its answer not awaited. NULL is fine. */
void smtp_session_close(struct smtp_session *s);

#endif
