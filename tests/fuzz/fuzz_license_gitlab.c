/* fuzz_license_gitlab: everything that reads a GitLab license file or an RSA key. The
 * first byte of the input chooses how deep the rest goes in:
 *   'L' a license text; 'E' what its envelope holds, put into base64 and between the
 *   lines first; 'J' decrypted attributes; 'K' a key in PEM, secret or public; 'D' the
 *   same, from its DER; 'C' claims to write, which must be read back the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "license.h"
#include "license_gitlab.h"
#include "mem.h"

#define BEGIN "--------------------BEGIN GITLAB LICENSE--------------------\n"
#define END "\n---------------------END GITLAB LICENSE---------------------\n"
#define INPUT_MAX 65536
#define NOW INT64_C(1769860800000)
#define ID "01JD6Q5Z3K8V4N2M7P9R0T1W2X"

static struct license_key *key;
static struct secret passphrase;

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Made anew by each run: no input can hold what it signs, and none has to. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char folder[] = "/tmp/fuzz-license-XXXXXX", path[64], public_path[72];
    struct err e;

    (void)argc;
    (void)argv;
    must(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof path, "%s/key", folder);
    (void)snprintf(public_path, sizeof public_path, "%s.pub", path);
    must(license_keygen(path, "rsa", 2048, &e) == 0);
    key = license_key_load(path, NULL, &e);
    (void)unlink(path);
    (void)unlink(public_path);
    (void)rmdir(folder);
    secret_set(&passphrase, "hush", 4);
    must(key != NULL);
    return 0;
}

static void on_license(const char *input, size_t len)
{
    struct license_claims c;
    struct err e;

    err_clear(&e);
    if (license_verify(key, input, len, &c, &e) != 0)
        must(e.class == ERR_INVALID && e.text[0]);
}

static void on_envelope(const char *input, size_t len)
{
    struct buf text;

    buf_init(&text, 4 * INPUT_MAX);
    buf_adds(&text, BEGIN);
    buf_add_base64(&text, input, len);
    buf_adds(&text, END);
    on_license(text.data, text.len);
    buf_done(&text);
}

/* What is taken is written again byte for byte: one spelling. */
static void on_attributes(const char *input, size_t len)
{
    struct license_claims c = {.users = 0};
    struct buf again;
    struct err e;

    err_clear(&e);
    if (license_gitlab_json_read(input, len, &c, &e) != 0) {
        must(e.class == ERR_INVALID && e.text[0]);
        return;
    }
    buf_init(&again, LICENSE_TEXT_MAX);
    license_gitlab_json_write(&c, &again);
    must(again.len == len && memcmp(again.data, input, len) == 0);
    buf_done(&again);
}

static void read_key(const char *text, size_t len, const struct secret *word)
{
    struct rsa_numbers numbers = {.len = {0}};
    struct rsa_key *k;
    struct err e;

    err_clear(&e);
    if (license_gitlab_pem_half(text, len) == KEY_FOREIGN)
        return;
    if (license_gitlab_pem_read(text, len, word, &numbers, &e) != 0) {
        must(e.class == ERR_CONFIG && e.text[0]);
        return;
    }
    k = license_gitlab_key_new(&numbers, &e);
    must(k ? strlen(license_gitlab_key_id(k)) == 39 : e.class == ERR_CONFIG);
    license_gitlab_key_free(k);
}

static void on_key(const char *input, size_t len)
{
    const struct secret none = {.len = 0};

    read_key(input, len, &none);
    read_key(input, len, &passphrase);
}

static void on_der(const char *input, size_t len)
{
    static const char *const names[] = {"RSA PRIVATE KEY", "PRIVATE KEY",
                                        "ENCRYPTED PRIVATE KEY", "PUBLIC KEY",
                                        "RSA PUBLIC KEY"};
    struct buf text;

    if (len == 0)
        return;
    buf_init(&text, 4 * INPUT_MAX);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        buf_reset(&text);
        buf_addf(&text, "-----BEGIN %s-----\n", names[i]);
        buf_add_base64(&text, input, len);
        buf_addf(&text, "\n-----END %s-----", names[i]);
        on_key(text.data, text.len);
    }
    buf_done(&text);
}

static void on_claims(const char *input, size_t len)
{
    struct license_claims c, back;
    size_t half = len / 2;
    struct buf json;
    struct err e;

    license_claims_make(&c, key, ID, "", "", (int64_t)len, 1, NOW, 10);
    memcpy(c.issuer, input, half < sizeof c.issuer ? half : sizeof c.issuer - 1);
    memcpy(c.email, input + half,
           len - half < sizeof c.email ? len - half : sizeof c.email - 1);
    buf_init(&json, LICENSE_TEXT_MAX);
    license_gitlab_json_write(&c, &json);
    if (license_gitlab_json_read(json.data, json.len, &back, &e) == 0)
        must(strcmp(back.issuer, c.issuer) == 0 && strcmp(back.email, c.email) == 0);
    buf_done(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        char letter;
        void (*run)(const char *input, size_t len);
    } kinds[] = {{'L', on_license}, {'E', on_envelope}, {'J', on_attributes},
                 {'K', on_key},     {'D', on_der},      {'C', on_claims}};
    const char *input = (const char *)data;

    if (size == 0 || size > INPUT_MAX)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].letter == input[0])
            kinds[i].run(input + 1, size - 1);
    return 0;
}
