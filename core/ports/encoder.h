/* encoder.h - what the files of the small encoder share: its state, its tables of places by hash, and who looks in them. Host
 * code; encode_small.h is what others see. */
#ifndef NRT_ENCODER_H
#define NRT_ENCODER_H

#include "encode_small.h"
#include "large.h"
#include "tiny.h"

#define NRT_NOWHERE 0xFFFFFFFFu
#define NRT_HEADS 65536u

struct nrt_encoder {
    struct nrt_task task;
    struct nrt_small *model;
    struct nrt_large *large;   /* profile 3, else NULL */
    struct nrt_tiny *tiny;     /* profile 4, then without `model`; else NULL */
    const uint32_t *diagonal;  /* of the model: that of the last copy */
    const struct nrt_voice *voice;
    int gap_gain;           /* half bits that a hit among literals saves */
    int far_cost;           /* and that a copy from elsewhere costs */
    struct nrt_segment *segments;
    uint16_t *by_old;
    uint32_t *head;         /* first old offset of each hash */
    uint32_t *next;         /* and the next one with the same hash */
    const uint8_t *gone;
    struct nrt_spent *spent;
    int begun;              /* a group was coded */
    uint8_t *made;          /* new bytes in the order they are made */
    uint32_t *made_head;    /* first place in it of each hash, and the next ones */
    uint32_t *made_next;
    uint32_t indexed;       /* places that are in there */
    uint32_t lag;           /* new offset minus place, in this group */
    uint32_t next_place;    /* where the next group begins in it */
    uint32_t floor;         /* and what may be copied from */
};

static inline uint32_t nrt_hash4(const uint8_t *p)
{
    return nrt_get32(p) * 2654435761u >> 16;
}

/* Profile 4 (encode_tiny.c): what nrt_encoder_control() and nrt_encoder_group() do for it. */
void nrt_tiny_join(struct nrt_encoder *e);
int64_t nrt_tiny_control(struct nrt_encoder *e, uint8_t *out, uint32_t cap);
int64_t nrt_tiny_group(struct nrt_encoder *e, uint32_t start, uint32_t end, uint8_t *out, uint32_t cap);

/* The best copy of old bytes at new offset `at` that ends before `end`: half bits that it gains, 0: none does. */
int nrt_find_copy(const struct nrt_encoder *e, uint32_t at, uint32_t end, struct nrt_segment *s);
/* The same of what was made before, as its distance and length. */
int nrt_find_back(struct nrt_encoder *e, uint32_t at, uint32_t end, uint32_t *distance, uint32_t *len);

#endif
