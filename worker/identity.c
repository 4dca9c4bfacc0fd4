/* identity: see identity.h. Reads /proc, at start-up and after a reconnect only. */
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "job.h"
#include "num.h"
#include "request.h"

/* A small file's first bytes; "" if it cannot be read. */
static void read_small(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, size - 1) : -1;

    out[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        (void)close(fd); /* read only */
}

/* Clock ticks since boot when the process started: field 22 of /proc/PID/stat, counted
 * after the name, which may hold blanks and brackets. */
static bool start_ticks(long pid, char out[static 24])
{
    char path[64], stat[1024];
    char *p;

    (void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    read_small(path, stat, sizeof stat);
    p = strrchr(stat, ')');
    for (int field = 2; p && field < 22; field++)
        p = strchr(p + 1, ' ');
    return p && sscanf(p, " %23[0-9]", out) == 1;
}

static void boot_digest(char out[static 9])
{
    char text[512], ns[128];
    char digest[REQUEST_DIGEST_LEN + 1];
    ssize_t n = readlink("/proc/self/ns/pid", ns, sizeof ns - 1);

    ns[n > 0 ? n : 0] = '\0';
    read_small("/proc/sys/kernel/random/boot_id", text, 64);
    (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s", ns);
    request_text_key(text, digest);
    memcpy(out, digest, 8);
    out[8] = '\0';
}

void identity_make(char *wid, size_t wid_size, char *host, size_t host_size)
{
    char boot[9], start[24], nonce[JOB_ID_LEN + 1], name[64];

    if (gethostname(name, sizeof name))
        (void)snprintf(name, sizeof name, "localhost");
    name[sizeof name - 1] = '\0';
    for (char *p = name; *p; p++)
        if (*p == ':' || *p == ' ')
            *p = '-';
    if (!start_ticks(getpid(), start))
        (void)snprintf(start, sizeof start, "0");
    boot_digest(boot);
    job_id_make(nonce);
    (void)snprintf(host, host_size, "%s", name);
    (void)snprintf(wid, wid_size, "%s:%s:%ld:%s:%.12s", name, boot, (long)getpid(),
                   start, nonce);
}

/* What of a wid is compared; false if it has not the form that identity_make gives. */
struct parts {
    char place[96]; /* HOST:BOOT */
    int64_t pid;
    char start[24];
};

static bool split(const char *wid, struct parts *out)
{
    char host[80], boot[9], pid[12], nonce[16];
    int end = 0;

    if (sscanf(wid, "%79[^:]:%8[0-9a-f]:%11[0-9]:%23[0-9]:%15[0-9a-z]%n", host, boot,
               pid, out->start, nonce, &end) != 5 ||
        wid[end] || strlen(boot) != 8)
        return false;
    (void)snprintf(out->place, sizeof out->place, "%s:%s", host, boot); /* fits */
    return num_parse(pid, 1, INT32_MAX, &out->pid);
}

bool identity_is_dead_neighbour(const char *own_wid, const char *wid)
{
    struct parts own, other;
    char now[24];

    if (!split(own_wid, &own) || !split(wid, &other) ||
        strcmp(own.place, other.place) != 0)
        return false;
    if (kill((pid_t)other.pid, 0) && errno == ESRCH)
        return true;
    /* The pid lives: the same process only if it started at the same tick. */
    return strcmp(other.start, "0") != 0 && start_ticks((long)other.pid, now) &&
           strcmp(other.start, now) != 0;
}
