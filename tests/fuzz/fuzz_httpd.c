/* Hostile bytes against the reader of HTTP requests. First byte: how they are cut. The
 * verdict does not depend on the cut; what is accepted has one framing that a reader
 * written for this check alone finds, too, and could not be read in another way. */
#include <ctype.h>
#include <stdbool.h>
#include <strings.h>

#include "fuzz_input.h"
#include "httpd_reader.h"

#define BODY_MAX 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum httpd_read read;
    int status;
    const char *why;
    struct httpd_head head;
    size_t at;
};

/* From memory of the size that is there, so that a byte too far is found. */
static void feed(const char *bytes, size_t len, size_t step, struct outcome *o)
{
    struct httpd_scan scan = {0};

    o->read = HTTPD_READ_MORE;
    for (size_t have = 0; have < len && o->read == HTTPD_READ_MORE;) {
        char *part;

        have = len - have < step ? len : have + step;
        part = malloc(have);
        PROMISE(part);
        memcpy(part, bytes, have);
        o->read = httpd_reader_head(&scan, part, have, BODY_MAX, &o->head, &o->status,
                                    &o->why);
        PROMISE(scan.at <= have);
        free(part);
    }
    o->at = scan.at;
}

static bool same_head(const struct httpd_head *a, const struct httpd_head *b)
{
    return a->len == b->len && a->body_len == b->body_len &&
           a->field_count == b->field_count && a->keep_alive == b->keep_alive &&
           a->wants_continue == b->wants_continue &&
           !memcmp(&a->method, &b->method, sizeof a->method) &&
           !memcmp(&a->path, &b->path, sizeof a->path) &&
           !memcmp(&a->query, &b->query, sizeof a->query) &&
           !memcmp(a->fields, b->fields, a->field_count * sizeof a->fields[0]);
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    PROMISE(a->read == b->read && a->at == b->at);
    if (a->read == HTTPD_READ_REFUSED)
        PROMISE(a->status == b->status && a->why == b->why);
    if (a->read == HTTPD_READ_HEAD)
        PROMISE(same_head(&a->head, &b->head));
}

static bool is_name(const char *line, size_t len, const char *name)
{
    return len == strlen(name) && !strncasecmp(line, name, len);
}

/* A lax reader's view of the accepted head: lines end at LF, names at the colon with
 * blanks around forgiven. It must come to the same length, and see no other framing. */
static void check_framing(const char *bytes, const struct httpd_head *h)
{
    size_t lengths = 0, hosts = 0, fields = 0;
    const char *end = bytes + h->len;
    const char *line = memchr(bytes + 2, '\n', h->len - 2);

    PROMISE(!memchr(bytes, '\0', h->len));
    for (line++; line < end - 2;
         line = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1) {
        const char *colon = memchr(line, ':', (size_t)(end - line));
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t name = (size_t)(colon - line);

        PROMISE(colon && colon < stop && !isspace((unsigned char)*line));
        PROMISE(stop[-1] == '\r' && !memchr(line, '\r', (size_t)(stop - line - 1)));
        fields++;
        while (name && isspace((unsigned char)line[name - 1]))
            name--;
        PROMISE(!is_name(line, name, "Transfer-Encoding"));
        hosts += is_name(line, name, "Host");
        if (!is_name(line, name, "Content-Length"))
            continue;
        lengths++;
        PROMISE(strtoull(colon + 1, NULL, 10) == h->body_len);
    }
    PROMISE(line == end - 2 && !memcmp(line, "\r\n", 2));
    PROMISE(lengths <= 1 && hosts <= 1 && fields == h->field_count);
    PROMISE(lengths || h->body_len == 0);
}

static void check_slices(const char *bytes, const struct httpd_head *h)
{
    const char *end = bytes + h->len;

    PROMISE(h->len <= HTTPD_HEAD_MAX && h->field_count <= HTTPD_FIELDS_MAX);
    PROMISE(h->body_len <= BODY_MAX && h->method.len > 0);
    PROMISE(h->path.len > 0 && bytes[h->path.at] == '/');
    PROMISE(h->path.len + h->query.len <= HTTPD_TARGET_MAX);
    for (size_t i = 0; i < h->path.len; i++)
        PROMISE(bytes[h->path.at + i] > ' ' && bytes[h->path.at + i] < 0x7f);
    for (size_t i = 0; i < h->field_count; i++) {
        const struct httpd_head_field *f = &h->fields[i];

        PROMISE(f->name.len > 0 && bytes[f->name.at + f->name.len] == ':');
        PROMISE(f->value.at > f->name.at + f->name.len);
        PROMISE(bytes + f->value.at + f->value.len < end);
        for (size_t k = 0; k < f->value.len; k++)
            PROMISE((unsigned char)bytes[f->value.at + k] >= ' ' ||
                    bytes[f->value.at + k] == '\t');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data + 1;
    struct outcome whole, cut, single;

    if (size < 2)
        return 0;
    feed(bytes, size - 1, size - 1, &whole);
    feed(bytes, size - 1, (size_t)data[0] % 61 + 1, &cut);
    check_same(&whole, &cut);
    if (size < 600) {
        feed(bytes, size - 1, 1, &single);
        check_same(&whole, &single);
    }
    if (whole.read != HTTPD_READ_HEAD) {
        PROMISE(whole.read == HTTPD_READ_REFUSED || size - 1 <= HTTPD_HEAD_MAX);
        return 0;
    }
    check_slices(bytes, &whole.head);
    check_framing(bytes, &whole.head);
    return 0;
}
