/* settings_kind: the kinds of value that a setting can have: how each is read from
 * text, shown, and released. Knows no setting by name. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "mem.h"
#include "network.h"
#include "num.h"
#include "settings_internal.h"

static int refuse(struct err *e, const char *why)
{
    return err_set(e, ERR_CONFIG, 0, "%s", why);
}

static bool only(const char *text, const char *extra)
{
    for (const char *p = text; *p; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');

        if (!letter && !(*p >= '0' && *p <= '9') && !strchr(extra, *p))
            return false;
    }
    return true;
}

/* --- Texts --- */

static int parse_text(const struct setting *row, const char *text, void *slot,
                      struct err *e)
{
    size_t len = strlen(text);

    if ((int64_t)len < row->min || (int64_t)len > row->max)
        return refuse(e, "too short or too long");
    mem_set(slot, text);
    return 0;
}

static void show_text(const struct setting *row, const void *slot, struct buf *out)
{
    const char *text = *(char *const *)slot;

    (void)row;
    if (text)
        buf_adds(out, text);
}

static void done_text(void *slot)
{
    free(*(char **)slot);
}

const struct setting_kind settings_kind_text = {
    .parse = parse_text,
    .show = show_text,
    .done = done_text,
};

static int parse_path(const struct setting *row, const char *text, void *slot,
                      struct err *e)
{
    (void)row;
    if (strlen(text) > 4095)
        return refuse(e, "too long");
    mem_set(slot, text);
    return 0;
}

const struct setting_kind settings_kind_path = {
    .allowed = "a path of at most 4095 bytes",
    .parse = parse_path,
    .show = show_text,
    .done = done_text,
};

static int parse_queue(const struct setting *row, const char *text, void *slot,
                       struct err *e)
{
    (void)row;
    if (strlen(text) > 64 || !only(text, "_.-"))
        return refuse(e, "no valid name");
    mem_set(slot, text);
    return 0;
}

const struct setting_kind settings_kind_queue = {
    .allowed = "1 to 64 of A-Z a-z 0-9 _ . -",
    .parse = parse_queue,
    .show = show_text,
    .done = done_text,
};

/* RFC 5321 section 4.1.3: an address stands in brackets, IPv6 with a tag. */
static bool is_address_literal(const char *text)
{
    size_t len = strlen(text);
    char inner[64] = "", bytes[sizeof(struct in6_addr)];

    if (len < 3 || len > sizeof inner || text[0] != '[' || text[len - 1] != ']')
        return false;
    memcpy(inner, text + 1, len - 2);
    if (!strncasecmp(inner, "IPv6:", 5))
        return inet_pton(AF_INET6, inner + 5, bytes) == 1;
    return inet_pton(AF_INET, inner, bytes) == 1;
}

static int parse_host(const struct setting *row, const char *text, void *slot,
                      struct err *e)
{
    (void)row;
    if (!is_address_literal(text) && (strchr(text, ':') || !settings_is_host(text)))
        return refuse(e, "no host name");
    mem_set(slot, text);
    return 0;
}

const struct setting_kind settings_kind_host = {
    .allowed = "a host name, or an address as [192.0.2.1] or [IPv6:2001:db8::1]",
    .parse = parse_host,
    .show = show_text,
    .done = done_text,
};

static int parse_project(const struct setting *row, const char *text, void *slot,
                         struct err *e)
{
    size_t len = strlen(text);
    bool number = strspn(text, "0123456789") == len;

    (void)row;
    if (len > 512 || !only(text, "_.-/"))
        return refuse(e, "no project");
    if (text[0] == '/' || text[len - 1] == '/' || strstr(text, "//") ||
        (!number && !strchr(text, '/')))
        return refuse(e, "no number and no whole path");
    mem_set(slot, text);
    return 0;
}

const struct setting_kind settings_kind_project = {
    .allowed = "the project's number, or its path as group/project, without the host",
    .parse = parse_project,
    .show = show_text,
    .done = done_text,
};

static int parse_mailbox(const struct setting *row, const char *text, void *slot,
                         struct err *e)
{
    char name[256], address[ADDRESS_MAX + 1];

    (void)row;
    if (address_parse_mailbox(text, name, address, e))
        return -1;
    mem_set(slot, text);
    return 0;
}

const struct setting_kind settings_kind_mailbox = {
    .allowed = "an address, as support@example.com or Support <support@example.com>",
    .parse = parse_mailbox,
    .show = show_text,
    .done = done_text,
};

static int parse_address(const struct setting *row, const char *text, void *slot,
                         struct err *e)
{
    char address[ADDRESS_MAX + 1];

    (void)row;
    if (address_normalise(text, address, e))
        return -1;
    mem_set(slot, address);
    return 0;
}

const struct setting_kind settings_kind_address = {
    .allowed = "a bare address, as bounces@example.com",
    .parse = parse_address,
    .show = show_text,
    .done = done_text,
};

static int parse_networks(const struct setting *row, const char *text, void *slot,
                          struct err *e)
{
    struct network_list list;

    (void)row;
    if (!network_list_parse(text, &list))
        return refuse(e, "an entry is no IP address and no network");
    network_list_done(&list);
    mem_set(slot, text);
    return 0;
}

const struct setting_kind settings_kind_networks = {
    .allowed = "IP addresses or networks, as 10.0.0.0/8,2001:db8::1, without blanks",
    .parse = parse_networks,
    .show = show_text,
    .done = done_text,
};

/* --- Numbers and choices --- */

static int parse_int(const struct setting *row, const char *text, void *slot,
                     struct err *e)
{
    return num_parse(text, row->min, row->max, slot)
               ? 0
               : refuse(e, "no whole number within the limits");
}

static void show_int(const struct setting *row, const void *slot, struct buf *out)
{
    (void)row;
    buf_add_int(out, *(const int64_t *)slot);
}

const struct setting_kind settings_kind_int = {.parse = parse_int, .show = show_int};

static int parse_duration(const struct setting *row, const char *text, void *slot,
                          struct err *e)
{
    int64_t ms;

    if (!num_parse_duration(text, &ms))
        return refuse(e, "no duration");
    if (ms < row->min || ms > row->max)
        return refuse(e, "outside the limits");
    *(int64_t *)slot = ms;
    return 0;
}

static void show_duration(const struct setting *row, const void *slot, struct buf *out)
{
    char text[24];

    (void)row;
    num_format_duration(*(const int64_t *)slot, text);
    buf_adds(out, text);
}

const struct setting_kind settings_kind_duration = {
    .parse = parse_duration,
    .show = show_duration,
};

static int choice_of(const struct setting *row, const char *text, struct err *e)
{
    for (int i = 0; row->choices[i]; i++)
        if (!strcmp(row->choices[i], text))
            return i;
    return refuse(e, "not one of the choices");
}

static int parse_choice(const struct setting *row, const char *text, void *slot,
                        struct err *e)
{
    int choice = choice_of(row, text, e);

    if (choice < 0)
        return -1;
    memcpy(slot, &choice, sizeof choice); /* an int or an enum */
    return 0;
}

static void show_choice(const struct setting *row, const void *slot, struct buf *out)
{
    int choice;

    memcpy(&choice, slot, sizeof choice);
    buf_adds(out, row->choices[choice]);
}

const struct setting_kind settings_kind_choice = {
    .parse = parse_choice,
    .show = show_choice,
};

static int parse_switch(const struct setting *row, const char *text, void *slot,
                        struct err *e)
{
    int choice = choice_of(row, text, e);

    if (choice < 0)
        return -1;
    *(bool *)slot = choice == 1;
    return 0;
}

static void show_switch(const struct setting *row, const void *slot, struct buf *out)
{
    buf_adds(out, row->choices[*(const bool *)slot]);
}

const struct setting_kind settings_kind_switch = {
    .parse = parse_switch,
    .show = show_switch,
};

void settings_allowed(const struct setting *row, struct buf *out)
{
    char low[24], high[24];

    if (row->kind == &settings_kind_duration) {
        num_format_duration(row->min, low);
        num_format_duration(row->max, high);
        buf_addf(out, "a duration from %s to %s, as 250ms, 30s, 5m, 6h or 30d", low,
                 high);
    } else if (row->kind == &settings_kind_int) {
        buf_addf(out, "a whole number from %lld to %lld", (long long)row->min,
                 (long long)row->max);
    } else if (row->choices) {
        for (size_t i = 0; row->choices[i]; i++)
            buf_addf(out, "%s%s", i ? " or " : "", row->choices[i]);
    } else if (row->kind->allowed) {
        buf_adds(out, row->kind->allowed);
        if (row->flags & SETTING_OFF)
            buf_adds(out, ", or off");
    } else {
        buf_addf(out, "%lld to %lld printable characters", (long long)row->min,
                 (long long)row->max);
    }
}
