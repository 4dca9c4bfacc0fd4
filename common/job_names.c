/* job_names: the names of states and steps, and job ids: see job.h. */
#include "job.h"

#include <sodium.h>
#include <string.h>

#define ID_BYTES 16

static const char *const state_names[JOB_STATE_COUNT] = {
    [JOB_QUEUED] = "queued", [JOB_ACTIVE] = "active", [JOB_DELAYED] = "delayed",
    [JOB_FAILED] = "failed", [JOB_DONE] = "done",
};

static const char *const step_names[STEP_COUNT] = {
    [STEP_VALIDATE] = "validate", [STEP_SIGN] = "sign",   [STEP_EMAIL] = "email",
    [STEP_RECORD] = "record",     [STEP_CLOSE] = "close", [STEP_ACK] = "ack",
};

const char *job_state_name(enum job_state s)
{
    return s < JOB_STATE_COUNT ? state_names[s] : "unknown";
}

const char *job_step_name(enum job_step s)
{
    return s < STEP_COUNT ? step_names[s] : "unknown";
}

static unsigned find_name(const char *const *names, unsigned count, const char *name)
{
    unsigned i = 0;

    while (i < count && strcmp(names[i], name) != 0)
        i++;
    return i;
}

enum job_state job_state_parse(const char *name)
{
    return (enum job_state)find_name(state_names, JOB_STATE_COUNT, name);
}

enum job_step job_step_parse(const char *name)
{
    return (enum job_step)find_name(step_names, STEP_COUNT, name);
}

bool job_id_valid(const char *text)
{
    return strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz") == JOB_ID_LEN &&
           text[JOB_ID_LEN] == '\0';
}

/* Bit `at` of the random ones; zeros follow them. */
static unsigned bit(const unsigned char random[static ID_BYTES], size_t at)
{
    unsigned byte = at / 8 < ID_BYTES ? random[at / 8] : 0;

    return byte >> (7 - at % 8) & 1u;
}

/* 26 characters of 5 bits hold the 128 bits; the alphabet leaves out letters that are
 * misread on the telephone (i, l, o, u). */
static void spell(const unsigned char bits[static ID_BYTES],
                  char out[static JOB_ID_LEN + 1])
{
    for (size_t i = 0; i < JOB_ID_LEN; i++) {
        unsigned digit = 0;

        for (size_t at = i * 5; at < i * 5 + 5; at++)
            digit = digit * 2 + bit(bits, at);
        out[i] = "0123456789abcdefghjkmnpqrstvwxyz"[digit];
    }
    out[JOB_ID_LEN] = '\0';
}

void job_id_make(char out[static JOB_ID_LEN + 1])
{
    unsigned char random[ID_BYTES];

    randombytes_buf(random, sizeof random);
    spell(random, out);
}

/* A queue's name holds no '}', so that no two pairs make the same text. */
void job_id_of_key(const char *queue, const char *key, char out[static JOB_ID_LEN + 1])
{
    crypto_generichash_state state;
    unsigned char digest[ID_BYTES];

    (void)crypto_generichash_init(&state, NULL, 0, sizeof digest);
    (void)crypto_generichash_update(&state, (const unsigned char *)queue,
                                    strlen(queue));
    (void)crypto_generichash_update(&state, (const unsigned char *)"}", 1);
    (void)crypto_generichash_update(&state, (const unsigned char *)key, strlen(key));
    (void)crypto_generichash_final(&state, digest, sizeof digest);
    spell(digest, out);
}
