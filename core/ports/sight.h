/* sight.h - the two images as prediction sees them, for the encoder's guesses: host code. */
#ifndef NRT_SIGHT_H
#define NRT_SIGHT_H

#include "encode_small.h"

struct nrt_sight;

/* NULL without memory. The task's arrays are kept by the caller until it is closed. */
struct nrt_sight *nrt_sight_open(const struct nrt_task *task);
void nrt_sight_close(struct nrt_sight *s);
/* One of the images with calls, pointers and upper parts rewritten to absolute places of the new one, as far as the map knows
 * them: what a matcher compares in its second pass. */
void nrt_sight_normal(struct nrt_sight *s, int is_old, uint8_t *out);
/* Bytes of all segments that are not what is predicted: fewest by the instruction set that is theirs. */
uint64_t nrt_sight_missed(struct nrt_sight *s);
/* Offsets where functions of this instruction set seem to begin, at most `room`; how many. */
uint32_t nrt_sight_starts(uint32_t isa, const uint8_t *image, uint32_t size, uint32_t *out, uint32_t room);
/* How many calls lead to one of `n` ascending offsets. */
uint32_t nrt_sight_calls(uint32_t isa, const uint8_t *image, uint32_t size, const uint32_t *starts, uint32_t n);

#endif
