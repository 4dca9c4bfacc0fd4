/* settings: see settings.h. From raw text to checked values: each row by its kind, then
 * what is derived from other settings, then the rules between them. */
#include "settings.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "mem.h"
#include "settings_internal.h"
#include "utf8.h"

_Static_assert(sizeof(enum smtp_tls) == sizeof(int), "a choice is stored as an int");

#define ALLOWED_MAX 512
#define SHOWN_MAX 60

struct load {
    struct settings *s;
    struct setting_raw *raws;
    unsigned programs;
    struct setting_faults faults;
};

static void *slot_of(struct settings *s, const struct setting *row)
{
    return (char *)s + row->at;
}

/* May a fault quote the value? Not when it is, or looks as if it held, a secret. */
static bool is_quotable(const struct setting *row, const char *value)
{
    return !(row->flags & (SETTING_SECRET | SETTING_MASKED)) &&
           !(strstr(value, "://") && strchr(value, '@'));
}

static void report_bad(struct load *l, const struct setting *row, const char *value,
                       const char *why)
{
    struct buf allowed;
    const char *cut = strlen(value) > SHOWN_MAX ? "..." : "";

    buf_init(&allowed, ALLOWED_MAX);
    settings_allowed(row, &allowed);
    if (is_quotable(row, value))
        settings_fault(&l->faults, row->name, "\"%.*s%s\": %s; allowed: %s", SHOWN_MAX,
                       value, cut, why, allowed.data);
    else
        settings_fault(&l->faults, row->name, "%s; allowed: %s", why, allowed.data);
    buf_done(&allowed);
}

/* What holds for a value of any kind. A password may be in any encoding. */
static const char *check_text(const struct setting *row, const char *value)
{
    const char *p = value, *end = value + strlen(value);

    for (; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7F)
            return "a control character";
    if (row->flags & SETTING_SECRET)
        return NULL;
    for (p = value; p < end;) {
        int32_t c = utf8_next(&p, end);

        if (c < 0 || !utf8_printable(c))
            return "not printable UTF-8";
    }
    return NULL;
}

static int parse_row(struct load *l, const struct setting *row, const char *value,
                     struct settings *into)
{
    const char *why = check_text(row, value);
    struct err e;

    if (!why && row->kind->parse(row, value, slot_of(into, row), &e) != 0)
        why = e.text;
    if (why)
        report_bad(l, row, value, why);
    return why ? -1 : 0;
}

static void set_defaults(struct load *l)
{
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *row = &settings_table[i];

        if (row->fallback && parse_row(l, row, row->fallback, l->s) != 0)
            abort(); /* the table is wrong; its test says where */
    }
}

static void report_missing(struct load *l, const struct setting *row)
{
    struct buf allowed;

    buf_init(&allowed, ALLOWED_MAX);
    settings_allowed(row, &allowed);
    if (row->flags & SETTING_SECRET)
        buf_addf(&allowed, ", or %s_FILE", row->name);
    settings_fault(&l->faults, row->name, "required and not set; allowed: %s",
                   allowed.data);
    buf_done(&allowed);
}

/* The secrets of another program are checked for form, but neither fetched nor kept. */
static void load_value(struct load *l, size_t i)
{
    const struct setting *row = &settings_table[i];
    struct setting_raw *raw = &l->raws[i];
    bool ours = row->programs & l->programs;
    bool secret = row->flags & (SETTING_SECRET | SETTING_MASKED);

    if (secret && ours)
        settings_fetch_secret(l->raws, i, &l->faults);
    if (row->flags & SETTING_SECRET_PATH && ours)
        settings_find_credential(l->raws, i);
    if (raw->value && parse_row(l, row, raw->value, l->s) != 0)
        raw->bad = true;
    if (row->flags & SETTING_SECRET && !ours)
        row->kind->done(slot_of(l->s, row));
    if (!(l->programs & PROGRAM_DOCTOR) && row->needed_by & l->programs &&
        !raw->value && !raw->bad)
        report_missing(l, row);
}

static void load_row(struct load *l, size_t i)
{
    const char *name = settings_table[i].name;
    struct setting_raw *raw = &l->raws[i];

    if (raw->value && raw->file) {
        settings_fault(&l->faults, name, "%s and %s_FILE are both set; allowed: one",
                       name, name);
        raw->bad = true;
        return;
    }
    load_value(l, i);
    l->s->origins[i] = (unsigned char)(raw->value  ? raw->origin
                                       : raw->file ? SETTING_SECRET_FILE
                                                   : SETTING_DEFAULT);
}

static void derive_bounce_to(struct settings *s)
{
    char name[256], address[ADDRESS_MAX + 1];
    struct err ignored;

    if (!s->mail_bounce_to && s->mail_from &&
        address_parse_mailbox(s->mail_from, name, address, &ignored) == 0)
        s->mail_bounce_to = mem_strdup(address);
}

static void derive_token_file(struct settings *s, const struct setting_raw *raws)
{
    size_t i = (size_t)(settings_find("STOPGAP_GITLAB_TOKEN") - settings_table);

    s->gitlab_token_file = mem_strdup(raws[i].file);
}

static void derive_ehlo(struct settings *s)
{
    char host[256] = "";

    if (s->smtp_ehlo)
        return;
    if (gethostname(host, sizeof host - 1) != 0 || !settings_is_host(host))
        s->smtp_ehlo = mem_strdup("localhost");
    else
        s->smtp_ehlo = mem_strdup(host);
}

static void derive_smtp_tls(struct settings *s)
{
    size_t i = (size_t)(settings_find("STOPGAP_SMTP_TLS") - settings_table);

    if (s->origins[i] == SETTING_DEFAULT && !s->smtp.implicit_tls &&
        settings_is_loopback(s->smtp.host))
        s->smtp_tls = SMTP_TLS_OFF;
}

struct settings *settings_load(enum program program, const char *env_file,
                               struct buf *faults)
{
    struct settings *s = mem_new(1, sizeof *s);
    struct load l = {.s = s, .programs = program, .faults = {.out = faults}};

    s->origins = mem_new(settings_count, 1);
    set_defaults(&l);
    l.raws = settings_gather(env_file, &l.faults);
    for (size_t i = 0; i < settings_count; i++)
        load_row(&l, i);
    derive_bounce_to(s);
    derive_token_file(s, l.raws);
    derive_ehlo(s);
    derive_smtp_tls(s);
    settings_cross_check(s, l.raws, program, &l.faults);
    settings_raws_free(l.raws);
    if (l.faults.count) {
        settings_free(s);
        return NULL;
    }
    return s;
}

enum setting_origin settings_origin(const struct settings *s, const char *name)
{
    return (enum setting_origin)s->origins[settings_find(name) - settings_table];
}

void settings_free(struct settings *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < settings_count; i++)
        if (settings_table[i].kind->done)
            settings_table[i].kind->done(slot_of(s, &settings_table[i]));
    free(s->gitlab_token_file);
    free(s->origins);
    free(s);
}
