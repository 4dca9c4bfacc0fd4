/* template: texts with {{placeholders}} that an operator can replace.
 *
 * Files looked for in STOPGAP_TEMPLATE_DIR, each optional: mail.subject, mail.txt,
 * mail.html; what is missing is built in. An unknown placeholder is an error when the
 * templates are loaded, not when a mail is due. */
#ifndef STOPGAP_TEMPLATE_H
#define STOPGAP_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "err.h"

enum template_part { TEMPLATE_SUBJECT, TEMPLATE_TEXT, TEMPLATE_HTML, TEMPLATE_COUNT };

struct template_value {
    const char *name;
    const char *value;
};

struct templates;

/* dir NULL: built in. Reads files; start-up and HUP only. ERR_CONFIG names file, line
 * and the unknown placeholder, and lists those there are. */
struct templates *templates_load(const char *dir, struct err *e) MUST_CHECK;

/* The same from texts in memory; NULL in place of a text: built in. */
struct templates *templates_parse(const char *const texts[static TEMPLATE_COUNT],
                                  struct err *e) MUST_CHECK;

void templates_free(struct templates *t);

/* Renders one part; in TEMPLATE_HTML every value is escaped. values must hold every
 * placeholder that template.c lists (docs/templates.md). */
void template_render(const struct templates *t, enum template_part part,
                     const struct template_value *values, size_t count,
                     struct buf *out);

#endif
