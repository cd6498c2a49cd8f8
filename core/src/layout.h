/* layout.h - geometry as the other files of the core need it: units by offset, sectors of a unit, slots of scratch. */
#ifndef NRT_LAYOUT_H
#define NRT_LAYOUT_H

#include "nrt.h"

#define NRT_UNIT_SECTORS 32   /* a COMMIT record names changed sectors in one 32-bit mask */

/* How many sectors such a mask names. */
static inline uint32_t nrt_ones(uint32_t mask)
{
    uint32_t n = 0;
    for (; mask != 0; mask &= mask - 1)
        n++;
    return n;
}

#define NRT_MAX_PARTS 255u    /* sectors of one commit: DONE counts them in a byte */

/* Scratch as slots: each holds one bank sector, `per` of them lie in one scratch sector. */
struct nrt_scratch {
    uint32_t slot;     /* bytes: the largest bank sector */
    uint32_t sector;   /* bytes of a scratch sector */
    uint32_t count;    /* scratch sectors */
    uint32_t per;      /* slots in a scratch sector */
};
int nrt_scratch_of(const struct nrt_layout *l, struct nrt_scratch *s);
/* Flash address of the i-th slot of a run of scratch sectors. */
static inline uint32_t nrt_scratch_addr(const struct nrt_layout *l, const struct nrt_scratch *s, uint32_t first, uint32_t i)
{
    return l->scratch.base + (first + i / s->per) * s->sector + i % s->per * s->slot;
}

/* The commit unit that holds an image offset. */
int nrt_unit_of(const struct nrt_layout *l, uint32_t image_off, uint32_t *unit, struct nrt_span *image);
/* Sectors of the unit that has most; more than NRT_UNIT_SECTORS where one has too many. */
uint32_t nrt_most_sectors(const struct nrt_layout *l);
/* Image offsets of the i-th sector of a unit; NRT_E_ARG past its last. */
int nrt_unit_sector(const struct nrt_layout *l, const struct nrt_span *image, uint32_t i, struct nrt_span *part);

#endif
