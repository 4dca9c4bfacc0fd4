/* Fuzz target: any bytes as a request. Beyond not crashing: faults are whole lines with
 * nothing hidden in them, and what parses comes back from its durable form unchanged
 * and parses the same when given in its own words. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "request.h"
#include "utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct request_rules rules[] = {
    {.max_users = 50000},
    {.zendesk_url = "https://acme.zendesk.com", .scope_required = true},
};

static void check_faults(const struct buf *faults)
{
    const char *p = faults->data, *end = p + faults->len;

    assert(faults->len > 0 && end[-1] == '\n');
    while (p < end) {
        int32_t c = utf8_next(&p, end);

        assert(c == '\n' || utf8_printable(c));
    }
}

static void check_good(const struct request *r, const struct request_rules *how)
{
    struct request back;
    struct buf json, faults;
    struct err e;
    char one[REQUEST_DIGEST_LEN + 1], two[REQUEST_DIGEST_LEN + 1];

    buf_init(&json, 65536);
    buf_init(&faults, 65536);
    request_encode(r, &json);
    assert(!json.failed && request_decode(json.data, json.len, &back, &e) == 0);
    assert(memcmp(r, &back, sizeof back) == 0);
    assert(r->resend_of[0] || (r->ticket_id > 0 && r->users > 0));
    assert(!strpbrk(r->email, "\r\n<> ,;") && r->requested_by[0]);
    (void)request_check_scope(r, INT64_C(1770000000000), &e); /* either is fine */
    if (json.len <= REQUEST_MAX_BYTES)
        assert(request_parse(json.data, json.len, how, &back, &faults) == 0);
    request_digest(r, one);
    request_digest(&back, two);
    assert(strcmp(one, two) == 0);
    buf_done(&json);
    buf_done(&faults);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        struct request r;
        struct buf faults;

        buf_init(&faults, 65536);
        if (request_parse((const char *)data, size, &rules[i], &r, &faults) == 0)
            check_good(&r, &rules[i]);
        else
            check_faults(&faults);
        buf_done(&faults);
    }
    return 0;
}
