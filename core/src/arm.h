/* arm.h - the far branches of 32-bit ARM: what arm.c and arm_far.c share. */
#ifndef NRT_ARM_H
#define NRT_ARM_H

#include "predict.h"

/* B, BL to an immediate: as the `call` and the `aim` of struct nrt_tongue. */
uint32_t nrt_arm_call(const uint8_t *code, uint32_t left, uint32_t at, uint32_t *target);
void nrt_arm_aim(const uint8_t *code, uint32_t at, uint32_t target, uint8_t *out);

#endif
