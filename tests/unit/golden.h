/* golden: compares bytes with a file under tests/unit/golden/, found from the top of
 * the tree. GOLDEN_WRITE=1 writes the file instead: look at the difference, then
 * commit it. */
#ifndef STOPGAP_TESTS_GOLDEN_H
#define STOPGAP_TESTS_GOLDEN_H

#include <stdio.h>
#include <stdlib.h>

#include "buf.h"

static inline void golden_check(const char *name, const char *bytes, size_t len)
{
    static char held[262144];
    char path[256];
    size_t got;
    FILE *f;

    (void)snprintf(path, sizeof path, "tests/unit/golden/%s", name);
    f = fopen(path, getenv("GOLDEN_WRITE") ? "w" : "r");
    if (!f)
        fail_msg("%s: cannot open it (run from the top of the tree)", path);
    if (getenv("GOLDEN_WRITE")) {
        assert_int_equal(fwrite(bytes, 1, len, f), len);
    } else {
        got = fread(held, 1, sizeof held, f);
        assert_int_equal(got, len);
        assert_memory_equal(held, bytes, len);
    }
    assert_int_equal(fclose(f), 0);
}

#endif
