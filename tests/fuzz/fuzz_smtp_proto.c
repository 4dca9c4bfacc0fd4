/* fuzz_smtp_proto: hostile servers and hostile mails against the pure part of the SMTP
 * client. First byte: how the input is cut; the rest: replies, offer, and content; its
 * first three lines besides: the envelope, and a log-in. */
#include <assert.h>
#include <string.h>

#include "buf.h"
#include "fuzz_input.h"
#include "fuzz_text.h"
#include "smtp_proto.h"

struct outcome {
    enum smtp_feed feed;
    int replies, code;
    size_t used;
};

static struct outcome read_all(const char *bytes, size_t len, size_t step)
{
    struct outcome o = {.feed = SMTP_FEED_MORE};
    struct smtp_reader r;
    size_t used;

    smtp_proto_init(&r);
    while (o.used < len && o.feed != SMTP_FEED_BAD) {
        size_t n = len - o.used < step ? len - o.used : step;

        o.feed = smtp_proto_feed(&r, bytes + o.used, n, &used);
        o.used += used;
        assert(used <= n && (used > 0 || o.feed == SMTP_FEED_BAD));
        if (o.feed != SMTP_FEED_REPLY)
            continue;
        struct smtp_offer offer;

        assert(r.code >= 200 && r.code <= 599 && strlen(r.text.data) == r.text.len);
        for (const char *p = r.text.data; *p; p++)
            assert((unsigned char)*p >= 0x20 || *p == '\n');
        assert(text_utf8(r.text.data, r.text.len));
        smtp_proto_offer(r.text.data, &offer);
        assert(offer.size_max >= 0);
        o.replies++;
        o.code = r.code;
    }
    smtp_proto_done(&r);
    return o;
}

static bool is_7bit(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] > 0x7F)
            return false;
    return true;
}

/* What a server makes of the content: the dots back, the last line off. */
static void check_content(const char *data, size_t len)
{
    struct buf out;
    size_t size, plain = 0;

    buf_init(&out, 1 << 22);
    size = smtp_proto_stuff(&out, data, len);
    assert(!out.failed);
    for (size_t at = 0; at < out.len;) {
        const char *line = out.data + at;
        const char *end = memchr(line, '\n', out.len - at);
        size_t n = end ? (size_t)(end - line) : 0;

        assert(end && n > 0 && line[n - 1] == '\r');
        assert(!memchr(line, '\r', n - 1));
        at += n + 1;
        if (n == 2 && line[0] == '.')
            assert(at == out.len); /* the final dot is the only one */
        else
            plain += n + 1 - (line[0] == '.');
        assert(line[0] != '.' || n == 2 || line[1] == '.');
    }
    assert(out.len >= 3 && memcmp(out.data + out.len - 3, ".\r\n", 3) == 0);
    assert(plain == size);
    buf_done(&out);
}

/* One line each, with one address in it, whatever the server offers. */
static void check_command(const struct buf *b, const char *start, const char *address)
{
    size_t len = strlen(start);

    assert(!b->failed && strchr(b->data, '\n') == b->data + b->len - 1);
    assert(strchr(b->data, '\r') == b->data + b->len - 2);
    assert(!strncmp(b->data, start, len));
    assert(!strncmp(b->data + len, address, strlen(address)));
    assert(b->data[len + strlen(address)] == '>');
    assert(strchr(b->data, '<') == strrchr(b->data, '<'));
    assert(strchr(b->data, '>') == strrchr(b->data, '>'));
}

/* xtext of RFC 3461, up to the end of the word. */
static void check_envid(const char *p, const char *envid)
{
    unsigned c;

    for (; *envid; envid++, p++) {
        if (*p != '+') {
            assert(*p == *envid && *p != '=');
            continue;
        }
        assert(sscanf(p + 1, "%2X", &c) == 1 && (char)c == *envid);
        p += 2;
    }
    assert(*p == '\r' || *p == ' ');
}

static void check_commands(const struct smtp_mail *mail, bool offered)
{
    const struct smtp_offer offer = {
        .dsn = offered, .eightbit = offered, .size = offered, .size_max = 10};
    const char *envid;
    struct buf b;

    buf_init(&b, 8192);
    smtp_proto_mail(&b, &offer, mail, 7, true);
    check_command(&b, "MAIL FROM:<", mail->from);
    envid = strstr(b.data + strlen(mail->from) + 12, " ENVID=");
    assert(!!envid == (offered && *mail->envid));
    if (envid)
        check_envid(envid + 7, mail->envid);
    buf_reset(&b);
    smtp_proto_rcpt(&b, &offer, mail);
    check_command(&b, "RCPT TO:<", mail->to);
    buf_done(&b);
}

/* The first line of the text; it is cut off. */
static char *take_line(const char **text, const char *end)
{
    const char *lf = memchr(*text, '\n', (size_t)(end - *text));
    char *line = mem_dup(*text, (size_t)((lf ? lf : end) - *text));

    *text = lf ? lf + 1 : end;
    return line;
}

static void check_envelope(const char *text, size_t len)
{
    const char *end = text + len;
    char *from = take_line(&text, end), *to = take_line(&text, end);
    char *envid = take_line(&text, end);
    const struct smtp_mail mail = {.from = from, .to = to, .envid = envid};
    struct err e = {.class = ERR_NONE};

    if (smtp_proto_check(&mail, &e) == 0) {
        assert(*to && strlen(to) <= 254 && strlen(from) <= 254);
        check_commands(&mail, true);
        check_commands(&mail, false);
    } else {
        assert(e.class == ERR_INVALID && text_line(e.text));
    }
    free(from);
    free(to);
    free(envid);
}

static void check_login(const char *text, size_t len)
{
    const char *end = text + len;
    char *user = take_line(&text, end), *password = take_line(&text, end);
    size_t size = strlen(user) + strlen(password) + 2;
    struct buf b;

    buf_init(&b, 1 << 20);
    smtp_proto_auth_plain(&b, user, password, strlen(password));
    assert(b.len == (size + 2) / 3 * 4 && !strpbrk(b.data, "\r\n "));
    buf_done(&b);
    free(user);
    free(password);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const char *text = (const char *)bytes + 1;
    struct outcome whole, cut;

    if (len < 1)
        return 0;
    whole = read_all(text, len - 1, len);
    cut = read_all(text, len - 1, (size_t)bytes[0] % 37 + 1);
    assert(whole.replies == cut.replies && whole.code == cut.code);
    assert((whole.feed == SMTP_FEED_BAD) == (cut.feed == SMTP_FEED_BAD));
    check_content(text, len - 1);
    check_envelope(text, len - 1);
    check_login(text, len - 1);
    assert(smtp_proto_is_8bit(text, len - 1) == !is_7bit(text, len - 1));
    return 0;
}
