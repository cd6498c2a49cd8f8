/* predict.h - what an old instruction or word becomes when everything moves as the map says. A pure function of old bytes,
 * positions, map and two small caches; the same code in decoder and encoder. */
#ifndef NRT_PREDICT_H
#define NRT_PREDICT_H

#include "map.h"

#define NRT_FIELD_MAX 8   /* bytes of the longest field */
#define NRT_CACHE_SLOTS 64

enum nrt_isa { NRT_ISA_NONE = 0, NRT_ISA_THUMB = 1, NRT_ISA_ARM = 2, NRT_ISAS = 3 };

/* Kinds of fields: part of every context. */
enum nrt_guessed {
    NRT_PLAIN = 0,         /* nothing is known: the old byte */
    NRT_CALL = 1,          /* branch with a long reach, target mapped */
    NRT_CALL_SEEN = 2,     /* target seen before in this group */
    NRT_CALL_NEAR = 3,     /* target in a gap of the map */
    NRT_POINTER = 4,
    NRT_POINTER_SEEN = 5,
    NRT_WORD = 6,          /* a word whose range grew */
    NRT_WORD_SEEN = 7,
    NRT_LOAD = 8,          /* relative to the program counter */
    NRT_JUMP = 9,
    NRT_BRANCH = 10,
    NRT_TEST = 11,
    NRT_POINTER_NEAR = 12,
    NRT_WORD_SAME = 13,    /* a word whose range did not grow */
    NRT_GUESSES = 16
};

struct nrt_pairing {
    uint32_t key;          /* plus 1; 0: empty */
    uint32_t value;
};

struct nrt_predictor {
    struct nrt_map map;
    uint32_t isa;
    uint32_t address;                             /* where the first byte of the image is mapped */
    uint32_t also;                                /* and where it would be for another part of it; 0: nowhere */
    uint32_t slots;                               /* of each of the two caches, which the model keeps */
    struct nrt_pairing *calls;                    /* old target -> new target seen last */
    struct nrt_pairing *words;                    /* old word -> new word seen last */
};

struct nrt_guess {
    uint8_t byte[NRT_FIELD_MAX];
    uint32_t length;       /* 0: nothing to predict here */
    uint32_t kind;
    uint32_t key;
};

/* Predicts the field at old offset `from`, new offset `at`; `old` holds min(left, NRT_FIELD_MAX) readable bytes. */
void nrt_predict(const struct nrt_predictor *p, const uint8_t *old, uint32_t from, uint32_t at, uint32_t left,
                 struct nrt_guess *out);
/* The field at `at` turned out to be `fresh` (out->length bytes). */
void nrt_predict_learn(struct nrt_predictor *p, const struct nrt_guess *f, uint32_t at, const uint8_t *fresh);
uint32_t nrt_hash(uint32_t a, uint32_t b);

/* One instruction set each (thumb.c, arm.c): fills `out` and answers 1, or 0. */
int nrt_thumb_call(const uint8_t *code, uint32_t at, uint32_t *target);
void nrt_thumb_aim(const uint8_t *code, uint32_t at, uint32_t target, uint8_t *out);
int nrt_thumb_short(const struct nrt_predictor *p, const uint8_t *old, uint32_t from, uint32_t at, uint32_t left,
                    struct nrt_guess *out);
int nrt_arm_call(const uint8_t *code, uint32_t at, uint32_t *target);
void nrt_arm_aim(const uint8_t *code, uint32_t at, uint32_t target, uint8_t *out);
int nrt_arm_load(const struct nrt_predictor *p, const uint8_t *old, uint32_t from, uint32_t at, struct nrt_guess *out);

static inline uint32_t nrt_get16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static inline uint32_t nrt_get32(const uint8_t *p)
{
    return nrt_get16(p) | nrt_get16(p + 2) << 16;
}

static inline void nrt_put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void nrt_put32(uint8_t *p, uint32_t v)
{
    nrt_put16(p, v);
    nrt_put16(p + 2, v >> 16);
}

#endif
