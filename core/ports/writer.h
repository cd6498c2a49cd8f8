/* writer.h - the range encoder, host code: a model codes into it as it decodes from struct nrt_range. */
#ifndef NRT_WRITER_H
#define NRT_WRITER_H

#include "coder.h"

struct nrt_writer {
    struct nrt_bits bits;   /* first: the model reaches the encoder through it */
    uint64_t low;
    uint32_t range;
    uint8_t cache;
    uint64_t held;          /* bytes waiting for a carry, `cache` included */
    uint8_t *out;
    uint64_t used;          /* counts on when `cap` is passed */
    uint64_t cap;
};

void nrt_writer_open(struct nrt_writer *w, uint8_t *out, uint32_t cap);
/* Bytes written, or -1 when `cap` was too small. */
int64_t nrt_writer_close(struct nrt_writer *w);

#endif
