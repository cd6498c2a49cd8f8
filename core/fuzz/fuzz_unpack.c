/* fuzz_unpack.c - libFuzzer target: any bytes as an update file, opened and decoded over an old image that stays whole.
 * Build and run with core/fuzz/run.sh. */
#include <stdlib.h>
#include <string.h>

#include "decode.h"

#define BANK 65536u
#define RAM 16384u

/* What the golden files are made for: sectors of 1 KiB, groups of 2 KiB. */
static const struct nrt_layout fine = {
    .region = {{0, 1024, 32}},
    .n_regions = 1,
    .bank = {{24576, 8192}},
    .n_bank = 1,
    .log = {{0, 1024}, {1024, 1024}},
    .scratch = {2048, 22528},
    .write_unit = 4,
    .page = 256,
    .group = 2048,
    .leaf = 1024,
    .erased = 0xFF,
};

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
    struct nrt_file f = {&file, (uint32_t)size, nrt_bytes_read, NULL};
    struct nrt_header h;
    struct nrt_ram ram;
    uint8_t *out;
    uint32_t i;
    const struct nrt_layout *l = nrt_unpack_header(&fine, &f, &h) == NRT_OK ? &fine : &layout;
    if (size > 1u << 20 || nrt_unpack_header(l, &f, &h) < 0)
        return 0;
    for (i = 0; old_bytes[1] == 0 && i < BANK; i++)
        old_bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    old_image.size = h.old_size;
    ram.len = nrt_need(l, h.new_size, file.size, h.workspace, 0);
    ram.mem = malloc(ram.len);   /* exactly what need says: one byte more is found by the sanitizer */
    out = malloc(h.new_size);
    if (ram.mem == NULL || out == NULL)
        abort();
    (void)nrt_decode_apart(l, &old_image, &file, ram, out, h.new_size);
    free(out);
    free(ram.mem);
    return 0;
}
