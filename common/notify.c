/* notify: see notify.h. */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "num.h"

#define SEND_TIMEOUT_US 100000

/* The address's length, or 0: neither a path nor, with '@', an abstract name. */
static socklen_t parse_address(const char *name, struct sockaddr_un *to)
{
    size_t len = strlen(name);

    if ((*name != '/' && *name != '@') || len < 2 || len >= sizeof to->sun_path)
        return 0;
    *to = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(to->sun_path, name, len);
    if (*name == '@')
        to->sun_path[0] = '\0';
    else
        len++; /* a path has its NUL */
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

int notify_send(const char *state, struct err *e)
{
    static const struct timeval limit = {.tv_usec = SEND_TIMEOUT_US};
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to;
    socklen_t len;
    int fd, rc = -1;

    if (!name || !*name)
        return 0;
    len = parse_address(name, &to);
    if (!len)
        return err_set(e, ERR_CONFIG, 0, "NOTIFY_SOCKET: \"%s\": no local socket",
                       name);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) ||
        sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, len) < 0)
        (void)err_set(e, ERR_TRANSIENT, 0, "NOTIFY_SOCKET: %s: %s", name,
                      strerror(errno));
    else
        rc = 0;
    if (fd >= 0)
        (void)close(fd); /* a datagram is sent or not */
    return rc;
}

int64_t notify_watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    int64_t watched, us;

    if (!usec || !num_parse(usec, 1, INT64_MAX, &us))
        return 0;
    if (pid && (!num_parse(pid, 1, INT64_MAX, &watched) || watched != getpid()))
        return 0; /* meant for somebody who started us */
    return us < 1000 ? 1 : us / 1000;
}
