/* encode.h - the encoder's half of profile 1, host code. It runs the very model of core/src/coder_simple.c with a range
 * encoder behind it, so that what it writes is what the decoder reads. */
#ifndef NRT_ENCODE_H
#define NRT_ENCODE_H

#include "nrt.h"

/* Codes new bytes [start, end) as one group frame (without its length) into `out`. `segments` holds n triples (new offset,
 * old offset, length), ascending and apart. Returns the frame's length, or -1 when `cap` is too small. */
int64_t nrt_encode_group(const uint8_t *old_image, const uint8_t *new_image, const uint32_t *segments, uint32_t n,
                         uint32_t start, uint32_t end, uint8_t *out, uint32_t cap);

/* Codes the numbers of a control table: n triples (gap, length, turn). Returns the length, or -1. */
int64_t nrt_encode_control(const uint32_t *numbers, uint32_t n, uint8_t *out, uint32_t cap);

#endif
