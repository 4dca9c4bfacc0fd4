/* license_value: one value of a license's JSON, written and read: what the formats'
 * tables of members have in common. For license_*.c alone. */
#ifndef STOPGAP_LICENSE_VALUE_H
#define STOPGAP_LICENSE_VALUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

enum license_value {
    VALUE_TEXT,   /* char [] */
    VALUE_DATE,   /* int64_t, milliseconds: YYYY-MM-DD, UTC */
    VALUE_MOMENT, /* the same: ISO 8601 to the second */
    VALUE_NUMBER, /* int64_t */
    VALUE_BOOL,
};

/* at: where the value is. */
void license_value_add(struct buf *out, enum license_value type, const char *at);

void license_value_add_text(struct buf *out, const char *text);

/* False: missing, of another type, or longer than size; what is at `at` is void then.
 */
bool license_value_read(const json_t *value, enum license_value type, char *at,
                        size_t size) __attribute__((warn_unused_result));

#endif
