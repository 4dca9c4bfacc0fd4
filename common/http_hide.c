/* http_hide: see http_hide.h. */
#include "http_hide.h"

#include <string.h>

void http_hide(char *text, size_t len, const char *secret)
{
    size_t size = secret ? strlen(secret) : 0;
    char *end = text + len, *at;

    if (size < HTTP_HIDE_LEAST)
        return;
    while ((at = memmem(text, (size_t)(end - text), secret, size))) {
        memset(at, '*', size);
        text = at + size;
    }
}
