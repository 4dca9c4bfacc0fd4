/* replay: see replay.h. */
#include "replay.h"

#include <sodium.h>
#include <string.h>

void replay_settle(struct replay *r, const char *signature,
                   char id[static JOB_ID_LEN + 1])
{
    unsigned char mac[sizeof r->slots[0].mac];
    size_t slot;

    (void)crypto_generichash(mac, sizeof mac, (const unsigned char *)signature,
                             strlen(signature), NULL, 0);
    slot = ((size_t)mac[0] << 8 | mac[1]) % REPLAY_SLOTS;
    if (*r->slots[slot].id && !memcmp(r->slots[slot].mac, mac, sizeof mac)) {
        memcpy(id, r->slots[slot].id, sizeof r->slots[slot].id);
        return;
    }
    memcpy(r->slots[slot].mac, mac, sizeof mac);
    memcpy(r->slots[slot].id, id, sizeof r->slots[slot].id);
}
