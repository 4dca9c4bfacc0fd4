/* crash: see common/crash.h. CRASH_AT=NAME:N ends the program at the N-th passing of
 * that point, as kill -9 would: nothing is written, closed or freed. With CRASH_BY=stop
 * it stops there (SIGSTOP) and goes on when it is let. CRASH_LOG=FILE gets a line for
 * each passing. */
#include "crash.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_LEN 96
#define STATUS 137 /* as of a process that was killed with signal 9 */

static const void *doomed; /* the way that ends the program when it is empty */

static void name_of(char *out, const char *place, const char *what)
{
    (void)snprintf(out, NAME_MAX_LEN, "%s%s%s", place, what ? "." : "",
                   what ? what : "");
}

static bool stops_only(void)
{
    const char *by = getenv("CRASH_BY");

    return by && strcmp(by, "stop") == 0;
}

static void end(void)
{
    doomed = NULL;
    if (!stops_only())
        _exit(STATUS);
    (void)raise(SIGSTOP);
}

/* In one write, so that the lines of several programs do not mix. */
static void note(const char *name)
{
    const char *path = getenv("CRASH_LOG");
    char line[NAME_MAX_LEN + 1];
    int fd, n;

    if (!path)
        return;
    n = snprintf(line, sizeof line, "%s\n", name);
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, (size_t)n) != n)
        _exit(1);
    (void)close(fd);
}

/* True: this passing is the one to end at. */
static bool passes(const char *place, const char *what)
{
    static _Atomic unsigned long seen; /* the spool works in threads */
    const char *at = getenv("CRASH_AT");
    const char *colon = at ? strrchr(at, ':') : NULL;
    char name[NAME_MAX_LEN];

    name_of(name, place, what);
    note(name);
    if (!colon || strlen(name) != (size_t)(colon - at) ||
        strncmp(name, at, (size_t)(colon - at)) != 0)
        return false;
    return ++seen == strtoul(colon + 1, NULL, 10);
}

void crash_point(const char *place, const char *what)
{
    if (passes(place, what))
        end();
}

void crash_sent(const void *way, const char *place, const char *what)
{
    if (passes(place, what))
        doomed = way;
}

size_t crash_part(const void *way, const char *place, size_t len)
{
    if (!passes(place, NULL))
        return len;
    doomed = way;
    return stops_only() ? len : len / 2; /* the rest could not follow */
}

void crash_way(const void *from, const void *to)
{
    if (doomed && doomed == from)
        doomed = to;
}

void crash_left(const void *way)
{
    if (doomed && doomed == way)
        end();
}
