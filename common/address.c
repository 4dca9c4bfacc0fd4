/* address: see address.h. Refuses rather than repairs: what it returns is what was
 * asked for, only the domain's spelling is brought into its one wire form. */
#include "address.h"

#include <idn2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "utf8.h"

#define LOCAL_MAX 64
#define DOMAIN_MAX 253 /* RFC 1035: 255 on the wire with length bytes and root */
#define LABEL_MAX 63
#define TEXT_MAX 1024 /* a domain may be longer in UTF-8 than its A-labels are */
#define NAME_MAX_BYTES 255

/* Characters that never stand in an address that is accepted, anywhere in it. */
static const struct {
    const char *chars;
    const char *why;
} refused[] = {
    {"\r\n", "a line break is not allowed"},
    {" \t", "a space is not allowed: give the bare address"},
    {",;", "only one address is allowed"},
    {"<>", "angle brackets are not allowed: give the bare address"},
    {"()", "comments in parentheses are not allowed"},
    {"\"", "a quoted local part is not allowed"},
    {"\\", "a backslash is not allowed"},
    {"[]", "an address literal in brackets is not allowed: give a domain name"},
    {":", "a colon (source route, mailto: link) is not allowed: give the bare address"},
};

static int refuse(struct err *e, const char *why)
{
    return err_set(e, ERR_INVALID, 0, "%s", why);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c);
}

/* Invisible characters that the IDNA mapping would silently drop, so that two texts
 * that differ would become one domain. ZWJ and ZWNJ have rules of their own there. */
static bool is_invisible(int32_t c)
{
    return c == 0xAD || c == 0x34F || c == 0x1806 || (c >= 0x180B && c <= 0x180F) ||
           c == 0x200B || c == 0x200E || c == 0x200F || (c >= 0x2060 && c <= 0x2065) ||
           (c >= 0xFE00 && c <= 0xFE0F) || c == 0xFEFF ||
           (c >= 0x1BCA0 && c <= 0x1BCA3) || (c >= 0xE0000 && c <= 0xE0FFF);
}

static int check_characters(const char *text, size_t len, struct err *e)
{
    const char *end = text + len;

    for (const char *p = text; p < end;) {
        int32_t c = (unsigned char)*p;

        if (is_alnum(*p) || c == '.' || c == '@') {
            p++;
            continue;
        }
        for (size_t i = 0; i < ARRAY_LEN(refused); i++)
            if (strchr(refused[i].chars, c))
                return refuse(e, refused[i].why);
        c = utf8_next(&p, end);
        if (c < 0)
            return refuse(e, "not valid UTF-8");
        if (!utf8_printable(c) || is_invisible(c))
            return err_set(e, ERR_INVALID, 0,
                           "the control or invisible character U+%04X is not allowed",
                           (unsigned)c);
    }
    return 0;
}

/* RFC 5321 Dot-string, without the characters that once meant routing. */
static int check_local(const char *local, size_t len, struct err *e)
{
    if (len == 0)
        return refuse(e, "nothing stands before the @");
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)local[i] >= 0x80)
            return refuse(e, "the part before the @ has non-ASCII characters, which "
                             "needs SMTPUTF8 and is not supported");
    if (len > LOCAL_MAX)
        return refuse(e, "the part before the @ is longer than 64 characters");
    if (local[0] == '.' || local[len - 1] == '.')
        return refuse(e, "the part before the @ starts or ends with a dot");
    for (size_t i = 0; i < len; i++) {
        char c = local[i];

        if (c == '.' && local[i + 1] == '.')
            return refuse(e, "the part before the @ has two dots in a row");
        if (c == '%' || c == '!')
            return err_set(e, ERR_INVALID, 0,
                           "%c in the part before the @ (mail routing) is not allowed",
                           c);
        if (!is_alnum(c) && !strchr(".#$&'*+-/=?^_`{|}~", c))
            return err_set(e, ERR_INVALID, 0, "%c before the @ is not allowed", c);
    }
    return 0;
}

static int check_label(const char *label, size_t len, struct err *e)
{
    if (len == 0)
        return refuse(e, "the domain starts or ends with a dot or has two in a row");
    if (len > LABEL_MAX)
        return refuse(e, "a part of the domain is longer than 63 characters");
    if (label[0] == '-' || label[len - 1] == '-')
        return refuse(e, "a part of the domain starts or ends with a hyphen");
    for (size_t i = 0; i < len; i++)
        if (!is_alnum(label[i]) && label[i] != '-')
            return err_set(e, ERR_INVALID, 0, "%c in the domain is not allowed",
                           label[i]);
    return 0;
}

/* Letters, digits, hyphens; two labels or more; the last one no number, or the whole
 * would be an IPv4 address. */
static int check_domain(const char *domain, struct err *e)
{
    const char *label = domain;

    if (!*domain)
        return refuse(e, "nothing stands after the @");
    for (const char *dot; (dot = strchr(label, '.')); label = dot + 1)
        if (check_label(label, (size_t)(dot - label), e))
            return -1;
    if (check_label(label, strlen(label), e))
        return -1;
    if (label == domain)
        return refuse(e, "the domain has no dot: give the full domain name");
    if (strspn(label, "0123456789") == strlen(label))
        return refuse(e, "an IP address is not allowed: give a domain name");
    return 0;
}

/* True if the domain's spelling is for libidn2 to judge: other than ASCII, or an
 * A-label that may be none. */
static bool needs_idna(const char *domain)
{
    for (const char *p = domain; *p; p++)
        if ((unsigned char)*p >= 0x80)
            return true;
    return strcasestr(domain, "xn--") != NULL;
}

/* The domain in lower case and A-labels, into out. Not with IDN2_USE_STD3_ASCII_RULES:
 * libidn2 2.3.3 then drops what those rules forbid, and an underscore beside an umlaut
 * gives another domain. Without it such characters stay, and are refused after. */
static int convert_domain(const char *domain, char out[static DOMAIN_MAX + 2],
                          struct err *e)
{
    char *ascii = NULL;
    int rc, copied;

    if (needs_idna(domain)) {
        rc = idn2_to_ascii_8z(domain, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
        if (rc != IDN2_OK)
            return err_set(e, ERR_INVALID, 0,
                           "not a valid internationalised domain (IDNA 2008): %s",
                           idn2_strerror(rc));
    }
    copied = snprintf(out, DOMAIN_MAX + 2, "%s", ascii ? ascii : domain);
    idn2_free(ascii);
    if (copied > DOMAIN_MAX)
        return refuse(e, "the domain is longer than 253 characters");
    for (char *p = out; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    return check_domain(out, e);
}

int address_normalise(const char *text, char out[static ADDRESS_MAX + 1], struct err *e)
{
    size_t len = strlen(text), local_len;
    const char *at = strchr(text, '@');
    char domain[DOMAIN_MAX + 2];

    if (len == 0)
        return refuse(e, "empty");
    if (len > TEXT_MAX)
        return refuse(e, "longer than 254 characters");
    if (check_characters(text, len, e))
        return -1;
    if (!at)
        return refuse(e, "there is no @ in it");
    if (strchr(at + 1, '@'))
        return refuse(e, "there is more than one @ in it");
    local_len = (size_t)(at - text);
    if (check_local(text, local_len, e) || convert_domain(at + 1, domain, e))
        return -1;
    if (local_len + 1 + strlen(domain) > ADDRESS_MAX)
        return refuse(e, "longer than 254 characters");
    memcpy(out, text, local_len + 1);
    memcpy(out + local_len + 1, domain, strlen(domain) + 1);
    return 0;
}

void address_mask(const char *address, char out[static ADDRESS_MAX + 8])
{
    const char *at = strrchr(address, '@'), *p = address;
    bool first = at && at > address && utf8_printable(utf8_next(&p, at));

    (void)snprintf(out, ADDRESS_MAX + 8, "%.*s***", first ? (int)(p - address) : 0,
                   address);
    if (!at || strlen(at) > ADDRESS_MAX)
        return;
    for (const char *c = at + 1; *c; c++)
        if (!is_alnum(*c) && *c != '.' && *c != '-')
            return; /* no address of ours: not a letter more of it */
    (void)snprintf(out + strlen(out), ADDRESS_MAX + 8 - strlen(out), "%s", at);
}

static const char *skip_blanks(const char *p, const char **end)
{
    while (p < *end && (*p == ' ' || *p == '\t'))
        p++;
    while (*end > p && ((*end)[-1] == ' ' || (*end)[-1] == '\t'))
        (*end)--;
    return p;
}

/* The display name between p and end, bare or in double quotes with backslash escapes
 * (RFC 5322 quoted-string). */
static int parse_name(const char *p, const char *end, char out[static 256],
                      struct err *e)
{
    bool quoted = end - p >= 2 && *p == '"' && end[-1] == '"';
    size_t len = 0;

    p += quoted;
    end -= quoted;
    while (p < end) {
        const char *start;
        int32_t c;

        if (quoted && *p == '\\' && p + 1 < end)
            p++;
        else if (strchr(quoted ? "\"\\" : "\"\\<>", *p))
            return refuse(e, "quotes, backslashes or brackets in the display name: put "
                             "the whole name in double quotes");
        start = p;
        c = utf8_next(&p, end);
        if (c < 0 || !utf8_printable(c))
            return refuse(e, "control characters or invalid UTF-8 in the display name");
        if (len + (size_t)(p - start) > NAME_MAX_BYTES)
            return refuse(e, "the display name is longer than 255 bytes");
        memcpy(out + len, start, (size_t)(p - start));
        len += (size_t)(p - start);
    }
    out[len] = '\0';
    return 0;
}

int address_parse_mailbox(const char *text, char name[static 256],
                          char address[static ADDRESS_MAX + 1], struct err *e)
{
    const char *end = text + strlen(text);
    const char *p = skip_blanks(text, &end);
    char parsed_name[256] = "", bare[TEXT_MAX + 1];

    if (p < end && end[-1] == '>') {
        const char *open = memrchr(p, '<', (size_t)(end - p)), *name_end = open;

        if (!open)
            return refuse(e, "there is a > without a <");
        p = skip_blanks(p, &name_end);
        if (parse_name(p, name_end, parsed_name, e))
            return -1;
        p = open + 1;
        end--;
    }
    if (end - p > TEXT_MAX)
        return refuse(e, "longer than 254 characters");
    memcpy(bare, p, (size_t)(end - p));
    bare[end - p] = '\0';
    if (address_normalise(bare, address, e))
        return -1;
    memcpy(name, parsed_name, strlen(parsed_name) + 1);
    return 0;
}
