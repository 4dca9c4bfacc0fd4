/* seal: see seal.h. */
#include "seal.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "secret.h"

#define KEY_PREFIX "stopgap-seal:v1:"
#define TEXT_PREFIX "sealed:"
#define TEXT_HEAD TEXT_PREFIX "v1:"
#define KEY_FILE_MAX 16384
#define KEY_LEN crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define NONCE_LEN crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN crypto_aead_xchacha20poly1305_ietf_ABYTES
#define PLACE_MAX 4096

struct seal {
    size_t count;
    struct secret keys[SEAL_KEYS_MAX];
    char ids[SEAL_KEYS_MAX][SEAL_ID_LEN + 1];
};

/* ---- keys ---- */

static void make_id(const unsigned char key[static KEY_LEN],
                    char out[static SEAL_ID_LEN + 1])
{
    static const char label[] = "stopgap-seal:v1:id";
    unsigned char hash[crypto_generichash_BYTES];

    (void)crypto_generichash(hash, sizeof hash, (const unsigned char *)label,
                             sizeof label - 1, key, KEY_LEN);
    sodium_bin2hex(out, SEAL_ID_LEN + 1, hash, SEAL_ID_LEN / 2);
}

static size_t find_key(const struct seal *s, const char *id)
{
    size_t i = 0;

    while (i < s->count && strcmp(s->ids[i], id) != 0)
        i++;
    return i;
}

/* libsodium takes a byte above 127 for a letter: one spelling only. */
static bool from_base64(const char *text, size_t len, int variant, unsigned char *out,
                        size_t max, size_t *got)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] > 0x7f)
            return false;
    return sodium_base642bin(out, max, text, len, NULL, got, NULL, variant) == 0;
}

static int add_key(struct seal *s, const unsigned char key[static KEY_LEN],
                   struct err *e)
{
    char id[SEAL_ID_LEN + 1];

    make_id(key, id);
    if (find_key(s, id) < s->count)
        return err_set(e, ERR_CONFIG, 0, "key %s stands there twice", id);
    if (s->count == SEAL_KEYS_MAX)
        return err_set(e, ERR_CONFIG, 0, "more than %d keys", SEAL_KEYS_MAX);
    secret_set(&s->keys[s->count], key, KEY_LEN);
    memcpy(s->ids[s->count], id, sizeof id);
    s->count++;
    return 0;
}

static int read_line(struct seal *s, const char *line, size_t len, struct err *e)
{
    const size_t start = sizeof KEY_PREFIX - 1;
    unsigned char key[KEY_LEN];
    size_t got = 0;
    int rc;

    if (len > start && memcmp(line, KEY_PREFIX, start) == 0 &&
        from_base64(line + start, len - start, sodium_base64_VARIANT_ORIGINAL, key,
                    sizeof key, &got) &&
        got == sizeof key)
        rc = add_key(s, key, e);
    else
        rc = err_set(e, ERR_CONFIG, 0,
                     "no seal key; wanted: \"" KEY_PREFIX
                     "\" and 32 bytes in base64, as `stopgapctl keygen FILE --type "
                     "seal` writes it");
    secret_wipe(key, sizeof key);
    return rc;
}

static void trim(const char **line, size_t *len)
{
    while (*len && strchr(" \t\r", (*line)[*len - 1]))
        --*len;
    while (*len && strchr(" \t\r", **line)) {
        ++*line;
        --*len;
    }
}

static int read_lines(struct seal *s, const char *text, size_t len, struct err *e)
{
    const char *end = text + len;
    int n = 1;

    for (const char *p = text; p < end; n++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *line = p;
        size_t line_len = (size_t)((newline ? newline : end) - p);

        p += line_len + (newline != NULL);
        trim(&line, &line_len);
        if (line_len == 0 || *line == '#')
            continue;
        if (read_line(s, line, line_len, e)) {
            (void)err_wrap(e, "line %d", n);
            e->code = memmem(text, len, KEY_PREFIX, sizeof KEY_PREFIX - 1) ? n : 0;
            return -1;
        }
    }
    return s->count ? 0
                    : err_set(e, ERR_CONFIG, 0,
                              "holds no key; `stopgapctl keygen FILE --type seal` "
                              "writes a file with one");
}

struct seal *seal_read(const char *text, size_t len, struct err *e)
{
    struct seal *s = mem_new(1, sizeof *s);

    if (sodium_init() < 0)
        (void)err_set(e, ERR_BUG, 0, "libsodium does not start");
    else if (read_lines(s, text, len, e) == 0)
        return s;
    seal_free(s);
    return NULL;
}

struct seal *seal_load(const char *path, struct err *e)
{
    struct secret file = {0};
    struct seal *s;

    if (secret_read_file(&file, path, KEY_FILE_MAX, true, e))
        return NULL;
    s = seal_read(file.len ? file.data : "", file.len, e);
    if (!s)
        (void)err_wrap(e, "%s", path);
    secret_done(&file);
    return s;
}

void seal_free(struct seal *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < SEAL_KEYS_MAX; i++)
        secret_done(&s->keys[i]);
    free(s);
}

const char *seal_key_id(const struct seal *s, size_t n)
{
    return n < s->count ? s->ids[n] : NULL;
}

int seal_keygen(const char *path, struct err *e)
{
    unsigned char key[KEY_LEN];
    char base64[sodium_base64_ENCODED_LEN(KEY_LEN, sodium_base64_VARIANT_ORIGINAL)];
    char id[SEAL_ID_LEN + 1];
    struct buf file;
    int rc;

    if (sodium_init() < 0)
        return err_set(e, ERR_BUG, 0, "libsodium does not start");
    crypto_aead_xchacha20poly1305_ietf_keygen(key);
    make_id(key, id);
    sodium_bin2base64(base64, sizeof base64, key, sizeof key,
                      sodium_base64_VARIANT_ORIGINAL);
    buf_init(&file, 1024);
    buf_addf(&file, "# stopgap-seal key %s\n" KEY_PREFIX "%s\n", id, base64);
    rc = secret_write_file(path, file.data, file.len, e);
    secret_wipe(file.data, file.len);
    buf_done(&file);
    secret_wipe(base64, sizeof base64);
    secret_wipe(key, sizeof key);
    return rc;
}

/* ---- texts ---- */

/* No part holds a newline. */
static void add_place(const struct seal_place *at, const char *id, struct buf *out)
{
    buf_init(out, PLACE_MAX);
    buf_addf(out, TEXT_HEAD "\n%s\n%s\n%s\n%s", at->queue, at->job, at->field, id);
    assert(!out->failed);
}

void seal_text(const struct seal *s, const struct seal_place *at, const char *text,
               struct buf *out)
{
    size_t len = strlen(text);
    unsigned char *bytes = mem_new(1, NONCE_LEN + len + TAG_LEN);
    struct buf place;

    assert(len <= SEAL_TEXT_MAX);
    add_place(at, s->ids[0], &place);
    randombytes_buf(bytes, NONCE_LEN);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
        bytes + NONCE_LEN, NULL, (const unsigned char *)text, len,
        (const unsigned char *)place.data, place.len, NULL, bytes,
        (const unsigned char *)s->keys[0].data);
    buf_addf(out, TEXT_HEAD "%s:", s->ids[0]);
    buf_add_base64url(out, bytes, NONCE_LEN + len + TAG_LEN);
    buf_done(&place);
    free(bytes);
}

bool seal_is_sealed(const char *text)
{
    return strncmp(text, TEXT_PREFIX, sizeof TEXT_PREFIX - 1) == 0;
}

/* What follows the id, or NULL. */
static const char *read_head(const char *sealed, char id[static SEAL_ID_LEN + 1])
{
    const char *p = sealed + sizeof TEXT_HEAD - 1;

    *id = '\0';
    if (strncmp(sealed, TEXT_HEAD, sizeof TEXT_HEAD - 1) != 0 ||
        strspn(p, "0123456789abcdef") != SEAL_ID_LEN || p[SEAL_ID_LEN] != ':')
        return NULL;
    memcpy(id, p, SEAL_ID_LEN);
    id[SEAL_ID_LEN] = '\0';
    return p + SEAL_ID_LEN + 1;
}

void seal_id_of(const char *sealed, char out[static SEAL_ID_LEN + 1])
{
    (void)read_head(sealed, out);
}

/* The text, or NULL. */
static char *decrypt(const struct secret *key, const struct buf *place,
                     const unsigned char *bytes, size_t len)
{
    unsigned long long got = 0;
    char *text;

    if (len < NONCE_LEN + TAG_LEN)
        return NULL;
    text = mem_new(1, len - NONCE_LEN - TAG_LEN + 1);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(
            (unsigned char *)text, &got, NULL, bytes + NONCE_LEN, len - NONCE_LEN,
            (const unsigned char *)place->data, place->len, bytes,
            (const unsigned char *)key->data) == 0 &&
        strlen(text) == got)
        return text;
    free(text);
    return NULL;
}

static char *open_body(const struct secret *key, const struct seal_place *at,
                       const char *id, const char *body)
{
    const size_t most = NONCE_LEN + SEAL_TEXT_MAX + TAG_LEN;
    unsigned char *bytes;
    struct buf place;
    size_t got = 0;
    char *text = NULL;

    if (strlen(body) > 2 * most)
        return NULL;
    bytes = mem_new(1, most);
    add_place(at, id, &place);
    if (from_base64(body, strlen(body), sodium_base64_VARIANT_URLSAFE_NO_PADDING, bytes,
                    most, &got))
        text = decrypt(key, &place, bytes, got);
    buf_done(&place);
    free(bytes);
    return text;
}

int seal_open(const struct seal *s, const struct seal_place *at, const char *sealed,
              char **text, struct err *e)
{
    char id[SEAL_ID_LEN + 1];
    const char *body = read_head(sealed, id);
    size_t n = s && body ? find_key(s, id) : 0;
    char *opened;

    if (!body)
        return err_set(e, ERR_BUG, SEAL_BROKEN,
                       "sealed in no form that is known here: it was changed in Redis");
    if (!s)
        return err_set(e, ERR_CONFIG, 0,
                       "sealed with key %s, and STOPGAP_SEAL_KEY_FILE is not set here: "
                       "set it to a file with that key",
                       id);
    if (n == s->count)
        return err_set(
            e, ERR_CONFIG, 0,
            "sealed with key %s, which is not in the file of "
            "STOPGAP_SEAL_KEY_FILE here: add its line there, and restart the "
            "worker, or send it HUP",
            id);
    opened = open_body(&s->keys[n], at, id, body);
    if (!opened)
        return err_set(
            e, ERR_BUG, SEAL_BROKEN,
            "sealed with key %s, and does not open: it was changed in Redis, "
            "or sealed for another job or queue",
            id);
    *text = opened;
    return 0;
}
