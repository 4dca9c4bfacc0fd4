/* spool: see spool.h. The folder, and the work that the thread pool does in it;
 * spool_list.c has the order. */
#include "spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "log.h"
#include "mem.h"
#include "spool_file.h"
#include "spool_list.h"

/* Writes under way at a time: what a slow disk may hold of memory. More than there are
 * clients, so that a burst is not taken for a full spool. */
#define WRITES_MAX 8192
#define WRITE_BYTES_MAX ((size_t)64 * 1024 * 1024)

enum kind { PUT, READ, DROP, PROBE };

/* One task of the pool. Only work() runs there, and touches nothing but its own. */
struct errand {
    struct errand *next;
    uv_work_t work;
    struct spool *spool;
    enum kind kind;
    bool known; /* the outcome is there already; only the way back is wanted */
    bool sent;  /* of a READ: Redis has it, its file is to go */
    int folder;
    struct spool_name name;
    struct buf raw;
    struct err err;
    spool_fn fn;
    spool_read_fn read_fn;
    void *arg;
};

struct spool {
    uv_loop_t *loop;
    size_t max;
    int folder; /* open for its life, so that a new folder of that name is not ours */
    int lock;
    uint64_t last_order;
    struct spool_list list;
    struct spool_name reading;
    size_t writes, write_bytes; /* under way */
    bool writable;
    bool probing;
    bool closed;
    struct errand *errands; /* under way; the last of them frees a closed spool */
};

/* ---- what waits ---- */

size_t spool_count(const struct spool *s)
{
    return spool_list_count(&s->list);
}

bool spool_has(const struct spool *s, const char *id)
{
    return spool_list_has(&s->list, id, NULL);
}

bool spool_writable(const struct spool *s)
{
    return s->writable && spool_count(s) + s->writes < s->max;
}

/* ---- opening ---- */

static int unusable(const char *path, struct err *e)
{
    return err_set(e, ERR_CONFIG, 0, "spool folder %s: %s", path, strerror(errno));
}

/* A folder that is not in its parent after a power cut takes its files along. */
static int make_folder(const char *path)
{
    int folder, parent, rc;

    if (mkdir(path, S_IRWXU))
        return errno == EEXIST ? 0 : -1;
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    parent = openat(folder, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rc = parent < 0 ? -1 : fsync(parent);
    if (parent >= 0)
        (void)close(parent);
    if (folder >= 0)
        (void)close(folder);
    return rc;
}

static int open_folder(struct spool *s, const char *path, struct err *e)
{
    struct stat st;

    if (make_folder(path))
        return errno == ENOENT
                   ? err_set(e, ERR_CONFIG, 0,
                             "spool folder %s: the folder that it should be in is not "
                             "there; make that, or set STOPGAP_SPOOL_DIR",
                             path)
                   : unusable(path, e);
    s->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->folder < 0 || fstat(s->folder, &st))
        return unusable(path, e);
    if (st.st_uid != geteuid() || (st.st_mode & (S_IRWXG | S_IRWXO)))
        return err_set(
            e, ERR_CONFIG, 0,
            "spool folder %s: must belong to this user alone; mend: chown %u "
            "and chmod 700 %s",
            path, (unsigned)geteuid(), path);
    return 0;
}

static int take_lock(struct spool *s, const char *path, struct err *e)
{
    s->lock = openat(s->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                     S_IRUSR | S_IWUSR);
    if (s->lock >= 0 && !flock(s->lock, LOCK_EX | LOCK_NB))
        return 0;
    if (s->lock >= 0 && errno == EWOULDBLOCK)
        return err_set(e, ERR_CONFIG, 0,
                       "spool folder %s: another stopgap-webhook uses it; each needs "
                       "its own",
                       path);
    return err_set(e, ERR_CONFIG, 0, "spool folder %s: cannot write: %s", path,
                   strerror(errno));
}

static void list_entry(struct spool *s, const char *file)
{
    struct spool_name n;

    if (spool_name_is_unfinished(file)) {
        (void)unlinkat(s->folder, file, 0); /* if not now, at the next start */
    } else if (spool_name_parse(file, &n)) {
        spool_list_append(&s->list, &n, false);
    } else if (file[0] != '.' && strcmp(file, "lock") != 0) {
        log_msg(LOG_WARN, "spool", "%s is not a request that waits: left alone", file);
    }
}

static int list_folder(struct spool *s, const char *path, struct err *e)
{
    int fd = openat(s->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int cut;

    if (!dir) {
        (void)unusable(path, e);
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    while ((errno = 0, entry = readdir(dir)))
        list_entry(s, entry->d_name);
    cut = errno;         /* what was not listed would wait for the next start */
    (void)closedir(dir); /* only read from */
    errno = cut;
    if (cut)
        return unusable(path, e);
    spool_list_sort(&s->list);
    if (spool_count(s))
        s->last_order = s->list.entries[s->list.end - 1].name.order;
    /* A killed process may not have got so far, and what is here will be called known.
     */
    return spool_count(s) && fsync(s->folder) ? unusable(path, e) : 0;
}

static void release(struct spool *s)
{
    if (s->folder >= 0)
        (void)close(s->folder);
    if (s->lock >= 0)
        (void)close(s->lock);
    spool_list_done(&s->list);
    free(s);
}

struct spool *spool_open(uv_loop_t *loop, const char *folder, size_t max, struct err *e)
{
    struct spool *s = mem_new(1, sizeof *s);

    (void)signal(SIGXFSZ, SIG_IGN); /* a limit on files is one more full disk */
    s->loop = loop;
    s->max = max;
    s->folder = s->lock = -1;
    s->writable = true;
    if (!open_folder(s, folder, e) && !take_lock(s, folder, e) &&
        !list_folder(s, folder, e))
        return s;
    release(s);
    return NULL;
}

/* ---- the pool's work ---- */

static int carry_out(struct errand *x)
{
    switch (x->kind) {
    case PUT:
        return spool_file_write(x->folder, &x->name, x->raw.data, x->raw.len, &x->err);
    case READ:
        if (!x->sent)
            return spool_file_read(x->folder, &x->name, &x->raw, &x->err);
        return spool_file_remove(x->folder, &x->name, &x->err);
    case PROBE:
        return spool_file_probe(x->folder, &x->err);
    default:
        return spool_file_remove(x->folder, &x->name, &x->err);
    }
}

static void work(uv_work_t *w)
{
    struct errand *x = w->data;
    struct err aside;

    if (!x->known && carry_out(x) && x->err.class == ERR_INVALID &&
        spool_file_set_aside(x->folder, &x->name, &aside))
        (void)err_wrap(&x->err, "cannot be set aside (%s)", aside.text);
}

static void unlink_errand(struct errand *x)
{
    struct errand **at = &x->spool->errands;

    while (*at != x)
        at = &(*at)->next;
    *at = x->next;
}

static void tell(struct errand *x, const struct err *e)
{
    if (x->kind == READ)
        x->read_fn(x->arg, x->name.id, x->sent ? NULL : x->raw.data, x->raw.len, e);
    else if (x->fn)
        x->fn(x->arg, e);
}

static void note_put(struct spool *s, const struct errand *x)
{
    if (x->known)
        return;
    s->writes--;
    s->write_bytes -= x->raw.len;
    s->writable = x->err.class == ERR_NONE;
    if (s->writable)
        spool_list_add(&s->list, &x->name);
}

/* What the disk now holds, before anybody is told. */
static void take_note(struct spool *s, const struct errand *x)
{
    bool refused = x->err.class == ERR_TRANSIENT;

    switch (x->kind) {
    case PUT:
        note_put(s, x);
        return;
    case PROBE:
        s->probing = false;
        s->writable = !refused;
        return;
    default:
        if (refused)
            spool_list_defer(&s->list, &x->name, x->sent || x->kind == DROP);
        else if (x->kind == DROP || x->sent || x->err.class != ERR_NONE)
            spool_list_remove(&s->list, &x->name);
    }
}

static void after(uv_work_t *w, int status)
{
    struct errand *x = w->data;
    struct spool *s = x->spool;

    (void)status; /* cancelled only by spool_free, which has told */
    unlink_errand(x);
    if (!s->closed) {
        take_note(s, x);
        tell(x, &x->err);
    }
    buf_done(&x->raw);
    free(x);
    if (s->closed && !s->errands)
        release(s);
}

static struct errand *errand_new(struct spool *s, enum kind kind, void *arg)
{
    struct errand *x = mem_new(1, sizeof *x);

    x->spool = s;
    x->kind = kind;
    x->folder = s->folder;
    x->arg = arg;
    x->work.data = x;
    x->next = s->errands;
    s->errands = x;
    return x;
}

static void errand_start(struct errand *x)
{
    (void)uv_queue_work(x->spool->loop, &x->work, work, after); /* fails on NULL only */
}

/* ---- calls ---- */

static uint64_t next_order(struct spool *s)
{
    struct timespec now;
    uint64_t order;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    order = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    s->last_order = order > s->last_order ? order : s->last_order + 1;
    return s->last_order;
}

static bool find_no_room(const struct spool *s, size_t len, struct err *e)
{
    if (spool_count(s) + s->writes >= s->max)
        (void)err_set(e, ERR_LIMIT, 0, "spool: full, %zu requests wait",
                      spool_count(s) + s->writes);
    else if (s->writes >= WRITES_MAX || len > WRITE_BYTES_MAX - s->write_bytes)
        (void)err_set(e, ERR_LIMIT, 0, "spool: %zu writes are under way", s->writes);
    else if (len > SPOOL_RAW_MAX)
        (void)err_set(e, ERR_LIMIT, 0, "spool: a request of %zu bytes", len);
    else
        return false;
    return true;
}

void spool_put(struct spool *s, const char *id, const void *raw, size_t len,
               spool_fn fn, void *arg)
{
    struct errand *x = errand_new(s, PUT, arg);

    x->fn = fn;
    memcpy(x->name.id, id, sizeof x->name.id);
    spool_digest(raw, len, x->name.digest);
    if (spool_list_has(&s->list, id, x->name.digest) || find_no_room(s, len, &x->err)) {
        x->known = true;
    } else {
        s->writes++;
        s->write_bytes += len;
        x->name.order = next_order(s);
        buf_init(&x->raw, SPOOL_RAW_MAX);
        buf_add(&x->raw, raw, len);
    }
    errand_start(x);
}

void spool_read(struct spool *s, spool_read_fn fn, void *arg)
{
    struct errand *x = errand_new(s, READ, arg);

    x->read_fn = fn;
    x->name = s->reading = s->list.entries[s->list.first].name;
    x->sent = s->list.entries[s->list.first].sent;
    buf_init(&x->raw, SPOOL_RAW_MAX);
    errand_start(x);
}

void spool_drop(struct spool *s, spool_fn fn, void *arg)
{
    struct errand *x = errand_new(s, DROP, arg);

    x->fn = fn;
    x->name = s->reading;
    errand_start(x);
}

void spool_probe(struct spool *s)
{
    if (s->writable || s->probing || s->writes)
        return;
    s->probing = true;
    errand_start(errand_new(s, PROBE, NULL));
}

void spool_free(struct spool *s)
{
    const struct err cancelled = {.class = ERR_CANCELLED,
                                  .text = "the spool is closed"};

    if (!s)
        return;
    s->closed = true;
    for (struct errand *x = s->errands; x; x = x->next) {
        (void)uv_cancel((uv_req_t *)&x->work); /* one that runs ends by itself */
        tell(x, &cancelled);
    }
    if (!s->errands)
        release(s);
}
