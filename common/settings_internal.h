/* settings_internal: what the settings_*.c files share, and nobody else includes: a row
 * of the table, the kinds of value, and the raw text of a value before it is parsed. */
#ifndef STOPGAP_SETTINGS_INTERNAL_H
#define STOPGAP_SETTINGS_INTERNAL_H

#include "settings.h"

#define SETTINGS_PREFIX "STOPGAP_"
#define SETTINGS_FILE_MAX 65536 /* a secret's file, and the env file */

enum setting_flag {
    SETTING_SECRET = 1,   /* never shown; NAME_FILE and credentials; wiped */
    SETTING_MASKED = 2,   /* may hold a secret: as above, but shown with it masked */
    SETTING_OFF = 8,      /* a listener that may be `off` */
    SETTING_HTTPS = 16,   /* http:// only to this host */
    SETTING_NO_PATH = 32, /* a URL that ends after the host */
    SETTING_SECRET_PATH = 64, /* of a secret's file: a credential of its name will do */
};

struct setting;

/* How values of one kind are read, shown and released. slot points at the field. */
struct setting_kind {
    const char *allowed; /* in a fault and in the help; NULL: from the row's limits */
    /* The slot is untouched on failure; the text of e follows the name and the value
     * in a fault, and never holds any of the value. */
    int (*parse)(const struct setting *row, const char *text, void *slot,
                 struct err *e);
    /* Appends nothing when the slot is empty. */
    void (*show)(const struct setting *row, const void *slot, struct buf *out);
    void (*done)(void *slot); /* NULL: holds no memory */
};

struct setting {
    const char *name;
    const struct setting_kind *kind;
    size_t at;            /* offset of the field in struct settings */
    const char *fallback; /* the default, as an operator would write it; NULL: none */
    int64_t min, max;     /* of a number or a duration; of a text: its length */
    const char *const *choices; /* NULL-terminated */
    unsigned programs;          /* enum program: who reads it */
    unsigned needed_by;         /* who does not start without it */
    unsigned flags;             /* enum setting_flag */
    const char *meaning;
};

extern const struct setting settings_table[];
extern const size_t settings_count;

/* Row of that name, or NULL. */
const struct setting *settings_find(const char *name);

extern const struct setting_kind settings_kind_text, settings_kind_path,
    settings_kind_int, settings_kind_duration, settings_kind_switch,
    settings_kind_choice, settings_kind_secret, settings_kind_redis, settings_kind_smtp,
    settings_kind_http, settings_kind_origin, settings_kind_secret_http,
    settings_kind_listen, settings_kind_mailbox, settings_kind_address,
    settings_kind_queue, settings_kind_host, settings_kind_project,
    settings_kind_networks;

/* "a whole number from 1 to 1024". */
void settings_allowed(const struct setting *row, struct buf *out);

/* True when text begins with the scheme; *rest is what follows "://". */
bool settings_has_scheme(const char *text, const char *scheme, const char **rest);

/* Pure parsers of what URLs and addresses hold. */
int settings_parse_redis_url(const char *text, struct redis_url *out,
                             struct err *e) MUST_CHECK;
int settings_parse_smtp_url(const char *text, struct smtp_url *out,
                            struct err *e) MUST_CHECK;
int settings_parse_listen(const char *text, bool off_allowed, struct listen_addr *out,
                          struct err *e) MUST_CHECK;

/* scheme://HOST[:PORT][/PATH] with scheme http or https; nothing else in it. */
int settings_check_http_url(const char *text, bool path_allowed,
                            struct err *e) MUST_CHECK;

/* Host of a URL that settings_check_http_url took; the caller frees it. */
char *settings_url_host(const char *url);

void settings_redis_url_done(struct redis_url *url);

/* HOST, HOST:PORT, [IPV6] or [IPV6]:PORT; port stays when none is given. The caller
 * frees *host. */
int settings_parse_host_port(const char *text, size_t len, int min_port, char **host,
                             int *port, struct err *e) MUST_CHECK;

bool settings_is_host(const char *text); /* host name or IPv4 address, or IPv6 */

/* The faults of one start. */
struct setting_faults {
    struct buf *out;
    size_t count;
};

void settings_fault(struct setting_faults *f, const char *name, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* What was given for a row, before parsing. */
struct setting_raw {
    char *value;
    size_t len;
    char *file; /* NAME_FILE */
    enum setting_origin origin;
    bool bad; /* a fault was reported: no cross check needs to look at it */
};

/* One raw value a row, from the environment and the env file. Secrets are gone from
 * the environment after it. Release with settings_raws_free. */
struct setting_raw *settings_gather(const char *env_file, struct setting_faults *f);

/* Puts the value of row i, that NAME_FILE or a credential holds, into raws[i]; its file
 * then names either. */
void settings_fetch_secret(struct setting_raw *raws, size_t i,
                           struct setting_faults *f);

/* The path of the credential of that name, if there is one, for a row that was not
 * given. */
void settings_find_credential(struct setting_raw *raws, size_t i);

void settings_raws_free(struct setting_raw *raws);

/* One variable, from the environment or the env file: finds its row. */
void settings_take(struct setting_raw *raws, const char *name, const char *value,
                   enum setting_origin origin, struct setting_faults *f);

/* Lines of KEY=value; on_line for each, in order. text is changed. */
typedef void (*settings_line_fn)(void *arg, const char *name, const char *value,
                                 unsigned line);
void settings_parse_env(char *text, settings_line_fn on_line, void *arg,
                        const char *file, struct setting_faults *f);

/* Rules between settings; s holds the values that the program will see. */
void settings_cross_check(const struct settings *s, const struct setting_raw *raws,
                          unsigned programs, struct setting_faults *f);

#endif
