/* encode_small.h - the encoder's half of profile 2, host code. It runs the very model of core/src/small.c and chooses what
 * the decoder is told: which literals are copies, and whether a group's literals are primed. */
#ifndef NRT_ENCODE_SMALL_H
#define NRT_ENCODE_SMALL_H

#include "nrt.h"

struct nrt_encoder;

/* What is to be coded. Arrays are kept by the caller until the encoder is closed: `segments` holds n_segments triples (new
 * offset, old offset, length), ascending and apart, length 0 for a mere hint; `shifts` holds n_shifts pairs (from, by). */
struct nrt_task {
    const uint8_t *old_image;
    const uint8_t *new_image;
    const uint32_t *segments;
    const uint32_t *shifts;
    uint32_t old_size;
    uint32_t new_size;
    uint32_t n_segments;
    uint32_t n_shifts;
    uint32_t isa;
    uint32_t address;
    uint32_t large;         /* 1: profile 3 */
    uint32_t tiny;          /* 1: profile 4 */
    uint32_t quick;         /* 1: profile 5 */
    uint32_t flow;          /* 1: profile 2 goes on from group to group */
    uint32_t window;        /* then: bytes made last that copies may come from */
    uint32_t also;          /* address of another part of the image, 0: none */
    const uint32_t *sections;   /* n_sections times (from, lift, at, lift_now, kind): core/src/sections.h; profile 3 */
    uint32_t n_sections;
};

/* Where a group's bits went, in 1/256 bits: flags, misses, literals, copies among literals. */
struct nrt_spent {
    uint64_t flags;
    uint64_t misses;
    uint64_t literals;
    uint64_t copies;
    uint32_t missed;       /* bytes */
    uint32_t literal;      /* bytes; of these such as no model makes fewer */
    uint32_t noise;
};

/* NULL without memory. */
struct nrt_encoder *nrt_encoder_open(const struct nrt_task *task);
void nrt_encoder_close(struct nrt_encoder *e);
/* The coded control table (segments and shifts); its length, or -1 when `cap` is too small. */
int64_t nrt_encoder_control(struct nrt_encoder *e, uint8_t *out, uint32_t cap);
/* Profile 3: the next group begins with a fresh model, taught the old bytes [from, stop). */
void nrt_encoder_anew(struct nrt_encoder *e, uint32_t from, uint32_t stop);
/* Profile 2 that goes on: the next group begins with a fresh model, and nothing was made before it. */
void nrt_encoder_unit(struct nrt_encoder *e);
/* One group, new bytes [start, end). `gone` has a byte for every 64 old bytes, not 0 where they cannot be read at this
 * position of the plan, 2 where a cut has left them unknown; NULL: all can. The frame's length, or -1. `spent` may be NULL; it is added to. */
int64_t nrt_encoder_group(struct nrt_encoder *e, uint32_t start, uint32_t end, const uint8_t *gone, uint8_t *out,
                          uint32_t cap, struct nrt_spent *spent);

#endif
