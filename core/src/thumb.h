/* thumb.h - the far branches of Thumb: what thumb.c and thumb_far.c share. */
#ifndef NRT_THUMB_H
#define NRT_THUMB_H

#include "predict.h"

/* BL, BLX to an immediate, B.W: as the `call` and the `aim` of struct nrt_tongue. */
uint32_t nrt_thumb_call(const uint8_t *code, uint32_t left, uint32_t at, uint32_t *target);
void nrt_thumb_aim(const uint8_t *code, uint32_t at, uint32_t target, uint8_t *out);

#endif
