/* queue_lua: every transition of a job, as Lua that Redis runs atomically. The text,
 * with what each script takes and answers, is in common/lua (scripts/embed-lua makes it
 * C); only queue.c calls them. Rules kept throughout: the destination is written before
 * the source is removed, so a script that fails midway leaves an id twice, never
 * nowhere; Redis's clock only; commands of Redis 6.2 only. */
#ifndef STOPGAP_QUEUE_LUA_H
#define STOPGAP_QUEUE_LUA_H

#include "redis.h"

enum queue_script {
    QUEUE_BEAT,
    QUEUE_TAKE,
    QUEUE_REAP_WORKER,
    QUEUE_DISOWN,
    QUEUE_SHOW,
    QUEUE_SAVE,
    QUEUE_CLAIM_KEYS,
    QUEUE_FINISH,
    QUEUE_FOLLOW_TAKE,
    QUEUE_FOLLOW_DONE,
    QUEUE_TELL_TAKE,
    QUEUE_TELL_DONE,
    QUEUE_REQUEUE,
    QUEUE_RESEND,
    QUEUE_POINT_AT,
    QUEUE_DISCARD,
    QUEUE_SUBMIT,
    QUEUE_PAUSE,
    QUEUE_FORGET,
    QUEUE_TRIM,
    QUEUE_LANE,
    QUEUE_FSCK,
    QUEUE_DEPTH,
    QUEUE_SCRIPT_COUNT
};

extern const struct redis_script queue_scripts[QUEUE_SCRIPT_COUNT];

#endif
