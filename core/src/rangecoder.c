/* rangecoder.c - the binary range decoder: integers only, the same on every machine. It knows bits and probabilities; what
 * they mean is the model's business. The encoder that mirrors it is core/ports/encode.c. */
#include "coder.h"

#define TOP 0x1000000u   /* below this a byte is taken in: 8 to 16 bits of `range >> 16` stay for the probability */

static uint32_t next_byte(struct nrt_range *r)
{
    uint8_t byte = 0;
    int rc;
    if (nrt_reader_at(r->reader) == r->reader->end) {
        /* The encoder leaves trailing zeros out; four bytes beyond the end are all a decoder may look ahead. */
        if (++r->over > 4 && r->fault == NRT_OK)
            r->fault = NRT_E_FORMAT;
        return 0;
    }
    rc = nrt_reader_byte(r->reader, &byte);
    if (rc < 0 && r->fault == NRT_OK)
        r->fault = rc;
    return byte;
}

static int range_code(struct nrt_bits *b, uint32_t p1, int bit)
{
    struct nrt_range *r = (struct nrt_range *)(void *)b;
    uint32_t bound = (r->range >> 16) * p1;
    if (r->code < bound) {
        r->range = bound;
        bit = 1;
    } else {
        r->code -= bound;
        r->range -= bound;
        bit = 0;
    }
    while (r->range < TOP) {
        r->range <<= 8;
        r->code = (r->code << 8) | next_byte(r);
    }
    return bit;
}

void nrt_range_open(struct nrt_range *r, struct nrt_reader *reader)
{
    int i;
    r->bits.code = range_code;
    r->reader = reader;
    r->range = 0xFFFFFFFFu;
    r->code = 0;
    r->over = 0;
    r->fault = NRT_OK;
    for (i = 0; i < 4; i++)
        r->code = (r->code << 8) | next_byte(r);
}

int nrt_range_close(const struct nrt_range *r)
{
    if (r->fault < 0)
        return r->fault;
    return nrt_reader_at(r->reader) == r->reader->end ? NRT_OK : NRT_E_FORMAT;
}
