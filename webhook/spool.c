/* spool: see spool.h. The list of what is on the disk, in order, and the work that the
 * thread pool does for it. */
#include "spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

/* Writes under way at a time: what a slow disk may hold of memory. */
#define WRITES_MAX 512

enum kind { PUT, READ, DROP };

/* One task of the pool. Only work() runs there, and touches nothing but its own. */
struct errand {
    struct errand *next;
    uv_work_t work;
    struct spool *spool;
    enum kind kind;
    bool known; /* the outcome is there already; only the way back is wanted */
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
    struct spool_name *names; /* by order; names[first] is the oldest */
    size_t first, end, room;
    struct spool_name reading;
    size_t writes;
    bool writable;
    bool closed;
    struct errand *errands; /* under way; the last of them frees a closed spool */
};

/* ---- the list ---- */

static void list_add(struct spool *s, const struct spool_name *n)
{
    size_t at;

    if (s->end == s->room && s->first > s->end / 2) {
        memmove(s->names, s->names + s->first, (s->end - s->first) * sizeof *s->names);
        s->end -= s->first;
        s->first = 0;
    }
    if (s->end == s->room) {
        s->room = s->room ? s->room * 2 : 64;
        s->names = mem_grow(s->names, s->room * sizeof *s->names);
    }
    for (at = s->end++; at > s->first && s->names[at - 1].order > n->order; at--)
        s->names[at] = s->names[at - 1];
    s->names[at] = *n;
}

/* Mostly the first. */
static void list_remove(struct spool *s, const struct spool_name *n)
{
    size_t at = s->first;

    while (at < s->end && s->names[at].order != n->order)
        at++;
    if (at == s->end)
        return;
    memmove(s->names + s->first + 1, s->names + s->first,
            (at - s->first) * sizeof *s->names);
    s->first++;
}

static bool list_has(const struct spool *s, const char *id, const char *digest)
{
    for (size_t i = s->first; i < s->end; i++)
        if (!strcmp(s->names[i].id, id) &&
            (!digest || !strcmp(s->names[i].digest, digest)))
            return true;
    return false;
}

static int by_order(const void *a, const void *b)
{
    const struct spool_name *x = a, *y = b;

    return x->order < y->order ? -1 : x->order > y->order;
}

size_t spool_count(const struct spool *s)
{
    return s->end - s->first;
}

bool spool_has(const struct spool *s, const char *id)
{
    return list_has(s, id, NULL);
}

bool spool_writable(const struct spool *s)
{
    return s->writable && spool_count(s) + s->writes < s->max;
}

/* ---- opening ---- */

static int open_folder(struct spool *s, const char *path, struct err *e)
{
    struct stat st;

    if (mkdir(path, S_IRWXU) && errno != EEXIST)
        return err_set(e, ERR_CONFIG, 0, "spool folder %s: %s", path, strerror(errno));
    s->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->folder < 0 || fstat(s->folder, &st))
        return err_set(e, ERR_CONFIG, 0, "spool folder %s: %s", path, strerror(errno));
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
        list_add(s, &n);
    } else if (file[0] != '.' && strcmp(file, "lock") != 0) {
        log_msg(LOG_WARN, "spool", "%s is not a request that waits: left alone", file);
    }
}

static int list_folder(struct spool *s, const char *path, struct err *e)
{
    int fd = openat(s->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!dir) {
        (void)err_set(e, ERR_CONFIG, 0, "spool folder %s: %s", path, strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    while ((entry = readdir(dir)))
        list_entry(s, entry->d_name);
    (void)closedir(dir); /* only read from */
    if (spool_count(s)) {
        qsort(s->names + s->first, spool_count(s), sizeof *s->names, by_order);
        s->last_order = s->names[s->end - 1].order;
    }
    return 0;
}

static void release(struct spool *s)
{
    if (s->folder >= 0)
        (void)close(s->folder);
    if (s->lock >= 0)
        (void)close(s->lock);
    free(s->names);
    free(s);
}

struct spool *spool_open(uv_loop_t *loop, const char *folder, size_t max, struct err *e)
{
    struct spool *s = mem_new(1, sizeof *s);

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
        return spool_file_read(x->folder, &x->name, &x->raw, &x->err);
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
        x->read_fn(x->arg, x->name.id, x->raw.data, x->raw.len, e);
    else
        x->fn(x->arg, e);
}

/* What the disk now holds, before anybody is told. */
static void take_note(struct spool *s, const struct errand *x)
{
    enum err_class class = x->err.class;

    if (x->kind == PUT && !x->known) {
        s->writes--;
        s->writable = class == ERR_NONE;
        if (class == ERR_NONE)
            list_add(s, &x->name);
    } else if (x->kind == DROP && class == ERR_NONE) {
        list_remove(s, &x->name);
    } else if (x->kind == READ && (class == ERR_INVALID || class == ERR_PERMANENT)) {
        list_remove(s, &x->name);
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

void spool_put(struct spool *s, const char *id, const void *raw, size_t len,
               spool_fn fn, void *arg)
{
    struct errand *x = errand_new(s, PUT, arg);

    x->fn = fn;
    memcpy(x->name.id, id, sizeof x->name.id);
    spool_digest(raw, len, x->name.digest);
    if (list_has(s, id, x->name.digest)) {
        x->known = true;
    } else if (spool_count(s) + s->writes >= s->max || s->writes >= WRITES_MAX) {
        x->known = true;
        (void)err_set(&x->err, ERR_LIMIT, 0, "spool: full, %zu requests wait",
                      spool_count(s) + s->writes);
    } else {
        s->writes++;
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
    x->name = s->reading = s->names[s->first];
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
