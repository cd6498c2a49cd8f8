/* fuzz_unpack.c - libFuzzer target: any bytes as an update file, opened and decoded over an old image that stays whole.
 * Build and run with core/fuzz/run.sh. */
#include <stdlib.h>
#include <string.h>

#include "decode.h"

#define BANK 65536u
#define RAM 16384u

static const struct nrt_layout layout = {
    .region = {{0, 4096, 24}},
    .n_regions = 1,
    .bank = {{32768, BANK}},
    .n_bank = 1,
    .log = {{0, 4096}, {4096, 4096}},
    .scratch = {8192, 24576},
    .write_unit = 4,
    .page = 256,
    .group = 16384,
    .leaf = 4096,
    .erased = 0xFF,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t old_bytes[BANK];
    struct nrt_bytes file = {data, (uint32_t)size};
    struct nrt_bytes old_image = {old_bytes, 0};
    struct nrt_file f = {&file, (uint32_t)size, nrt_bytes_read};
    struct nrt_header h;
    struct nrt_ram ram;
    uint8_t *out;
    uint32_t i;
    if (size > 1u << 20 || nrt_unpack_header(&layout, &f, &h) < 0)
        return 0;
    for (i = 0; i < BANK; i++)
        old_bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    old_image.size = h.old_size;
    ram.len = nrt_need(&layout, h.new_size, file.size, h.workspace, 0);
    ram.mem = malloc(ram.len);   /* exactly what need says: one byte more is found by the sanitizer */
    out = malloc(h.new_size);
    if (ram.mem == NULL || out == NULL)
        abort();
    (void)nrt_decode_apart(&layout, &old_image, &file, ram, out, h.new_size);
    free(out);
    free(ram.mem);
    return 0;
}
