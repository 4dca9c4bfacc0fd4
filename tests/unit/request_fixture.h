/* request_fixture: a good request, and ways to change it, for the tests of request*.c.
 */
#ifndef STOPGAP_TESTS_REQUEST_FIXTURE_H
#define STOPGAP_TESTS_REQUEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "request.h"

#define GOOD                                                                           \
    "\"ticket_id\":1234,\"email\":\"jane@example.com\",\"users\":50,"                  \
    "\"requested_by\":\"agent.smith\""
#define ID26 "0123456789abcdefghijklmnop"
#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN

static const struct request_rules no_rules = {0};
static const struct request_rules rules = {.zendesk_url = "https://acme.zendesk.com",
                                           .max_users = 50000};

/* Faults of a text, in a buffer that lives until the next call; "" when it parses. */
static inline const char *faults_of(const char *raw, size_t len,
                                    const struct request_rules *r, struct request *out)
{
    static char text[65536];
    struct buf faults;
    int rc;

    buf_init(&faults, sizeof text - 1);
    rc = request_parse(raw, len, r, out, &faults);
    assert_int_equal(rc, faults.len ? -1 : 0);
    assert_false(faults.failed);
    memcpy(text, faults.data, faults.len + 1);
    buf_done(&faults);
    return text;
}

static inline const char *faults_in(const char *raw, struct request *out)
{
    return faults_of(raw, strlen(raw), &rules, out);
}

/* A good request with `more` after its required fields. */
static inline const char *faults_with(const char *more, struct request *out)
{
    char raw[REQUEST_MAX_BYTES + 1];

    (void)snprintf(raw, sizeof raw, "{" GOOD ",%s}", more);
    return faults_in(raw, out);
}

/* A good request with one of its required fields given this JSON value instead. */
static inline const char *faults_instead(const char *field, const char *value,
                                         struct request *out)
{
    static const char *const good[][2] = {{"ticket_id", "1234"},
                                          {"email", "\"jane@example.com\""},
                                          {"users", "50"},
                                          {"requested_by", "\"agent.smith\""}};
    struct buf raw;
    const char *faults;

    buf_init(&raw, REQUEST_MAX_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        buf_addf(&raw, "%s\"%s\":%s", i ? "," : "{", good[i][0],
                 strcmp(good[i][0], field) ? good[i][1] : value);
    buf_adds(&raw, "}");
    faults = faults_in(raw.data, out);
    buf_done(&raw);
    return faults;
}

static inline void assert_has(const char *faults, const char *part, const char *input)
{
    if (!strstr(faults, part))
        fail_msg("%s: \"%s\" lacks \"%s\"", input, faults, part);
}

static inline size_t lines(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

#endif
