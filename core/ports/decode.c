/* decode.c - the core's decoder over images in memory. It knows how a flash address becomes an image offset; it has no
 * decoder of its own. */
#include "decode.h"

#include <string.h>

#include "plan.h"

struct memory {
    const struct nrt_layout *layout;
    const struct nrt_bytes *image;
};

struct output {
    uint8_t *at;
    uint8_t *end;
};

int nrt_bytes_read(void *ctx, uint32_t off, uint8_t *buf, uint32_t len)
{
    const struct nrt_bytes *b = (const struct nrt_bytes *)ctx;
    if (off > b->size || len > b->size - off)
        return NRT_E_READ;
    memcpy(buf, b->data + off, len);
    return NRT_OK;
}

/* The bank read as flash; beyond the image it is erased. */
static int read_bank(void *ctx, uint32_t addr, uint8_t *buf, uint32_t len)
{
    const struct memory *m = (const struct memory *)ctx;
    uint32_t before = 0;
    uint32_t i;
    memset(buf, m->layout->erased, len);
    for (i = 0; i < m->layout->n_bank; i++) {
        const struct nrt_span *s = &m->layout->bank[i];
        if (addr >= s->base && addr - s->base < s->len) {
            uint32_t off = before + (addr - s->base);
            uint32_t n = off < m->image->size ? m->image->size - off : 0;
            memcpy(buf, m->image->data + (n > 0 ? off : 0), n < len ? n : len);
            return NRT_OK;
        }
        before += s->len;
    }
    return NRT_E_ARG;
}

static int put(void *ctx, const uint8_t *data, uint32_t len)
{
    struct output *o = (struct output *)ctx;
    if (len > (uint32_t)(o->end - o->at))
        return NRT_E_BOUND;
    memcpy(o->at, data, len);
    o->at += len;
    return NRT_OK;
}

int nrt_decode_apart(const struct nrt_layout *l, const struct nrt_bytes *old_image, const struct nrt_bytes *file,
                     struct nrt_ram ram, uint8_t *out, uint32_t size)
{
    struct memory memory = {l, old_image};
    struct nrt_bytes bytes = *file;
    struct nrt_file f = {&bytes, file->size, nrt_bytes_read, NULL};
    struct nrt_port port;
    struct nrt_core core;
    struct nrt_target target;
    struct nrt_plan *p;
    uint32_t k;
    int rc;
    memset(&port, 0, sizeof port);
    memset(&core, 0, sizeof core);
    memset(&target, 0, sizeof target);
    port.ctx = &memory;
    port.read = read_bank;
    core.layout = l;
    core.port = &port;
    target.image_size = size;
    target.file_size = file->size;
    if ((rc = nrt_plan_open(&core, &f, &target, ram, 0)) < 0)
        return rc;
    p = (struct nrt_plan *)core.plan;
    if (p->header.new_size != size)
        return NRT_E_FORMAT;
    /* The plan stays at position 0: there every old byte is readable. */
    for (k = 0; rc == NRT_OK && k < p->header.n_order; k++) {
        struct output o;
        struct nrt_sink sink = {&o, put};
        struct nrt_span span;
        uint32_t unit;
        if ((rc = nrt_unpack_order(p->unpack, k, &unit)) < 0 || (rc = nrt_unit_span(l, unit, &span)) < 0)
            return rc;
        o.at = out + span.base;
        o.end = out + (span.len < size - span.base ? span.base + span.len : size);
        rc = nrt_unpack_unit(p->unpack, &core, k, sink);
    }
    return rc;
}
