/* writer.c - the range encoder that mirrors core/src/rangecoder.c. It knows bits and probabilities, no model. */
#include "writer.h"

#define TOP 0x1000000u

static void emit(struct nrt_writer *w, uint8_t byte)
{
    if (w->used < w->cap)
        w->out[w->used] = byte;
    w->used++;
}

static void shift(struct nrt_writer *w)
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
    struct nrt_writer *w = (struct nrt_writer *)(void *)b;
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

void nrt_writer_open(struct nrt_writer *w, uint8_t *out, uint32_t cap)
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
int64_t nrt_writer_close(struct nrt_writer *w)
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
