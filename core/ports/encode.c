/* encode.c - the range encoder that mirrors core/src/rangecoder.c, and the walk over a group that mirrors unpack.c. The
 * model itself is shared, never repeated here. */
#include "encode.h"

#include "coder.h"

#define TOP 0x1000000u

struct writer {
    struct nrt_bits bits;   /* first: the model reaches the encoder through it */
    uint64_t low;
    uint32_t range;
    uint8_t cache;
    uint64_t held;          /* bytes waiting for a carry, `cache` included */
    uint8_t *out;
    uint64_t used;          /* counts on when `cap` is passed */
    uint64_t cap;
};

static void emit(struct writer *w, uint8_t byte)
{
    if (w->used < w->cap)
        w->out[w->used] = byte;
    w->used++;
}

static void shift(struct writer *w)
{
    if (w->low < 0xFF000000u || w->low > 0xFFFFFFFFu) {
        uint8_t carry = (uint8_t)(w->low >> 32);
        emit(w, (uint8_t)(w->cache + carry));
        for (; w->held > 1; w->held--)
            emit(w, (uint8_t)(0xFFu + carry));
        w->held = 0;
        w->cache = (uint8_t)(w->low >> 24);
    }
    w->held++;
    w->low = (w->low & 0x00FFFFFFu) << 8;
}

static int range_code(struct nrt_bits *b, uint32_t p1, int bit)
{
    struct writer *w = (struct writer *)(void *)b;
    uint32_t bound = (w->range >> 16) * p1;
    if (bit != 0) {
        w->range = bound;
    } else {
        w->low += bound;
        w->range -= bound;
    }
    while (w->range < TOP) {
        w->range <<= 8;
        shift(w);
    }
    return bit;
}

static void writer_open(struct writer *w, uint8_t *out, uint32_t cap)
{
    w->bits.code = range_code;
    w->low = 0;
    w->range = 0xFFFFFFFFu;
    w->cache = 0;
    w->held = 1;
    w->out = out;
    w->used = 0;
    w->cap = cap;
}

/* Ends on the value of the last interval that has the most trailing zeros; up to four zero bytes are left out, the decoder
 * reads them as zeros. The first byte, always 0, is left out too. */
static int64_t writer_close(struct writer *w)
{
    uint64_t end = w->low + w->range;
    uint32_t zeros = 32;
    uint64_t value;
    uint64_t i;
    do {
        uint64_t mask = ((uint64_t)1 << zeros) - 1;
        value = (w->low + mask) & ~mask;
    } while (value >= end && zeros-- > 0);
    w->low = value;
    for (i = 0; i < 5; i++)
        shift(w);
    if (w->used > w->cap)
        return -1;
    for (i = 0; i < 4 && w->used > 1 && w->out[w->used - 1] == 0; i++)
        w->used--;
    for (i = 1; i < w->used; i++)
        w->out[i - 1] = w->out[i];
    return (int64_t)w->used - 1;
}

int64_t nrt_encode_group(const uint8_t *old_image, const uint8_t *new_image, const uint32_t *segments, uint32_t n,
                         uint32_t start, uint32_t end, uint8_t *out, uint32_t cap)
{
    struct nrt_simple model;
    struct writer w;
    uint32_t at = start;
    uint32_t i = 0;
    writer_open(&w, out, cap);
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
    return writer_close(&w);
}

int64_t nrt_encode_control(const uint32_t *numbers, uint32_t n, uint8_t *out, uint32_t cap)
{
    struct nrt_simple model;
    struct writer w;
    uint32_t i;
    int fault = 0;
    writer_open(&w, out, cap);
    nrt_simple_reset(&model);
    for (i = 0; i < 3 * n; i++)
        nrt_simple_number(&model, &w.bits, (int)(i % 3), numbers[i], &fault);
    return writer_close(&w);
}
