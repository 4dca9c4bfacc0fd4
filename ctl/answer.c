/* answer: see answer.h. The words are those of common/lua/requeue.lua, resend.lua,
 * discard.lua and forget.lua. */
#include "answer.h"

#include <string.h>

#include "mem.h"
#include "out.h"

/* In a sentence $i stands for the id, $d for the answer's second word. */
static const struct {
    enum answer_verb verb;
    const char *word;
    bool done;
    const char *sentence;
} answers[] = {
    {ANSWER_REQUEUE, "OK", true, "$i is queued again"},
    {ANSWER_REQUEUE, "NONE", false,
     "$i: there is no such job, or no worker has taken it off the inbox yet"},
    {ANSWER_REQUEUE, "STATE", false,
     "$i is $d: only a failed or delayed job can be requeued, and a done one with "
     "--redo STEP"},
    {ANSWER_REQUEUE, "STALE", false,
     "$i: its license was signed more than a day ago and a mail with it may be out; "
     "`stopgapctl requeue $i --redo sign` makes a new license and mails that"},
    {ANSWER_REQUEUE, "AMBIGUOUS", false,
     "$i: the mail server's answer was lost, so say which it is: `stopgapctl requeue "
     "$i --mail-arrived` if the mail arrived, `stopgapctl requeue $i --redo email` to "
     "send it again"},
    {ANSWER_REQUEUE, "NOTAMBIGUOUS", false,
     "$i: --mail-arrived is only for a job that failed because the mail server's "
     "answer was lost, and this one did not"},
    {ANSWER_REQUEUE, "DUPLICATE", false,
     "$i is a duplicate of $d: requeue that one instead"},
    {ANSWER_RESEND, "OK", true, "$d: its license will be mailed again"},
    {ANSWER_RESEND, "NONE", false, "$i: there is no such job"},
    {ANSWER_RESEND, "STATE", false,
     "$i is $d: only the license of a job that is done can be mailed again"},
    {ANSWER_RESEND, "EXPIRED", false,
     "$i: its license has expired; a new request makes a new one"},
    {ANSWER_RESEND, "SPENT", false, "$i: it has been resent three times, which is all"},
    {ANSWER_DISCARD, "OK", true, "$i is discarded"},
    {ANSWER_DISCARD, "NONE", false,
     "$i: there is no such job, or no worker has taken it off the inbox yet"},
    {ANSWER_DISCARD, "STATE", false,
     "$i is $d: only a queued, delayed or failed job can be discarded"},
    {ANSWER_FORGET, "OK", true, "forgotten"},
    {ANSWER_FORGET, "NONE", true, "it is gone by now"},
    {ANSWER_FORGET, "STATE", false, "left, since it is $d: wait, or discard it first"},
    {ANSWER_FORGET, "REPORT", false,
     "left, since its failure issue is about to be written: wait, or discard it first"},
    {ANSWER_FORGET, "NEWER", false, "left: a newer program wrote it"},
};

static void fill(const char *sentence, const char *id, const char *detail,
                 struct buf *out)
{
    for (const char *p = sentence; *p; p++) {
        if (*p != '$') {
            buf_addc(out, *p);
            continue;
        }
        p++;
        out_str(out, *p == 'i' ? id : detail);
    }
}

bool answer_text(enum answer_verb verb, const char *id, const struct client_answer *a,
                 struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        if (answers[i].verb != verb || strcmp(answers[i].word, a->word) != 0)
            continue;
        fill(answers[i].sentence, id, a->detail, out);
        return answers[i].done;
    }
    fill("$i: the queue answered \"$d\", which this program does not know", id, a->word,
         out);
    return false;
}
