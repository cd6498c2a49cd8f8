/* large.h - the model of profile 3: that of profile 2 with more contexts, hashed tables of 4 MB and a memory of what was
 * written before. Shared by decoder and encoder (docs/spec/delta.md 11). Terminals that lend little never link it. */
#ifndef NRT_LARGE_H
#define NRT_LARGE_H

#include "sections.h"
#include "small.h"

#define NRT_LARGE_POOL 0x98000u      /* slots of bytes */
#define NRT_LARGE_FLAGS 0x8000u      /* slots of flags */
#define NRT_LARGE_PAST 0x80000u      /* bytes remembered, a power of two */
#define NRT_LARGE_HEADS 0x10000u     /* places remembered by their last bytes, a power of two */
#define NRT_LARGE_TAUGHT 0x80000u    /* old bytes taught at most, old image whole */
#define NRT_LARGE_OPINIONS 24
#define NRT_LARGE_CACHE 1024

/* P(1) of 65536, how often it was seen, and whose it is. */
struct nrt_slot {
    uint16_t p;
    uint8_t seen;
    uint8_t check;
};

/* Weights of one decision, chosen by two contexts; a correction of what they say. */
#define NRT_LARGE_SETS_A 64
#define NRT_LARGE_SETS_B 512
#define NRT_LARGE_STEPS 33

struct nrt_mixing {
    uint32_t n;
    int32_t a[NRT_LARGE_SETS_A][NRT_LARGE_OPINIONS];
    int32_t b[NRT_LARGE_SETS_B][NRT_LARGE_OPINIONS];
    uint16_t fix[2][1024][NRT_LARGE_STEPS];
};

struct nrt_large {
    struct nrt_small small;              /* fields, history, numbers, items */
    struct nrt_pairing calls[NRT_LARGE_CACHE];
    struct nrt_pairing words[NRT_LARGE_CACHE];
    struct nrt_sections sections;
    uint32_t begun;                      /* offset in the file where the frame under way begins */
    uint32_t next;                       /* and where the one does that goes on with this model; 0: none */
    uint32_t recent[2];                  /* the last eight bytes */
    uint32_t opcodes;                    /* the high bytes of the last four halfwords */
    uint32_t word;                       /* the letters before this byte */
    uint32_t longer;                     /* hits before the last miss */
    uint32_t missed_kind;                /* field of the last miss */
    uint32_t count;                      /* bytes remembered so far */
    uint32_t twin;                       /* where the last bytes were seen before; 0: nowhere */
    uint32_t match;                      /* what is remembered here may come next */
    uint32_t matched;                    /* for so many bytes it did */
    struct nrt_slot plain[3][256];
    struct nrt_slot matches[2][64];
    struct nrt_slot flag0[256];
    struct nrt_mixing flag_mix;
    struct nrt_mixing byte_mix;
    struct nrt_slot flags[NRT_LARGE_FLAGS];
    struct nrt_slot pool[NRT_LARGE_POOL];
    uint32_t heads[NRT_LARGE_HEADS];
    uint8_t past[NRT_LARGE_PAST];
};

extern const struct nrt_voice nrt_large_voice;   /* of a nrt_small that is part of a nrt_large */

void nrt_large_reset(struct nrt_large *m);
/* Teaches the bytes' tables `n` old bytes, without coding them. `at` is the offset of the first. */
void nrt_large_teach(struct nrt_large *m, uint32_t at, const uint8_t *old, uint32_t n);

#endif
