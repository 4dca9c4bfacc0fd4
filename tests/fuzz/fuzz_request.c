/* Fuzz target: any bytes as a request, as a stored request, and as an object whose keys
 * are looked at. Faults are whole lines with nothing hidden in them; what parses comes
 * back from its durable form unchanged, and parses the same when given in its own
 * words; the scope rule holds on its days and on no others. */
#include <stdbool.h>
#include <time.h>

#include "fuzz_input.h"
#include "json_keys.h"
#include "request.h"
#include "utf8.h"

#define DAY_MS INT64_C(86400000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct request_rules rules[] = {
    {.max_users = 50000},
    {.zendesk_url = "https://acme.zendesk.com//", .scope_required = true},
};

static void check_faults(const struct buf *faults)
{
    const char *p = faults->data, *end = p + faults->len;

    PROMISE(faults->len > 0 && !faults->failed && end[-1] == '\n');
    while (p < end) {
        int32_t c = utf8_next(&p, end);

        PROMISE(c == '\n' || utf8_printable(c));
    }
}

/* The C library's view of a date that has been taken. */
static int64_t day_of(const char *date)
{
    struct tm tm = {.tm_year = atoi(date) - 1900,
                    .tm_mon = atoi(date + 5) - 1,
                    .tm_mday = atoi(date + 8)};

    return timegm(&tm) / 86400;
}

/* Around the end of the grace period, 14 days after the expiry: 3 days, and a day's
 * slack at each end. */
static void check_scope(const struct request *r)
{
    static const char *const unpaid[] = {"free", "none", "prospect"};
    bool never = false, always = r->resend_of[0] || !strcmp(r->plan, "trial");
    int64_t expired = *r->license_expired_on ? day_of(r->license_expired_on) : 0;
    struct err e;

    for (size_t i = 0; i < ARRAY_LEN(unpaid); i++)
        never |= !strcmp(r->plan, unpaid[i]);
    always |= !*r->license_expired_on;
    for (int64_t since = -3; since <= 6; since++) {
        int64_t now_ms = (expired + 14 + since) * DAY_MS + 3600000;
        bool in = !never && (always || (since >= -1 && since <= 4));

        err_clear(&e);
        PROMISE((request_check_scope(r, now_ms, &e) == 0) == in);
        PROMISE(in || (e.class == ERR_OUT_OF_SCOPE && e.text[0]));
    }
}

static void check_digests(const struct request *a, const struct request *b)
{
    char one[REQUEST_DIGEST_LEN + 1], two[REQUEST_DIGEST_LEN + 1];
    char same[REQUEST_DIGEST_LEN + 1], text[REQUEST_DIGEST_LEN + 1];

    request_digest(a, one);
    request_digest(b, two);
    PROMISE(!strcmp(one, two));
    request_same_key(a, same);
    request_same_key(b, two);
    PROMISE(!strcmp(same, two));
    request_text_key(a->requested_by, text);
    PROMISE(strcmp(one, same) && strcmp(one, text) && strcmp(same, text));
}

static void check_durable(const struct request *r, struct buf *json)
{
    struct request back;
    struct err e;

    buf_reset(json);
    request_encode(r, json);
    PROMISE(!json->failed && request_decode(json->data, json->len, &back, &e) == 0);
    PROMISE(!memcmp(r, &back, sizeof back));
}

static void check_good(const struct request *r, const struct request_rules *how)
{
    struct request back;
    struct buf json, faults;

    buf_init(&json, 65536);
    buf_init(&faults, 65536);
    check_durable(r, &json);
    PROMISE(r->resend_of[0] || (r->ticket_id > 0 && r->users > 0 && r->email[0]));
    PROMISE(!how->max_users || r->users <= how->max_users);
    PROMISE(!strpbrk(r->email, "\r\n<> ,;") && r->requested_by[0]);
    PROMISE(!*r->ticket_url || !strncasecmp(r->ticket_url, "https://", 8));
    if (how->scope_required && !r->resend_of[0])
        PROMISE(*r->plan && *r->license_expired_on && *r->ticket_url);
    check_scope(r);
    if (json.len <= REQUEST_MAX_BYTES) {
        PROMISE(request_parse(json.data, json.len, how, &back, &faults) == 0);
        PROMISE(!memcmp(r, &back, sizeof back));
        check_digests(r, &back);
    }
    buf_done(&json);
    buf_done(&faults);
}

/* What somebody has written into the record. */
static void check_stored(const char *bytes, size_t len)
{
    struct request r;
    struct buf json;
    struct err e;

    buf_init(&json, 1 << 20);
    if (request_decode(bytes, len, &r, &e) == 0)
        check_durable(&r, &json);
    else
        PROMISE(e.class == ERR_BUG && e.text[0]);
    buf_done(&json);
}

/* Of one that is refused the parts that are good are kept, and come back. */
static void check_kept(const struct request *r)
{
    struct buf json;

    buf_init(&json, 1 << 20);
    check_durable(r, &json);
    buf_done(&json);
}

/* Nothing but slices of the text, one behind the other. */
static void check_keys(const char *bytes, size_t len)
{
    const char *at = bytes, *end = bytes + len;
    struct json_member m;

    for (const char *before = at; json_keys_next(&at, end, &m); before = at) {
        PROMISE(at > before && at <= end);
        PROMISE(m.key > before && m.key + m.key_len <= end);
        PROMISE(m.value > m.key && m.value + m.value_len <= at);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = malloc(size); /* so that a byte too far is found */

    PROMISE(bytes || !size);
    if (size)
        memcpy(bytes, data, size);
    check_keys(bytes, size);
    check_stored(bytes, size);
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        struct request r;
        struct buf faults;

        buf_init(&faults, 65536);
        if (request_parse(bytes, size, &rules[i], &r, &faults) == 0) {
            PROMISE(!memchr(bytes, '\0', size));
            check_good(&r, &rules[i]);
        } else {
            check_faults(&faults);
            check_kept(&r);
        }
        buf_done(&faults);
    }
    free(bytes);
    return 0;
}
