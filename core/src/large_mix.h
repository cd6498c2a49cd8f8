/* large_mix.h - mixing for profile 3: two sets of weights, then two corrections. Internal to the coders. */
#ifndef NRT_LARGE_MIX_H
#define NRT_LARGE_MIX_H

#include "large.h"

/* What is said about one bit, in 1/256 of log2(p / (1 - p)), and by which contexts it is weighed and corrected. */
struct nrt_say {
    uint32_t n;
    int32_t x[NRT_LARGE_OPINIONS];
    uint32_t set[2];
    uint32_t fix[2];
};

void nrt_mixing_reset(struct nrt_mixing *m, uint32_t n, int32_t first, int32_t others);
int nrt_mix_large(struct nrt_bits *b, struct nrt_mixing *m, const struct nrt_say *say, int bit);
/* An opinion that counts the more the oftener it was seen; one that leans on another while it is young. */
int32_t nrt_opinion(uint32_t p, uint32_t seen);
int32_t nrt_lean(uint32_t p, int32_t first, uint32_t seen);

#endif
