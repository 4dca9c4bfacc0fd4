/* A job's record as whoever can write to Redis may have left it. Fields: an id, then
 * names and values. What reads is within the bounds of its types, whatever order and
 * number its fields have; what does not read leaves nothing behind. */
#include <stdbool.h>

#include "fuzz_input.h"
#include "job.h"
#include "utf8.h"

#define ID "0123456789abcdefghjkmnpqrs"
#define FIELDS_MAX 40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_names(const char *text)
{
    enum job_state state = job_state_parse(text);
    enum job_step step = job_step_parse(text);
    char id[JOB_ID_LEN + 1];

    PROMISE(state <= JOB_STATE_COUNT && step <= STEP_COUNT);
    PROMISE(state == JOB_STATE_COUNT || !strcmp(job_state_name(state), text));
    PROMISE(step == STEP_COUNT || !strcmp(job_step_name(step), text));
    PROMISE(!job_id_valid(text) || strlen(text) == JOB_ID_LEN);
    job_id_of_key("licenses", text, id);
    PROMISE(job_id_valid(id));
    job_id_make(id);
    PROMISE(job_id_valid(id));
}

static void check_numbers(const struct job *j)
{
    const int64_t numbers[] = {
        j->accepted_ms,  j->started_ms,     j->ended_ms,   j->due_ms,
        j->attempt,      j->losses,         j->fence,      j->issued_ms,
        j->expires_ms,   j->mail_serial,    j->ambiguous,  j->mail_date_ms,
        j->issue_iid,    j->first_error_ms, j->report_iid, j->requeues,
        j->report_tries, j->reruns,         j->resends,    j->version,
    };

    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        PROMISE(numbers[i] >= 0);
    PROMISE(j->version <= JOB_VERSION && j->state < JOB_STATE_COUNT);
    PROMISE(j->error.class < ERR_CLASS_COUNT && j->error_step < STEP_COUNT);
    PROMISE(!j->has_error || j->error.class != ERR_NONE);
}

static void check_texts(const struct job *j)
{
    const char *const texts[] = {j->clash,    j->owner,   j->warning,
                                 j->license,  j->dup_of,  j->message_id,
                                 j->fixed_by, j->earlier, j->discarded};
    const char *p = j->error.text, *end = p + strlen(p);

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        PROMISE(!texts[i] || *texts[i]); /* an empty one is none */
    while (p < end)
        PROMISE(utf8_printable(utf8_next(&p, end)));
    for (size_t i = 0; i < STEP_COUNT; i++) {
        PROMISE(j->steps[i].at_ms >= 0 && j->steps[i].took_ms >= 0);
        PROMISE(j->steps[i].at_ms || !j->steps[i].words);
    }
    PROMISE(!j->email_intent.at_ms == !j->email_intent.token);
    PROMISE(!j->record_intent.at_ms == !j->record_intent.token);
    PROMISE(strlen(j->license_id) < sizeof j->license_id &&
            strlen(j->key_id) < sizeof j->key_id);
    PROMISE(j->raw || !j->raw_len);
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

/* Twice the same fields: nothing is added up, and nothing is lost or leaks. */
static void check_again(const struct job *j, const struct job_field *fields,
                        size_t count)
{
    struct job_field twice[2 * FIELDS_MAX];
    struct job again;
    struct err e;

    memcpy(twice, fields, count * sizeof *fields);
    memcpy(twice + count, fields, count * sizeof *fields);
    PROMISE(job_decode(&again, ID, twice, 2 * count, &e) == 0);
    PROMISE(again.state == j->state && again.fence == j->fence);
    PROMISE(again.raw_len == j->raw_len && same(again.license, j->license));
    PROMISE(same(again.message_id, j->message_id) && same(again.owner, j->owner));
    PROMISE(!memcmp(&again.request, &j->request, sizeof j->request));
    job_done(&again);
}

static void check_record(const char *id, const struct job_field *fields, size_t count)
{
    static const struct job zero;
    struct job j;
    struct err e;

    memset(&j, 0x5A, sizeof j);
    err_clear(&e);
    if (job_decode(&j, id, fields, count, &e) != 0) {
        PROMISE(e.class == ERR_BUG || e.class == ERR_CANCELLED);
        PROMISE(e.text[0] && j.id[0] == 0x5A &&
                j.version == INT64_C(0x5A5A5A5A5A5A5A5A));
        return;
    }
    PROMISE(job_id_valid(id) && !strcmp(j.id, id) && count >= 2);
    check_numbers(&j);
    check_texts(&j);
    check_again(&j, fields, count);
    job_done(&j);
    PROMISE(!memcmp(&j, &zero, sizeof j));
}

/* A hash has each name once. */
static bool is_doubled(char *const *names, size_t last)
{
    for (size_t i = 0; i < last; i++)
        if (!strcmp(names[i], names[last]))
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    struct job_field fields[FIELDS_MAX];
    char *names[FIELDS_MAX], *values[FIELDS_MAX];
    char *id = fuzz_field(&in);
    size_t count = 0;

    while (in.left && count < FIELDS_MAX) {
        names[count] = fuzz_field(&in);
        values[count] = fuzz_bytes(&in, &fields[count].value_len);
        fields[count].name = names[count];
        fields[count].value = values[count];
        if (!is_doubled(names, count)) {
            count++;
            continue;
        }
        free(names[count]);
        free(values[count]);
    }
    check_names(id);
    check_record(id, fields, count);
    check_record(ID, fields, count);
    for (size_t i = 0; i < count; i++) {
        free(names[i]);
        free(values[i]);
    }
    free(id);
    return 0;
}
