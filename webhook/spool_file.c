/* spool_file: see spool_file.h. */
#include "spool_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash.h"
#include "fd.h"

#define MAGIC "stopgap-spool 1"
#define UNFINISHED "new-"
#define ORDER_LEN 20
/* ORDER-ID-DIGEST, names sort by age. */
#define NAME_LEN (ORDER_LEN + 1 + JOB_ID_LEN + 1 + SPOOL_DIGEST_LEN)
#define HEAD_MAX 160
#define SPOOL_PROBE_LEN 16384 /* as much as a request has */

void spool_digest(const void *raw, size_t len, char out[static SPOOL_DIGEST_LEN + 1])
{
    unsigned char digest[SPOOL_DIGEST_LEN / 2];

    (void)crypto_generichash(digest, sizeof digest, raw, len, NULL, 0);
    (void)sodium_bin2hex(out, SPOOL_DIGEST_LEN + 1, digest, sizeof digest);
}

void spool_name_print(const struct spool_name *n, char out[static SPOOL_NAME_MAX])
{
    (void)snprintf(out, SPOOL_NAME_MAX, "%0*" PRIu64 "-%s-%s", ORDER_LEN, n->order,
                   n->id, n->digest);
}

bool spool_name_is_unfinished(const char *text)
{
    return strncmp(text, UNFINISHED, sizeof UNFINISHED - 1) == 0;
}

bool spool_name_parse(const char *text, struct spool_name *out)
{
    struct spool_name n;

    if (strlen(text) != NAME_LEN || text[ORDER_LEN] != '-' ||
        text[ORDER_LEN + 1 + JOB_ID_LEN] != '-' ||
        strspn(text, "0123456789") != ORDER_LEN)
        return false;
    n.order =
        strtoull(text, NULL, 10); /* one that does not fit names no file of ours */
    memcpy(n.id, text + ORDER_LEN + 1, JOB_ID_LEN);
    n.id[JOB_ID_LEN] = '\0';
    memcpy(n.digest, text + ORDER_LEN + 1 + JOB_ID_LEN + 1, SPOOL_DIGEST_LEN + 1);
    if (!job_id_valid(n.id) || strspn(n.digest, "0123456789abcdef") != SPOOL_DIGEST_LEN)
        return false;
    *out = n;
    return true;
}

static int head_print(const struct spool_name *n, size_t len, char out[static HEAD_MAX])
{
    return snprintf(out, HEAD_MAX, MAGIC " %s %zu %s\n", n->id, len, n->digest);
}

/* ---- writing ---- */

static int fill(int fd, const struct spool_name *n, const void *raw, size_t len)
{
    char head[HEAD_MAX];
    size_t head_len = (size_t)head_print(n, len, head);
    int saved = 0;

    CRASH_POINT("spool.made");
    if (fd_write_all(fd, head, head_len))
        saved = errno;
    CRASH_POINT("spool.half");
    if (!saved && fd_write_all(fd, raw, len))
        saved = errno;
    CRASH_POINT("spool.written");
    if (!saved && fsync(fd))
        saved = errno;
    CRASH_POINT("spool.synced");
    if (close(fd) && !saved)
        saved = errno;
    errno = saved;
    return saved ? -1 : 0;
}

/* Under its own name, which counts once the folder is on the disk, too. */
static int publish(int folder, const char *unfinished, const char *name)
{
    int rc = renameat(folder, unfinished, folder, name);

    CRASH_POINT("spool.renamed");
    if (!rc)
        rc = fsync(folder);
    CRASH_POINT("spool.kept");
    return rc;
}

int spool_file_write(int folder, const struct spool_name *n, const void *raw,
                     size_t len, struct err *e)
{
    char name[SPOOL_NAME_MAX], unfinished[SPOOL_NAME_MAX + sizeof UNFINISHED];
    int fd, saved;

    spool_name_print(n, name);
    (void)snprintf(unfinished, sizeof unfinished, UNFINISHED "%s", name);
    fd =
        openat(folder, unfinished, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
               S_IRUSR | S_IWUSR);
    if (fd >= 0 && !fill(fd, n, raw, len) && !publish(folder, unfinished, name))
        return 0;
    saved = errno;
    (void)unlinkat(folder, unfinished, 0); /* whatever of it is there: the next start */
    (void)unlinkat(folder, name, 0);       /* removes the rest */
    return err_set(e, ERR_TRANSIENT, saved, "spool: %s: %s", name, strerror(saved));
}

int spool_file_probe(int folder, struct err *e)
{
    static const char name[] = UNFINISHED "probe", bytes[SPOOL_PROBE_LEN];
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                    S_IRUSR | S_IWUSR);
    int rc = fd < 0 || fd_write_all(fd, bytes, sizeof bytes) || fsync(fd) ? -1 : 0;

    if (rc)
        (void)err_set(e, ERR_TRANSIENT, errno, "spool: %s", strerror(errno));
    if (fd >= 0) {
        (void)close(fd);
        (void)unlinkat(folder, name, 0);
    }
    return rc;
}

/* ---- reading ---- */

static int read_all(int fd, struct buf *out)
{
    char part[16384];
    ssize_t n;

    while ((n = read(fd, part, sizeof part)) != 0) {
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0)
            buf_add(out, part, (size_t)n);
    }
    return 0;
}

/* The whole file must be what spool_file_write made of its name. */
static int check(const struct spool_name *n, const struct buf *file, size_t *head_len,
                 struct err *e)
{
    const char *end = memchr(file->data, '\n', file->len);
    char head[HEAD_MAX], digest[SPOOL_DIGEST_LEN + 1];
    size_t raw_len;

    if (file->failed || !end)
        return err_set(e, ERR_INVALID, 0, "not a whole request");
    *head_len = (size_t)(end + 1 - file->data);
    raw_len = file->len - *head_len;
    if ((size_t)head_print(n, raw_len, head) != *head_len ||
        memcmp(head, file->data, *head_len) != 0)
        return err_set(e, ERR_INVALID, 0, "its first line is not its own");
    spool_digest(end + 1, raw_len, digest);
    if (strcmp(digest, n->digest) != 0)
        return err_set(e, ERR_INVALID, 0, "its bytes are not those of its digest");
    return 0;
}

int spool_file_read(int folder, const struct spool_name *n, struct buf *raw,
                    struct err *e)
{
    char name[SPOOL_NAME_MAX];
    struct buf file;
    size_t head_len = 0;
    int rc = -1, fd;

    spool_name_print(n, name);
    fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return err_set(e, errno == ENOENT ? ERR_PERMANENT : ERR_TRANSIENT, errno,
                       "spool: %s: %s", name, strerror(errno));
    buf_init(&file, SPOOL_RAW_MAX + HEAD_MAX);
    if (read_all(fd, &file)) {
        (void)err_set(e, ERR_TRANSIENT, errno, "%s", strerror(errno));
    } else if (!check(n, &file, &head_len, e)) {
        buf_add(raw, file.data + head_len, file.len - head_len);
        rc = 0;
    }
    if (rc)
        (void)err_wrap(e, "spool: %s", name);
    (void)close(fd); /* only read from */
    buf_done(&file);
    return rc;
}

/* ---- the rest ---- */

int spool_file_remove(int folder, const struct spool_name *n, struct err *e)
{
    char name[SPOOL_NAME_MAX];
    int rc;

    spool_name_print(n, name);
    CRASH_POINT("spool.removing");
    rc = unlinkat(folder, name, 0);
    CRASH_POINT("spool.removed");
    if (!rc || errno == ENOENT)
        return 0;
    return err_set(e, ERR_TRANSIENT, errno, "spool: %s: %s", name, strerror(errno));
}

int spool_file_set_aside(int folder, const struct spool_name *n, struct err *e)
{
    char name[SPOOL_NAME_MAX], bad[SPOOL_NAME_MAX + sizeof ".bad"];

    spool_name_print(n, name);
    (void)snprintf(bad, sizeof bad, "%s.bad", name);
    if (!renameat(folder, name, folder, bad))
        return 0;
    return err_set(e, ERR_TRANSIENT, errno, "spool: %s: %s", name, strerror(errno));
}
