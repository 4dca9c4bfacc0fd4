/* Any bytes as UTF-8: where characters begin and end, which they are, and which of them
 * may be shown, as a decoder has it that was written apart from ours. */
#include "fuzz_input.h"
#include "fuzz_text.h"
#include "utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_characters(const char *bytes, size_t len)
{
    const char *p = bytes, *end = bytes + len;

    while (p < end) {
        size_t n = 0;
        int32_t want = text_char((const unsigned char *)p, (size_t)(end - p), &n);
        const char *from = p;

        PROMISE(utf8_next(&p, end) == want);
        PROMISE(p == from + (want < 0 ? 0 : n));
        if (want < 0)
            break;
        PROMISE(utf8_printable(want) == !text_acts(want));
    }
    PROMISE(utf8_valid_len(bytes, len) == (size_t)(p - bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size ? size : 1); /* of the size that is there */

    PROMISE(copy);
    memcpy(copy, data, size);
    check_characters(copy, size);
    for (size_t i = 1; i < size; i++) /* as if it had begun there */
        if (i < 8)
            check_characters(copy + i, size - i);
    free(copy);
    return 0;
}
