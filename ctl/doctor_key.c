/* doctor_key: what lies on this host: the signing key, the templates, the spool. */
#include "doctor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "buf.h"
#include "license.h"
#include "mem.h"
#include "settings.h"
#include "template.h"
#include "when.h"

#define PATH_TEXT_MAX 4096
#define ROOM_MIN_MIB 64

/* ---- the key ---- */

/* Signs what nobody gets, and reads it back. */
static int sign_sample(struct doctor *d, const struct license_key *key, struct err *e)
{
    struct license_claims claims;
    struct buf text;
    int rc;

    license_claims_make(&claims, key, "00000000000000000000000000",
                        d->settings->license_issuer, "doctor@example.invalid", 1, 1,
                        doctor_clock_ms(), d->settings->license_term_days);
    buf_init(&text, LICENSE_TEXT_MAX);
    rc = license_sign(key, &claims, &text, e);
    buf_done(&text);
    return rc;
}

/* Whoever checks licenses has FILE.pub: is it this key's? */
static void check_public(struct doctor *d, const struct license_key *key)
{
    char path[PATH_TEXT_MAX];
    struct license_key *public;
    struct err e;

    (void)snprintf(path, sizeof path, "%s.pub", d->settings->license_key_file);
    if (access(path, F_OK) != 0)
        return;
    public = license_key_load_public(path, &e);
    if (!public)
        doctor_say(d, "key", DOCTOR_WARN, "make it anew, or remove it", "%s", e.text);
    else if (strcmp(license_key_id(public), license_key_id(key)) != 0)
        doctor_say(d, "key", DOCTOR_WARN,
                   "put the public half of this key there, and give it to those who "
                   "check licenses",
                   "%s is another key's: %s", path, license_key_id(public));
    license_key_free(public);
}

static void check_key(struct doctor *d, const struct license_key *key)
{
    const struct settings *s = d->settings;
    struct err e;

    if (s->license_term_days < license_key_least_days(key))
        doctor_say(d, "key", DOCTOR_FAIL,
                   "STOPGAP_LICENSE_TERM_DAYS: 2 or more with an RSA key",
                   "a term of %lld days is too short for this kind of key",
                   (long long)s->license_term_days);
    else if (sign_sample(d, key, &e))
        doctor_say(d, "key", DOCTOR_FAIL, "restore the key from its backup",
                   "a license signed with it does not read back: %s", e.text);
    else
        doctor_say(d, "key", DOCTOR_OK, NULL,
                   "%s, for its owner alone; signs %s licenses, and they read back",
                   license_key_id(key),
                   strcmp(license_key_format(key), "gitlab") == 0 ? "GitLab"
                                                                  : "PASETO");
}

void doctor_key(struct doctor *d)
{
    const struct settings *s = d->settings;
    struct license_key *key;
    struct err e;

    if (!s->license_key_file) {
        doctor_say(d, "key", DOCTOR_FAIL,
                   "`stopgapctl keygen FILE`, and set STOPGAP_LICENSE_KEY_FILE to "
                   "it" DOCTOR_OR_UNIT,
                   "STOPGAP_LICENSE_KEY_FILE is not set");
        return;
    }
    key = license_key_load(s->license_key_file, s->license_key_passphrase_file, &e);
    if (!key) {
        doctor_say(d, "key", DOCTOR_FAIL,
                   "as it says; run doctor as the user of the worker, or as root", "%s",
                   e.text);
        return;
    }
    check_key(d, key);
    check_public(d, key);
    license_key_free(key);
}

/* ---- templates ---- */

void doctor_templates(struct doctor *d)
{
    const char *folder = d->settings->template_dir;
    struct templates *t;
    struct err e;

    if (!folder)
        return; /* the built-in ones */
    t = templates_load(folder, &e);
    if (t)
        doctor_say(d, "templates", DOCTOR_OK, NULL, "%s", folder);
    else
        doctor_say(d, "templates", DOCTOR_FAIL,
                   "mend the file, or unset STOPGAP_TEMPLATE_DIR", "%s", e.text);
    templates_free(t);
}

/* ---- the spool ---- */

/* A file comes and goes: rights, quota and a disk that is read-only show only so. */
static int try_file(const char *folder, struct err *e)
{
    char path[PATH_TEXT_MAX];
    int fd, failed;

    (void)snprintf(path, sizeof path, "%s/.doctor-XXXXXX", folder);
    fd = mkstemp(path);
    if (fd < 0)
        return err_set(e, ERR_CONFIG, 0, "%s: %s", folder, strerror(errno));
    failed = write(fd, "x", 1) != 1 || fsync(fd) != 0 ? errno : 0;
    (void)close(fd);
    (void)unlink(path);
    if (failed)
        return err_set(e, ERR_CONFIG, 0, "%s: %s", folder, strerror(failed));
    return 0;
}

static void check_room(struct doctor *d, const char *folder)
{
    struct statvfs disk;
    uint64_t mib;

    if (statvfs(folder, &disk))
        return;
    mib = (uint64_t)disk.f_bavail * disk.f_frsize >> 20;
    if (mib < ROOM_MIN_MIB)
        doctor_say(d, "spool", DOCTOR_WARN, "make room on that disk",
                   "%s: %llu MiB are free", folder, (unsigned long long)mib);
}

/* As for the timer, which is the worker's user. */
static void say_not_ours(struct doctor *d, const char *folder)
{
    doctor_say(d, "spool", DOCTOR_SKIPPED,
               "run doctor as the receiver's user, or ask the receiver's /readyz",
               "%s is another user's", folder);
}

static void check_spool(struct doctor *d, const char *folder, const struct stat *st)
{
    struct err e;

    if (st->st_uid != geteuid() && geteuid() != 0)
        say_not_ours(d, folder);
    else if (!S_ISDIR(st->st_mode))
        doctor_say(d, "spool", DOCTOR_FAIL, "name a folder in STOPGAP_SPOOL_DIR",
                   "%s is no folder", folder);
    else if (st->st_mode & (S_IWGRP | S_IWOTH))
        doctor_say(d, "spool", DOCTOR_FAIL, "`chmod 700` it",
                   "%s: others may write into it", folder);
    else if (try_file(folder, &e))
        doctor_say(
            d, "spool", DOCTOR_FAIL,
            "give it to the receiver's user, and look at its disk; run doctor as "
            "that user, or as root",
            "no file can be written: %s", e.text);
    else
        doctor_say(d, "spool", DOCTOR_OK, NULL, "%s takes files", folder);
    check_room(d, folder);
}

/* The default is relative, and seen from / it is the system's own: a receiver leaves
 * its lock in what it has used. */
static bool is_used(const char *folder)
{
    char path[PATH_TEXT_MAX];

    (void)snprintf(path, sizeof path, "%s/lock", folder);
    return access(path, F_OK) == 0;
}

void doctor_spool(struct doctor *d)
{
    const char *folder = d->settings->spool_dir;
    bool named = settings_origin(d->settings, "STOPGAP_SPOOL_DIR") != SETTING_DEFAULT;
    struct stat st;

    if (stat(folder, &st) == 0 && (named || is_used(folder)))
        check_spool(d, folder, &st);
    else if (named && errno == EACCES)
        say_not_ours(d, folder);
    else if (named && errno != ENOENT)
        doctor_say(d, "spool", DOCTOR_FAIL, "name a folder in STOPGAP_SPOOL_DIR",
                   "%s: %s", folder, strerror(errno));
    else if (named)
        doctor_say(d, "spool", DOCTOR_WARN,
                   "the receiver makes it when it starts; has it ever?",
                   "%s is not there", folder);
    else
        doctor_say(d, "spool", DOCTOR_SKIPPED, NULL,
                   "no receiver has used %s from here", folder);
}
