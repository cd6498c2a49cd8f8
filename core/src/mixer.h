/* mixer.h - mixing of opinions on one bit, shared by decoder and encoder. Internal to the coders. */
#ifndef NRT_MIXER_H
#define NRT_MIXER_H

#include "coder.h"

#define NRT_OPINIONS 6

/* P(1) of 65536, and how often that context was seen: below 8 it leans on the first opinion. */
struct nrt_opinion {
    uint32_t p;
    uint32_t seen;
};

/* Codes one bit with the mixed probability of `n` opinions and lets `weights` (65536 = 1.0) learn from it. */
int nrt_mix(struct nrt_bits *b, int32_t *weights, const struct nrt_opinion *o, uint32_t n, int bit);

/* 256 * log2(p / (1 - p)) of p / 65536, and back for |x| < 4096; a value held to +-limit. */
int32_t nrt_stretch(uint32_t p);
uint32_t nrt_squash(int32_t x);
int32_t nrt_within(int32_t x, int32_t limit);

#endif
