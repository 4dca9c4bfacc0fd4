/* smtp_sink: the mail server of the benchmark: says yes to all, with pipelining, and
 * counts a mail by the address that it goes to. */
#include <string.h>
#include <strings.h>

#include "sink.h"

static const struct {
    const char *command, *answer;
} answers[] = {
    {"EHLO", "250-sink.bench\r\n250-PIPELINING\r\n250-SIZE 10485760\r\n250-8BITMIME\r\n"
             "250 ENHANCEDSTATUSCODES\r\n"},
    {"MAIL", "250 2.1.0 Ok\r\n"},
    {"RCPT", "250 2.1.5 Ok\r\n"},
    {"DATA", "354 End data with <CR><LF>.<CR><LF>\r\n"},
    {"RSET", "250 2.0.0 Ok\r\n"},
    {"QUIT", "221 2.0.0 Bye\r\n"},
    {"", "500 5.5.2 unknown command\r\n"},
};

static void on_command(struct conn *c, const char *line)
{
    size_t i = 0;

    while (strncasecmp(line, answers[i].command, strlen(answers[i].command)) != 0)
        i++;
    c->in_mail = strcmp(answers[i].command, "DATA") == 0;
    sink_say(c, answers[i].answer);
}

/* Bytes used: 0 while the mail's end is not there. */
static size_t read_mail(struct conn *c, const char *bytes, size_t len)
{
    size_t from = c->looked > 4 ? c->looked - 4 : 0;
    const char *end = memmem(bytes + from, len - from, "\r\n.\r\n", 5);

    c->looked = end ? 0 : len;
    if (!end)
        return 0;
    c->in_mail = false;
    sink_count(sink_job_number(bytes, (size_t)(end - bytes), "\r\nTo:"), SINK_MAIL);
    sink_say(c, "250 2.0.0 Ok: queued\r\n");
    return (size_t)(end - bytes) + 5;
}

size_t smtp_sink_read(struct conn *c, const char *bytes, size_t len)
{
    size_t used = 0, n = 1;
    const char *end;

    while (used < len && n > 0) {
        if (c->in_mail) {
            n = read_mail(c, bytes + used, len - used);
        } else {
            end = memchr(bytes + used, '\n', len - used);
            n = end ? (size_t)(end - bytes) + 1 - used : 0;
            if (end)
                on_command(c, bytes + used);
        }
        used += n;
    }
    return used;
}
