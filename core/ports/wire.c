/* wire.c - the restoration responder with the power in a host's hands: where the cut falls, the call is left at once. It
 * must never run anything but the core between setjmp and return. */
#include "norstate.h"

int nrt_host_smp_feed(struct nrt_smp *s, struct nrt_nor *n, const uint8_t *data, uint32_t len)
{
    if (setjmp(n->jump))
        return NRT_CUT;
    return nrt_smp_feed(s, data, len);
}
