/* actor: who is at the keyboard, for a job's story and the audit. All of it is what the
 * environment and the system say on this host: claimed, not proved. */
#ifndef STOPGAP_ACTOR_H
#define STOPGAP_ACTOR_H

/* Of the environment; NULL where there is none. */
struct actor_claims {
    const char *user, *sudo_user, *ssh_connection;
};

/* Owned texts of printable characters; who has no blanks either. */
struct actor {
    char *who;  /* the first that is a name: SUDO_USER, USER, the account */
    char *from; /* "account@host", " login NAME" where the system knows another one who
                   logged in, " ssh ADDRESS" */
};

void actor_init(struct actor *a, const struct actor_claims *claims);
void actor_done(struct actor *a);

#endif
