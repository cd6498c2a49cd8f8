/* canon.h - one representative for flash states that no power-up can tell apart. For the enumerator. */
#ifndef NRT_CANON_H
#define NRT_CANON_H

#include "norstate.h"

/* Turns the chip's state into the representative of its class (docs/assurance/power.md, "Equal states"). */
void nrt_canon(struct nrt_nor *n, int keep_scratch);

#endif
