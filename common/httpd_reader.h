/* httpd_reader: the head of an HTTP/1.1 request out of bytes, or the reason to refuse
 * it. Pure: no socket, no clock, no allocation; what it finds are places in the
 * caller's bytes. Bodies are only counted by it.
 *
 * Strict (RFC 9112): one framing for a message, or none. What the same bytes mean does
 * not depend on how they arrived. */
#ifndef STOPGAP_HTTPD_READER_H
#define STOPGAP_HTTPD_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTPD_HEAD_MAX 8192
#define HTTPD_TARGET_MAX 2048
#define HTTPD_FIELDS_MAX 64

/* Looks for the end of a head, byte by byte; zeroed before the first. */
struct httpd_scan {
    size_t at;   /* bytes looked at */
    size_t line; /* where the line under way begins */
};

struct httpd_slice {
    uint16_t at;
    uint16_t len;
};

struct httpd_head_field {
    struct httpd_slice name;
    struct httpd_slice value;
};

struct httpd_head {
    struct httpd_slice method;
    struct httpd_slice path;
    struct httpd_slice query; /* without '?'; empty when there is none */
    struct httpd_head_field fields[HTTPD_FIELDS_MAX];
    size_t field_count;
    size_t len; /* of the whole head; the body begins there */
    size_t body_len;
    bool keep_alive;     /* the client's wish, with its version's rules */
    bool wants_continue; /* sends its body after a 100 */
};

enum httpd_read { HTTPD_READ_MORE, HTTPD_READ_HEAD, HTTPD_READ_REFUSED };

/* bytes: all of the connection that no earlier request took. MORE: call again with more
 * (the same bytes in front). HEAD: *head is filled. REFUSED: *status and *why (static)
 * are; nothing after these bytes can be trusted, so the connection ends. An accepted
 * body has at most body_max bytes. */
enum httpd_read httpd_reader_head(struct httpd_scan *scan, const char *bytes,
                                  size_t len, size_t body_max, struct httpd_head *head,
                                  int *status, const char **why);

#endif
