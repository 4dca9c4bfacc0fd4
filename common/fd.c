/* fd: see fd.h. */
#include "fd.h"

#include <errno.h>
#include <unistd.h>

int fd_write_all(int fd, const void *bytes, size_t len)
{
    const char *rest = bytes;

    while (len) {
        ssize_t n = write(fd, rest, len);

        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0) {
            rest += n;
            len -= (size_t)n;
        }
    }
    return 0;
}
