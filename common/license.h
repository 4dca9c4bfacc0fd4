/* license: what is signed, in which format, and how it is read back.
 *
 * The key decides the format: an Ed25519 key in PASERK text makes PASETO v4.public, an
 * RSA key in PEM the license file that GitLab imports. license_key.c holds the table of
 * formats, license_format.h says what one consists of. No socket, no clock. The formats
 * in prose: docs/license.md. */
#ifndef STOPGAP_LICENSE_H
#define STOPGAP_LICENSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "buf.h"
#include "err.h"

#define LICENSE_TEXT_MAX 8192
#define LICENSE_ID_LEN 26
#define LICENSE_KEY_ID_MAX 80

/* Opaque: a signing or a public key with its format. Secret halves live in locked,
 * guarded memory. */
struct license_key;

/* What a license says. */
struct license_claims {
    char id[LICENSE_ID_LEN + 1];
    char issuer[128];
    char email[ADDRESS_MAX + 1];
    int64_t users;
    int64_t ticket_id;
    int64_t issued_ms;  /* of the signing, whole seconds */
    int64_t starts_ms;  /* a little before, for clocks and time zones */
    int64_t expires_ms; /* issued + term; in a format that counts days: 00:00 UTC of its
                           last date, which it does not see any more */
    char plan[16];      /* always "ultimate" */
    bool trial;         /* always true */
    char key_id[LICENSE_KEY_ID_MAX];
};

/* Fills every claim, with times as the key's format has them. term_days: 1 to 10,
 * asserted (settings.h LICENSE_TERM_DAYS_MAX). id: the license id, minted by the
 * caller. now_ms: Redis's clock. */
void license_claims_make(struct license_claims *c, const struct license_key *k,
                         const char *id, const char *issuer, const char *email,
                         int64_t users, int64_t ticket_id, int64_t now_ms,
                         int64_t term_days);

/* Reads a signing key file (secret_read_file rules). passphrase_file may be NULL.
 * ERR_CONFIG names the file, what it is, and what was wanted. The caller frees with
 * license_key_free. */
struct license_key *license_key_load(const char *path, const char *passphrase_file,
                                     struct err *e) MUST_CHECK;

/* Reads a public key file (FILE.pub) or text, of any format. */
struct license_key *license_key_load_public(const char *path, struct err *e) MUST_CHECK;

/* The public half as it stands in FILE.pub, NUL-terminated, into out. */
void license_key_public_text(const struct license_key *k, struct buf *out);

/* "k4.pid...." for Ed25519, "sha256:..." for RSA. */
const char *license_key_id(const struct license_key *k);

/* "stopgap" (PASETO) or "gitlab": chooses texts on how to install. */
const char *license_key_format(const struct license_key *k);

/* Shortest term with which its licenses hold at once wherever the customer is. */
int64_t license_key_least_days(const struct license_key *k);

/* Whether a signature takes milliseconds: too long for the loop. license_sign may run
 * on another thread, with a key that is held meanwhile. */
bool license_key_is_slow(const struct license_key *k);

/* One more owner; each ends with license_key_free. On one thread only. */
struct license_key *license_key_hold(struct license_key *k);
void license_key_free(struct license_key *k);

/* Of a format by its name, as a record keeps it; an unknown one is "stopgap":
 * ".license" or ".gitlab-license"; */
const char *license_file_suffix(const char *format);

/* whether its start and end are dates on the clock of the customer's server. */
bool license_counts_days(const char *format);

/* Signs and reads the result back through the public half; what comes back must equal
 * the claims, or ERR_BUG and nothing is written. text: the armoured license as it goes
 * into the mail, ending in one newline, LF line ends, ASCII. Signing again makes other
 * bytes in some formats, so a license that may be out is kept, not made anew. Sets
 * c->key_id. */
int license_sign(const struct license_key *k, struct license_claims *c,
                 struct buf *text, struct err *e) MUST_CHECK;

/* Checks the signature with the key's public half and reads the claims. Text around
 * the BEGIN/END lines and CRLF are allowed. Does not look at the time. ERR_INVALID
 * tells apart: no license found, other key where the license names its own, bad
 * signature, claims that do not read. */
int license_verify(const struct license_key *k, const char *text, size_t len,
                   struct license_claims *out, struct err *e) MUST_CHECK;

/* Whether `text`, which comes back from a record, is still a license as license_sign
 * made it, and not what somebody wrote over it: nothing but the format's lines, and, by
 * the key that the record names (said->key_id) if that is k, a signature that holds and
 * the record's id, address, users, ticket and end. What another key signed, before a
 * change of keys, is taken if it has the form alone. format: the record's.
 * ERR_PERMANENT with code LICENSE_CHANGED says what is wrong. */
#define LICENSE_CHANGED (-1)
int license_recheck(const struct license_key *k, const char *format, const char *text,
                    const struct license_claims *said, struct err *e) MUST_CHECK;

/* Whether it holds at now_ms: -1 not yet, 0 valid, 1 expired. Of a license that counts
 * days: on a server whose clock is UTC's. */
int license_time_state(const struct license_claims *c, int64_t now_ms);

/* `keygen`: writes FILE (0600) and FILE.pub (0644); type "ed25519" or "rsa". bits: of
 * an RSA key, 0 for the default. Refuses to overwrite either. */
int license_keygen(const char *path, const char *type, int64_t bits,
                   struct err *e) MUST_CHECK;

#endif
