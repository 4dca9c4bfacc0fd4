/* network: IP addresses and networks out of text, and which of them holds which. Pure:
 * no names, no sockets. An IPv4 address written as IPv6 (::ffff:a.b.c.d) is the IPv4
 * one everywhere, as a socket for both reports it so. */
#ifndef STOPGAP_NETWORK_H
#define STOPGAP_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

#define NETWORK_TEXT_MAX 46 /* of an address, with its NUL (INET6_ADDRSTRLEN) */

struct network_addr {
    unsigned char bytes[16]; /* IPv6; IPv4 mapped into it */
};

struct network {
    struct network_addr base;
    unsigned int bits; /* that count, of 128 */
};

struct network_list {
    struct network *items;
    size_t count;
};

/* An address in digits, without brackets, zone or port. False: out is as it was. */
bool network_parse_addr(const char *text, size_t len, struct network_addr *out);

/* The 4 or 16 bytes of an address as they stand in a socket's address. */
struct network_addr network_from_bytes(const void *bytes, size_t len);

/* IPv4 as a.b.c.d, IPv6 as RFC 5952 has it. */
void network_format(const struct network_addr *addr, char out[static NETWORK_TEXT_MAX]);

/* Whether two addresses are one client's, as far as an address can tell: equal, or of
 * one IPv6 /64, which is the least that a host is given. */
bool network_same_client(const struct network_addr *a, const struct network_addr *b);

/* "10.0.0.0/8,2001:db8::1", no blanks. False: out is as it was. Given: the caller ends
 * it with network_list_done. */
bool network_list_parse(const char *text, struct network_list *out);

/* A zeroed list holds nothing. ::/0 is all of IPv6, not IPv4. */
bool network_list_has(const struct network_list *list, const struct network_addr *addr);

/* A zeroed list is fine; leaves a zeroed one. */
void network_list_done(struct network_list *list);

#endif
