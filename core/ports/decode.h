/* decode.h - update files on a host, where the old image lies whole in memory: host code around the core's decoder. */
#ifndef NRT_DECODE_H
#define NRT_DECODE_H

#include "unpack.h"

/* Bytes in memory as a staged file: `ctx` of nrt_bytes_read(). The caller keeps them alive. */
struct nrt_bytes {
    const uint8_t *data;
    uint32_t size;
};
int nrt_bytes_read(void *ctx, uint32_t off, uint8_t *buf, uint32_t len);

/* Decodes every unit of `file` with the whole old image in reach (never in place) into `out`, which holds the old bytes and
 * room for the new size. `ram` as for nrt_prove(). NRT_OK or the refusal; digests are the caller's business. */
int nrt_decode_apart(const struct nrt_layout *l, const struct nrt_bytes *old_image, const struct nrt_bytes *file,
                     struct nrt_ram ram, uint8_t *out, uint32_t size);

#endif
