/* The spool's files: their names, and their content as another program, or a disk, may
 * have left it. First byte: what the rest is. A file counts when it is, byte for byte,
 * what is written for its name, and in no other case.
 *
 * Links: webhook/spool_file */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz_input.h"
#include "spool_file.h"

#define ID "0123456789abcdefghjkmnpqrs"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];
static int folder;

static void clean_up(void)
{
    (void)rmdir(path);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_folder(path);
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    PROMISE(folder >= 0 && !atexit(clean_up));
    return 0;
}

static void check_name(const char *text)
{
    struct spool_name n = {.order = 77};
    char back[SPOOL_NAME_MAX];

    if (!spool_name_parse(text, &n)) {
        PROMISE(n.order == 77 && !*n.id);
        return;
    }
    spool_name_print(&n, back);
    PROMISE(!strcmp(text, back) || n.order == UINT64_MAX);
    PROMISE(job_id_valid(n.id) && !spool_name_is_unfinished(text));
}

static void name_of(const void *raw, size_t len, struct spool_name *out)
{
    *out = (struct spool_name){.order = UINT64_C(1769860805000000), .id = ID};
    spool_digest(raw, len, out->digest);
}

/* The file's bytes as they are; given. */
static char *slurp(const struct spool_name *n, size_t *len)
{
    char name[SPOOL_NAME_MAX], *bytes;
    struct stat st;
    int fd;

    spool_name_print(n, name);
    fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    PROMISE(fd >= 0 && !fstat(fd, &st));
    *len = (size_t)st.st_size;
    bytes = mem_new(*len + 1, 1);
    PROMISE(read(fd, bytes, *len) == (ssize_t)*len && !close(fd));
    return bytes;
}

static void put(const struct spool_name *n, const void *bytes, size_t len)
{
    char name[SPOOL_NAME_MAX];
    int fd;

    spool_name_print(n, name);
    fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    PROMISE(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && !close(fd));
}

static bool reads(const struct spool_name *n, const void *raw, size_t len)
{
    struct buf back;
    struct err e;
    bool good;

    buf_init(&back, SPOOL_RAW_MAX);
    err_clear(&e);
    good = spool_file_read(folder, n, &back, &e) == 0;
    PROMISE(good ? back.len == len && !memcmp(back.data, raw, len)
                 : e.class == ERR_INVALID && e.text[0] && !back.len);
    buf_done(&back);
    return good;
}

/* Written, read; and with one byte that is another, or is missing, refused. */
static void check_round(const char *raw, size_t len, size_t where)
{
    struct spool_name n;
    struct err e;
    char *file;
    size_t file_len;

    name_of(raw, len, &n);
    PROMISE(spool_file_write(folder, &n, raw, len, &e) == 0 && reads(&n, raw, len));
    file = slurp(&n, &file_len);
    file[where % file_len] ^= 0x20;
    put(&n, file, file_len);
    PROMISE(!reads(&n, raw, len));
    file[where % file_len] ^= 0x20;
    put(&n, file, where % file_len);
    PROMISE(!reads(&n, raw, len));
    put(&n, file, file_len);
    PROMISE(reads(&n, raw, len) && spool_file_probe(folder, &e) == 0);
    PROMISE(spool_file_remove(folder, &n, &e) == 0);
    PROMISE(spool_file_remove(folder, &n, &e) == 0); /* it is not there: fine */
    free(file);
}

static void drop_bad(const struct spool_name *n)
{
    char name[SPOOL_NAME_MAX], bad[SPOOL_NAME_MAX + 8];

    spool_name_print(n, name);
    (void)snprintf(bad, sizeof bad, "%s.bad", name);
    PROMISE(unlinkat(folder, bad, 0) == 0);
}

/* Any bytes under a name of ours; the digest is that of what follows their first line,
 * so that a right first line is all that is wanted. */
static void check_content(const char *bytes, size_t len)
{
    const char *line = memchr(bytes, '\n', len);
    const char *raw = line ? line + 1 : bytes;
    size_t raw_len = len - (size_t)(raw - bytes), wanted_len;
    struct spool_name n;
    struct err e;
    char *wanted;
    bool same;

    name_of(raw, raw_len, &n);
    PROMISE(spool_file_write(folder, &n, raw, raw_len, &e) == 0);
    wanted = slurp(&n, &wanted_len);
    same = len == wanted_len && !memcmp(bytes, wanted, len);
    put(&n, bytes, len);
    PROMISE(reads(&n, raw, raw_len) == same);
    PROMISE(spool_file_set_aside(folder, &n, &e) == 0);
    PROMISE(spool_file_set_aside(folder, &n, &e) == -1);
    (void)spool_file_remove(folder, &n, &e);
    free(wanted);
    drop_bad(&n);
}

/* A folder that is none, and a disk that is full after so many bytes: nothing is left,
 * and nobody is told that it was kept. */
static void check_trouble(const char *raw, size_t len, size_t room)
{
    struct rlimit before, full;
    struct spool_name n;
    struct buf back;
    struct err e;

    name_of(raw, len, &n);
    buf_init(&back, SPOOL_RAW_MAX);
    PROMISE(spool_file_write(-1, &n, raw, len, &e) == -1 && e.class == ERR_TRANSIENT);
    PROMISE(spool_file_read(-1, &n, &back, &e) == -1 && e.class == ERR_TRANSIENT);
    PROMISE(spool_file_read(folder, &n, &back, &e) == -1 && e.class == ERR_PERMANENT);
    PROMISE(spool_file_remove(-1, &n, &e) == -1 && spool_file_probe(-1, &e) == -1);
    (void)signal(SIGXFSZ, SIG_IGN); /* libFuzzer has set a handler of its own */
    PROMISE(!getrlimit(RLIMIT_FSIZE, &before));
    full = before;
    full.rlim_cur = room;
    PROMISE(!setrlimit(RLIMIT_FSIZE, &full));
    if (spool_file_write(folder, &n, raw, len, &e) == 0) {
        PROMISE(reads(&n, raw, len) && room > len);
        PROMISE(spool_file_remove(folder, &n, &e) == 0);
    }
    PROMISE((spool_file_probe(folder, &e) == 0) == (room >= 16384));
    PROMISE(!setrlimit(RLIMIT_FSIZE, &before));
    PROMISE(spool_file_read(folder, &n, &back, &e) == -1 && e.class == ERR_PERMANENT);
    buf_done(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data + 2;
    char *text;

    if (size < 2)
        return 0;
    size -= 2;
    switch (data[0] % 4) {
    case 0:
        text = mem_dup(bytes, size);
        check_name(text);
        free(text);
        break;
    case 1:
        check_round(bytes, size, data[1]);
        break;
    case 2:
        check_content(bytes, size);
        break;
    default:
        check_trouble(bytes, size, data[1]);
    }
    return 0;
}
