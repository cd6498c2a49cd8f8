/* predict.h - what an old instruction or word becomes when everything moves as the map says. A pure function of old bytes,
 * positions, map and two small caches; the same code in decoder and encoder. */
#ifndef NRT_PREDICT_H
#define NRT_PREDICT_H

#include "map.h"

#define NRT_FIELD_MAX 8   /* bytes of the longest field */
#define NRT_AHEAD 24      /* old bytes that are looked at, from the field's first on */
#define NRT_CACHE_SLOTS 64
#define NRT_UPPER_SLOTS 2

/* Which instruction sets are linked, a bit each: a device needs its own alone. Others' files are refused. */
#ifndef NRT_ISAS_LINKED
#define NRT_ISAS_LINKED 0x3E
#endif

enum nrt_isa { NRT_ISA_NONE = 0, NRT_ISA_THUMB = 1, NRT_ISA_ARM = 2, NRT_ISA_A64 = 3, NRT_ISA_RV32 = 4, NRT_ISA_X86 = 5, NRT_ISAS = 6 };

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
    NRT_UPPER = 14,        /* makes the upper part of an address in a register */
    NRT_LOWER = 15,        /* adds the lower part */
    NRT_GUESSES = 16
};

struct nrt_pairing {
    uint32_t key;          /* plus 1; 0: empty */
    uint32_t value;
};

/* What a register held of an address, before and now. */
struct nrt_upper {
    uint8_t reg;           /* plus 1; 0: nothing */
    uint8_t absolute;
    uint16_t at;           /* where the instruction stands now, low half */
    uint32_t before;
    uint32_t now;
};

struct nrt_sections;
struct nrt_halves;

struct nrt_predictor {
    struct nrt_map map;
    uint32_t isa;
    uint32_t address;                             /* where the first byte of the image is mapped */
    uint32_t also;                                /* and where it would be for another part of it; 0: nowhere */
    uint32_t slots;                               /* of each of the two caches, which the model keeps */
    struct nrt_pairing *calls;                    /* old target -> new target seen last */
    struct nrt_pairing *words;                    /* old word -> new word seen last */
    const struct nrt_sections *sections;          /* profile 3 (sections.h), or NULL */
    struct nrt_upper uppers[NRT_UPPER_SLOTS];
};

struct nrt_guess {
    uint8_t byte[NRT_FIELD_MAX];
    uint32_t length;       /* 0: nothing to predict here */
    uint16_t kind;
    uint16_t isa;          /* in whose code it stands */
    uint32_t key;          /* the old target or word; NRT_UPPER: what the register held */
    uint32_t lift;         /* new address minus new offset */
};

/* A place of both images: old bytes, addresses, and how many bytes of the copy are left. */
struct nrt_site {
    const uint8_t *old;
    uint32_t from;
    uint32_t at;
    uint32_t left;
};

/* One instruction set. */
struct nrt_tongue {
    uint32_t step;         /* instructions begin at multiples of it */
    uint32_t odd;          /* bits of a pointer that do not belong to the place */
    uint32_t strict;       /* 1: a branch out of the image is none */
    /* Length of the far branch `code`, of `left` bytes, at address `at`, and its target; 0: it is none. */
    uint32_t (*call)(const uint8_t *code, uint32_t left, uint32_t at, uint32_t *target);
    /* The same instruction at `at`, to `target`. */
    void (*aim)(const uint8_t *code, uint32_t at, uint32_t target, uint8_t *out);
    /* Other fields, looked for before words and after them: fills `out` and answers 1, or 0. Or NULL. */
    int (*early)(const struct nrt_predictor *p, const struct nrt_site *s, struct nrt_guess *out);
    int (*late)(const struct nrt_predictor *p, const struct nrt_site *s, struct nrt_guess *out);
    void (*learn)(struct nrt_predictor *p, const struct nrt_guess *f, uint32_t at, const uint8_t *fresh);
    const struct nrt_halves *halves;   /* or NULL */
};

extern const struct nrt_tongue nrt_thumb, nrt_arm, nrt_a64, nrt_rv32, nrt_x86;

/* NULL where it is not linked, or none. */
const struct nrt_tongue *nrt_tongue(uint32_t isa);

/* Predicts the field at old offset `from`, new offset `at`; `old` holds min(left, NRT_AHEAD) readable bytes. */
void nrt_predict(const struct nrt_predictor *p, const uint8_t *old, uint32_t from, uint32_t at, uint32_t left,
                 struct nrt_guess *out);
/* The field at `at` turned out to be `fresh` (out->length bytes). */
void nrt_predict_learn(struct nrt_predictor *p, const struct nrt_guess *f, uint32_t at, const uint8_t *fresh);
uint32_t nrt_hash(uint32_t a, uint32_t b);

/* New address of an old one: 2 where a copy covers it, 1 in a gap, 0 outside the old image. */
int nrt_moved(const struct nrt_predictor *p, uint32_t target, uint32_t *now);
/* What became of a pointer or a word, by address, shifts or cache: fills kind and key of `f`; 0: nothing is known. */
int nrt_value(const struct nrt_predictor *p, uint32_t word, uint32_t odd, struct nrt_guess *f, uint32_t *now);
int nrt_guessed(struct nrt_guess *out, uint32_t kind, uint32_t length);

/* Sign-extends the lowest `bits` bits. */
static inline uint32_t nrt_extend(uint32_t v, uint32_t bits)
{
    uint32_t top = 1u << (bits - 1);
    return ((v & (top * 2u - 1u)) ^ top) - top;
}

/* `v`, taken as signed, fits `bits` bits. */
static inline int nrt_fits(uint32_t v, uint32_t bits)
{
    return nrt_extend(v, bits) == v;
}

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
