/* Key files of any bytes, with and without a passphrase file, secret and public, and
 * licenses of any bytes checked with keys of each format. A key that is taken signs
 * what its public half verifies, and comes back from its own public text as the same
 * key; a refusal names the file and tells nothing of what is in it. The first byte
 * chooses: 'S' a secret key's file; 'W' the same, the passphrase's file and 0xFF before
 * it; 'P' a public key's file; 'T' its text in place of a file's name; 'L' a license.
 */
#include <ctype.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz_input.h"
#include "fuzz_text.h"
#include "license.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define NOW INT64_C(1769860800000)
#define ID "01JD6Q5Z3K8V4N2M7P9R0T1W2X"
#define WINDOW 16
/* PASERK's published test vector k4.secret-2. */
#define SECRET                                                                         \
    "k4.secret.cHFyc3R1dnd4eXp7fH1-f4CBgoOEhYaHiImKi4yNjo8c5WpIyC_5kWKhS8VEYSZ05dYfuT" \
    "F-ZdQFV4D9vLTcNQ"

static char folder[] = "/tmp/fuzz-key-XXXXXX";
static char key_file[64], word_file[64];
static struct license_key *keys[4];

static void put(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    PROMISE(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    (void)close(fd);
}

static void remove_folder(void)
{
    (void)unlink(key_file);
    (void)unlink(word_file);
    (void)rmdir(folder);
}

static struct license_key *must_load(bool secret)
{
    struct err e;
    struct license_key *k = secret ? license_key_load(key_file, NULL, &e)
                                   : license_key_load_public(key_file, &e);

    PROMISE(k);
    return k;
}

/* Names that are no files of keys, whatever is in them. */
static void check_names(void)
{
    struct err e;
    char long_name[4200];

    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    PROMISE(!license_key_load("/no/such/file", NULL, &e) && e.class == ERR_CONFIG);
    PROMISE(!license_key_load_public("/no/such/file", &e) && e.class == ERR_CONFIG);
    PROMISE(!license_key_load_public(folder, &e) && e.class == ERR_CONFIG);
    PROMISE(license_keygen(long_name, "rsa", 0, &e) && e.class == ERR_CONFIG);
    PROMISE(license_keygen(key_file, "dsa", 0, &e) && e.class == ERR_CONFIG);
    PROMISE(license_keygen(key_file, "rsa", 1024, &e) && e.class == ERR_CONFIG);
    PROMISE(license_keygen(key_file, "ed25519", 256, &e) && e.class == ERR_CONFIG);
}

static void generate(const char *type, int64_t bits, size_t at)
{
    char public_file[80];
    struct err e;

    (void)snprintf(public_file, sizeof public_file, "%s.pub", key_file);
    PROMISE(!license_keygen(key_file, type, bits, &e));
    PROMISE(license_keygen(key_file, type, bits, &e) && e.class == ERR_CONFIG);
    keys[at] = must_load(true);
    (void)unlink(key_file);
    PROMISE(!rename(public_file, key_file));
    keys[at + 1] = must_load(false);
    PROMISE(!strcmp(license_key_id(keys[at]), license_key_id(keys[at + 1])));
    (void)unlink(key_file);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    PROMISE(mkdtemp(folder));
    (void)snprintf(key_file, sizeof key_file, "%s/key", folder);
    (void)snprintf(word_file, sizeof word_file, "%s/word", folder);
    (void)atexit(remove_folder);
    check_names();
    generate("ed25519", 0, 0);
    license_key_free(keys[0]);
    put(key_file, SECRET, strlen(SECRET)); /* licenses of this one are in the corpus */
    keys[0] = must_load(true);
    (void)unlink(key_file);
    generate("rsa", 2048, 2);
    return 0;
}

/* ---- what is promised ---- */

/* No stretch of base64 out of the file. */
static void check_refused(const struct err *e, const char *bytes, size_t len,
                          const char *file)
{
    size_t run = 0;

    PROMISE(e->class == ERR_CONFIG && text_line(e->text));
    if (file)
        PROMISE(!strncmp(e->text, file, strlen(file)) || strstr(e->text, word_file));
    for (size_t i = 0; i < len; i++) {
        run = isalnum((unsigned char)bytes[i]) ? run + 1 : 0;
        if (run >= WINDOW)
            PROMISE(!memmem(e->text, strlen(e->text), bytes + i + 1 - WINDOW, WINDOW));
    }
}

static void check_facts(const struct license_key *k)
{
    bool gitlab = !strcmp(license_key_format(k), "gitlab");

    PROMISE(gitlab || !strcmp(license_key_format(k), "stopgap"));
    PROMISE(!strncmp(license_key_id(k), gitlab ? "sha256:" : "k4.pid.", 7));
    PROMISE(license_key_least_days(k) >= 1 && license_key_least_days(k) <= 2);
    PROMISE(license_key_is_slow(k) == gitlab);
    PROMISE(license_counts_days(license_key_format(k)) == gitlab);
    PROMISE(!strcmp(license_file_suffix(license_key_format(k)),
                    gitlab ? ".gitlab-license" : ".license"));
}

static struct license_key *public_half(const struct license_key *k)
{
    struct license_key *half;
    struct buf text;
    struct err e;

    buf_init(&text, 16384);
    license_key_public_text(k, &text);
    PROMISE(!text.failed);
    put(key_file, text.data, text.len);
    half = license_key_load_public(key_file, &e);
    PROMISE(half && !strcmp(license_key_id(half), license_key_id(k)));
    buf_done(&text);
    return half;
}

static void check_signs(struct license_key *k)
{
    struct license_key *half = public_half(license_key_hold(k));
    struct license_claims c, back;
    struct buf text;
    struct err e;

    license_claims_make(&c, k, ID, "stopgap", "jane@example.com", 25, 42, NOW, 10);
    buf_init(&text, LICENSE_TEXT_MAX);
    PROMISE(!license_sign(k, &c, &text, &e));
    PROMISE(!license_verify(half, text.data, text.len, &back, &e));
    PROMISE(!strcmp(back.email, c.email) && back.expires_ms == c.expires_ms);
    PROMISE(!license_recheck(half, license_key_format(k), text.data, &back, &e));
    back.users++; /* as a record that was altered says it */
    PROMISE(license_recheck(half, license_key_format(k), text.data, &back, &e));
    PROMISE(e.class == ERR_PERMANENT);
    PROMISE(license_time_state(&back, NOW) == 0);
    PROMISE(license_time_state(&back, back.expires_ms) == 1);
    PROMISE(license_time_state(&back, back.starts_ms - 1) == -1);
    buf_done(&text);
    license_key_free(half);
    license_key_free(k);
}

/* What no license may say, and a text that has no room for one. */
static void check_signs_not(const struct license_key *k)
{
    struct license_claims c;
    struct buf text;
    struct err e;

    license_claims_make(&c, k, ID, "stopgap", "jane@example.com", 25, 42, NOW, 10);
    buf_init(&text, 100);
    PROMISE(license_sign(k, &c, &text, &e) && e.class == ERR_BUG && !text.len);
    c.users = 0;
    PROMISE(license_sign(k, &c, &text, &e) && e.class == ERR_BUG && !text.len);
    buf_done(&text);
}

static void on_secret(const char *bytes, size_t len, const char *word)
{
    struct err e = {.class = ERR_NONE};
    struct license_key *k;

    put(key_file, bytes, len);
    k = license_key_load(key_file, word, &e);
    if (k) {
        check_facts(k);
        check_signs(k);
        check_signs_not(k);
    } else {
        check_refused(&e, bytes, len, key_file);
    }
    license_key_free(k);
}

static void on_secret_alone(const char *bytes, size_t len)
{
    on_secret(bytes, len, NULL);
}

static void on_passphrase(const char *bytes, size_t len)
{
    const char *end = memchr(bytes, 0xFF, len);

    if (!end)
        return;
    put(word_file, bytes, (size_t)(end - bytes));
    on_secret(end + 1, len - (size_t)(end + 1 - bytes), word_file);
}

static void check_public(struct license_key *k)
{
    check_facts(k);
    license_key_free(public_half(k));
    license_key_free(k);
}

static void on_public(const char *bytes, size_t len)
{
    struct err e = {.class = ERR_NONE};
    struct license_key *k;

    put(key_file, bytes, len);
    k = license_key_load_public(key_file, &e);
    if (k)
        check_public(k);
    else
        check_refused(&e, bytes, len, key_file);
}

/* What is no key is the name of a file; those of this machine are not asked for. */
static void on_text(const char *bytes, size_t len)
{
    struct err e = {.class = ERR_NONE};
    char *text = mem_dup(bytes, len);
    struct license_key *k = NULL;

    if (!strncmp(text, "k4.public.", 10) || !strncmp(text, "-----BEGIN", 10))
        k = license_key_load_public(text, &e);
    if (k)
        check_public(k);
    else if (e.class != ERR_NONE)
        check_refused(&e, "", 0, NULL);
    free(text);
}

/* A record's license, whatever is in the record: a license alone, or nothing; and of a
 * key that is ours one that holds. */
static void recheck(const struct license_key *k, const char *text)
{
    struct license_claims said = {.users = 25}, read;
    struct err e = {.class = ERR_NONE};

    if (!license_recheck(k, license_key_format(k), text, &said, &e))
        PROMISE(!strncmp(text, "-----", 5) && text_tame(text, strlen(text), "\n"));
    else
        PROMISE(e.class == ERR_PERMANENT && text_line(e.text));
    (void)snprintf(said.key_id, sizeof said.key_id, "%s", license_key_id(k));
    if (!license_recheck(k, license_key_format(k), text, &said, &e))
        PROMISE(!license_verify(k, text, strlen(text), &read, &e));
}

static void on_license(const char *bytes, size_t len)
{
    char *text = mem_dup(bytes, len);

    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        recheck(keys[i], text);
    free(text);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct err e = {.class = ERR_NONE};
        struct license_claims c;

        if (license_verify(keys[i], bytes, len, &c, &e) == 0)
            PROMISE(i == 0 && c.trial && c.expires_ms - c.issued_ms <= 864000000);
        else
            PROMISE(e.class == ERR_INVALID && e.text[0] && text_line(e.text));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        char letter;
        void (*run)(const char *bytes, size_t len);
    } kinds[] = {{'S', on_secret_alone},
                 {'W', on_passphrase},
                 {'P', on_public},
                 {'T', on_text},
                 {'L', on_license}};

    for (size_t i = 0; size && i < ARRAY_LEN(kinds); i++)
        if (kinds[i].letter == data[0])
            kinds[i].run((const char *)data + 1, size - 1);
    return 0;
}
