/* out: what commands print: foreign text made harmless for a terminal, tables, and
 * times and spans in one form. Pure but for out_print. */
#ifndef STOPGAP_OUT_H
#define STOPGAP_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

#define OUT_MAX ((size_t)64 << 20) /* of one command's output */
#define OUT_TIME_MAX 40

/* Appends text in which no character can move the cursor, colour, reorder, hide or end
 * the line: such characters, and bytes that are not UTF-8, become \n, \t, \xNN or
 * \u{NNNN}. */
void out_text(struct buf *out, const char *bytes, size_t len);
void out_str(struct buf *out, const char *text); /* NULL: nothing */

/* "2026-01-31T12:00:00Z"; "-" for 0. */
void out_time(int64_t ms, char text[static OUT_TIME_MAX]);

/* A span for people, two units at most: "0s", "50ms", "4.2s", "12m03s", "5h02m",
 * "3d04h". */
void out_span(int64_t ms, char text[static OUT_TIME_MAX]);

/* Colours, on a terminal alone and unless NO_COLOR is set. */
enum out_colour { OUT_GREEN, OUT_GREY, OUT_YELLOW, OUT_RED, OUT_BOLD };
bool out_may_colour(void);

/* text as it is; in that colour if `colour`. */
void out_paint(struct buf *out, bool colour, enum out_colour which, const char *text);

/* A table whose columns are as wide as their widest cell. */
struct out_table {
    char **cells; /* escaped; the heads come first */
    size_t count;
    size_t room;
    size_t columns;
};
void out_table_init(struct out_table *t, const char *const *heads, size_t columns);
void out_table_cell(struct out_table *t, const char *text); /* NULL or "": "-" */
void out_table_int(struct out_table *t, int64_t n);
void out_table_add(const struct out_table *t, struct buf *out);
void out_table_done(struct out_table *t);

/* `name` in a column of its own, then the text, escaped; nothing for NULL or "". */
void out_field(struct buf *out, const char *name, const char *text);

/* Prints what json_dumps returned, and frees it. NULL ends the program: what we put
 * into JSON is UTF-8, so only memory can be short. */
void out_json(char *text);

/* Onto stdout. A closed pipe is no error. */
void out_print(const struct buf *text);

#endif
