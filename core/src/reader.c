/* reader.c - forward reads of a staged file, byte by byte and in varints. It knows the end it may not pass; it never keeps
 * more than its small buffer. */
#include <string.h>

#include "coder.h"

void nrt_reader_set(struct nrt_reader *r, const struct nrt_file *f, uint32_t from, uint32_t end)
{
    r->file = f;
    r->next = from;
    r->end = end;
    r->used = 0;
    r->have = 0;
}

uint32_t nrt_reader_at(const struct nrt_reader *r)
{
    return r->next - (r->have - r->used);
}

int nrt_reader_byte(struct nrt_reader *r, uint8_t *out)
{
    if (r->used == r->have) {
        uint32_t n = r->end - r->next;
        if (r->next >= r->end)
            return NRT_E_FORMAT;
        if (n > sizeof r->buf)
            n = sizeof r->buf;
        if (r->file->read(r->file->ctx, r->next, r->buf, n) < 0)
            return NRT_E_READ;
        r->next += n;
        r->have = n;
        r->used = 0;
    }
    *out = r->buf[r->used++];
    return NRT_OK;
}

int nrt_reader_varint(struct nrt_reader *r, uint32_t *out)
{
    uint32_t value = 0;
    uint32_t shift;
    for (shift = 0; shift < 35; shift += 7) {
        uint8_t byte;
        int rc = nrt_reader_byte(r, &byte);
        if (rc < 0)
            return rc;
        if ((shift == 28 && byte > 0x0F) || (shift > 0 && byte == 0))
            return NRT_E_FORMAT;   /* more than 32 bits, or longer than necessary */
        value |= (uint32_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *out = value;
            return NRT_OK;
        }
    }
    return NRT_E_FORMAT;
}
