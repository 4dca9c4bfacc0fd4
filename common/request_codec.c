/* request_codec: a request's durable form, written, and its digests, see request.h.
 * Both go by one table: a member that is not in it is neither kept nor compared.
 * request.c reads the durable form, by the rules of a request that arrives. */
#include "request.h"

#include <assert.h>
#include <jansson.h>
#include <sodium.h>
#include <string.h>

#include "mem.h"

#define DIGEST_BYTES (REQUEST_DIGEST_LEN / 2)

#define AT(m) offsetof(struct request, m)
#define SIZE(m) sizeof(((struct request *)0)->m)

static const struct member {
    const char *name;
    size_t at;
    size_t size;  /* of the text; 0: an int64_t */
    bool content; /* counts in request_digest */
} members[] = {
    {"ticket_id", AT(ticket_id), 0, true},
    {"email", AT(email), SIZE(email), true},
    {"users", AT(users), 0, true},
    {"requested_by", AT(requested_by), SIZE(requested_by), true},
    {"ticket_url", AT(ticket_url), SIZE(ticket_url), true},
    {"note", AT(note), SIZE(note), true},
    {"plan", AT(plan), SIZE(plan), true},
    {"license_expired_on", AT(license_expired_on), SIZE(license_expired_on), true},
    {"idempotency_key", AT(idempotency_key), SIZE(idempotency_key), false},
    {"resend", AT(resend_of), SIZE(resend_of), true},
};

static const char *text_of(const struct request *r, const struct member *m)
{
    return (const char *)r + m->at;
}

static int64_t number_of(const struct request *r, const struct member *m)
{
    int64_t n;

    memcpy(&n, (const char *)r + m->at, sizeof n);
    return n;
}

static int add_bytes(const char *bytes, size_t len, void *out)
{
    buf_add(out, bytes, len);
    return 0;
}

void request_encode(const struct request *r, struct buf *out)
{
    json_t *root = json_object();
    int rc = 0;

    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        const struct member *m = &members[i];

        if (m->size && *text_of(r, m))
            rc |= json_object_set_new(root, m->name, json_string(text_of(r, m)));
        else if (!m->size && number_of(r, m))
            rc |= json_object_set_new(root, m->name, json_integer(number_of(r, m)));
    }
    rc |= json_dump_callback(root, add_bytes, out, JSON_COMPACT);
    assert(rc == 0); /* request_parse lets nothing but UTF-8 in */
    json_decref(root);
}

/* Each part with its length before it, so that no two lists of parts run together to
 * the same bytes. */
static void hash_part(crypto_generichash_state *h, const void *bytes, size_t len)
{
    uint8_t prefix[8];

    for (size_t i = 0; i < sizeof prefix; i++)
        prefix[i] = (uint8_t)((uint64_t)len >> (8 * i));
    crypto_generichash_update(h, prefix, sizeof prefix);
    crypto_generichash_update(h, bytes, len);
}

static void hash_text(crypto_generichash_state *h, const char *text)
{
    hash_part(h, text, strlen(text));
}

static void hash_number(crypto_generichash_state *h, int64_t n)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)((uint64_t)n >> (8 * i));
    hash_part(h, bytes, sizeof bytes);
}

/* purpose: digests of one kind never meet those of another. */
static void hash_start(crypto_generichash_state *h, const char *purpose)
{
    crypto_generichash_init(h, NULL, 0, DIGEST_BYTES);
    hash_text(h, purpose);
}

static void hash_end(crypto_generichash_state *h,
                     char out[static REQUEST_DIGEST_LEN + 1])
{
    uint8_t digest[DIGEST_BYTES];

    crypto_generichash_final(h, digest, sizeof digest);
    sodium_bin2hex(out, REQUEST_DIGEST_LEN + 1, digest, sizeof digest);
}

void request_digest(const struct request *r, char out[static REQUEST_DIGEST_LEN + 1])
{
    crypto_generichash_state h;

    hash_start(&h, "request");
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        if (!members[i].content)
            continue;
        if (members[i].size)
            hash_text(&h, text_of(r, &members[i]));
        else
            hash_number(&h, number_of(r, &members[i]));
    }
    hash_end(&h, out);
}

void request_same_key(const struct request *r, char out[static REQUEST_DIGEST_LEN + 1])
{
    crypto_generichash_state h;

    hash_start(&h, "same");
    hash_number(&h, r->ticket_id);
    hash_text(&h, r->email); /* its domain is in lower case already */
    hash_number(&h, r->users);
    hash_end(&h, out);
}

void request_text_key(const char *text, char out[static REQUEST_DIGEST_LEN + 1])
{
    crypto_generichash_state h;

    hash_start(&h, "text");
    hash_text(&h, text);
    hash_end(&h, out);
}
