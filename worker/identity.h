/* identity: a worker incarnation's id, "HOST:BOOT:PID:START:NONCE". HOST is the host
 * name for people; BOOT tells machines, their boots and their process namespaces apart,
 * so that a neighbour can be found dead by its pid without waiting for its lease. */
#ifndef STOPGAP_IDENTITY_H
#define STOPGAP_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

void identity_make(char *wid, size_t wid_size, char *host, size_t host_size);

/* True only if wid ran in our own process namespace and its process is certainly gone.
 */
bool identity_is_dead_neighbour(const char *own_wid, const char *wid);

#endif
