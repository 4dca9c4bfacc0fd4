/* actor: see actor.h. */
#include "actor.h"

#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "mem.h"
#include "num.h"
#include "utf8.h"

#define NAME_MAX_CHARS 255
#define ADDRESS_MAX_CHARS 64 /* an IPv6 address with its zone */
#define NO_LOGIN 4294967295  /* what the kernel says of who never logged in */

/* 1 to 255 printable characters without blanks. */
static bool is_name(const char *name)
{
    const char *p = name, *end = name ? name + strlen(name) : NULL;
    size_t n = 0;

    for (; p < end; n++) {
        int32_t ch = utf8_next(&p, end);

        if (ch <= ' ' || !utf8_printable(ch))
            return false;
    }
    return n >= 1 && n <= NAME_MAX_CHARS;
}

/* Some users have no name: a container's, mostly. */
static char *name_of(uid_t uid)
{
    const struct passwd *known = getpwuid(uid);
    char number[32];

    if (known && is_name(known->pw_name))
        return mem_strdup(known->pw_name);
    (void)snprintf(number, sizeof number, "uid-%lu", (unsigned long)uid);
    return mem_strdup(number);
}

/* Whoever logged in stays known through su and sudo, where the system keeps it. */
static void add_login(struct buf *from, const char *account)
{
    FILE *f = fopen("/proc/self/loginuid", "re");
    char text[24] = "";
    int64_t uid;

    if (f) {
        (void)!fgets(text, sizeof text, f);
        (void)fclose(f); /* only read from */
    }
    text[strcspn(text, "\n")] = '\0';
    if (num_parse(text, 0, NO_LOGIN - 1, &uid)) {
        char *login = name_of((uid_t)uid);

        if (strcmp(login, account) != 0)
            buf_addf(from, " login %s", login);
        free(login);
    }
}

/* "ADDRESS PORT ADDRESS PORT": the first is the client's. */
static void add_ssh(struct buf *from, const char *connection)
{
    size_t len = connection ? strcspn(connection, " ") : 0;

    if (len && len <= ADDRESS_MAX_CHARS &&
        strspn(connection, "0123456789abcdefABCDEF.:%_-"
                           "ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ") >= len)
        buf_addf(from, " ssh %.*s", (int)len, connection);
}

void actor_init(struct actor *a, const struct actor_claims *claims)
{
    char *account = name_of(getuid());
    char host[256] = "";
    struct buf from;

    buf_init(&from, 2048);
    if (gethostname(host, sizeof host - 1) || !is_name(host))
        (void)snprintf(host, sizeof host, "-");
    buf_addf(&from, "%s@%s", account, host);
    add_login(&from, account);
    add_ssh(&from, claims->ssh_connection);
    a->from = mem_strdup(from.data);
    a->who = mem_strdup(is_name(claims->sudo_user) ? claims->sudo_user
                        : is_name(claims->user)    ? claims->user
                                                   : account);
    buf_done(&from);
    free(account);
}

void actor_done(struct actor *a)
{
    free(a->who);
    free(a->from);
    *a = (struct actor){NULL, NULL};
}
