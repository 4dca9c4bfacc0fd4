/* verdict: see verdict.h. Every rule that looks arbitrary names its source. */
#include "verdict.h"

#include <jansson.h>
#include <string.h>

#include "buf.h"
#include "mem.h"

/* Of a body that is looked through for a reason as JSON, which takes up to a hundred
 * times its length in memory. */
#define REASON_MAX 65536

static const char *const stage_names[] = {
    [SMTP_CONNECT] = "connect", [SMTP_GREETING] = "greeting",
    [SMTP_EHLO] = "EHLO",       [SMTP_STARTTLS] = "STARTTLS",
    [SMTP_AUTH] = "AUTH",       [SMTP_MAIL] = "MAIL FROM",
    [SMTP_RCPT] = "RCPT TO",    [SMTP_DATA] = "DATA",
    [SMTP_BODY] = "content",    [SMTP_DOT] = "end of content",
};

const char *smtp_stage_name(enum smtp_stage s)
{
    return stage_names[s];
}

/* A 5xx before the recipient is named speaks of us, not of the job: our host, our
 * credentials, our sender. Burning job after job on it would help nobody. */
static enum err_class class_of_5xx(enum smtp_stage stage)
{
    return stage >= SMTP_RCPT ? ERR_PERMANENT : ERR_AUTH;
}

void verdict_smtp_reply(enum smtp_stage stage, int code, const char *text,
                        struct err *e)
{
    enum err_class class = ERR_TRANSIENT;

    if (code >= 500 && code <= 599)
        class = class_of_5xx(stage);
    (void)err_set(e, class, code, "mail server at %s: %d %s", smtp_stage_name(stage),
                  code, text);
}

void verdict_smtp_lost(enum smtp_stage stage, const char *why, struct err *e)
{
    if (stage == SMTP_DOT)
        (void)err_set(
            e, ERR_AMBIGUOUS, 0,
            "no answer from the mail server after the end of content (%s): it "
            "may or may not have taken the mail",
            why);
    else
        (void)err_set(e, ERR_TRANSIENT, 0, "mail server at %s: %s",
                      smtp_stage_name(stage), why);
}

/* GitLab puts its reason under "message" or "error", as string, object or array. */
/* NOLINTNEXTLINE(misc-no-recursion): jansson reads 2,048 levels at most */
static void add_reason(struct buf *words, json_t *v)
{
    const char *key;
    json_t *item;
    size_t i;

    if (json_is_string(v)) {
        buf_addf(words, "%s%.*s", words->len ? " " : "", ERR_TEXT_MAX,
                 json_string_value(v));
    } else if (json_is_array(v)) {
        json_array_foreach(v, i, item) add_reason(words, item);
    } else if (json_is_object(v)) {
        json_object_foreach(v, key, item)
        {
            buf_addf(words, "%s%s:", words->len ? " " : "", key);
            add_reason(words, item);
        }
    }
}

static bool json_reason(const char *body, size_t len, struct buf *words)
{
    static const char *const keys[] = {"message", "error", "error_description"};
    json_t *root = len > REASON_MAX ? NULL : json_loadb(body, len, 0, NULL);

    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        add_reason(words, json_object_get(root, keys[i]));
    json_decref(root);
    return words->len > 0;
}

/* Printable text without HTML tags, blanks collapsed: what a proxy said. */
static void text_reason(const char *body, size_t len, struct buf *words)
{
    bool tag = false;

    for (size_t i = 0; i < len && words->len < 300; i++) {
        unsigned char c = (unsigned char)body[i];

        if (c == '<')
            tag = true;
        else if (c == '>')
            tag = false;
        else if (!tag && c > 0x20 && c < 0x7F)
            buf_addc(words, (char)c);
        if ((c <= 0x20 || c == '>') && words->len && words->data[words->len - 1] != ' ')
            buf_addc(words, ' ');
    }
}

static bool mentions(const char *body, size_t len, const char *needle)
{
    return memmem(body, len, needle, strlen(needle)) != NULL;
}

/* GitLab's own 404 is JSON. A proxy in front of a GitLab that is being replaced says
 * 404 in its own words. A project that is not there may also be one that we may not
 * see. */
static enum err_class class_of_404(const char *body, size_t len)
{
    if (mentions(body, len, "Project Not Found"))
        return ERR_AUTH;
    return len && *body == '{' ? ERR_PERMANENT : ERR_TRANSIENT;
}

static enum err_class class_of_http(int status, const char *body, size_t len)
{
    switch (status) {
    case 401:
    case 403:
        return ERR_AUTH;
    case 404:
        return class_of_404(body, len);
    case 408:
    case 425:
        return ERR_TRANSIENT;
    case 409: /* "409 Conflict: Resource lock": not got in time, nothing was done */
        return mentions(body, len, "Resource lock") ? ERR_TRANSIENT : ERR_PERMANENT;
    case 429:
        return ERR_RATE_LIMITED;
    default:
        return status >= 400 && status < 500 ? ERR_PERMANENT : ERR_TRANSIENT;
    }
}

void verdict_http(const char *service, int status, const char *body, size_t body_len,
                  int64_t retry_after_ms, struct err *e)
{
    struct buf words;

    buf_init(&words, 2048);
    if (!json_reason(body, body_len, &words))
        text_reason(body, body_len, &words);
    (void)err_set(e, class_of_http(status, body, body_len), status,
                  "%s answered %d: %s", service, status,
                  words.len ? words.data : "(no words)");
    e->retry_after_ms = retry_after_ms;
    if (e->class == ERR_RATE_LIMITED && !retry_after_ms)
        e->retry_after_ms = 60000; /* GitLab's per-minute limits send no Retry-After */
    buf_done(&words);
}

bool verdict_http_unknown(int status)
{
    return status == 0 || status == 408 || status >= 500 ||
           (status >= 200 && status < 300);
}

static const struct {
    const char *word;
    enum redis_verdict verdict;
    enum err_class class;
} redis_words[] = {
    {"NOSCRIPT", REDIS_V_NOSCRIPT, ERR_TRANSIENT},
    {"LOADING", REDIS_V_LATER, ERR_TRANSIENT},
    {"BUSY", REDIS_V_LATER, ERR_TRANSIENT},
    {"TRYAGAIN", REDIS_V_LATER, ERR_TRANSIENT},
    {"CLUSTERDOWN", REDIS_V_LATER, ERR_TRANSIENT},
    {"NOREPLICAS", REDIS_V_LATER, ERR_TRANSIENT},
    {"MISCONF", REDIS_V_LATER, ERR_TRANSIENT},
    {"OOM", REDIS_V_LATER, ERR_TRANSIENT},
    {"READONLY", REDIS_V_RECONNECT, ERR_TRANSIENT},
    {"MASTERDOWN", REDIS_V_RECONNECT, ERR_TRANSIENT},
    {"UNBLOCKED", REDIS_V_RECONNECT, ERR_TRANSIENT},
    {"NOAUTH", REDIS_V_DENIED, ERR_AUTH},
    {"WRONGPASS", REDIS_V_DENIED, ERR_AUTH},
    {"NOPERM", REDIS_V_DENIED, ERR_AUTH},
};

/* What a script met inside has no word of its own. Redis 6.2 puts the word into the
 * middle: "ERR Error running script (...): @user_script:9: -OOM command ...". */
static const struct {
    const char *phrase, *word;
} redis_phrases[] = {
    {"The user executing the script can't", "NOPERM"},
    {"ACL failure in script", "NOPERM"},
};

static const char *word_of(const char *text)
{
    const char *inside = NULL;

    for (size_t i = 0; i < ARRAY_LEN(redis_phrases); i++)
        if (strstr(text, redis_phrases[i].phrase))
            return redis_phrases[i].word;
    if (strncmp(text, "ERR Error running script", 24) == 0)
        inside = strstr(text, ": -");
    return inside ? inside + 3 : text;
}

enum redis_verdict verdict_redis(const char *error_text, struct err *e)
{
    const char *from = word_of(error_text);
    size_t word = strcspn(from, " ");

    for (size_t i = 0; i < ARRAY_LEN(redis_words); i++) {
        if (strlen(redis_words[i].word) != word ||
            strncmp(from, redis_words[i].word, word) != 0)
            continue;
        (void)err_set(e, redis_words[i].class, 0, "Redis: %s", error_text);
        return redis_words[i].verdict;
    }
    (void)err_set(e, ERR_BUG, 0, "Redis: %s", error_text);
    return REDIS_V_OTHER;
}
