/* request_cap: whose license it is, for the caps of a day. It is no identity: spellings
 * that mostly mean the same person are folded, since the cap is what keeps one customer
 * or one agent's log-in from draining the day. Look-alikes of other scripts are not,
 * nor other addresses of a domain that takes all of them: the cap of the day is for
 * those. */
#include "request.h"

#include <string.h>

#include "mem.h"
#include "utf8.h"

/* Capitals and wide forms, and how far their plain ones are away. */
static const struct {
    int32_t first, last, by;
} folds[] = {
    {'A', 'Z', 'a' - 'A'},
    {0xC0, 0xD6, 0x20}, /* Latin-1 */
    {0xD8, 0xDE, 0x20},
    {0x391, 0x3A9, 0x20}, /* Greek */
    {0x400, 0x40F, 0x50}, /* Cyrillic */
    {0x410, 0x42F, 0x20},
    {0xFF21, 0xFF3A, 'a' - 0xFF21}, /* wide */
    {0xFF01, 0xFF20, '!' - 0xFF01},
    {0xFF3B, 0xFF5E, '[' - 0xFF3B},
};

/* Blanks, and what is not seen at all. */
static const struct {
    int32_t first, last;
} unseen[] = {
    {0, ' '},         {0x7F, 0xA0},     {0xAD, 0xAD},     {0x34F, 0x34F},
    {0x1680, 0x1680}, {0x180B, 0x180E}, {0x2000, 0x200F}, {0x2028, 0x202F},
    {0x205F, 0x206F}, {0x3000, 0x3000}, {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF},
};

static int32_t fold(int32_t c)
{
    for (size_t i = 0; i < ARRAY_LEN(folds); i++)
        if (c >= folds[i].first && c <= folds[i].last)
            return c + folds[i].by;
    return c;
}

static bool is_unseen(int32_t c)
{
    for (size_t i = 0; i < ARRAY_LEN(unseen); i++)
        if (c >= unseen[i].first && c <= unseen[i].last)
            return true;
    return false;
}

static void add(struct buf *to, int32_t c)
{
    if (c < 0x80) {
        buf_addc(to, (char)c);
    } else if (c < 0x800) {
        buf_addc(to, (char)(0xC0 | (c >> 6)));
        buf_addc(to, (char)(0x80 | (c & 0x3F)));
    } else {
        if (c < 0x10000) {
            buf_addc(to, (char)(0xE0 | (c >> 12)));
        } else {
            buf_addc(to, (char)(0xF0 | (c >> 18)));
            buf_addc(to, (char)(0x80 | ((c >> 12) & 0x3F)));
        }
        buf_addc(to, (char)(0x80 | ((c >> 6) & 0x3F)));
        buf_addc(to, (char)(0x80 | (c & 0x3F)));
    }
}

static void digest_folded(const char *text, size_t len,
                          char out[static REQUEST_DIGEST_LEN + 1])
{
    const char *p = text, *end = text + len;
    struct buf plain;

    buf_init(&plain, 4096); /* a request's texts are shorter */
    buf_adds(&plain, "");
    while (p < end) {
        int32_t c = utf8_next(&p, end);

        if (c < 0)
            p++;
        else if (!is_unseen(c))
            add(&plain, fold(c));
    }
    request_text_key(plain.data ? plain.data : "", out);
    buf_done(&plain);
}

void request_cap_agent(const char *name, char out[static REQUEST_DIGEST_LEN + 1])
{
    digest_folded(name, strlen(name), out);
}

/* nina+anything@ is nina@ with most mail servers. */
void request_cap_address(const char *email, char out[static REQUEST_DIGEST_LEN + 1])
{
    const char *at = strrchr(email, '@');
    const char *plus = at ? memchr(email, '+', (size_t)(at - email)) : NULL;
    char plain[ADDRESS_MAX + 1];
    size_t len;

    if (!plus || plus == email || strlen(email) > ADDRESS_MAX) {
        digest_folded(email, strlen(email), out);
        return;
    }
    len = (size_t)(plus - email);
    memcpy(plain, email, len);
    memcpy(plain + len, at, strlen(at) + 1);
    digest_folded(plain, strlen(plain), out);
}
