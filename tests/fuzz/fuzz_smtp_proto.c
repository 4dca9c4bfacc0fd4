/* fuzz_smtp_proto: hostile servers and hostile mails against the pure part of the SMTP
 * client. First byte: how the input is cut; the rest: replies, offer, and content. */
#include <assert.h>
#include <string.h>

#include "buf.h"
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
        smtp_proto_offer(r.text.data, &offer);
        assert(offer.size_max >= 0);
        o.replies++;
        o.code = r.code;
    }
    smtp_proto_done(&r);
    return o;
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
    return 0;
}
