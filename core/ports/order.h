/* order.h - in which order commit units are rewritten, so that few copies are lost (docs/spec/delta.md 4), host code. It knows
 * who copies how much from whom, and nothing else. */
#ifndef NRT_ORDER_H
#define NRT_ORDER_H

#include "nrt.h"

/* Improves `order`, the numbers 0 to units - 1 in some order, for at most `work` looks at a copy. `needs` are n_needs triples
 * (unit, other, weight): what unit copies from another's old bytes. `joint` of them are committed at once; 0: each is decoded
 * before the one ahead of it is committed. Always the same for the same arguments. The weight lost; UINT64_MAX without memory. */
uint64_t nrt_order(const uint32_t *needs, uint32_t n_needs, uint32_t units, uint32_t joint, uint32_t *order, uint32_t work);

#endif
