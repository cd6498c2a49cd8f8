/* encoder.h - what the files of the small encoder share: its state, its tables of places by hash, and who looks in them. Host
 * code; encode_small.h is what others see. */
#ifndef NRT_ENCODER_H
#define NRT_ENCODER_H

#include "encode_small.h"
#include "large.h"
#include "price.h"
#include "tiny.h"

#define NRT_NOWHERE 0xFFFFFFFFu
#define NRT_HEADS 65536u

#define NRT_MADE 8192u      /* places among made bytes that are remembered: more than a window holds */

/* What a group is made of. `s` says new offset and length, and besides: of a segment its number, of a copy from elsewhere the
 * old offset, of a copy of what was made before the distance. */
enum nrt_item_kind { NRT_SEGMENT, NRT_FAR, NRT_BACK, NRT_LITERALS };

struct nrt_item {
    enum nrt_item_kind kind;
    struct nrt_segment s;
};

struct nrt_encoder {
    struct nrt_task task;
    struct nrt_small *model;
    struct nrt_large *large;   /* profile 3, else NULL */
    struct nrt_tiny *tiny;     /* profile 4, then without `model`; else NULL */
    const struct nrt_voice *voice;
    struct nrt_segment *segments;
    uint16_t *by_old;
    struct nrt_spent *spent;
    struct nrt_prices prices;
    int begun;              /* a group was coded */
    /* What was chosen, and how the model will stand where the next choice is made. */
    struct nrt_item *items;
    uint32_t n_items;
    uint32_t noise;         /* literals among them that no model makes fewer */
    uint32_t diagonal;      /* of the last copy */
    uint32_t back;          /* distance of the last copy of what was made before */
    const uint8_t *gone;
    int gap_gain;           /* half bits that a hit among literals saves */
    int far_cost;           /* and that a copy from elsewhere costs */
    /* Where copies are found. */
    uint32_t head_shift;
    uint32_t *head;         /* last old offset of each hash */
    uint32_t *next;         /* and the one before it with the same hash */
    uint8_t *made;          /* new bytes in the order they are made */
    uint32_t *made_head;    /* last place in it of each hash, and the ones before */
    uint32_t *made_next;
    uint32_t indexed;       /* places that are in there */
    uint32_t lag;           /* new offset minus place, in this group */
    uint32_t next_place;    /* where the next group begins in it */
    uint32_t floor;         /* and what may be copied from */
};

/* Profile 4 (encode_tiny.c): what nrt_encoder_control() and nrt_encoder_group() do for it. */
void nrt_tiny_join(struct nrt_encoder *e);
int64_t nrt_tiny_control(struct nrt_encoder *e, uint8_t *out, uint32_t cap);
int64_t nrt_tiny_group(struct nrt_encoder *e, uint8_t *out, uint32_t cap);

/* Items of new bytes [start, end), from `diagonal` and `back` on; -1 without memory. */
int nrt_choose(struct nrt_encoder *e, uint32_t start, uint32_t end);

/* Indexes the old image; -1 without memory, to be closed all the same. */
int nrt_find_open(struct nrt_encoder *e);
void nrt_find_close(struct nrt_encoder *e);
/* The best copy of old bytes at new offset `at` that ends before `end`: half bits that it gains, 0: none does. */
int nrt_find_copy(const struct nrt_encoder *e, uint32_t at, uint32_t end, struct nrt_segment *s);
/* The same of what was made before, as its distance and length. */
int nrt_find_back(struct nrt_encoder *e, uint32_t at, uint32_t end, uint32_t *distance, uint32_t *len);

#endif
