/* fuzz_seal: foreign bytes where keys or sealed texts are expected. The first byte of
 * the input chooses: 'K' a file of keys; 'T' a sealed text; 'B' what stands behind the
 * key's id in one; 'S' a text to seal, which must come back, and in no other place. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_input.h"
#include "seal.h"

#define KEY "stopgap-seal:v1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"

static const struct seal_place here = {"licenses", "0123456789abcdefghjkmnpqrs", "lic"};
static const struct seal_place there = {"licenses", "0123456789abcdefghjkmnpqrt",
                                        "lic"};
static struct seal *ours;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file that we write is one that we read. */
static void check_file(void)
{
    char folder[64], path[96];
    struct seal *s;
    struct err e;

    fuzz_folder(folder);
    (void)snprintf(path, sizeof path, "%s/key", folder);
    PROMISE(!seal_load(path, &e) && e.class == ERR_CONFIG);
    PROMISE(seal_keygen(path, &e) == 0);
    s = seal_load(path, &e);
    PROMISE(s && seal_key_id(s, 0) && !seal_key_id(s, 1));
    seal_free(s);
    PROMISE(!unlink(path) && !rmdir(folder));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct err e;

    (void)argc;
    (void)argv;
    check_file();
    ours = seal_read(KEY, strlen(KEY), &e);
    PROMISE(ours);
    return 0;
}

/* A file that is taken has keys that differ, and what one seals all of it open. */
static void on_keys(const char *input, size_t len)
{
    struct err e = {.class = ERR_NONE};
    struct seal *s = seal_read(input, len, &e);
    char id[SEAL_ID_LEN + 1], *text = NULL;
    struct buf out;

    if (!s) {
        PROMISE(e.class == ERR_CONFIG && e.text[0]);
        return;
    }
    for (size_t i = 0; seal_key_id(s, i); i++)
        for (size_t k = 0; k < i; k++)
            PROMISE(strcmp(seal_key_id(s, i), seal_key_id(s, k)) != 0);
    buf_init(&out, 1024);
    seal_text(s, &here, "license", &out);
    seal_id_of(out.data, id);
    PROMISE(strcmp(id, seal_key_id(s, 0)) == 0);
    PROMISE(seal_open(s, &here, out.data, &text, &e) == 0 &&
            strcmp(text, "license") == 0);
    free(text);
    buf_done(&out);
    seal_free(s);
}

/* Nobody here can have sealed it. */
static void stays_shut(const char *sealed)
{
    char id[SEAL_ID_LEN + 1], *text = NULL;
    struct err e = {.class = ERR_NONE};

    seal_id_of(sealed, id);
    PROMISE(id[0] == '\0' || strlen(id) == SEAL_ID_LEN);
    PROMISE(seal_open(ours, &here, sealed, &text, &e) == -1 && !text);
    PROMISE((e.class == ERR_CONFIG && *id) ||
            (e.class == ERR_BUG && e.code == SEAL_BROKEN));
    PROMISE(seal_open(NULL, &here, sealed, &text, &e) == -1 && !text);
}

static void on_text(const char *input, size_t len)
{
    char *text = mem_dup(input, len);

    stays_shut(text);
    free(text);
}

static void on_body(const char *input, size_t len)
{
    struct buf out;

    buf_init(&out, 1 << 20);
    buf_addf(&out, "sealed:v1:%s:", seal_key_id(ours, 0));
    buf_add(&out, input, len);
    stays_shut(out.data);
    buf_done(&out);
}

static void on_seal(const char *input, size_t len)
{
    char *text = mem_dup(input, len), *back = NULL;
    struct buf out;
    struct err e;

    buf_init(&out, 1 << 20);
    seal_text(ours, &here, text, &out);
    PROMISE(!out.failed && seal_is_sealed(out.data));
    PROMISE(seal_open(ours, &here, out.data, &back, &e) == 0);
    PROMISE(strcmp(back, text) == 0);
    PROMISE(seal_open(ours, &there, out.data, &back, &e) == -1);
    free(back);
    free(text);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        char letter;
        void (*run)(const char *input, size_t len);
    } kinds[] = {{'K', on_keys}, {'T', on_text}, {'B', on_body}, {'S', on_seal}};
    const char *input = (const char *)data;

    if (size == 0 || size > SEAL_TEXT_MAX)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].letter == input[0])
            kinds[i].run(input + 1, size - 1);
    return 0;
}
