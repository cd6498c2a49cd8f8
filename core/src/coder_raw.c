/* coder_raw.c - profile 0: copies are exact, a group's frame is its literal bytes one after the other. It knows no
 * probabilities; it is the coder the rest of the core is proven with. */
#include <stddef.h>

#include "coder.h"

static int raw_begin(struct nrt_unpack *u)
{
    (void)u;
    return NRT_OK;
}

static int raw_copy(struct nrt_unpack *u, uint32_t from, uint32_t len)
{
    while (len > 0) {
        uint32_t n = len < NRT_UNPACK_CHUNK ? len : NRT_UNPACK_CHUNK;
        uint32_t i;
        int rc = nrt_old(u->core, from, u->old, n);
        for (i = 0; rc == NRT_OK && i < n; i++)
            rc = nrt_unpack_put(u, u->old[i]);
        if (rc < 0)
            return rc;
        from += n;
        len -= n;
    }
    return NRT_OK;
}

static int raw_literal(struct nrt_unpack *u, uint32_t len)
{
    while (len-- > 0) {
        uint8_t byte = 0;
        int rc = nrt_reader_byte(&u->reader, &byte);
        if (rc == NRT_OK)
            rc = nrt_unpack_put(u, byte);
        if (rc < 0)
            return rc;
    }
    return NRT_OK;
}

static int raw_end(struct nrt_unpack *u)
{
    return nrt_reader_at(&u->reader) == u->reader.end ? NRT_OK : NRT_E_FORMAT;
}

static int raw_number(struct nrt_unpack *u, int field, uint32_t *value)
{
    (void)field;
    return nrt_reader_varint(&u->reader, value);
}

const struct nrt_coder nrt_coder_raw = {raw_begin, raw_copy, raw_literal, raw_end, raw_number, NULL, NULL, NULL, 0};
