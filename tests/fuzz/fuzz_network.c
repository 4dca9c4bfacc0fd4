/* Addresses and networks out of text, and whose request it is behind proxies. What is
 * read is what inet_pton reads, a network holds what its bits say, and of what
 * X-Forwarded-For tells only that counts which a trusted proxy wrote. Fields: address,
 * networks, then up to three X-Forwarded-For. */
#include <arpa/inet.h>
#include <stdbool.h>

#include "fuzz_input.h"
#include "httpd_internal.h"

#define LISTS_MAX 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool bit(const struct network_addr *a, unsigned int i)
{
    return a->bytes[i / 8] >> (7 - i % 8) & 1;
}

/* As the bytes of IPv6, whatever the family. */
static bool read_by_libc(const char *text, struct network_addr *out)
{
    char mapped[128];

    (void)snprintf(mapped, sizeof mapped, "::ffff:%s", text);
    return inet_pton(AF_INET6, strchr(text, ':') ? text : mapped, out->bytes) == 1;
}

static void check_address(const char *text)
{
    struct network_addr ours, theirs, back;
    char shown[NETWORK_TEXT_MAX];

    if (!network_parse_addr(text, strlen(text), &ours))
        return;
    PROMISE(read_by_libc(text, &theirs) && !memcmp(&ours, &theirs, sizeof ours));
    network_format(&ours, shown);
    PROMISE(network_parse_addr(shown, strlen(shown), &back));
    PROMISE(!memcmp(&ours, &back, sizeof ours) && network_same_client(&ours, &back));
    back.bytes[0] ^= 0x80;
    PROMISE(!network_same_client(&ours, &back));
}

static void check_list(const struct network_list *list)
{
    PROMISE(list->count > 0);
    for (size_t i = 0; i < list->count; i++) {
        struct network_addr a = list->items[i].base;
        unsigned int bits = list->items[i].bits;

        PROMISE(bits <= 128 && network_list_has(list, &a));
        if (list->count > 1 || bits == 0)
            continue;
        a.bytes[15] ^= 1;
        PROMISE(network_list_has(list, &a) == (bits < 128));
        a = list->items[i].base;
        a.bytes[(bits - 1) / 8] ^= (unsigned char)(0x80 >> (bits - 1) % 8);
        PROMISE(bit(&a, bits - 1) != bit(&list->items[i].base, bits - 1));
        PROMISE(!network_list_has(list, &a));
    }
}

/* Is the client whom the lists tell the peer, or an address of which everything behind
 * it is trusted? */
static void check_client(const struct httpd_call *c)
{
    struct network_addr addr;

    PROMISE(network_parse_addr(c->client, strlen(c->client), &addr));
    if (!c->trusted)
        PROMISE(!strcmp(c->client, c->peer));
}

static bool is_trusted(const struct network_list *trusted, const char *text)
{
    struct network_addr addr;

    return network_parse_addr(text, strlen(text), &addr) &&
           network_list_has(trusted, &addr);
}

static void check_proxies(struct network_list *trusted, const char *peer,
                          char *const lists[LISTS_MAX])
{
    struct httpd h = {.trusted = *trusted};
    struct httpd_call *c = mem_new(1, sizeof *c), *again = mem_new(1, sizeof *c);

    c->h = &h;
    (void)snprintf(c->peer, sizeof c->peer, "%s", peer);
    c->trusted = is_trusted(trusted, peer);
    for (size_t i = 0; i < LISTS_MAX; i++)
        c->fields[i] = (struct httpd_field){
            i == 1 ? "x-forwarded-FOR" : "X-Forwarded-For", lists[i]};
    c->request.fields = c->fields;
    c->request.field_count = LISTS_MAX;
    httpd_conn_find_client(c);
    check_client(c);
    if (*c->client && c->trusted) {
        /* A trusted proxy more that says so, and the client's own lies before: nothing
         * else comes of it. */
        char *lie = NULL;

        PROMISE(asprintf(&lie, "203.0.113.9, %s", c->client) > 0);
        *again = *c;
        again->request.fields = again->fields;
        again->request.field_count = 1;
        again->fields[0].value = lie;
        httpd_conn_find_client(again);
        PROMISE(
            !strcmp(again->client, c->client) ||
            (is_trusted(trusted, c->client) && !strcmp(again->client, "203.0.113.9")));
        free(lie);
    }
    free(c);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    char *address = fuzz_field(&in), *networks = fuzz_field(&in);
    char *lists[LISTS_MAX];
    struct network_list list = {0};
    struct network_addr addr;
    bool read;

    for (size_t i = 0; i < LISTS_MAX; i++)
        lists[i] = fuzz_field(&in);
    check_address(address);
    read = network_list_parse(networks, &list);
    if (read)
        check_list(&list);
    check_proxies(&list,
                  network_parse_addr(address, strlen(address), &addr) &&
                          !strchr(address, '%')
                      ? address
                      : "192.0.2.1",
                  lists);
    network_list_done(&list);
    PROMISE(!list.items && !list.count);
    free(address);
    free(networks);
    for (size_t i = 0; i < LISTS_MAX; i++)
        free(lists[i]);
    return 0;
}
