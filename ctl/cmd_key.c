/* cmd_key: signing and seal keys, and licenses read back. None of these needs Redis;
 * with files named none needs a setting. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "cmd.h"
#include "ctl.h"
#include "license.h"
#include "mem.h"
#include "num.h"
#include "out.h"
#include "seal.h"
#include "settings.h"
#include "when.h"

#define FILE_MAX ((size_t)1 << 20) /* a license, perhaps with the mail around it */

/* Takes the object over. */
static void print_json(json_t *object)
{
    out_json(json_dumps(object, JSON_INDENT(2)));
    json_decref(object);
}

/* The key file of the settings, or what is wrong. */
static int configured_key(struct ctl *c, const char **out)
{
    int code = ctl_settings(c);

    if (code)
        return code;
    *out = c->settings->license_key_file;
    return *out ? EXIT_OK
                : ctl_usage(c,
                            "no key is named and STOPGAP_LICENSE_KEY_FILE is not set");
}

static char *public_path(const char *path)
{
    struct buf text;
    char *out;

    buf_init(&text, 1 << 16);
    buf_addf(&text, "%s.pub", path);
    out = buf_take(&text);
    buf_done(&text);
    return out;
}

static int keygen_seal(const struct ctl *c, const char *path)
{
    struct seal *seal = NULL;
    struct err e;

    if (seal_keygen(path, &e) == 0)
        seal = seal_load(path, &e);
    if (!seal)
        return ctl_fail(&e);
    if (c->json)
        print_json(
            json_pack("{s:s, s:s}", "file", path, "key_id", seal_key_id(seal, 0)));
    else
        (void)printf(
            "%s: the key that seals licenses in Redis; keep it from others and "
            "back it up\n"
            "key id %s\n",
            path, seal_key_id(seal, 0));
    seal_free(seal);
    return EXIT_OK;
}

int cmd_keygen(struct ctl *c, int argc, char **argv)
{
    const char *type = NULL, *size = NULL;
    int64_t bits = 0;
    const struct arg_option own[] = {
        {"type", ARG_TEXT, &type}, {"bits", ARG_TEXT, &size}, {NULL, 0, NULL}};
    struct license_key *key = NULL;
    char *public;
    struct err e;

    if (ctl_args(c, argc, argv, own, 1, 1) < 0)
        return EXIT_USAGE;
    if (size && !num_parse(size, 1, INT32_MAX, &bits))
        return ctl_usage(c, "--bits \"%s\": no number", size);
    if (type && strcmp(type, "seal") == 0)
        return size ? ctl_usage(c, "--bits is of RSA keys") : keygen_seal(c, argv[0]);
    public = public_path(argv[0]);
    if (license_keygen(argv[0], type ? type : "ed25519", bits, &e) == 0)
        key = license_key_load_public(public, &e);
    if (key && c->json)
        print_json(json_pack("{s:s, s:s, s:s}", "file", argv[0], "public", public,
                             "key_id", license_key_id(key)));
    else if (key)
        (void)printf("%s: the signing key; keep it from others and back it up\n"
                     "%s: its public half; whoever checks licenses needs it\n"
                     "key id %s\n",
                     argv[0], public, license_key_id(key));
    license_key_free(key);
    free(public);
    return key ? EXIT_OK : ctl_fail(&e);
}

/* A signing key or a public one: what is told of a file that is neither is what would
 * make it a signing key. */
static struct license_key *load_either(const char *path, const char *passphrase,
                                       struct err *e)
{
    struct err other;
    struct license_key *key = license_key_load_public(path, &other);

    return key ? key : license_key_load(path, passphrase, e);
}

/* One a line, the one that seals first. */
static void print_seal_ids(const struct ctl *c, const char *path,
                           const struct seal *seal)
{
    json_t *ids = json_array();
    const char *id;

    for (size_t i = 0; (id = seal_key_id(seal, i)); i++) {
        (void)json_array_append_new(ids, json_string(id));
        if (!c->json)
            (void)puts(id);
    }
    if (c->json)
        print_json(json_pack("{s:s, s:s, s:O}", "file", path, "key_id",
                             seal_key_id(seal, 0), "key_ids", ids));
    json_decref(ids);
}

/* True: it is one of seal keys, or meant to be one; *code is the command's. */
static bool is_seal_file(const struct ctl *c, const char *path, int *code)
{
    struct err e;
    struct seal *seal = seal_load(path, &e);

    if (seal)
        print_seal_ids(c, path, seal);
    *code = seal ? EXIT_OK : EXIT_USAGE;
    if (!seal && e.code)
        (void)ctl_fail(&e);
    seal_free(seal);
    return seal || e.code;
}

int cmd_key_id(struct ctl *c, int argc, char **argv)
{
    const char *path = NULL, *passphrase = NULL;
    struct license_key *key;
    struct err e;
    int code, n = ctl_args(c, argc, argv, NULL, 0, 1);

    if (n < 0)
        return EXIT_USAGE;
    if (n) {
        path = argv[0];
        if (is_seal_file(c, path, &code))
            return code;
    } else {
        code = configured_key(c, &path);
        if (code)
            return code;
        passphrase = c->settings->license_key_passphrase_file;
    }
    key = load_either(path, passphrase, &e);
    if (!key)
        return ctl_fail(&e);
    if (c->json)
        print_json(
            json_pack("{s:s, s:s}", "file", path, "key_id", license_key_id(key)));
    else
        (void)puts(license_key_id(key));
    license_key_free(key);
    return EXIT_OK;
}

/* ---- verify ---- */

/* The public half, from the file beside the signing key if it is there: whoever checks
 * need not be able to read the secret. */
static int load_checker(struct ctl *c, const char *path, struct license_key **out,
                        struct err *e)
{
    char *public;
    int code;

    if (path) {
        *out = license_key_load_public(path, e);
        return *out ? EXIT_OK : ctl_fail(e);
    }
    code = configured_key(c, &path);
    if (code)
        return code;
    public = public_path(path);
    *out = access(public, F_OK) == 0
               ? license_key_load_public(public, e)
               : license_key_load(path, c->settings->license_key_passphrase_file, e);
    free(public);
    return *out ? EXIT_OK : ctl_fail(e);
}

static int read_whole(const char *path, struct buf *out, struct err *e)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char part[4096];
    size_t n;
    int rc = 0;

    if (!f)
        return err_set(e, ERR_INVALID, 0, "%s: %s", path, strerror(errno));
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        buf_add(out, part, n);
    if (ferror(f))
        rc = err_set(e, ERR_INVALID, 0, "%s: %s", path, strerror(errno));
    else if (out->failed)
        rc =
            err_set(e, ERR_INVALID, 0, "%s: larger than %zu KiB", path, FILE_MAX >> 10);
    if (f != stdin)
        (void)fclose(f); /* only read from */
    return rc;
}

static int64_t clock_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail with this clock */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Of a license that counts days, a date: it means 00:00 on the server's clock. */
static void claim_time(int64_t ms, bool days, char out[static OUT_TIME_MAX])
{
    char date[WHEN_TEXT_MAX];

    if (!days) {
        out_time(ms, out);
        return;
    }
    when_format_date(when_day(ms), date);
    (void)snprintf(out, OUT_TIME_MAX, "%.10s", date);
}

/* "no: it expired 3d04h ago" */
static void validity(const struct license_claims *claims, bool days, int64_t now_ms,
                     char *out, size_t size)
{
    const struct {
        const char *before, *after;
        int64_t span;
    } forms[] = {{"no: it is not valid for another ", "", claims->starts_ms - now_ms},
                 {"yes: it is valid for another ", "", claims->expires_ms - now_ms},
                 {"no: it expired ", " ago", now_ms - claims->expires_ms}};
    int i = license_time_state(claims, now_ms) + 1;
    char span[OUT_TIME_MAX];

    out_span(forms[i].span, span);
    (void)snprintf(out, size, "%s%s%s%s", forms[i].before, span, forms[i].after,
                   days ? ", on a server in UTC" : "");
}

static void print_claims(const struct license_claims *claims, bool days,
                         const char *holds)
{
    char users[24], ticket[24], issued[OUT_TIME_MAX], from[OUT_TIME_MAX];
    char until[OUT_TIME_MAX], last[OUT_TIME_MAX];
    struct buf out;

    (void)snprintf(users, sizeof users, "%lld", (long long)claims->users);
    (void)snprintf(ticket, sizeof ticket, "%lld", (long long)claims->ticket_id);
    out_time(claims->issued_ms, issued);
    claim_time(claims->starts_ms, days, from);
    claim_time(claims->expires_ms, days, until);
    claim_time(claims->expires_ms - WHEN_DAY_MS, days, last);
    buf_init(&out, OUT_MAX);
    out_field(&out, "license", claims->id);
    out_field(&out, "email", claims->email);
    out_field(&out, "users", users);
    out_field(&out, "ticket", ticket);
    out_field(&out, "plan", claims->plan);
    out_field(&out, "trial", claims->trial ? "yes" : "no");
    out_field(&out, "issuer", claims->issuer);
    out_field(&out, "key", claims->key_id);
    out_field(&out, "issued", issued);
    out_field(&out, "valid from", from);
    out_field(&out, "valid until", until);
    if (days)
        out_field(&out, "last full day", last);
    out_field(&out, "holds", holds);
    out_print(&out);
    buf_done(&out);
}

static void print_claims_json(const struct license_claims *l, bool days, bool holds,
                              const char *words)
{
    char issued[OUT_TIME_MAX], from[OUT_TIME_MAX], until[OUT_TIME_MAX];

    out_time(l->issued_ms, issued);
    claim_time(l->starts_ms, days, from);
    claim_time(l->expires_ms, days, until);
    print_json(json_pack("{s:b, s:s, s:s, s:s, s:I, s:I, s:s, s:b, s:s, s:s, s:s, "
                         "s:s, s:s}",
                         "holds", holds, "reason", words, "license_id", l->id, "email",
                         l->email, "users", (json_int_t)l->users, "ticket_id",
                         (json_int_t)l->ticket_id, "plan", l->plan, "trial", l->trial,
                         "issuer", l->issuer, "key_id", l->key_id, "issued", issued,
                         "valid_from", from, "valid_until", until));
}

static int print_verdict(const struct ctl *c, const struct license_key *key,
                         const struct license_claims *claims)
{
    bool days = license_counts_days(license_key_format(key));
    int64_t now = clock_ms();
    bool holds = license_time_state(claims, now) == 0;
    char words[128];

    validity(claims, days, now, words, sizeof words);
    if (c->json)
        print_claims_json(claims, days, holds, words);
    else
        print_claims(claims, days, words);
    return holds ? EXIT_OK : EXIT_FAILED;
}

static int refuse(const struct ctl *c, const char *path, struct err *e)
{
    if (c->json)
        print_json(json_pack("{s:b, s:s}", "holds", 0, "reason", e->text));
    (void)err_wrap(e, "%s: does not hold", path);
    (void)ctl_fail(e);
    return EXIT_FAILED;
}

int cmd_verify(struct ctl *c, int argc, char **argv)
{
    const char *key_path = NULL;
    const struct arg_option own[] = {{"key", ARG_TEXT, &key_path}, {NULL, 0, NULL}};
    struct license_claims claims;
    struct license_key *key = NULL;
    struct buf text;
    struct err e;
    int code;

    if (ctl_args(c, argc, argv, own, 1, 1) < 0)
        return EXIT_USAGE;
    buf_init(&text, FILE_MAX);
    code = load_checker(c, key_path, &key, &e);
    if (code)
        goto out;
    if (read_whole(argv[0], &text, &e))
        code = ctl_fail(&e);
    else if (license_verify(key, text.data, text.len, &claims, &e))
        code = refuse(c, argv[0], &e);
    else
        code = print_verdict(c, key, &claims);
out:
    license_key_free(key);
    buf_done(&text);
    return code;
}
