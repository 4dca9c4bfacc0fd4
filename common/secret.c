/* secret: see secret.h. Memory comes from sodium_malloc: a guard page on each side,
 * locked where the limits allow, read-only once it is filled. */
#include "secret.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fd.h"
#include "mem.h"

#define ACL_ENTRIES_MAX 64

static char *locked_new(size_t size)
{
    char *p = sodium_init() < 0 ? NULL : sodium_malloc(size);

    if (!p) {
        (void)fputs("level=error event=out_of_memory\n", stderr);
        abort();
    }
    return p;
}

void secret_set(struct secret *s, const void *bytes, size_t len)
{
    struct secret old = *s;

    *s = (struct secret){0};
    if (len) {
        s->data = locked_new(len + 1);
        memcpy(s->data, bytes, len);
        s->data[len] = '\0';
        s->len = len;
        (void)sodium_mprotect_readonly(s->data); /* a second wall, not the first */
    }
    secret_done(&old);
}

void secret_done(struct secret *s)
{
    sodium_free(s->data); /* wipes; makes it writable itself */
    *s = (struct secret){0};
}

bool secret_equal(const struct secret *s, const void *bytes, size_t len)
{
    return s->len == len && (len == 0 || sodium_memcmp(s->data, bytes, len) == 0);
}

void secret_wipe(void *p, size_t len)
{
    if (p)
        sodium_memzero(p, len);
}

/* True if an ACL entry lets in nobody but this user and root. The entries for the
 * owner and the mask grant nothing by themselves; `other` is judged by the mode. */
static bool entry_is_private(const struct posix_acl_xattr_entry *entry)
{
    uid_t id = (uid_t)le32toh(entry->e_id);

    switch (le16toh(entry->e_tag)) {
    case ACL_USER:
        return id == geteuid() || id == 0;
    case ACL_GROUP:
    case ACL_GROUP_OBJ:
        return entry->e_perm == 0;
    default:
        return true;
    }
}

/* systemd hands credentials over as root's file with an ACL for the service's user;
 * the mode then shows the ACL's mask in the group bits although no group may read. */
static bool acl_is_private(int fd)
{
    struct {
        struct posix_acl_xattr_header header;
        struct posix_acl_xattr_entry entries[ACL_ENTRIES_MAX];
    } acl;
    ssize_t size = fgetxattr(fd, "system.posix_acl_access", &acl, sizeof acl);
    size_t count;

    if (size < (ssize_t)sizeof acl.header ||
        le32toh(acl.header.a_version) != POSIX_ACL_XATTR_VERSION)
        return false;
    count = ((size_t)size - sizeof acl.header) / sizeof acl.entries[0];
    for (size_t i = 0; i < count; i++)
        if (!entry_is_private(&acl.entries[i]))
            return false;
    return true;
}

static int check_private(int fd, const char *path, struct err *e)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return err_set(e, ERR_CONFIG, 0, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_CONFIG, 0, "%s: not a regular file", path);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return err_set(e, ERR_CONFIG, 0,
                       "%s: belongs to user %u, neither to this user (%u) nor to root; "
                       "mend: chown %u %s",
                       path, (unsigned)st.st_uid, (unsigned)geteuid(),
                       (unsigned)geteuid(), path);
    if ((st.st_mode & S_IRWXO) || ((st.st_mode & S_IRWXG) && !acl_is_private(fd)))
        return err_set(e, ERR_CONFIG, 0,
                       "%s: open to group or others (mode %04o), must be the owner's "
                       "alone; mend: chmod 600 %s",
                       path, (unsigned)(st.st_mode & 07777), path);
    return 0;
}

/* Reads until the end of the file, at most size bytes. Returns the count, or -1. */
static ssize_t read_all(int fd, char *out, size_t size)
{
    size_t len = 0;
    ssize_t n = 1;

    while (n != 0 && len < size) {
        n = read(fd, out + len, size - len);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n < 0)
            return -1;
        else
            len += (size_t)n;
    }
    return (ssize_t)len;
}

static size_t without_newline(const char *text, size_t len)
{
    if (len && text[len - 1] == '\n')
        len--;
    if (len && text[len] == '\n' && text[len - 1] == '\r')
        len--;
    return len;
}

static int read_private(struct secret *s, int fd, const char *path, size_t max,
                        bool strip, struct err *e)
{
    int result = -1;
    char *bytes = locked_new(max + 1); /* one more, to see that it is too long */
    ssize_t n = read_all(fd, bytes, max + 1);

    if (n < 0) {
        (void)err_set(e, ERR_CONFIG, 0, "%s: %s", path, strerror(errno));
    } else if ((size_t)n > max) {
        (void)err_set(e, ERR_CONFIG, 0, "%s: longer than %zu bytes", path, max);
    } else {
        secret_set(s, bytes, strip ? without_newline(bytes, (size_t)n) : (size_t)n);
        result = 0;
    }
    sodium_free(bytes);
    return result;
}

int secret_read_file(struct secret *s, const char *path, size_t max, bool strip,
                     struct err *e)
{
    int result = -1;
    /* O_NONBLOCK: a FIFO must be refused, not waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        return err_set(e, ERR_CONFIG, 0, "%s: %s", path, strerror(errno));
    if (check_private(fd, path, e) == 0)
        result = read_private(s, fd, path, max, strip, e);
    (void)close(fd); /* only read from */
    return result;
}

/* So that the name survives a power cut too. */
static int sync_folder(const char *path)
{
    char *copy = mem_strdup(path); /* dirname writes into its argument */
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd < 0 ? -1 : fsync(fd);

    if (fd >= 0)
        (void)close(fd);
    free(copy);
    return result;
}

static int write_new(const char *path, const void *bytes, size_t len, mode_t mode,
                     struct err *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    int saved = 0;

    if (fd < 0 && errno == EEXIST)
        return err_set(e, ERR_CONFIG, 0, "%s: is there already; not overwritten", path);
    if (fd < 0)
        return err_set(e, ERR_CONFIG, 0, "%s: %s", path, strerror(errno));
    if (fchmod(fd, mode) != 0 || fd_write_all(fd, bytes, len) != 0 || fsync(fd) != 0)
        saved = errno;
    if (close(fd) != 0 && !saved)
        saved = errno;
    if (!saved && sync_folder(path) != 0)
        saved = errno;
    if (saved) {
        (void)unlink(path);
        return err_set(e, ERR_CONFIG, 0, "%s: %s", path, strerror(saved));
    }
    return 0;
}

int secret_write_file(const char *path, const void *bytes, size_t len, struct err *e)
{
    return write_new(path, bytes, len, S_IRUSR | S_IWUSR, e);
}

int secret_write_public_file(const char *path, const void *bytes, size_t len,
                             struct err *e)
{
    return write_new(path, bytes, len, S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH, e);
}
