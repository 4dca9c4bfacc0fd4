/* smtp_proto: see smtp_proto.h. */
#include "smtp_proto.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"
#include "secret.h"
#include "utf8.h"

#define REPLY_MAX ((size_t)SMTP_LINES_MAX * (SMTP_LINE_MAX + 1))

void smtp_proto_init(struct smtp_reader *r)
{
    *r = (struct smtp_reader){0};
    buf_init(&r->text, REPLY_MAX);
}

void smtp_proto_done(struct smtp_reader *r)
{
    buf_done(&r->text);
}

void smtp_proto_restart(struct smtp_reader *r)
{
    buf_reset(&r->text);
    r->code = 0;
    r->lines = 0;
    r->line = 0;
    r->complete = false;
}

bool smtp_proto_inside(const struct smtp_reader *r)
{
    return !r->complete && (r->text.len > 0 || r->lines > 0);
}

static enum smtp_feed bad(struct smtp_reader *r, const char *fault)
{
    r->fault = fault;
    return SMTP_FEED_BAD;
}

/* The words end in JSON, logs and issues: one line of UTF-8 whatever was sent. */
static void clean(char *s, size_t len)
{
    const char *end = s + len, *next = s;

    for (char *p = s; p < end; p = s + (next - s)) {
        int32_t c = utf8_next(&next, end);

        if (c < 0)
            next++;
        if (c < 0x20 || c == 0x7F)
            *p = c < 0 ? '?' : ' ';
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "250-" or "250 " or "250": the code, or 0. */
static int code_of(const char *line, size_t len)
{
    if (len < 3 || line[0] < '2' || line[0] > '5' || !is_digit(line[1]) ||
        !is_digit(line[2]))
        return 0;
    if (len > 3 && line[3] != ' ' && line[3] != '-')
        return 0;
    return (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
}

static enum smtp_feed end_line(struct smtp_reader *r)
{
    char *line = r->text.data + r->line;
    size_t len = r->text.len - r->line;
    size_t body;
    int code;
    bool last;

    if (len > 0 && line[len - 1] == '\r')
        len--;
    code = code_of(line, len);
    if (code == 0)
        return bad(r, "its answer is not SMTP");
    if (r->lines > 0 && code != r->code)
        return bad(r, "the codes of one reply differ");
    r->code = code;
    r->lines++;
    last = len == 3 || line[3] == ' ';
    body = len > 4 ? len - 4 : 0;
    memmove(line, line + (len - body), body);
    clean(line, body);
    r->text.len = r->line + body;
    r->text.data[r->text.len] = '\0';
    if (last) {
        r->complete = true;
        return SMTP_FEED_REPLY;
    }
    if (r->lines == SMTP_LINES_MAX)
        return bad(r, "a reply of too many lines");
    buf_addc(&r->text, '\n');
    r->line = r->text.len;
    return SMTP_FEED_MORE;
}

enum smtp_feed smtp_proto_feed(struct smtp_reader *r, const char *bytes, size_t len,
                               size_t *used)
{
    *used = 0;
    if (r->complete)
        smtp_proto_restart(r);
    while (*used < len) {
        const char *at = bytes + *used;
        const char *lf = memchr(at, '\n', len - *used);
        size_t part = lf ? (size_t)(lf - at) : len - *used;
        enum smtp_feed feed;

        if (part > SMTP_LINE_MAX - (r->text.len - r->line))
            return bad(r, "a reply line of more than 4 KiB");
        buf_add(&r->text, at, part);
        *used += part;
        if (!lf)
            break;
        *used += 1;
        feed = end_line(r);
        if (feed != SMTP_FEED_MORE)
            return feed;
    }
    return SMTP_FEED_MORE;
}

struct words { /* the arguments of an EHLO line, not terminated */
    const char *at;
    size_t len;
};

/* Takes the next word off; len 0 at the end of the line. */
static struct words next_word(struct words *rest)
{
    struct words word;

    while (rest->len && (*rest->at == ' ' || *rest->at == '=' || *rest->at == '\t')) {
        rest->at++;
        rest->len--;
    }
    word = (struct words){.at = rest->at};
    while (word.len < rest->len && !memchr(" =\t", rest->at[word.len], 3))
        word.len++;
    rest->at += word.len;
    rest->len -= word.len;
    return word;
}

static bool word_is(struct words w, const char *name)
{
    return w.len == strlen(name) && strncasecmp(w.at, name, w.len) == 0;
}

static void offer_auth(struct smtp_offer *offer, struct words rest)
{
    offer->auth = true;
    for (struct words w = next_word(&rest); w.len; w = next_word(&rest)) {
        offer->auth_plain = offer->auth_plain || word_is(w, "PLAIN");
        offer->auth_login = offer->auth_login || word_is(w, "LOGIN");
    }
}

static void offer_size(struct smtp_offer *offer, struct words rest)
{
    struct words w = next_word(&rest);
    int64_t max = 0;

    for (size_t i = 0; i < w.len && i < 18 && is_digit(w.at[i]); i++)
        max = max * 10 + (w.at[i] - '0');
    offer->size = true;
    offer->size_max = max;
}

static void offer_pipelining(struct smtp_offer *offer, struct words rest)
{
    (void)rest;
    offer->pipelining = true;
}

static void offer_starttls(struct smtp_offer *offer, struct words rest)
{
    (void)rest;
    offer->starttls = true;
}

static void offer_dsn(struct smtp_offer *offer, struct words rest)
{
    (void)rest;
    offer->dsn = true;
}

static void offer_8bitmime(struct smtp_offer *offer, struct words rest)
{
    (void)rest;
    offer->eightbit = true;
}

static const struct {
    const char *keyword;
    void (*take)(struct smtp_offer *offer, struct words rest);
} keywords[] = {
    {"8BITMIME", offer_8bitmime}, {"AUTH", offer_auth},
    {"DSN", offer_dsn},           {"PIPELINING", offer_pipelining},
    {"SIZE", offer_size},         {"STARTTLS", offer_starttls},
};

static void take_line(struct smtp_offer *offer, struct words line)
{
    struct words word = next_word(&line);

    for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
        if (word_is(word, keywords[i].keyword))
            keywords[i].take(offer, line);
}

void smtp_proto_offer(const char *text, struct smtp_offer *offer)
{
    *offer = (struct smtp_offer){0};
    for (const char *p = strchr(text, '\n'); p; p = strchr(p, '\n')) {
        p++;
        take_line(offer, (struct words){.at = p, .len = strcspn(p, "\n")});
    }
}

static int check_word(const char *what, const char *word, size_t max, struct err *e)
{
    size_t len = strlen(word);

    if (len > max)
        return err_set(e, ERR_INVALID, 0, "%s is longer than %zu characters", what,
                       max);
    for (size_t i = 0; i < len; i++)
        if (word[i] <= 0x20 || word[i] >= 0x7F || word[i] == '<' || word[i] == '>')
            return err_set(e, ERR_INVALID, 0,
                           "%s holds a character that cannot be sent", what);
    return 0;
}

int smtp_proto_check(const struct smtp_mail *mail, struct err *e)
{
    if (check_word("the sender's address", mail->from, 254, e) != 0 ||
        check_word("the recipient's address", mail->to, 254, e) != 0)
        return -1;
    if (mail->to[0] == '\0')
        return err_set(e, ERR_INVALID, 0, "the recipient's address is empty");
    /* RFC 3461 4.4 allows 100 characters, after encoding; ids are far from it */
    return mail->envid ? check_word("the envelope id", mail->envid, 100, e) : 0;
}

/* Copies a piece without line ends, its first dot doubled. Returns 1 if it had one. */
static size_t add_line(struct buf *out, const char *line, size_t len)
{
    size_t dot = len > 0 && line[0] == '.';

    if (dot)
        buf_addc(out, '.');
    buf_add(out, line, len);
    buf_add(out, "\r\n", 2);
    return dot;
}

size_t smtp_proto_stuff(struct buf *out, const char *data, size_t len)
{
    const char *end = data + len;
    size_t start = out->len;
    size_t dots = 0;

    for (const char *p = data; p < end;) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        const char *stop = lf ? lf : end;
        const char *cr = memchr(p, '\r', (size_t)(stop - p));

        if (cr)
            stop = cr;
        dots += add_line(out, p, (size_t)(stop - p));
        if (cr && cr + 1 == lf)
            stop = lf;
        p = stop < end ? stop + 1 : end;
    }
    buf_add(out, ".\r\n", 3);
    return out->failed ? 0 : out->len - start - dots - 3;
}

bool smtp_proto_is_8bit(const char *data, size_t len)
{
    uint64_t all = 0, word;
    size_t i = 0;

    for (; len - i >= sizeof word; i += sizeof word) { /* eight at a time: it shows */
        memcpy(&word, data + i, sizeof word);
        all |= word;
    }
    word = 0;
    memcpy(&word, data + i, len - i);
    return ((all | word) & UINT64_C(0x8080808080808080)) != 0;
}

/* RFC 3461 section 4: what is not printable, "+" and "=" as +HH. */
static void add_xtext(struct buf *out, const char *text)
{
    for (const char *p = text; *p; p++)
        if (*p <= 0x20 || *p >= 0x7F || *p == '+' || *p == '=')
            buf_addf(out, "+%02X", (unsigned char)*p);
        else
            buf_addc(out, *p);
}

void smtp_proto_mail(struct buf *out, const struct smtp_offer *offer,
                     const struct smtp_mail *mail, size_t size, bool eightbit)
{
    buf_adds(out, "MAIL FROM:<");
    buf_adds(out, mail->from);
    buf_addc(out, '>');
    if (offer->size && size > 0) {
        buf_adds(out, " SIZE=");
        buf_add_int(out, (int64_t)size);
    }
    if (eightbit && offer->eightbit)
        buf_adds(out, " BODY=8BITMIME");
    if (offer->dsn)
        buf_adds(out, " RET=HDRS");
    if (offer->dsn && mail->envid && mail->envid[0]) {
        buf_adds(out, " ENVID=");
        add_xtext(out, mail->envid);
    }
    buf_adds(out, "\r\n");
}

void smtp_proto_rcpt(struct buf *out, const struct smtp_offer *offer,
                     const struct smtp_mail *mail)
{
    buf_adds(out, "RCPT TO:<");
    buf_adds(out, mail->to);
    buf_adds(out, offer->dsn ? "> NOTIFY=FAILURE,DELAY\r\n" : ">\r\n");
}

void smtp_proto_auth_plain(struct buf *out, const char *user, const char *password,
                           size_t password_len)
{
    size_t user_len = strlen(user);
    size_t len = user_len + password_len + 2;
    char *plain = mem_new(len, 1);

    memcpy(plain + 1, user, user_len);
    if (password_len)
        memcpy(plain + user_len + 2, password, password_len);
    buf_add_base64(out, plain, len);
    secret_wipe(plain, len);
    free(plain);
}
