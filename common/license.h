/* license: what is signed, in which format, and how it is read back.
 *
 * The key decides the format: an Ed25519 key in PASERK text makes PASETO v4.public; an
 * RSA key in PEM is refused for now: it belongs to the GitLab license file format.
 * license_key.c holds the table of formats, license_format.h says what one consists of;
 * one file per format. No socket, no clock. The format in prose: docs/license.md. */
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
    char id[LICENSE_ID_LEN + 1]; /* jti */
    char issuer[128];
    char email[ADDRESS_MAX + 1];
    int64_t users;
    int64_t ticket_id;
    int64_t issued_ms;  /* whole seconds */
    int64_t starts_ms;  /* nbf: five minutes before */
    int64_t expires_ms; /* issued + term */
    char plan[16];      /* always "ultimate" */
    bool trial;         /* always true */
    char key_id[LICENSE_KEY_ID_MAX];
};

/* Fills every claim. term_days: 1 to 10, asserted (settings.h LICENSE_TERM_DAYS_MAX).
 * id: the license id, minted by the caller. now_ms: Redis's clock. */
void license_claims_make(struct license_claims *c, const char *id, const char *issuer,
                         const char *email, int64_t users, int64_t ticket_id,
                         int64_t now_ms, int64_t term_days);

/* Reads a signing key file (secret_read_file rules). passphrase_file may be NULL.
 * ERR_CONFIG names the file, what it is, and what was wanted. The caller frees with
 * license_key_free. */
struct license_key *license_key_load(const char *path, const char *passphrase_file,
                                     struct err *e) MUST_CHECK;

/* Reads a public key file (FILE.pub) or text. */
struct license_key *license_key_load_public(const char *path, struct err *e) MUST_CHECK;

/* The public half as text (PASERK k4.public...), NUL-terminated, into out. */
void license_key_public_text(const struct license_key *k, struct buf *out);

/* "k4.pid...." for Ed25519. */
const char *license_key_id(const struct license_key *k);

/* "stopgap" (PASETO) or "gitlab": chooses texts on how to install. */
const char *license_key_format(const struct license_key *k);

/* ".license" or ".gitlab-license". */
const char *license_file_suffix(const struct license_key *k);

void license_key_free(struct license_key *k);

/* Signs and reads the result back through the public half; what comes back must equal
 * the claims, or ERR_BUG and nothing is written. text: the armoured license as it goes
 * into the mail, ending in one newline, LF line ends, ASCII. Deterministic for equal
 * claims and key. Sets c->key_id. */
int license_sign(const struct license_key *k, struct license_claims *c,
                 struct buf *text, struct err *e) MUST_CHECK;

/* Checks the signature with the key's public half and reads the claims. Text around
 * the BEGIN/END lines and CRLF are allowed. Does not look at the time. ERR_INVALID
 * tells apart: no license found, other key (names both key ids), bad signature, claims
 * that do not read. */
int license_verify(const struct license_key *k, const char *text, size_t len,
                   struct license_claims *out, struct err *e) MUST_CHECK;

/* Whether it holds at now_ms: -1 not yet, 0 valid, 1 expired. */
int license_time_state(const struct license_claims *c, int64_t now_ms);

/* `keygen`: writes FILE (0600) and FILE.pub (0644); type "ed25519". Refuses to
 * overwrite either. */
int license_keygen(const char *path, const char *type, struct err *e) MUST_CHECK;

#endif
