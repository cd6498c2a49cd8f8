/* tiny.h - the model of profile 4: fields predicted by the map, contexts that refine one another, nothing mixed. The same
 * code codes and decodes (docs/spec/delta.md 12). */
#ifndef NRT_TINY_H
#define NRT_TINY_H

#include "map.h"
#include "numbers.h"
#include "predict.h"

#define NRT_TINY_FLAGS 128
#define NRT_TINY_POOL 256
#define NRT_TINY_SLOTS (3 * NRT_TINY_FLAGS + NRT_TINY_POOL)
#define NRT_TINY_SHIFTS 40
#define NRT_TINY_PAIRS 32
#define NRT_TINY_AHEAD 4   /* old bytes that are looked at, from the field's first on */

/* What is touched most stands first: a Cortex-M0 reaches it in one instruction. */
struct nrt_tiny {
    /* Reset for every group and for the control table. */
    uint8_t kind;
    uint8_t length;               /* of the field under way; 0: none */
    uint8_t done;
    uint8_t grown;                /* new minus predicted at the last miss */
    uint8_t field[4];             /* predicted bytes; those that turned out take their places */
    uint32_t far;                 /* the last item was a copy */
    uint32_t history;             /* bits: copied bytes, 1 = missed; literals are hits */
    uint32_t run;                 /* hits since the last miss or literal */
    uint32_t last;                /* bytes before this one in the group, the latest in the low bits */
    uint32_t key;                 /* old target or word of the field under way */
    uint32_t field_at;
    uint32_t diagonal;            /* old minus new of the last copy */
    /* Kept. */
    uint32_t isa;
    uint32_t address;             /* where the first byte of the image is mapped */
    uint32_t also;                /* and where it would be for another part of it; 0: nowhere */
    struct nrt_map map;
    struct nrt_shift shifts[NRT_TINY_SHIFTS];
    /* Reset too. */
    struct nrt_pairing pairs[NRT_TINY_PAIRS];   /* old target or word -> what it became last */
    uint16_t p[NRT_TINY_SLOTS];                 /* of 65536: how likely a 1 is in a context */
    uint8_t seen[NRT_TINY_SLOTS];               /* how often it was there */
};

/* Old bytes under the cursor of a copy: `old[0]` at `from`; `left` bytes from it on belong to the copy. */
struct nrt_spot {
    const uint8_t *old;
    uint32_t from;
    uint32_t at;
    uint32_t left;
};

void nrt_tiny_reset(struct nrt_tiny *m);
/* A copy begins: what was predicted beyond the last one is forgotten. */
void nrt_tiny_here(struct nrt_tiny *m, const struct nrt_segment *s);
uint8_t nrt_tiny_copied(struct nrt_tiny *m, struct nrt_bits *b, const struct nrt_spot *c, uint8_t byte);
uint8_t nrt_tiny_literal(struct nrt_tiny *m, struct nrt_bits *b, uint32_t at, uint8_t byte);
/* 1: the next item is a copy, 0: a literal byte. */
int nrt_tiny_item(struct nrt_tiny *m, struct nrt_bits *b, uint32_t at, int copy);
/* Where a copy among literals reads, and how far: new offset `s->at` is known, the rest is coded. */
int nrt_tiny_far(struct nrt_tiny *m, struct nrt_bits *b, struct nrt_segment *s);
/* A number of the control table; *fault is set where the bits say no number. */
uint32_t nrt_tiny_number(struct nrt_tiny *m, struct nrt_bits *b, uint32_t field, uint32_t value, int *fault);

#endif
