/* encode_full.h - the encoder of full images in profile 2 whose model goes on (docs/spec/delta.md 8.7), host code: which bytes
 * are copied from what stands a little before them. The model is that of core/src/small.c. */
#ifndef NRT_ENCODE_FULL_H
#define NRT_ENCODE_FULL_H

#include "nrt.h"

struct nrt_whole;

/* Chooses the copies of an image whose groups are `group` bytes long, in image order; they reach back `window` bytes. The image
 * is kept by the caller. NULL without memory. */
struct nrt_whole *nrt_whole_open(const uint8_t *image, uint32_t size, uint32_t group, uint32_t window);
void nrt_whole_close(struct nrt_whole *w);
/* The next group's frame; its length, or -1 when `cap` is too small. */
int64_t nrt_whole_group(struct nrt_whole *w, uint8_t *out, uint32_t cap);

#endif
