/* small.h - the model of profile 2: what is predicted, how likely it is right, what it is when it is wrong, in less than
 * 13 KiB. Shared by decoder and encoder (docs/spec/delta.md 8 and 9). */
#ifndef NRT_SMALL_H
#define NRT_SMALL_H

#include "numbers.h"
#include "predict.h"

#define NRT_FLAG_SLOTS 128
#define NRT_FLAG_TABLES 4
#define NRT_POOL_SLOTS 512
#define NRT_POOL_TABLES 5
#define NRT_NUMBER_SLOTS 192
#define NRT_QUIET 32u      /* bytes of the longest stretch of profile 5 */
#define NRT_PRIME 4096u   /* old bytes a group's literals may be primed with */

/* What is asked for with each byte stands first, where short instructions reach it. */
struct nrt_small {
    struct nrt_guess guess;       /* the field under way; its bytes as they turn out take the predicted ones' places */
    uint32_t history;             /* bits: copied bytes, 1 = missed; literals are hits */
    uint32_t run;                 /* hits since the last miss or literal, with a lead at the start */
    uint32_t diagonal;            /* old minus new of the last copy */
    uint32_t fine;                /* profile 5: bytes of the copy up to this new offset have a flag each, for one is a miss */
    uint8_t grown;                /* new minus predicted at the last miss */
    uint8_t last[3];              /* bytes before this one in the group */
    uint8_t guess_done;
    uint8_t far;                  /* the last item was a copy */
    uint16_t back;                /* distance of the last copy of what was made before */
    struct nrt_pairing calls[NRT_CACHE_SLOTS];
    struct nrt_pairing words[NRT_CACHE_SLOTS];
    uint8_t flag_seen[NRT_FLAG_TABLES][NRT_FLAG_SLOTS];   /* from here on a hit that has no flag changes nothing */
    uint8_t flag0_seen[256];
    uint16_t flag0[256];
    uint16_t flag[NRT_FLAG_TABLES][NRT_FLAG_SLOTS];
    uint16_t miss0[256];
    uint16_t literal0[512];
    uint16_t pool[NRT_POOL_TABLES][NRT_POOL_SLOTS];   /* of misses and literals, and of the control table's numbers */
    uint16_t number[2][NRT_NUMBER_SLOTS];
    uint16_t item[4];
    int32_t flag_weight[32][NRT_FLAG_TABLES + 1];
    int32_t miss_weight[16][NRT_POOL_TABLES + 1];
    int32_t literal_weight[16][NRT_POOL_TABLES];
    /* Up to here reset for every group. */
    struct nrt_predictor predictor;
    struct nrt_shift shifts[NRT_MAX_SHIFTS];
    uint32_t diagonals[4];        /* of the control table: those used last, the last one first */
};

/* Old bytes under the cursor of a copy: `old[0]` is the byte at `from`; `done` bytes before it and `left` from it on belong
 * to the copy. old[-1] is read only when done > 0, old[i] only for i < min(left, NRT_AHEAD). */
struct nrt_cursor {
    const uint8_t *old;
    uint32_t from;
    uint32_t at;
    uint32_t done;
    uint32_t left;
};

/* What is known about the byte under the cursor. */
struct nrt_view {
    uint32_t guess;      /* the predicted byte */
    uint32_t kind;
    uint32_t place;      /* kind, and the byte of the field, or odd or even */
    uint32_t inside;     /* 1: not the first byte of a field */
    uint32_t before;     /* old byte before this one, 0 outside the copy */
    uint32_t half;       /* the old halfword it belongs to, with the predicted byte in its place */
    uint32_t odd;
};

/* How bytes are coded: profile 2 here, profile 3 in large.c on top of it. */
struct nrt_voice {
    uint8_t (*copied)(struct nrt_small *m, struct nrt_bits *b, const struct nrt_cursor *c, uint8_t byte);
    uint8_t (*literal)(struct nrt_small *m, struct nrt_bits *b, uint32_t at, uint8_t byte);
};

extern const struct nrt_voice nrt_small_voice;
extern const uint8_t nrt_small_class[NRT_GUESSES];   /* kinds of fields that are weighed alike */

void nrt_small_reset(struct nrt_small *m);
struct nrt_view nrt_small_look(struct nrt_small *m, const struct nrt_cursor *c);
/* The copied byte at new offset `at` turned out to be `byte`: a field that is whole now is learned. */
void nrt_small_field(struct nrt_small *m, uint32_t at, uint8_t byte);
/* Another group goes on with this model: the copy under way is forgotten. */
void nrt_small_rest(struct nrt_small *m);
/* How long nothing was missed, in 14 steps. */
uint32_t nrt_small_grade(uint32_t run);
/* A copy ends here or begins: what was predicted beyond it is forgotten. */
void nrt_small_here(struct nrt_small *m, const struct nrt_segment *s);
uint8_t nrt_small_copied(struct nrt_small *m, struct nrt_bits *b, const struct nrt_cursor *c, uint8_t byte);
uint8_t nrt_small_literal(struct nrt_small *m, struct nrt_bits *b, uint32_t at, uint8_t byte);
/* Profile 5: how many of the next bytes of a copy are as predicted, said in one bit; 0: the next one has a flag. `left` bytes of
 * the copy are left; an encoder knows that the next `hits` of them are hits. */
uint32_t nrt_small_quiet(struct nrt_small *m, struct nrt_bits *b, uint32_t at, uint32_t left, uint32_t hits);
/* The n copied bytes from the cursor on, which are as predicted: at most NRT_QUIET, and the old bytes that a prediction looks at
 * are there for each. */
void nrt_small_still(struct nrt_small *m, const struct nrt_cursor *c, uint8_t *out, uint32_t n);
/* 1: the next item is a copy, 0: a literal byte. */
int nrt_small_item(struct nrt_small *m, struct nrt_bits *b, uint32_t at, int copy);
/* Where a copy among literals reads, and how far: new offset `s->at` is known, the rest is coded. */
int nrt_small_far(struct nrt_small *m, struct nrt_bits *b, struct nrt_segment *s);
/* 1: the copy comes from what was made before, 0: from the old image. */
int nrt_small_which(struct nrt_small *m, struct nrt_bits *b, int back);
/* A copy of what was made before: how far back, and how far. */
int nrt_small_back(struct nrt_small *m, struct nrt_bits *b, uint32_t *distance, uint32_t *len);
/* A byte that was copied: it is among the last ones. */
void nrt_small_remember(struct nrt_small *m, uint8_t byte);
/* Teaches the literals `n` old bytes, without coding them. `at` is the offset of the first. */
void nrt_small_prime(struct nrt_small *m, uint32_t at, const uint8_t *old, uint32_t n);
/* Numbers of the control table; *fault is set where the bits say no number. */
uint32_t nrt_small_number(struct nrt_small *m, struct nrt_bits *b, uint32_t field, uint32_t value, int *fault);
/* A segment's turn: zigzag of its diagonal minus that of the segment before. */
uint32_t nrt_small_turn(struct nrt_small *m, struct nrt_bits *b, uint32_t turn, int *fault);

#endif
