/* harden: see harden.h. */
#include "harden.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"

#define PROBE_SIZE 4096

/* Libraries read these behind our back. The first makes libcurl write the keys of each
 * TLS session to a file; the others change whom OpenSSL trusts, which STOPGAP_CA_FILE
 * alone decides. */
static const char *const dropped_names[] = {"SSLKEYLOGFILE", "SSL_CERT_FILE",
                                            "SSL_CERT_DIR"};

/* A standard descriptor that is closed would be the next file's or socket's, and what
 * is meant for the log would go there. */
static int fill_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    return fd < 0 ? -1 : close(fd);
}

/* Where a filter of system calls refuses it, nothing is to be changed, perhaps. */
static int forbid_core(void)
{
    const struct rlimit none = {0, 0};
    struct rlimit now;

    if (setrlimit(RLIMIT_CORE, &none) == 0)
        return 0;
    return getrlimit(RLIMIT_CORE, &now) || now.rlim_cur || now.rlim_max ? -1 : 0;
}

int harden_process(struct err *e)
{
    if (sodium_init() < 0)
        return err_set(e, ERR_BUG, 0, "libsodium does not start");
    if (fill_standard_descriptors())
        return err_set(e, ERR_CONFIG, 0, "/dev/null: %s", strerror(errno));
    (void)umask(S_IRWXG | S_IRWXO);
    for (size_t i = 0; i < ARRAY_LEN(dropped_names); i++)
        (void)unsetenv(dropped_names[i]);
    if (forbid_core() || prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL) ||
        prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL))
        return err_set(
            e, ERR_CONFIG, 0,
            "cannot switch off core dumps, tracing and new privileges, which "
            "would lay keys open: %s",
            strerror(errno));
    return 0;
}

/* sodium_malloc succeeds without locking when the limit is used up: ask directly. */
int harden_check_lock(struct err *e)
{
    int result = 0;
    void *probe = aligned_alloc(PROBE_SIZE, PROBE_SIZE);

    if (!probe || sodium_mlock(probe, PROBE_SIZE) != 0)
        result = err_set(e, ERR_CONFIG, 0,
                         "memory of keys and passwords cannot be locked and may be "
                         "swapped to disk (%s); raise RLIMIT_MEMLOCK",
                         strerror(errno));
    else
        (void)sodium_munlock(probe, PROBE_SIZE);
    free(probe);
    return result;
}

bool harden_is_root(void)
{
    return getuid() == 0 || geteuid() == 0;
}
