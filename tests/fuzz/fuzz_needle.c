/* Whether a person's address stands in foreign bytes, as forget asks it. Fields: an
 * address, then the bytes. It is found wherever it stands by itself, however its
 * letters and its sign are written, and nowhere without its sign.
 *
 * Links: ctl/forget_needle */
#include <ctype.h>
#include <stdbool.h>

#include "forget_needle.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has(const char *bytes, size_t len, const char *part)
{
    return memmem(bytes, len, part, strlen(part)) != NULL;
}

static void plant(const struct forget_needle *n, const char *before,
                  const char *address, const char *after)
{
    char *text = NULL;
    int len = asprintf(&text, "%s%s%s", before, address, after);

    PROMISE(len > 0 && forget_needle_in(n, text, (size_t)len));
    free(text);
}

static void check_found(const struct forget_needle *n, const char *address)
{
    const char *at = strrchr(address, '@');
    char *other = mem_strdup(address), *url = NULL;

    plant(n, "", address, "");
    plant(n, "\"email\":\"", address, "\",");
    plant(n, "To: <", address, ">\r\n");
    plant(n, "from ", address, ". Then");
    for (char *p = other; *p; p++)
        *p = (char)((unsigned char)*p < 0x80 ? toupper((unsigned char)*p) : *p);
    plant(n, " ", other, "\n");
    PROMISE(asprintf(&url, "%.*s%%40%s", (int)(at - address), address, at + 1) > 0);
    plant(n, "?q=", url, "/x");
    free(url);
    free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    char *address = fuzz_field(&in), *bytes;
    struct forget_needle n;
    size_t len;

    bytes = fuzz_bytes(&in, &len);
    if (forget_needle_make(address, &n)) {
        check_found(&n, address);
        if (forget_needle_in(&n, bytes, len))
            PROMISE(has(bytes, len, "@") || has(bytes, len, "%40") ||
                    has(bytes, len, "\\u0040") || has(bytes, len, "\\U0040"));
    }
    free(address);
    free(bytes);
    return 0;
}
