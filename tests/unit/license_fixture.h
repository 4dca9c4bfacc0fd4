/* license_fixture: a key, claims and what was signed, and how the tests of every
 * license format ask about them. For test_license*.c. */
#ifndef LICENSE_FIXTURE_H
#define LICENSE_FIXTURE_H

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "license.h"
#include "when.h"

#define ID "01JD6Q5Z3K8V4N2M7P9R0T1W2X"
#define NOW INT64_C(1769860800999) /* 2026-01-31T12:00:00.999Z */
#define DAY INT64_C(86400000)

static struct license_key *key;
static struct license_claims claims;
static struct buf text;

static void put(const char *file, const char *content, size_t len, mode_t mode)
{
    int fd;

    (void)unlink(file);
    fd = open(file, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, len), len);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static struct license_key *load(const char *file, const char *passphrase_file)
{
    struct err e;
    struct license_key *k = license_key_load(file, passphrase_file, &e);

    if (!k)
        fail_msg("%s", e.text);
    return k;
}

/* Claims for the key, and nothing signed yet. */
static void begin_license(void)
{
    license_claims_make(&claims, key, ID, "stopgap", "jane@example.com", 25, 4711, NOW,
                        10);
    buf_init(&text, LICENSE_TEXT_MAX);
}

static void sign(void)
{
    struct err e;

    buf_reset(&text);
    if (license_sign(key, &claims, &text, &e) != 0)
        fail_msg("%s", e.text);
}

/* A license that is signed then lasts from there to there (ten days). */
struct term {
    const char *issued, *starts, *expires;
};

static void has_term(const struct term *t)
{
    char starts[WHEN_TEXT_MAX], expires[WHEN_TEXT_MAX];
    int64_t issued;

    assert_true(when_parse_iso(t->issued, &issued));
    license_claims_make(&claims, key, ID, "i", "a@b.c", 1, 1, issued, 10);
    when_format_iso(claims.starts_ms, starts);
    when_format_iso(claims.expires_ms, expires);
    assert_string_equal(starts, t->starts);
    assert_string_equal(expires, t->expires);
    sign(); /* and read back */
}

static void expect_words(const struct err *e, enum err_class class, const char *words)
{
    assert_int_equal(e->class, class);
    if (!strstr(e->text, words))
        fail_msg("\"%s\" does not say \"%s\"", e->text, words);
}

static void expect_invalid(const char *license, size_t len, const char *words)
{
    struct license_claims out = {.users = 77};
    struct err e;

    err_clear(&e);
    if (license_verify(key, license, len, &out, &e) == 0)
        fail_msg("taken; wanted: %s", words);
    expect_words(&e, ERR_INVALID, words);
    assert_int_equal(out.users, 77);
}

#endif
