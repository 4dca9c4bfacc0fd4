/* fuzz_license: everything that reads a license or a public key. The first byte of the
 * input chooses how deep the rest goes in:
 *   'L' a license text; 'P' a payload and 'F' a footer, properly signed first, so that
 *   what stands behind the signature is reached; 'K' a public key's text; 'C' claims to
 *   sign, which must be refused or come back the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "license.h"
#include "paseto.h"

/* PASERK's published test vector k4.secret-2. */
#define SECRET                                                                         \
    "k4.secret.cHFyc3R1dnd4eXp7fH1-f4CBgoOEhYaHiImKi4yNjo8c5WpIyC_5kWKhS8VEYSZ05dYfuT" \
    "F-ZdQFV4D9vLTcNQ"
#define BEGIN "-----BEGIN STOPGAP LICENSE-----\n"
#define END "\n-----END STOPGAP LICENSE-----\n"
#define INPUT_MAX 65536

static struct license_key *key;
static unsigned char secret[PASETO_SECRET_LEN];

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char path[] = "/tmp/fuzz-license-XXXXXX";
    int fd = mkstemp(path);
    struct err e;

    (void)argc;
    (void)argv;
    must(fd >= 0 && write(fd, SECRET, strlen(SECRET)) == (ssize_t)strlen(SECRET));
    key = license_key_load(path, NULL, &e);
    (void)close(fd);
    (void)unlink(path);
    must(key && paseto_read_secret(SECRET, strlen(SECRET), secret));
    return 0;
}

/* A license that is taken must say only what a license may say. */
static void verify(const char *text, size_t len)
{
    struct license_claims c;
    struct err e;

    err_clear(&e);
    if (license_verify(key, text, len, &c, &e) != 0) {
        must(e.class == ERR_INVALID && e.text[0]);
        return;
    }
    must(c.users >= 1 && c.ticket_id >= 1 && c.trial &&
         strcmp(c.plan, "ultimate") == 0);
    must(c.expires_ms - c.issued_ms <= 10 * INT64_C(86400000));
    must(strcmp(c.key_id, license_key_id(key)) == 0);
}

static void verify_signed(const char *payload, size_t payload_len, const char *footer,
                          size_t footer_len)
{
    const struct buf nothing = {0};
    struct buf p, f, text;

    buf_init(&p, INPUT_MAX);
    buf_init(&f, INPUT_MAX);
    buf_init(&text, 4 * INPUT_MAX);
    buf_add(&p, payload, payload_len);
    buf_add(&f, footer, footer_len);
    buf_adds(&text, BEGIN);
    paseto_sign(secret, &p, &f, &nothing, &text);
    buf_adds(&text, END);
    verify(text.data, text.len);
    buf_done(&p);
    buf_done(&f);
    buf_done(&text);
}

static void on_license(const char *input, size_t len)
{
    verify(input, len);
}

static void on_payload(const char *input, size_t len)
{
    struct buf footer;

    buf_init(&footer, 128);
    buf_addf(&footer, "{\"kid\":\"%s\"}", license_key_id(key));
    verify_signed(input, len, footer.data, footer.len);
    buf_done(&footer);
}

static void on_footer(const char *input, size_t len)
{
    verify_signed("{}", 2, input, len);
}

static void on_key(const char *input, size_t len)
{
    unsigned char public_half[PASETO_PUBLIC_LEN];
    char text[PASETO_PUBLIC_TEXT_LEN + 1];

    if (!paseto_read_public(input, len, public_half))
        return;
    paseto_public_text(public_half, text);
    must(len == PASETO_PUBLIC_TEXT_LEN && memcmp(text, input, len) == 0);
}

/* Any bytes as issuer and address: one spelling of each claim, or a refusal. */
static void on_claims(const char *input, size_t len)
{
    struct license_claims c;
    struct buf text;
    struct err e;
    size_t half = len / 2;

    license_claims_make(&c, key, "01JD6Q5Z3K8V4N2M7P9R0T1W2X", "", "", (int64_t)len, 1,
                        INT64_C(1769860800000), 10);
    memcpy(c.issuer, input, half < sizeof c.issuer ? half : sizeof c.issuer - 1);
    memcpy(c.email, input + half,
           len - half < sizeof c.email ? len - half : sizeof c.email - 1);
    buf_init(&text, LICENSE_TEXT_MAX);
    if (license_sign(key, &c, &text, &e) == 0)
        verify(text.data, text.len);
    else
        must(e.class == ERR_BUG && text.len == 0);
    buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        char letter;
        void (*run)(const char *input, size_t len);
    } kinds[] = {{'L', on_license},
                 {'P', on_payload},
                 {'F', on_footer},
                 {'K', on_key},
                 {'C', on_claims}};
    const char *input = (const char *)data;

    if (size == 0 || size > INPUT_MAX)
        return 0;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (kinds[i].letter == input[0])
            kinds[i].run(input + 1, size - 1);
    return 0;
}
