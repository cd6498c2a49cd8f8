/* encode.c - the walk over a group that mirrors unpack.c, for profile 1. The model itself is shared, never repeated here. */
#include "encode.h"

#include "writer.h"

int64_t nrt_encode_group(const uint8_t *old_image, const uint8_t *new_image, const uint32_t *segments, uint32_t n,
                         uint32_t start, uint32_t end, uint8_t *out, uint32_t cap)
{
    struct nrt_simple model;
    struct nrt_writer w;
    uint32_t at = start;
    uint32_t i = 0;
    nrt_writer_open(&w, out, cap);
    nrt_simple_reset(&model);
    while (i < n && segments[3 * i] + segments[3 * i + 2] <= start)
        i++;
    while (at < end) {
        if (i < n && segments[3 * i] <= at) {
            uint32_t stop = segments[3 * i] + segments[3 * i + 2];
            for (; at < stop && at < end; at++) {
                uint8_t byte = old_image[segments[3 * i + 1] + (at - segments[3 * i])];
                nrt_simple_copied(&model, &w.bits, at, byte, new_image[at]);
            }
            i++;
        } else {
            nrt_simple_literal(&model, &w.bits, new_image[at++]);
        }
    }
    return nrt_writer_close(&w);
}

int64_t nrt_encode_control(const uint32_t *numbers, uint32_t n, uint8_t *out, uint32_t cap)
{
    struct nrt_simple model;
    struct nrt_writer w;
    uint32_t i;
    int fault = 0;
    nrt_writer_open(&w, out, cap);
    nrt_simple_reset(&model);
    for (i = 0; i < 3 * n; i++)
        nrt_simple_number(&model, &w.bits, (int)(i % 3), numbers[i], &fault);
    return nrt_writer_close(&w);
}
