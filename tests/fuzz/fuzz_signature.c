/* Who may speak: the signature of a delivery, its replays, and bearer tokens. Fields:
 * timestamp, body, then names and values of headers. Nothing is let in that was not
 * signed, or carries no token, also when it is nearly so; what was signed is let in as
 * long as its time is near.
 *
 * Links: webhook/signature webhook/replay webhook/gate */
#include <stdbool.h>

#include <sodium.h>

#include "fuzz_input.h"
#include "gate.h"
#include "replay.h"
#include "signature.h"
#include "when.h"

#define FIELDS_MAX 8
#define HOUR INT64_C(3600000)
#define KEY "a secret of the webhook"
#define OLD_KEY "the one before it"
#define TOKEN "token of the API"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct secret key, old_key, none;
static struct settings settings;
static struct replay replays;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    secret_set(&key, KEY, strlen(KEY));
    secret_set(&old_key, OLD_KEY, strlen(OLD_KEY));
    secret_set(&settings.api_token, TOKEN, strlen(TOKEN));
    secret_set(&settings.api_read_token, "reads", 5);
    secret_set(&settings.webhook_token, "second factor", 13);
    return 0;
}

static int check(const struct httpd_request *r, bool rotating, int64_t now_ms)
{
    const struct secret *secrets[] = {&key, rotating ? &old_key : &none};
    struct err e;
    int rc;

    err_clear(&e);
    rc = signature_check(r, secrets, HOUR, now_ms, &e);
    PROMISE(rc == 0 || (rc == -1 && e.class == ERR_AUTH && e.text[0]));
    PROMISE(!strstr(e.text, KEY) && !strstr(e.text, OLD_KEY));
    return rc;
}

static void sign(const char *with, const char *time, const char *body, char out[64])
{
    crypto_auth_hmacsha256_state state;
    unsigned char mac[crypto_auth_hmacsha256_BYTES];

    (void)crypto_auth_hmacsha256_init(&state, (const unsigned char *)with,
                                      strlen(with));
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)time,
                                        strlen(time));
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)body,
                                        strlen(body));
    (void)crypto_auth_hmacsha256_final(&state, mac);
    (void)sodium_bin2base64(out, 64, mac, sizeof mac, sodium_base64_VARIANT_ORIGINAL);
}

static bool is_header(const struct httpd_field *f)
{
    return !strncasecmp(f->name, SIGNATURE_HEADER, strlen(SIGNATURE_HEADER));
}

/* Properly signed headers among theirs; then each that is one byte off. */
static void check_signed(const struct httpd_request *theirs, const char *time,
                         const char *with)
{
    struct httpd_field fields[FIELDS_MAX + 2];
    struct httpd_request r = *theirs;
    size_t others = 0;
    char mac[64];
    int64_t at_ms;

    sign(with, time, theirs->body, mac);
    fields[0] = (struct httpd_field){"X-Zendesk-Webhook-Signature", mac};
    fields[1] = (struct httpd_field){"X-ZENDESK-webhook-Signature-Timestamp", time};
    memcpy(fields + 2, theirs->fields, theirs->field_count * sizeof fields[0]);
    for (size_t i = 0; i < theirs->field_count; i++)
        others += is_header(&theirs->fields[i]);
    r.fields = fields;
    r.field_count = 2 + (others ? 0 : theirs->field_count);
    if (!when_parse_iso(time, &at_ms)) {
        PROMISE(check(&r, true, HOUR) == -1);
        return;
    }
    PROMISE(check(&r, true, at_ms) == 0);
    PROMISE(check(&r, false, at_ms) == (strcmp(with, KEY) ? -1 : 0));
    PROMISE(check(&r, true, at_ms + HOUR) == 0 && check(&r, true, at_ms - HOUR) == 0);
    PROMISE(check(&r, true, at_ms + HOUR + 1) && check(&r, true, at_ms - HOUR - 1));
    mac[theirs->body_len % 44] ^= 1;
    PROMISE(check(&r, true, at_ms) == -1);
    mac[theirs->body_len % 44] ^= 1;
    mac[43] = '\0';
    PROMISE(check(&r, true, at_ms) == -1);
    r.field_count = 1;
    PROMISE(check(&r, true, at_ms) == -1);
}

/* The same signature is the same job, whatever came between, unless its place was
 * taken; another one's id is never given. */
static void check_replay(const char *signature)
{
    char id[JOB_ID_LEN + 1], first[JOB_ID_LEN + 1];

    job_id_of_key("licenses", signature, first);
    memcpy(id, first, sizeof id);
    replay_settle(&replays, signature, id);
    PROMISE(!strcmp(id, first));
    job_id_of_key("other", signature, id);
    replay_settle(&replays, signature, id);
    PROMISE(!strcmp(id, first));
}

static const char *bearer_of(const struct httpd_request *r)
{
    const char *token = NULL;

    for (size_t i = 0; i < r->field_count; i++) {
        if (strcasecmp(r->fields[i].name, "Authorization"))
            continue;
        if (token || strncasecmp(r->fields[i].value, "bearer ", 7))
            return "";
        token = r->fields[i].value + 7;
    }
    return token ? token : "";
}

static void check_tokens(const struct httpd_request *r)
{
    static const struct settings off;
    const char *token = bearer_of(r);
    struct err e;

    PROMISE(gate_check(GATE_ANYONE, &settings, r, &e) == 0);
    PROMISE(gate_check(GATE_WEBHOOK, &off, r, &e) == 0);
    PROMISE((gate_check(GATE_WEBHOOK, &settings, r, &e) == 0) ==
            !strcmp(token, "second factor"));
    PROMISE((gate_check(GATE_SUBMIT, &settings, r, &e) == 0) == !strcmp(token, TOKEN));
    PROMISE((gate_check(GATE_READ, &settings, r, &e) == 0) ==
            (!strcmp(token, TOKEN) || !strcmp(token, "reads")));
    PROMISE(gate_check(GATE_SUBMIT, &off, r, &e) == -1 && e.class == ERR_CONFIG);
    PROMISE(gate_check(GATE_READ, &off, r, &e) == -1 && e.class == ERR_CONFIG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    char *time = fuzz_field(&in), *body = fuzz_field(&in);
    struct httpd_field fields[FIELDS_MAX];
    struct httpd_request r = {.method = "POST", .path = "/zendesk", .query = ""};

    for (; in.left && r.field_count < FIELDS_MAX; r.field_count++) {
        fields[r.field_count].name = fuzz_field(&in);
        fields[r.field_count].value = fuzz_field(&in);
    }
    r.fields = fields;
    r.body = body;
    r.body_len = strlen(body);
    PROMISE(check(&r, true, INT64_C(1769860805000)) ==
            -1); /* who would have signed it? */
    check_signed(&r, time, size % 2 ? KEY : OLD_KEY);
    check_replay(body);
    check_tokens(&r);
    for (size_t i = 0; i < r.field_count; i++) {
        free((char *)(uintptr_t)fields[i].name);
        free((char *)(uintptr_t)fields[i].value);
    }
    free(time);
    free(body);
    return 0;
}
