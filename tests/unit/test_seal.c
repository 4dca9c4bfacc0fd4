/* Sealed texts and the file of their keys: what opens, what does not, and what is said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "issue.h"
#include "issue_advice.h"
#include "job.h"
#include "mem.h"
#include "seal.h"
#include "story.h"

#define KEY_A "stopgap-seal:v1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "stopgap-seal:v1://///////////////////////////////////////38="
#define LICENSE "-----BEGIN LICENSE-----\nv4.public.abc\n-----END LICENSE-----\n"
#define ID "0123456789abcdefghjkmnpqrs"

static const struct seal_place here = {"licenses", ID, "lic"};
static char folder[64], path[128];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/test-seal-XXXXXX");
    if (sodium_init() < 0 || !mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/seal.key", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

static struct seal *keys(const char *text)
{
    struct err e = {.text = ""};
    struct seal *s = seal_read(text, strlen(text), &e);

    if (!s)
        fail_msg("%s", e.text);
    return s;
}

static char *sealed_with(const char *file, const struct seal_place *at)
{
    struct seal *s = keys(file);
    struct buf out;
    char *text;

    buf_init(&out, 2 * SEAL_TEXT_MAX);
    seal_text(s, at, LICENSE, &out);
    assert_false(out.failed);
    text = buf_take(&out);
    buf_done(&out);
    seal_free(s);
    return text;
}

static void opens(const char *file, const char *sealed)
{
    struct seal *s = keys(file);
    struct err e = {.text = ""};
    char *text = NULL;

    if (seal_open(s, &here, sealed, &text, &e))
        fail_msg("%s", e.text);
    assert_string_equal(text, LICENSE);
    free(text);
    seal_free(s);
}

/* file NULL: no keys. */
static void shut(const char *file, const struct seal_place *at, const char *sealed,
                 enum err_class class, const char *words)
{
    struct seal *s = file ? keys(file) : NULL;
    char untouched[] = "x", *text = untouched;
    struct err e = {.text = ""};

    assert_int_equal(seal_open(s, at, sealed, &text, &e), -1);
    assert_ptr_equal(text, untouched);
    assert_int_equal(e.class, class);
    assert_int_equal(e.code, class == ERR_BUG ? SEAL_BROKEN : 0);
    if (!strstr(e.text, words))
        fail_msg("\"%s\" is not in \"%s\"", words, e.text);
    seal_free(s);
}

static void test_what_is_sealed_opens(void **state)
{
    char *once = sealed_with(KEY_A, &here), *again = sealed_with(KEY_A, &here);

    (void)state;
    assert_true(seal_is_sealed(once));
    assert_false(seal_is_sealed(LICENSE));
    assert_null(strstr(once, "BEGIN"));
    assert_string_not_equal(once, again); /* each has a nonce of its own */
    opens(KEY_A, once);
    opens(KEY_A "\n", again);
    free(once);
    free(again);
}

/* Made apart from this code, by libsodium's own call: the form must not drift. */
static void test_the_form_is_as_it_was(void **state)
{
    static const char ad[] = "sealed:v1:\nlicenses\n" ID "\nlic\n";
    unsigned char key[32], nonce[24] = {7}, bytes[24 + sizeof LICENSE - 1 + 16];
    char place[128], sealed[1024], base64[512];
    struct seal *s = keys(KEY_A);

    (void)state;
    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (unsigned char)i;
    assert_string_equal(seal_key_id(s, 0), "a25588008c563e1b");
    (void)snprintf(place, sizeof place, "%s%s", ad, seal_key_id(s, 0));
    memcpy(bytes, nonce, sizeof nonce);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
        bytes + sizeof nonce, NULL, (const unsigned char *)LICENSE, sizeof LICENSE - 1,
        (const unsigned char *)place, strlen(place), NULL, nonce, key);
    sodium_bin2base64(base64, sizeof base64, bytes, sizeof bytes,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    (void)snprintf(sealed, sizeof sealed, "sealed:v1:%s:%s", seal_key_id(s, 0), base64);
    seal_free(s);
    opens(KEY_A, sealed);
}

static void test_the_first_key_seals_and_each_opens(void **state)
{
    char *old = sealed_with(KEY_A, &here);
    char *new = sealed_with("# new\n" KEY_B "\n\n# old\n" KEY_A "\n", &here);
    char id[SEAL_ID_LEN + 1], other[SEAL_ID_LEN + 1];
    struct seal *s = keys(KEY_B "\r\n  " KEY_A " \t\n");

    (void)state;
    seal_id_of(old, id);
    seal_id_of(new, other);
    assert_string_equal(seal_key_id(s, 0), other);
    assert_string_equal(seal_key_id(s, 1), id);
    assert_null(seal_key_id(s, 2));
    opens(KEY_B "\n" KEY_A, old);
    opens(KEY_B "\n" KEY_A, new);
    opens(KEY_A "\n" KEY_B, new);
    shut(KEY_A, &here, new, ERR_CONFIG, other);
    shut(KEY_B, &here, old, ERR_CONFIG, id);
    shut(KEY_B, &here, old, ERR_CONFIG, "HUP");
    shut(NULL, &here, old, ERR_CONFIG, id);
    shut(NULL, &here, old, ERR_CONFIG, "STOPGAP_SEAL_KEY_FILE is not set");
    seal_free(s);
    free(old);
    free(new);
}

static void test_it_opens_in_its_own_place_only(void **state)
{
    static const struct seal_place others[] = {
        {"license", ID, "lic"},
        {"licenses", "0123456789abcdefghjkmnpqrt", "lic"},
        {"licenses", ID, "raw"}};
    char *sealed = sealed_with(KEY_A, &here);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        shut(KEY_A, &others[i], sealed, ERR_BUG, "another job");
    free(sealed);
}

/* Any byte that is changed, and any end that is cut off. Behind the last whole byte
 * there may be bits that say nothing: those have to be zero. */
static void test_changed_or_cut_it_stays_shut(void **state)
{
    char *sealed = sealed_with(KEY_A, &here);
    size_t len = strlen(sealed);

    (void)state;
    for (size_t i = 0; i < len; i++) {
        char *copy = mem_dup(sealed, len);
        enum err_class class = i >= 10 && i < 10 + SEAL_ID_LEN ? ERR_CONFIG : ERR_BUG;

        copy[i] = copy[i] == '0' ? '1' : '0'; /* of each alphabet here */
        shut(KEY_A, &here, copy, class, "sealed");
        free(copy);
        copy = mem_dup(sealed, i);
        shut(KEY_A, &here, copy, ERR_BUG, "");
        free(copy);
    }
    free(sealed);
}

static void test_what_is_no_sealed_text(void **state)
{
    static const char *const texts[] = {"",
                                        "sealed:",
                                        "sealed:v2:0123456789abcdef:AAAA",
                                        "sealed:v1:0123456789ABCDEF:A",
                                        "sealed:v1:0123456789abcde:A",
                                        "sealed:v1:0123456789abcdef",
                                        LICENSE};
    char *sealed = sealed_with(KEY_A, &here), *more;
    struct buf out;
    char id[SEAL_ID_LEN + 1];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        shut(KEY_A, &here, texts[i], ERR_BUG, "no form");
        seal_id_of(texts[i], id);
        assert_string_equal(id, "");
    }
    buf_init(&out, 1 << 20);
    buf_addf(&out, "%s\xc3", sealed); /* for libsodium a letter */
    shut(KEY_A, &here, out.data, ERR_BUG, "does not open");
    buf_reset(&out);
    buf_addf(&out, "%s=", sealed);
    shut(KEY_A, &here, out.data, ERR_BUG, "does not open");
    buf_reset(&out);
    buf_adds(&out, sealed);
    while (out.len < 400000)
        buf_adds(&out, "AAAAAAAAAAAAAAAA");
    more = buf_take(&out);
    shut(KEY_A, &here, more, ERR_BUG, "does not open");
    free(more);
    buf_done(&out);
    free(sealed);
}

/* Only who has the key could seal such a text; a license it would be all the same not.
 */
static void test_a_nul_inside_is_no_text(void **state)
{
    unsigned char key[32], bytes[24 + 3 + 16] = {0};
    char place[128], base64[128], sealed[256];
    struct seal *s = keys(KEY_A);

    (void)state;
    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (unsigned char)i;
    (void)snprintf(place, sizeof place, "sealed:v1:\nlicenses\n" ID "\nlic\n%s",
                   seal_key_id(s, 0));
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
        bytes + 24, NULL, (const unsigned char *)"a\0b", 3,
        (const unsigned char *)place, strlen(place), NULL, bytes, key);
    sodium_bin2base64(base64, sizeof base64, bytes, sizeof bytes,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    (void)snprintf(sealed, sizeof sealed, "sealed:v1:%s:%s", seal_key_id(s, 0), base64);
    seal_free(s);
    shut(KEY_A, &here, sealed, ERR_BUG, "does not open");
}

static void test_faults_of_a_key_file(void **state)
{
    static const struct {
        const char *text, *words;
        int line;
    } bad[] = {
        {"", "holds no key", 0},
        {"# nothing\n\n  \n", "holds no key", 0},
        {"k4.secret.AAAA", "line 1: no seal key; wanted: \"stopgap-seal:v1:\"", 0},
        {KEY_A "\nsecret hunter2", "line 2: no seal key", 2},
        {"# x\n\nstopgap-seal:v1:", "line 3: no seal key", 3},
        {"stopgap-seal:v2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "line 1", 0},
        {"stopgap-seal:v1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "line 1", 1},
        {"stopgap-seal:v1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", "line 1", 1},
        {"stopgap-seal:v1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIQ==", "line 1",
         1},
        {"stopgap-seal:v1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", "line 1", 1},
        {"stopgap-seal:v1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= x", "line 1", 1},
        {"stopgap-seal:v1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh\xc3=", "line 1",
         1},
        {KEY_A "\n" KEY_B "\n" KEY_A, "stands there twice", 3},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = {.text = ""};

        assert_null(seal_read(bad[i].text, strlen(bad[i].text), &e));
        assert_int_equal(e.class, ERR_CONFIG);
        assert_int_equal(e.code, bad[i].line);
        if (!strstr(e.text, bad[i].words))
            fail_msg("\"%s\" is not in \"%s\"", bad[i].words, e.text);
        assert_null(strstr(e.text, "hunter2")); /* it may be a secret */
        assert_null(strstr(e.text, "AAEC"));
    }
}

static void test_as_many_keys_as_there_may_be(void **state)
{
    unsigned char key[32] = {0};
    char base64[64];
    struct buf file;
    struct seal *s;
    struct err e;

    (void)state;
    buf_init(&file, 1 << 16);
    for (int i = 0; i <= SEAL_KEYS_MAX; i++) {
        key[0] = (unsigned char)i;
        sodium_bin2base64(base64, sizeof base64, key, sizeof key,
                          sodium_base64_VARIANT_ORIGINAL);
        if (i == SEAL_KEYS_MAX) {
            s = keys(file.data);
            assert_non_null(seal_key_id(s, SEAL_KEYS_MAX - 1));
            seal_free(s);
        }
        buf_addf(&file, "stopgap-seal:v1:%s\n", base64);
    }
    assert_null(seal_read(file.data, file.len, &e));
    assert_non_null(strstr(e.text, "line 17: more than 16 keys"));
    buf_done(&file);
}

static void test_keygen(void **state)
{
    struct stat st;
    struct seal *s, *other;
    struct err e;

    (void)state;
    assert_int_equal(seal_keygen(path, &e), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    s = seal_load(path, &e);
    assert_non_null(s);
    assert_null(seal_key_id(s, 1));
    assert_int_equal(seal_keygen(path, &e), -1);
    assert_non_null(strstr(e.text, "not overwritten"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(seal_keygen(path, &e), 0);
    other = seal_load(path, &e);
    assert_non_null(other);
    assert_string_not_equal(seal_key_id(s, 0), seal_key_id(other, 0));
    seal_free(s);
    seal_free(other);

    assert_int_equal(chmod(path, 0640), 0);
    assert_null(seal_load(path, &e));
    assert_int_equal(e.class, ERR_CONFIG);
    assert_non_null(strstr(e.text, "chmod 600"));
    assert_int_equal(unlink(path), 0);
    assert_null(seal_load(path, &e));
    assert_non_null(strstr(e.text, path));
}

/* ---- of a record ---- */

static void read_record(struct job *j, const char *license)
{
    const struct job_field fields[] = {
        {"v", "2", 1}, {"state", "failed", 6}, {"lic", license, strlen(license)}};
    struct err e = {.text = ""};

    if (job_decode(j, ID, fields, ARRAY_LEN(fields), &e))
        fail_msg("%s", e.text);
}

static void test_a_record_keeps_it_apart(void **state)
{
    struct seal *s = keys(KEY_A);
    struct buf out;
    struct job j;
    struct err e;

    (void)state;
    read_record(&j, LICENSE);
    assert_string_equal(j.license, LICENSE);
    assert_null(j.sealed);
    assert_int_equal(job_open_license(&j, NULL, "licenses", &e), 0);
    buf_init(&out, 1 << 16);
    job_seal_license(&j, s, "licenses", &out);
    job_done(&j);

    read_record(&j, out.data);
    assert_null(j.license); /* nobody can take it for one */
    assert_string_equal(j.sealed, out.data);
    assert_int_equal(job_open_license(&j, NULL, "licenses", &e), -1);
    assert_int_equal(e.class, ERR_CONFIG);
    assert_int_equal(job_open_license(&j, s, "other", &e), -1);
    assert_non_null(strstr(e.text, "the license of job " ID ": "));
    assert_null(j.license);
    assert_int_equal(job_open_license(&j, s, "licenses", &e), 0);
    assert_string_equal(j.license, LICENSE);
    assert_null(j.sealed);
    job_done(&j);
    buf_done(&out);
    seal_free(s);
}

static void test_people_are_told_what_to_do(void **state)
{
    struct story_command next[STORY_COMMANDS];
    struct buf out;
    struct job j;

    (void)state;
    buf_init(&out, ISSUE_TEXT_MAX);
    read_record(&j, "sealed:v1:0123456789abcdef:AAAA");
    (void)err_set(&j.error, ERR_BUG, SEAL_BROKEN, "does not open");
    j.has_error = true;
    issue_advice(&j, false, &out);
    assert_non_null(strstr(out.data, "stopgapctl requeue " ID " --redo sign\n"));
    assert_int_equal(story_next(&j, 0, next), 1);
    assert_string_equal(next[0].text, "stopgapctl requeue " ID " --redo sign");
    buf_reset(&out);
    issue_failed_text(&j, false, &out);
    assert_non_null(strstr(out.data, "sealed in Redis"));
    assert_non_null(strstr(out.data, "stopgapctl show " ID " --license"));
    assert_null(strstr(out.data, "AAAA"));
    job_done(&j);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_sealed_opens),
        cmocka_unit_test(test_the_form_is_as_it_was),
        cmocka_unit_test(test_the_first_key_seals_and_each_opens),
        cmocka_unit_test(test_it_opens_in_its_own_place_only),
        cmocka_unit_test(test_changed_or_cut_it_stays_shut),
        cmocka_unit_test(test_what_is_no_sealed_text),
        cmocka_unit_test(test_a_nul_inside_is_no_text),
        cmocka_unit_test(test_faults_of_a_key_file),
        cmocka_unit_test(test_as_many_keys_as_there_may_be),
        cmocka_unit_test(test_keygen),
        cmocka_unit_test(test_a_record_keeps_it_apart),
        cmocka_unit_test(test_people_are_told_what_to_do),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
