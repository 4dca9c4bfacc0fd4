/* request: one license request as it arrives on the list: JSON in, checked and normal
 * values out, every fault at once. Pure: no clock, no socket. */
#ifndef STOPGAP_REQUEST_H
#define STOPGAP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "buf.h"
#include "err.h"

#define REQUEST_MAX_BYTES 16384
#define REQUEST_DIGEST_LEN 32 /* hex characters, without NUL */
#define JOB_ID_LEN 26

/* What the rules need to know from the settings. */
struct request_rules {
    const char *zendesk_url; /* NULL: ticket_url's host is not checked, none is built */
    bool scope_required;
    int64_t max_users; /* STOPGAP_MAX_USERS; the format's own limit is 1,000,000 */
};

/* Normal values. Unset optional strings are empty. */
struct request {
    int64_t ticket_id;              /* 0: not known (only in a faulty request) */
    char email[ADDRESS_MAX + 1];    /* "" : not known */
    int64_t users;                  /* 0: not known */
    char requested_by[255 * 4 + 1]; /* up to 255 characters of UTF-8 */
    char ticket_url[1024];
    char note[500 * 4 + 1];
    char plan[64];               /* lower case */
    char license_expired_on[11]; /* "" or YYYY-MM-DD */
    char idempotency_key[128 * 4 + 1];
    char resend_of[JOB_ID_LEN + 1]; /* set: this is {"resend": ID, ...} and only
                                       requested_by counts beside it */
};

/* Parses raw bytes. Faults go to `faults`, one a line, each with its newline: `field:
 * what is wrong and what is allowed`; unknown fields and doubled keys name the field
 * (20 of each kind, the rest is counted; 32 KiB hold all that can come). Foreign text
 * in them is short, printable UTF-8. Returns 0, or -1 when there was any fault, also
 * one that the buffer had no room for; then *out still holds what was readable (for the
 * failure issue's title). More than REQUEST_MAX_BYTES (they are not read, only
 * counted), not UTF-8, not JSON, not an object: one fault that says where (byte offset)
 * and why. */
int request_parse(const char *raw, size_t len, const struct request_rules *rules,
                  struct request *out, struct buf *faults) MUST_CHECK;

/* The scope rule, for a request that parsed. accepted_ms: Redis's clock when the
 * request was accepted. ERR_OUT_OF_SCOPE with the reason and where to turn. */
int request_check_scope(const struct request *r, int64_t accepted_ms,
                        struct err *e) MUST_CHECK;

/* Compact JSON of the normal values: what is kept in the job record ("req"). */
void request_encode(const struct request *r, struct buf *out);

/* Back from request_encode. Each part is held to the rules of request_parse (but
 * max_users), since whoever could write to Redis could have put it there: no stored
 * address starts a second recipient. A refused request's record lacks parts: whole only
 * if request_is_whole. ERR_BUG if it does not read. */
int request_decode(const char *json, size_t len, struct request *out,
                   struct err *e) MUST_CHECK;

/* Whether all is there without which no license is made. */
bool request_is_whole(const struct request *r);

/* Digest of everything but idempotency_key, as hex: "same key, same content?" */
void request_digest(const struct request *r, char out[static REQUEST_DIGEST_LEN + 1]);

/* Digest of ticket, address and user count, as hex: "the same license?" */
void request_same_key(const struct request *r, char out[static REQUEST_DIGEST_LEN + 1]);

/* By which an address's and an agent's licenses are counted: spellings that may be one
 * person's are one (request_cap.c says which). */
void request_cap_address(const char *email, char out[static REQUEST_DIGEST_LEN + 1]);
void request_cap_agent(const char *name, char out[static REQUEST_DIGEST_LEN + 1]);

/* Digest of any text in the same form, for key names built from foreign text. */
void request_text_key(const char *text, char out[static REQUEST_DIGEST_LEN + 1]);

#endif
