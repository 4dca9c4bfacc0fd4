/* license_key: signing and public keys: which format they belong to, reading and
 * writing their files, and saying what a wrong file holds. Declared in license.h. */
#include "license.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "license_format.h"
#include "mem.h"

#define KEY_FILE_MAX 16384

static const struct license_format *const formats[] = {&license_format_paseto,
                                                       &license_format_gitlab};

/* What people put into a key file by mistake, the longer prefix first. */
static const struct {
    const char *prefix;
    const char *words;
} foreign[] = {
    {"-----BEGIN OPENSSH PRIVATE KEY-----",
     "an OpenSSH key; `ssh-keygen -p -m PEM -f COPY` makes a copy of it PEM"},
    {"-----BEGIN EC P", "an EC key in PEM"},
    {"-----BEGIN DSA P", "a DSA key in PEM"},
    {"-----BEGIN CERTIFICATE-----", "a certificate"},
    {"-----BEGIN STOPGAP LICENSE-----", "a license, not a key"},
    {"--------------------BEGIN", "a license, not a key"},
    {"Bag Attributes", "text before the line \"-----BEGIN\"; take it away"},
    {"stopgap-seal:", "a seal key, for STOPGAP_SEAL_KEY_FILE"},
    {"# stopgap-seal", "a seal key, for STOPGAP_SEAL_KEY_FILE"},
    {"k4.secret-pw.", "a PASERK key encrypted with a password"},
    {"k4.secret-wrap.", "a wrapped PASERK key"},
    {"k4.local", "a symmetric PASERK key"},
    {"k4.pid.", "the id of a key, not a key"},
    {"k4.sid.", "the id of a key, not a key"},
    {"k1.", "a PASERK key of version 1"},
    {"k2.", "a PASERK key of version 2"},
    {"k3.", "a PASERK key of version 3"},
};

static const char *const wanted_words[] = {
    [KEY_SECRET] =
        "an Ed25519 key in PASERK text (k4.secret....) or an RSA key in PEM, "
        "as `stopgapctl keygen FILE` writes them",
    [KEY_PUBLIC] =
        "a public Ed25519 key in PASERK text (k4.public....) or a public RSA "
        "key in PEM, as it stands in FILE.pub"};

static void say_foreign(const char *text, size_t len, enum key_half wanted,
                        struct err *e)
{
    const char *words = len ? "nothing that is known here as a key" : "nothing";

    for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
        if (len >= strlen(foreign[i].prefix) &&
            memcmp(text, foreign[i].prefix, strlen(foreign[i].prefix)) == 0) {
            words = foreign[i].words;
            break;
        }
    (void)err_set(e, ERR_CONFIG, 0, "holds %s; wanted: %s", words,
                  wanted_words[wanted]);
}

static const struct license_format *recognise(const char *text, size_t len,
                                              enum key_half *half)
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        *half = formats[i]->recognise(text, len);
        if (*half != KEY_FOREIGN)
            return formats[i];
    }
    return NULL;
}

static struct license_key *read_key(const char *text, size_t len, enum key_half wanted,
                                    const struct secret *passphrase, struct err *e)
{
    const struct license_format *f;
    struct license_key *k;
    enum key_half half;
    void *own;

    license_trim(&text, &len);
    f = recognise(text, len, &half);
    if (!f) {
        say_foreign(text, len, wanted, e);
        return NULL;
    }
    if (half != wanted) {
        (void)err_set(e, ERR_CONFIG, 0, "holds a %s key; wanted: %s",
                      half == KEY_PUBLIC ? "public" : "secret", wanted_words[wanted]);
        return NULL;
    }
    own = half == KEY_SECRET ? f->read_secret(text, len, passphrase, e)
                             : f->read_public(text, len, e);
    if (!own)
        return NULL;
    k = mem_new(1, sizeof *k);
    *k = (struct license_key){f, half == KEY_SECRET, 1, "", own};
    f->key_id(own, k->id);
    return k;
}

struct license_key *license_key_load(const char *path, const char *passphrase_file,
                                     struct err *e)
{
    struct secret file = {0};
    struct secret passphrase = {0};
    struct license_key *k = NULL;

    if (secret_read_file(&file, path, KEY_FILE_MAX, true, e) != 0)
        goto out;
    if (passphrase_file &&
        secret_read_file(&passphrase, passphrase_file, KEY_FILE_MAX, true, e) != 0)
        goto out;
    k = read_key(file.len ? file.data : "", file.len, KEY_SECRET, &passphrase, e);
    if (!k)
        (void)err_wrap(e, "%s", path);
out:
    secret_done(&passphrase);
    secret_done(&file);
    return k;
}

static struct license_key *load_public_file(const char *path, struct err *e)
{
    const struct secret none = {0};
    char bytes[KEY_FILE_MAX];
    struct license_key *k = NULL;
    FILE *f = fopen(path, "re");
    size_t n;

    if (!f) {
        (void)err_set(e, ERR_CONFIG, 0, "%s: %s", path, strerror(errno));
        return NULL;
    }
    (void)setvbuf(f, NULL, _IONBF, 0); /* no copy that would not be wiped */
    n = fread(bytes, 1, sizeof bytes, f);
    if (ferror(f)) {
        (void)err_set(e, ERR_CONFIG, 0, "%s: %s", path, strerror(errno));
    } else {
        k = read_key(bytes, n, KEY_PUBLIC, &none, e);
        if (!k)
            (void)err_wrap(e, "%s", path);
    }
    (void)fclose(f);                  /* only read from */
    secret_wipe(bytes, sizeof bytes); /* someone may have named the secret key's file */
    return k;
}

struct license_key *license_key_load_public(const char *path, struct err *e)
{
    const struct secret none = {0};
    enum key_half half;

    if (recognise(path, strlen(path), &half) && half == KEY_PUBLIC)
        return read_key(path, strlen(path), KEY_PUBLIC, &none, e);
    return load_public_file(path, e);
}

void license_key_public_text(const struct license_key *k, struct buf *out)
{
    k->format->public_text(k->own, out);
}

const char *license_key_id(const struct license_key *k)
{
    return k->id;
}

const char *license_key_format(const struct license_key *k)
{
    return k->format->name;
}

int64_t license_key_least_days(const struct license_key *k)
{
    return k->format->least_term_days;
}

bool license_key_is_slow(const struct license_key *k)
{
    return k->format->slow;
}

struct license_key *license_key_hold(struct license_key *k)
{
    k->owners++;
    return k;
}

void license_key_free(struct license_key *k)
{
    if (!k || --k->owners > 0)
        return;
    k->format->key_free(k->own);
    free(k);
}

const struct license_format *license_format_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (strcmp(formats[i]->name, name) == 0)
            return formats[i];
    return formats[0];
}

const char *license_file_suffix(const char *format)
{
    return license_format_named(format)->file_suffix;
}

bool license_counts_days(const char *format)
{
    return license_format_named(format)->counts_days;
}

static const struct license_format *format_of_type(const char *type)
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (strcmp(formats[i]->key_type, type) == 0)
            return formats[i];
    return NULL;
}

static int write_pair(const char *path, const char *public_path,
                      const struct secret *file, struct err *e)
{
    const struct secret none = {0};
    struct license_key *k = read_key(file->data, file->len, KEY_SECRET, &none, e);
    struct buf text;
    int result = -1;

    if (!k)
        return err_wrap(e, "the new key");
    buf_init(&text, KEY_FILE_MAX);
    license_key_public_text(k, &text);
    if (secret_write_file(path, file->data, file->len, e) == 0) {
        result = secret_write_public_file(public_path, text.data, text.len, e);
        if (result != 0)
            (void)unlink(path); /* half a pair would only be in the way */
    }
    buf_done(&text);
    license_key_free(k);
    return result;
}

int license_keygen(const char *path, const char *type, int64_t bits, struct err *e)
{
    const struct license_format *f = format_of_type(type);
    struct secret file = {0};
    struct buf public_path;
    int result;

    if (!f)
        return err_set(e, ERR_CONFIG, 0,
                       "key type \"%s\": there are \"ed25519\", \"rsa\" and \"seal\"",
                       type);
    buf_init(&public_path, 4096);
    buf_addf(&public_path, "%s.pub", path);
    if (public_path.failed) {
        result = err_set(e, ERR_CONFIG, 0, "the file name is too long");
    } else if (access(public_path.data, F_OK) == 0) {
        result = err_set(e, ERR_CONFIG, 0, "%s: is there already; not overwritten",
                         public_path.data);
    } else {
        result = f->generate(bits, &file, e);
        if (result == 0)
            result = write_pair(path, public_path.data, &file, e);
    }
    secret_done(&file);
    buf_done(&public_path);
    return result;
}
