/* halves.h - addresses that two instructions make: one the upper part in a register, another adds the lower one. */
#ifndef NRT_HALVES_H
#define NRT_HALVES_H

#include "predict.h"

/* What an instruction has to do with half an address. */
struct nrt_half {
    uint32_t reg;          /* the register that holds the upper part */
    uint32_t value;        /* the upper part, or the lower one */
    uint32_t absolute;     /* 1: it does not depend on where the instruction stands */
    uint32_t over;         /* 1: the register is overwritten */
};

struct nrt_halves {
    /* 1 and what it does, or 0. */
    int (*upper)(const uint8_t *code, uint32_t at, struct nrt_half *h);
    int (*lower)(const uint8_t *code, struct nrt_half *h);
    /* The instruction `code`, at `at`, for `target`; with another lower part. 0: it does not fit. */
    int (*set_upper)(const uint8_t *code, uint32_t at, uint32_t target, uint8_t *out);
    int (*set_lower)(const uint8_t *code, uint32_t value, uint8_t *out);
    /* Length of the instruction. */
    uint32_t (*length)(const uint8_t *code);
};

/* The address an upper part is for, as far as the next instructions tell. */
uint32_t nrt_halves_target(const struct nrt_halves *t, const struct nrt_site *s, const struct nrt_half *upper);
int nrt_halves_predict(const struct nrt_halves *t, const struct nrt_predictor *p, const struct nrt_site *s, struct nrt_guess *out);
void nrt_halves_learn(const struct nrt_halves *t, struct nrt_predictor *p, const struct nrt_guess *f, uint32_t at, const uint8_t *fresh);

#endif
