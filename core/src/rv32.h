/* rv32.h - the far branches of RV32: what rv32.c and rv32_far.c share. */
#ifndef NRT_RV32_H
#define NRT_RV32_H

#include "predict.h"

/* JAL: as the `call` and the `aim` of struct nrt_tongue. */
uint32_t nrt_rv32_call(const uint8_t *code, uint32_t left, uint32_t at, uint32_t *target);
void nrt_rv32_aim(const uint8_t *code, uint32_t at, uint32_t target, uint8_t *out);

#endif
