/* resp: see resp.h. Builds with hiredis 0.14 and 1.x. */
#include "resp.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "num.h"

/* hiredis looks through a line anew whenever more of it comes. */
#define LINE_MAX_BYTES ((size_t)64 << 10)
#define ITEM_COST 32 /* what the allocator adds to an item, and to its text */
#define DEPTH_MAX 7  /* hiredis 0.14's own limit; 1.0 to 1.2 have none */

#if HIREDIS_MAJOR >= 1
#define ELEMENTS size_t
#else
#define ELEMENTS int
#endif

/* hiredis allocates whatever the server announces. Its constructors are wrapped so
 * that a reply is charged for before it is built. */
struct resp {
    redisReader *reader;
    redisReplyObjectFunctions functions;
    const redisReplyObjectFunctions *real;
    size_t max;
    size_t cost; /* of the reply being read */
    bool too_large;
    bool endless; /* a line */
};

static bool charge(const redisReadTask *task, size_t count, size_t size)
{
    struct resp *p = task->privdata;

    if (p->cost > p->max || (size && count > (p->max - p->cost) / size))
        p->too_large = true;
    if (p->too_large)
        return false;
    p->cost += count * size + sizeof(redisReply) + ITEM_COST;
    return true;
}

static const redisReplyObjectFunctions *real(const redisReadTask *task)
{
    return ((struct resp *)task->privdata)->real;
}

static void *make_string(const redisReadTask *task, char *bytes, size_t len)
{
    return charge(task, len, 1) ? real(task)->createString(task, bytes, len) : NULL;
}

static void *make_array(const redisReadTask *task, ELEMENTS count)
{
    size_t depth = 0;

    for (const redisReadTask *t = task->parent; t && depth <= DEPTH_MAX; t = t->parent)
        depth++;
    if (depth > DEPTH_MAX || !charge(task, (size_t)count, sizeof(redisReply *)))
        return NULL;
    return real(task)->createArray(task, count);
}

static void *make_integer(const redisReadTask *task, long long value)
{
    return charge(task, 0, 0) ? real(task)->createInteger(task, value) : NULL;
}

static void *make_nil(const redisReadTask *task)
{
    return charge(task, 0, 0) ? real(task)->createNil(task) : NULL;
}

struct resp *resp_new(size_t max)
{
    struct resp *p = mem_new(1, sizeof *p);

    p->max = max;
    p->reader = redisReaderCreate();
    if (!p->reader)
        abort(); /* out of memory, as in mem.c */
    p->real = p->reader->fn;
    p->functions = *p->reader->fn;
    p->functions.createString = make_string;
    p->functions.createArray = make_array;
    p->functions.createInteger = make_integer;
    p->functions.createNil = make_nil;
    p->reader->fn = &p->functions;
    p->reader->privdata = p;
    return p;
}

void resp_free(struct resp *p)
{
    if (!p)
        return;
    redisReaderFree(p->reader);
    free(p);
}

/* What waits begins with a line that has no end yet, or with the length of a string of
 * which some is missing: that one is known before it comes. */
static void look_ahead(struct resp *p)
{
    const char *begin = p->reader->buf + p->reader->pos;
    size_t len = p->reader->len - p->reader->pos, n = 0, digits = 0;
    bool ended = memmem(begin, len < LINE_MAX_BYTES ? len : LINE_MAX_BYTES, "\r\n", 2);

    p->endless = p->endless || (!ended && len > LINE_MAX_BYTES);
    for (; ended && digits < 19 && begin[digits] >= '0' && begin[digits] <= '9';
         digits++)
        n = n * 10 + (size_t)(begin[digits] - '0');
    if ((digits && begin[digits] == '\r' && n > p->max) || len > p->max)
        p->too_large = true;
}

void resp_feed(struct resp *p, const char *bytes, size_t len)
{
    (void)redisReaderFeed(p->reader, bytes, len); /* its error stays with the reader */
    if (p->reader->len - p->reader->pos > p->max)
        p->too_large = true;
}

static int unread(struct resp *p, struct err *e)
{
    if (p->endless)
        return err_set(e, ERR_TRANSIENT, 0, "Redis sent a line of more than %zu KiB",
                       LINE_MAX_BYTES >> 10);
    if (p->too_large)
        return err_set(e, ERR_TRANSIENT, 0, "Redis sent a reply of more than %zu MiB",
                       p->max >> 20);
    return 0;
}

int resp_next(struct resp *p, struct redisReply **out, struct err *e)
{
    void *reply = NULL;
    int rc;

    if (unread(p, e))
        return -1;
    rc = redisReaderGetReply(p->reader, &reply);
    if (rc == REDIS_OK && !reply)
        look_ahead(p);
    if (!reply && unread(p, e))
        return -1;
    if (rc != REDIS_OK)
        return err_set(e, ERR_TRANSIENT, 0, "Redis sent what is not its protocol: %s",
                       p->reader->errstr);
    if (!reply)
        return 0;
    p->cost = 0;
    *out = reply;
    return 1;
}

/* --- commands -----------------------------------------------------------------------
 */

static void add_number_line(struct buf *out, char kind, size_t n)
{
    char line[32];
    char *p = line + sizeof line;

    *--p = '\n';
    *--p = '\r';
    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    *--p = kind;
    buf_add(out, p, (size_t)(line + sizeof line - p));
}

void resp_add_length(struct buf *out, size_t arguments)
{
    add_number_line(out, '*', arguments);
}

void resp_add(struct buf *out, const void *bytes, size_t len)
{
    add_number_line(out, '$', len);
    buf_add(out, bytes, len);
    buf_add(out, "\r\n", 2);
}

/* --- replies ------------------------------------------------------------------------
 */

static bool is_text(const struct redisReply *r)
{
    return r->type == REDIS_REPLY_STRING || r->type == REDIS_REPLY_STATUS ||
           r->type == REDIS_REPLY_ERROR;
}

enum reply_type reply_type(const struct redisReply *r)
{
    if (is_text(r))
        return REPLY_STRING;
    if (r->type == REDIS_REPLY_INTEGER)
        return REPLY_INT;
    return r->type == REDIS_REPLY_ARRAY ? REPLY_ARRAY : REPLY_NIL;
}

int64_t reply_int(const struct redisReply *r)
{
    int64_t n = 0;

    if (r->type == REDIS_REPLY_INTEGER)
        return r->integer;
    if (!is_text(r) || !num_parse(r->str, INT64_MIN, INT64_MAX, &n))
        return 0;
    return n;
}

const char *reply_str(const struct redisReply *r)
{
    return is_text(r) ? r->str : "";
}

size_t reply_len(const struct redisReply *r)
{
    return is_text(r) ? (size_t)r->len : 0;
}

size_t reply_count(const struct redisReply *r)
{
    return r->type == REDIS_REPLY_ARRAY ? r->elements : 0;
}

const struct redisReply *reply_at(const struct redisReply *r, size_t i)
{
    return r->element[i];
}

const char *reply_error(const struct redisReply *r)
{
    return r->type == REDIS_REPLY_ERROR ? r->str : NULL;
}

void reply_free(struct redisReply *r)
{
    freeReplyObject(r);
}
