/* Any text as an e-mail address, and as a mailbox with a name. What is accepted holds
 * nothing that could start a second header, recipient or command, is ASCII within the
 * limits of RFC 5321, and is its own normal form. Masked, no text says whose it is. */
#include <ctype.h>
#include <string.h>

#include "address.h"
#include "fuzz_input.h"
#include "fuzz_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_local(const char *p, size_t len)
{
    PROMISE(len >= 1 && len <= 64 && p[0] != '.' && p[len - 1] != '.');
    for (size_t i = 0; i < len; i++) {
        PROMISE(isgraph((unsigned char)p[i]) && (unsigned char)p[i] < 0x7F);
        PROMISE(!strchr("@<>()[]:;,\\\"%!", p[i]));
        PROMISE(p[i] != '.' || p[i + 1] != '.');
    }
}

static void check_domain(const char *p)
{
    size_t label = 0, labels = 1;

    PROMISE(strlen(p) <= 253);
    for (; *p; p++) {
        if (*p == '.') {
            PROMISE(label && p[-1] != '-');
            label = 0;
            labels++;
            continue;
        }
        PROMISE((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
                (*p == '-' && label));
        PROMISE(++label <= 63);
    }
    PROMISE(label && p[-1] != '-' && labels >= 2);
    while (label-- && isdigit((unsigned char)p[-1]))
        p--;
    PROMISE(label != (size_t)-1); /* a number at the end: an IPv4 address */
}

static void check_accepted(const char *given, const char *address)
{
    const char *at = strchr(address, '@');
    char again[ADDRESS_MAX + 1], masked[ADDRESS_MAX + 8];
    struct err e;

    PROMISE(strlen(address) <= 254 && at && !strchr(at + 1, '@'));
    check_local(address, (size_t)(at - address));
    check_domain(at + 1);
    PROMISE(!strncmp(given, address, (size_t)(at - address) + 1)); /* never repaired */
    PROMISE(address_normalise(address, again, &e) == 0 && !strcmp(address, again));
    address_mask(address, masked);
    PROMISE(masked[0] == address[0] && !strncmp(masked + 1, "***@", 4));
    PROMISE(!strcmp(masked + 5, at + 1));
}

static void check_refused(const struct err *e)
{
    PROMISE(e->class == ERR_INVALID && e->text[0] && text_line(e->text));
}

/* Of any text no more than the first letter, and a domain that is one. */
static void check_masked(const char *text)
{
    char masked[ADDRESS_MAX + 8];
    const char *rest = masked;
    size_t first = 0;

    address_mask(text, masked);
    PROMISE(text_line(masked) && strlen(masked) < sizeof masked);
    if (strncmp(masked, "***", 3) != 0 || masked[3] == '*')
        PROMISE(text_char((const unsigned char *)masked, strlen(masked), &first) > 0);
    rest = masked + first;
    PROMISE(!strncmp(masked, text, first) && !strncmp(rest, "***", 3));
    PROMISE(!rest[3] || rest[3] == '@');
    for (rest += 3 + (rest[3] == '@'); *rest; rest++)
        PROMISE(isalnum((unsigned char)*rest) || *rest == '.' || *rest == '-');
}

static void check_address(const char *text)
{
    char address[ADDRESS_MAX + 1] = "before";
    struct err e = {.class = ERR_NONE};

    if (address_normalise(text, address, &e) == 0) {
        check_accepted(text, address);
        return;
    }
    check_refused(&e);
    PROMISE(!strcmp(address, "before"));
}

static void check_mailbox(const char *text)
{
    char name[256] = "", address[ADDRESS_MAX + 1] = "";
    struct err e = {.class = ERR_NONE};
    char again[ADDRESS_MAX + 1];

    if (address_parse_mailbox(text, name, address, &e) < 0) {
        check_refused(&e);
        PROMISE(!*name && !*address);
        return;
    }
    PROMISE(text_line(name));
    PROMISE(address_normalise(address, again, &e) == 0 && !strcmp(address, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    char *text = fuzz_field(&in);

    check_address(text);
    check_mailbox(text);
    check_masked(text);
    free(text);
    return 0;
}
