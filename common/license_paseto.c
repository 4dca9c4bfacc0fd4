/* license_paseto: the format "stopgap": the claims as JSON in a PASETO v4.public token,
 * the key's id in its footer. The format in prose: docs/license.md. */
#include "license_format.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "license_value.h"
#include "mem.h"
#include "paseto.h"
#include "when.h"

#define AUDIENCE "self-managed"
#define STARTS_BEFORE_MS INT64_C(300000) /* for clocks that lag at the customer's */
#define FOOTER_START "{\"kid\":\""
#define FOOTER_END "\"}"
#define FOOTER_LEN                                                                     \
    (sizeof FOOTER_START - 1 + PASETO_ID_TEXT_LEN + sizeof FOOTER_END - 1)

struct key {
    struct secret secret; /* empty in a public key */
    unsigned char public_half[PASETO_PUBLIC_LEN];
};

/* The payload's members, in the order in which they are written. */
static const struct claim {
    const char *name;
    enum license_value type;
    size_t offset;
    size_t size;
    const char *fixed; /* what the text has to be; it is nowhere among the claims */
} claims[] = {
#define AT(member)                                                                     \
    offsetof(struct license_claims, member),                                           \
        sizeof(((struct license_claims *)NULL)->member), NULL
    {"iss", VALUE_TEXT, AT(issuer)},         {"sub", VALUE_TEXT, AT(email)},
    {"aud", VALUE_TEXT, 0, 0, AUDIENCE},     {"jti", VALUE_TEXT, AT(id)},
    {"iat", VALUE_MOMENT, AT(issued_ms)},    {"nbf", VALUE_MOMENT, AT(starts_ms)},
    {"exp", VALUE_MOMENT, AT(expires_ms)},   {"plan", VALUE_TEXT, AT(plan)},
    {"trial", VALUE_BOOL, AT(trial)},        {"users", VALUE_NUMBER, AT(users)},
    {"ticket", VALUE_NUMBER, AT(ticket_id)},
#undef AT
};

static const struct buf nothing; /* no implicit assertion */

static enum key_half recognise(const char *text, size_t len)
{
    static const struct {
        const char *prefix;
        enum key_half half;
    } kinds[] = {{PASETO_SECRET_PREFIX, KEY_SECRET},
                 {PASETO_PUBLIC_PREFIX, KEY_PUBLIC}};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (len >= strlen(kinds[i].prefix) &&
            memcmp(text, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
            return kinds[i].half;
    return KEY_FOREIGN;
}

static void *read_secret(const char *text, size_t len, const struct secret *passphrase,
                         struct err *e)
{
    unsigned char secret[PASETO_SECRET_LEN];
    struct key *k;

    if (passphrase->len) {
        (void)err_set(
            e, ERR_CONFIG, 0,
            "an Ed25519 key in PASERK text is not encrypted, yet a passphrase "
            "is given; leave STOPGAP_LICENSE_KEY_PASSPHRASE_FILE unset");
        return NULL;
    }
    if (!paseto_read_secret(text, len, secret)) {
        (void)err_set(e, ERR_CONFIG, 0,
                      "begins like an Ed25519 key in PASERK text but is damaged: %d "
                      "characters after \"" PASETO_SECRET_PREFIX "\" were wanted, on "
                      "one line, with both halves belonging together",
                      PASETO_SECRET_TEXT_LEN - (int)strlen(PASETO_SECRET_PREFIX));
        return NULL;
    }
    k = mem_new(1, sizeof *k);
    secret_set(&k->secret, secret, sizeof secret);
    memcpy(k->public_half, paseto_public_half(secret), sizeof k->public_half);
    secret_wipe(secret, sizeof secret);
    return k;
}

static void *read_public(const char *text, size_t len, struct err *e)
{
    struct key *k = mem_new(1, sizeof *k);

    if (paseto_read_public(text, len, k->public_half))
        return k;
    free(k);
    (void)err_set(e, ERR_CONFIG, 0,
                  "begins like a public Ed25519 key in PASERK text but is damaged: %d "
                  "characters after \"" PASETO_PUBLIC_PREFIX "\" were wanted, on one "
                  "line",
                  PASETO_PUBLIC_TEXT_LEN - (int)strlen(PASETO_PUBLIC_PREFIX));
    return NULL;
}

static void key_free(void *own)
{
    struct key *k = own;

    secret_done(&k->secret);
    free(k);
}

static void key_id(const void *own, char out[static LICENSE_KEY_ID_MAX])
{
    const struct key *k = own;

    _Static_assert(PASETO_ID_TEXT_LEN < LICENSE_KEY_ID_MAX, "the id must fit");
    paseto_key_id(k->public_half, out);
}

static void public_text(const void *own, struct buf *out)
{
    const struct key *k = own;
    char text[PASETO_PUBLIC_TEXT_LEN + 1];

    paseto_public_text(k->public_half, text);
    buf_addf(out, "%s\n", text);
}

static int generate(int64_t bits, struct secret *file, struct err *e)
{
    unsigned char secret[PASETO_SECRET_LEN];
    char text[PASETO_SECRET_TEXT_LEN + 1];

    if (bits)
        return err_set(e, ERR_CONFIG, 0, "an Ed25519 key has one size: no --bits");
    paseto_generate(secret);
    paseto_secret_text(secret, text);
    text[PASETO_SECRET_TEXT_LEN] = '\n';
    secret_set(file, text, sizeof text);
    secret_wipe(secret, sizeof secret);
    secret_wipe(text, sizeof text);
    return 0;
}

static void set_times(struct license_claims *c, int64_t term_days)
{
    c->starts_ms = c->issued_ms - STARTS_BEFORE_MS;
    c->expires_ms = c->issued_ms + term_days * WHEN_DAY_MS;
}

static void write_payload(const struct license_claims *c, struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(claims); i++) {
        const char *at = (const char *)c + claims[i].offset;

        buf_addf(out, "%s\"%s\":", i ? "," : "{", claims[i].name);
        license_value_add(out, claims[i].type, claims[i].fixed ? claims[i].fixed : at);
    }
    buf_addc(out, '}');
}

static void write_footer(const struct key *k, struct buf *out)
{
    char id[PASETO_ID_TEXT_LEN + 1];

    paseto_key_id(k->public_half, id);
    buf_addf(out, FOOTER_START "%s" FOOTER_END, id);
}

static int sign(const void *own, const struct license_claims *c, struct buf *body,
                struct err *e)
{
    const struct key *k = own;
    struct buf payload, footer;

    buf_init(&payload, LICENSE_TEXT_MAX);
    buf_init(&footer, FOOTER_LEN);
    write_payload(c, &payload);
    write_footer(k, &footer);
    if (!payload.failed)
        paseto_sign((const unsigned char *)k->secret.data, &payload, &footer, &nothing,
                    body);
    body->failed |= payload.failed;
    buf_done(&payload);
    buf_done(&footer);
    return body->failed ? err_set(e, ERR_BUG, 0, "the license does not fit") : 0;
}

/* The text of `kid` if the footer looks as we write it. Nothing is proved yet, so it is
 * compared, not parsed. */
static bool footer_kid(const struct buf *footer,
                       char out[static PASETO_ID_TEXT_LEN + 1])
{
    const char *kid;

    if (footer->len != FOOTER_LEN)
        return false;
    kid = footer->data + strlen(FOOTER_START);
    if (memcmp(footer->data, FOOTER_START PASETO_ID_PREFIX,
               strlen(FOOTER_START PASETO_ID_PREFIX)) != 0 ||
        memcmp(kid + PASETO_ID_TEXT_LEN, FOOTER_END, strlen(FOOTER_END)) != 0)
        return false;
    memcpy(out, kid, PASETO_ID_TEXT_LEN);
    out[PASETO_ID_TEXT_LEN] = '\0';
    return true;
}

static int check_token(const struct key *k, const struct paseto_token *t,
                       char kid[static PASETO_ID_TEXT_LEN + 1], struct err *e)
{
    char id[PASETO_ID_TEXT_LEN + 1];

    if (!footer_kid(&t->footer, kid))
        return err_set(e, ERR_INVALID, 0, "the license does not say which key made it");
    paseto_key_id(k->public_half, id);
    if (strcmp(kid, id) != 0)
        return err_set(e, ERR_INVALID, 0,
                       "the license says that it was made with another key: %s; it was "
                       "checked with %s",
                       kid, id);
    if (!paseto_check(t, k->public_half, &nothing))
        return err_set(e, ERR_INVALID, 0,
                       "the signature does not match: the license was altered or cut");
    return 0;
}

static bool read_claim(const json_t *value, const struct claim *claim,
                       struct license_claims *c)
{
    const char *text = json_string_value(value);

    if (claim->fixed)
        return text && strcmp(text, claim->fixed) == 0;
    return license_value_read(value, claim->type, (char *)c + claim->offset,
                              claim->size);
}

static int read_claims(const json_t *root, struct license_claims *c, struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(claims); i++) {
        const json_t *value = json_object_get(root, claims[i].name);

        if (!value)
            return err_set(e, ERR_INVALID, 0, "the claim \"%s\" is missing",
                           claims[i].name);
        if (!read_claim(value, &claims[i], c))
            return err_set(e, ERR_INVALID, 0, "the claim \"%s\" does not read",
                           claims[i].name);
    }
    if (json_object_size(root) != ARRAY_LEN(claims))
        return err_set(e, ERR_INVALID, 0, "there is a claim that is not known here");
    return 0;
}

static int read_payload(const struct paseto_token *t, struct license_claims *c,
                        struct err *e)
{
    json_error_t why;
    json_t *root =
        json_loadb(t->body.data, paseto_payload_len(t), JSON_REJECT_DUPLICATES, &why);
    int result = -1;

    if (!json_is_object(root))
        (void)err_set(e, ERR_INVALID, 0, "the claims are not a JSON object: %s",
                      root ? "another type" : why.text);
    else
        result = read_claims(root, c, e);
    json_decref(root);
    return result;
}

static int verify(const void *own, const char *body, size_t len,
                  struct license_claims *out, struct err *e)
{
    const struct key *k = own;
    char kid[PASETO_ID_TEXT_LEN + 1];
    struct license_claims c = {0};
    struct paseto_token t;
    int result = -1;

    if (!paseto_parse(body, len, &t))
        return err_set(e, ERR_INVALID, 0,
                       "what stands between the license's lines is no v4.public token: "
                       "damaged or cut");
    if (check_token(k, &t, kid, e) == 0 && read_payload(&t, &c, e) == 0) {
        memcpy(c.key_id, kid, sizeof kid);
        *out = c;
        result = 0;
    }
    paseto_token_done(&t);
    return result;
}

const struct license_format license_format_paseto = {
    .name = "stopgap",
    .file_suffix = ".license",
    .key_type = "ed25519",
    .begin = "-----BEGIN STOPGAP LICENSE-----",
    .end = "-----END STOPGAP LICENSE-----",
    .line_width = 64,
    .least_term_days = 1,
    .recognise = recognise,
    .read_secret = read_secret,
    .read_public = read_public,
    .key_free = key_free,
    .key_id = key_id,
    .public_text = public_text,
    .generate = generate,
    .set_times = set_times,
    .sign = sign,
    .verify = verify,
};
