/* Calls of the receiver, with views from a Redis that somebody else has written to.
 * First byte: who calls, and what is out of order; then fields: method, path, query,
 * three views, the body, and headers. Each call has one answer in a known form; nothing
 * goes into the inbox but what has a right to, under the id that is answered, as it
 * came; and of a view only known fields are shown. The inbox is this file's.
 *
 * Links: webhook/routes webhook/visit webhook/status webhook/intake webhook/gate
 * Links: webhook/signature webhook/replay webhook/tally */
#include <stdbool.h>
#include <time.h>

#include <jansson.h>
#include <sodium.h>
#include <uv.h>

#include "fuzz_input.h"
#include "inbox.h"
#include "log.h"
#include "receiver.h"
#include "request.h"
#include "routes.h"
#include "settings.h"
#include "signature.h"
#include "when.h"

#define FIELDS_MAX 8
#define EXTRA_MAX 4
#define VIEWS 3
#define KEY "a secret of the webhook"

enum flag {
    SIGNED = 1,
    REDIS_AWAY = 2,
    FULL = 4, /* nothing can be kept */
    SPOOLED = 8,
    WITH_TOKEN = 16,
    WITH_WEBHOOK_ID = 32,
    SCOPED = 64,
    WITH_TYPE = 128,
};

struct httpd_call {
    int answers, status;
    bool retry_after, allow;
    json_t *body;
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct settings settings;
static struct receiver receiver;
static unsigned flags;
static char *views[VIEWS];
static size_t viewed;

/* The one thing that the inbox has been asked for, and what it was given. */
static struct {
    inbox_put_fn put;
    inbox_view_fn view;
    void *arg;
    size_t puts;
    char id[JOB_ID_LEN + 1];
    char *raw;
    size_t len;
} inbox;

/* --- In place of httpd.c and inbox.c --- */

const char *httpd_field(const struct httpd_request *request, const char *name,
                        size_t *count)
{
    const char *value = NULL;
    size_t n = 0;

    for (size_t i = request->field_count; i-- > 0;)
        if (!strcasecmp(request->fields[i].name, name)) {
            value = request->fields[i].value;
            n++;
        }
    if (count)
        *count = n;
    return value;
}

void httpd_answer(struct httpd_call *call, int status, const char *type,
                  const char *const *extra, const void *body, size_t len)
{
    PROMISE(!call->answers++ && !type && len > 0 &&
            ((const char *)body)[len - 1] == '\n');
    PROMISE(!memchr(body, '\n', len - 1) &&
            tally_status(tally_place(status)) == status);
    call->status = status;
    for (; extra && *extra; extra++) {
        PROMISE(!strpbrk(*extra, "\r\n") && strchr(*extra, ':'));
        call->retry_after |= !strcmp(*extra, "Retry-After: 30");
        call->allow |= !strncmp(*extra, "Allow: ", 7);
    }
    call->body = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
    PROMISE(json_is_object(call->body));
}

void inbox_put(struct inbox *in, const char *id, const void *raw, size_t len,
               inbox_put_fn fn, void *arg)
{
    (void)in;
    PROMISE(!inbox.put && !inbox.view && job_id_valid(id) &&
            len <= REQUEST_MAX_BYTES + 1);
    inbox.put = fn;
    inbox.arg = arg;
    inbox.puts++;
    memcpy(inbox.id, id, sizeof inbox.id);
    inbox.raw = mem_dup(raw, len);
    inbox.len = len;
}

void inbox_view(struct inbox *in, const char *id, inbox_view_fn fn, void *arg)
{
    (void)in;
    PROMISE(!inbox.put && !inbox.view && job_id_valid(id));
    inbox.view = fn;
    inbox.arg = arg;
}

void inbox_ticket_view(struct inbox *in, int64_t ticket, inbox_view_fn fn, void *arg)
{
    (void)in;
    PROMISE(!inbox.put && !inbox.view && ticket > 0);
    inbox.view = fn;
    inbox.arg = arg;
}

bool inbox_spooled(const struct inbox *in, const char *id)
{
    (void)in;
    PROMISE(job_id_valid(id));
    return flags & SPOOLED;
}

void inbox_state(const struct inbox *in, struct inbox_state *out)
{
    (void)in;
    *out = (struct inbox_state){.redis_up = !(flags & REDIS_AWAY),
                                .spool_usable = !(flags & FULL),
                                .spooled = 3};
}

/* Answers what was asked for, as from the loop. False if nothing was. */
static bool turn(void)
{
    struct err e = {.class = ERR_NONE};
    inbox_put_fn put = inbox.put;
    inbox_view_fn view = inbox.view;
    const char *text = viewed < VIEWS && *views[viewed] ? views[viewed] : NULL;

    inbox.put = NULL;
    inbox.view = NULL;
    if (put) {
        if (flags & FULL)
            (void)err_set(&e, ERR_TRANSIENT, 0, "the spool is full");
        put(inbox.arg, &e);
    } else if (view) {
        viewed++;
        if (flags & REDIS_AWAY)
            (void)err_set(&e, ERR_TRANSIENT, 0, "Redis is away");
        view(inbox.arg, flags & REDIS_AWAY ? NULL : text, &e);
    }
    return put || view;
}

/* --- What a caller has --- */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char queue[] = "licenses";

    (void)argc;
    (void)argv;
    PROMISE(sodium_init() >= 0);
    log_setup(LOG_ERROR, false);
    settings.queue = queue;
    settings.max_users = 50000;
    settings.webhook_max_skew_ms = 3600000;
    secret_set(&settings.webhook_secret, KEY, strlen(KEY));
    secret_set(&settings.api_token, "token", 5);
    return 0;
}

static void sign(const char *time, const char *body, size_t len, char out[64])
{
    crypto_auth_hmacsha256_state state;
    unsigned char mac[crypto_auth_hmacsha256_BYTES];

    (void)crypto_auth_hmacsha256_init(&state, (const unsigned char *)KEY, strlen(KEY));
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)time,
                                        strlen(time));
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)body, len);
    (void)crypto_auth_hmacsha256_final(&state, mac);
    (void)sodium_bin2base64(out, 64, mac, sizeof mac, sodium_base64_VARIANT_ORIGINAL);
}

/* Our own headers, where the flags say so, after theirs. */
static void add_headers(struct httpd_request *r, struct httpd_field *fields,
                        char mac[64], char now[WHEN_TEXT_MAX])
{
    size_t n = r->field_count;

    when_format_iso((int64_t)time(NULL) * 1000, now);
    sign(now, r->body, r->body_len, mac);
    if (flags & SIGNED) {
        fields[n++] = (struct httpd_field){SIGNATURE_HEADER, mac};
        fields[n++] = (struct httpd_field){SIGNATURE_HEADER "-timestamp", now};
    }
    if (flags & WITH_TOKEN)
        fields[n++] = (struct httpd_field){"Authorization", "Bearer token"};
    if (flags & WITH_TYPE)
        fields[n++] = (struct httpd_field){"Content-Type", "application/json"};
    r->field_count = n;
}

/* --- What must hold --- */

static const char *text_of(const json_t *body, const char *name)
{
    return json_string_value(json_object_get(body, name));
}

static void check_keys(json_t *body)
{
    static const char *const known[] = {
        "job_id",       "status",     "ticket_id",  "steps",  "error",     "issue_url",
        "report_url",   "expires_ms", "updated_ms", "faults", "resend_of", "asked_for",
        "duplicate_of", "redis",      "spool",      "spooled"};
    const char *key;
    json_t *value;

    json_object_foreach(body, key, value)
    {
        size_t i = 0;

        while (i < ARRAY_LEN(known) && strcmp(key, known[i]) != 0)
            i++;
        PROMISE(i < ARRAY_LEN(known));
    }
}

static void check_kept(const struct httpd_call *call, const struct httpd_request *r)
{
    bool resend = strstr(r->path, "/resend") != NULL;
    const char *id = text_of(call->body, "job_id");

    PROMISE(inbox.puts == 1 && !strcmp(r->method, "POST"));
    if (!strcmp(r->path, "/zendesk"))
        PROMISE(flags & SIGNED);
    else
        PROMISE(httpd_field(r, "authorization", NULL));
    if (!resend)
        PROMISE(inbox.len <= r->body_len && !memcmp(inbox.raw, r->body, inbox.len));
    if (!resend && r->body_len <= REQUEST_MAX_BYTES)
        PROMISE(inbox.len == r->body_len);
    PROMISE(call->status == 202 || call->status == 400 || call->status == 503);
    if (call->status == 202)
        PROMISE(id && !strcmp(id, inbox.id));
    if (call->status != 503)
        PROMISE(!(flags & FULL));
    free(inbox.raw);
}

static void check_answer(const struct httpd_call *call, const struct httpd_request *r)
{
    PROMISE(call->answers == 1);
    PROMISE((call->status == 405) == call->allow);
    if (call->status == 503 && strcmp(r->path, "/readyz"))
        PROMISE(call->retry_after);
    check_keys(call->body);
    if (call->status == 202)
        PROMISE(inbox.puts == 1 && !(flags & FULL));
    if (call->status == 200 && strstr(r->path, "/v1/"))
        PROMISE(job_id_valid(text_of(call->body, "job_id")) &&
                job_state_parse(text_of(call->body, "status")) < JOB_STATE_COUNT);
    if (!(flags & WITH_TOKEN) && !httpd_field(r, "authorization", NULL) &&
        strstr(r->path, "/v1/"))
        PROMISE(call->status == 401 || call->status == 404 || call->status == 405);
    if (inbox.puts)
        check_kept(call, r);
}

/* Whoever is let in nowhere gets an answer each, but the log only so many lines. */
static void check_flood(const struct httpd_request *r)
{
    const struct httpd_request stranger = {
        .method = r->method, .path = "/", .query = r->query, .peer = r->peer};
    struct httpd_call call = {.answers = 0};

    for (int i = 0; i < 25; i++)
        routes_on_refused(&receiver, r->peer, 400 + (int)(r->body_len % 40), r->query);
    PROMISE(receiver.refusals.told <= 20 && receiver.refusals.untold >= 5);
    routes_on_request(&receiver, &call, &stranger);
    PROMISE(call.answers == 1 && call.status == 404);
    json_decref(call.body);
    receiver.refusals.since_ms -= 10000;
    routes_on_refused(&receiver, r->peer, 400, r->query);
    PROMISE(receiver.refusals.told == 1 && receiver.refusals.untold == 0);
}

static void run(const struct httpd_request *r)
{
    struct httpd_call call = {.answers = 0};
    static char webhook_id[] = "01AB", zendesk[] = "https://acme.zendesk.com";

    settings.zendesk_webhook_id = flags & WITH_WEBHOOK_ID ? webhook_id : NULL;
    settings.zendesk_url = flags & WITH_WEBHOOK_ID ? zendesk : NULL;
    settings.scope_required = flags & SCOPED;
    receiver = (struct receiver){
        .loop = uv_default_loop(), .settings = &settings, .secrets = &settings};
    memset(&inbox, 0, sizeof inbox);
    viewed = 0;
    routes_on_request(&receiver, &call, r);
    while (turn())
        PROMISE(viewed < 20);
    check_answer(&call, r);
    json_decref(call.body);
    check_flood(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data + 1, size - 1};
    struct httpd_field fields[FIELDS_MAX + EXTRA_MAX];
    struct httpd_request r = {.peer = "192.0.2.1", .fields = fields};
    char mac[64], now[WHEN_TEXT_MAX], *method, *path, *query, *body;
    size_t given;

    if (!size)
        return 0;
    flags = data[0];
    r.method = method = fuzz_field(&in);
    r.path = path = fuzz_field(&in);
    r.query = query = fuzz_field(&in);
    for (size_t i = 0; i < VIEWS; i++)
        views[i] = fuzz_field(&in);
    r.body = body = fuzz_bytes(&in, &r.body_len);
    for (; in.left && r.field_count < FIELDS_MAX; r.field_count++) {
        fields[r.field_count].name = fuzz_field(&in);
        fields[r.field_count].value = fuzz_field(&in);
    }
    given = r.field_count;
    add_headers(&r, fields, mac, now);
    run(&r);
    for (size_t i = 0; i < given; i++) {
        free((char *)(uintptr_t)fields[i].name);
        free((char *)(uintptr_t)fields[i].value);
    }
    for (size_t i = 0; i < VIEWS; i++)
        free(views[i]);
    free(method);
    free(path);
    free(query);
    free(body);
    return 0;
}
