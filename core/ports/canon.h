/* canon.h - one representative for flash states that no power-up can tell apart. For the enumerator. */
#ifndef NRT_CANON_H
#define NRT_CANON_H

#include "norstate.h"

/* Turns the chip's state into the representative of its class (docs/decisions/0015). */
void nrt_canon(struct nrt_nor *n, int keep_scratch);

/* The same for the state log alone. Gives the span that can never be chosen again, 2: none. */
uint32_t nrt_canon_log(struct nrt_nor *n);
/* Says a span of the log again in the fewest records that mean the same to a power-up, whichever way its torn units read:
 * 1; 0: left as it was. */
int nrt_restate(struct nrt_nor *n, uint32_t span);
/* Marks the units of bank and scratch that every power-up erases before it reads them (NOR_DEAD): a read of one is harm.
 * `old`: the span that can never be chosen again, 2: none. */
void nrt_bury(struct nrt_nor *n, int keep_scratch, uint32_t old);
/* A torn unit reads the other way. */
void nrt_swap_unit(struct nrt_nor *n, uint32_t u);

#endif
