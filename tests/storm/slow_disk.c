/* slow_disk: for LD_PRELOAD. A disk that takes SLOW_MS for each fsync. */
#include <stdlib.h>
#include <unistd.h>

static int take_time(void)
{
    const char *ms = getenv("SLOW_MS");

    return ms ? usleep((useconds_t)atoi(ms) * 1000) : 0;
}

int fsync(int fd)
{
    (void)fd;
    return take_time();
}

int fdatasync(int fd)
{
    (void)fd;
    return take_time();
}
