/* redo.c - one commit unit in scratch (docs/spec/statelog.md 5): decoded there, and read back against its leaves. It must never
 * touch the bank, and never take for good what it did not read back. */
#include <string.h>

#include "medium.h"
#include "plan.h"
#include "statelog.h"

/* Takes a unit's decoded bytes: changed sectors go to scratch. */
struct spill {
    struct nrt_core *core;
    struct nrt_plan *plan;
    struct nrt_span unit;
    struct nrt_span part;     /* sector being filled, as image offsets */
    uint32_t index;           /* of `part` in the unit */
    uint32_t slot;            /* changed sectors finished */
    uint32_t first;           /* scratch sector of the first slot */
    uint32_t mask;
    uint32_t off;             /* image offset of the next byte */
    uint32_t fill;            /* bytes in core->page */
};

/* ---- decode into scratch --------------------------------------------------------------------------------------------- */

static int flush(struct spill *s, uint32_t at)
{
    struct nrt_core *c = s->core;
    const struct nrt_layout *l = c->layout;
    struct nrt_scratch scratch;
    uint32_t n = s->fill;
    s->fill = 0;
    if (n == 0 || nrt_all_erased(l, c->page, n))
        return NRT_OK;
    uint32_t whole = (n + l->write_unit - 1) / l->write_unit * l->write_unit;
    memset(c->page + n, l->erased, whole - n);
    int rc = nrt_scratch_of(l, &scratch);
    if (rc < 0)
        return rc;
    return nrt_flash_program(c, nrt_scratch_addr(l, &scratch, s->first, s->slot) + at, c->page, whole);
}

/* Bytes that end at the next page or sector boundary, whichever comes first. */
static uint32_t stretch(const struct spill *s, uint32_t len)
{
    const struct nrt_layout *l = s->core->layout;
    uint32_t within = s->off - s->part.base;
    uint32_t n = l->page - within % l->page;
    n = n < s->part.len - within ? n : s->part.len - within;
    return n < len ? n : len;
}

static int next_sector(struct spill *s)
{
    if (s->mask & 1u << s->index)
        s->slot++;
    s->index++;
    if (s->off - s->unit.base == s->unit.len)
        return NRT_OK;
    return nrt_unit_sector(s->core->layout, &s->unit, s->index, &s->part);
}

static int spill_some(struct spill *s, const uint8_t *data, uint32_t n)
{
    const struct nrt_layout *l = s->core->layout;
    uint32_t within = s->off - s->part.base;
    int last = s->off + n == s->plan->target.image_size;
    int rc = NRT_OK;
    s->off += n;
    if (s->mask & 1u << s->index) {
        memcpy(s->core->page + s->fill, data, n);
        s->fill += n;
        within += n;
        if (within % l->page == 0 || within == s->part.len || last)
            rc = flush(s, (within - 1) / l->page * l->page);
    } else {
        within += n;
    }
    if (rc == NRT_OK && within == s->part.len)
        rc = next_sector(s);
    return rc;
}

static int spill_put(void *ctx, const uint8_t *data, uint32_t len)
{
    struct spill *s = ctx;
    while (len > 0) {
        if (s->off - s->unit.base >= s->unit.len || s->off >= s->plan->target.image_size)
            return NRT_E_BOUND;
        uint32_t n = stretch(s, len);
        int rc = spill_some(s, data, n);
        if (rc < 0)
            return rc;
        data += n;
        len -= n;
    }
    return NRT_OK;
}

/* Everything the unit's sectors will hold is in scratch. */
static int decode_unit(struct nrt_core *c, struct nrt_plan *p, const struct nrt_member *r)
{
    struct spill s;
    struct nrt_scratch scratch;
    memset(&s, 0, sizeof s);
    s.core = c;
    s.plan = p;
    s.first = r->first;
    s.mask = r->mask;
    int rc = nrt_scratch_of(c->layout, &scratch);
    if (rc == NRT_OK)
        rc = nrt_unit_span(c->layout, r->unit, &s.unit);
    if (rc == NRT_OK)
        rc = nrt_unit_sector(c->layout, &s.unit, 0, &s.part);
    for (uint32_t i = 0; rc == NRT_OK && i * scratch.per < nrt_ones(s.mask); i++)
        rc = nrt_flash_erase(c, nrt_scratch_addr(c->layout, &scratch, r->first, i * scratch.per));
    if (rc < 0)
        return rc;
    s.off = s.unit.base;
    struct nrt_sink sink = {&s, spill_put};
    rc = nrt_unpack_unit(p->unpack, c, p->position, sink);
    if (rc < 0)
        return rc;
    uint32_t end = s.unit.base + s.unit.len;
    return s.off == (end < p->target.image_size ? end : p->target.image_size) ? NRT_OK : NRT_E_FORMAT;
}

/* ---- what lies in scratch is what was proven --------------------------------------------------------------------------- */

int nrt_future_addr(const struct nrt_core *c, const struct nrt_member *r, uint32_t off, uint32_t *addr, uint32_t *run)
{
    struct nrt_scratch s;
    struct nrt_span unit;
    struct nrt_span part = {0, 0};
    uint32_t i = 0;
    int rc = nrt_scratch_of(c->layout, &s);
    if (rc == NRT_OK)
        rc = nrt_unit_span(c->layout, r->unit, &unit);
    for (; rc == NRT_OK; i++) {
        rc = nrt_unit_sector(c->layout, &unit, i, &part);
        if (rc == NRT_OK && off - part.base < part.len)
            break;
    }
    if (rc < 0)
        return rc;
    if ((r->mask & 1u << i) == 0)
        return nrt_image_addr(c->layout, off, addr, run);
    *addr = nrt_scratch_addr(c->layout, &s, r->first, nrt_ones(r->mask & ((1u << i) - 1u))) + (off - part.base);
    *run = part.len - (off - part.base);
    return NRT_OK;
}

/* The leaf from `off` on, `len` bytes of it inside the image, as it will be. */
static int check_leaf(const struct nrt_core *c, const struct nrt_plan *p, const struct nrt_member *r, uint32_t off, uint32_t len)
{
    struct nrt_sha256 leaf;
    uint8_t digest[NRT_DIGEST];
    uint8_t buf[64];
    uint32_t index = off / c->layout->leaf;
    nrt_sha256_init(&leaf);
    for (uint32_t i = 0; i < c->layout->leaf;) {
        uint32_t n = (uint32_t)sizeof buf < c->layout->leaf - i ? (uint32_t)sizeof buf : c->layout->leaf - i;
        memset(buf, 0xFF, sizeof buf);
        if (i < len) {
            uint32_t addr, run;
            int rc = nrt_future_addr(c, r, off + i, &addr, &run);
            n = n < len - i ? n : len - i;
            if (rc == NRT_OK) {
                n = n < run ? n : run;
                rc = nrt_flash_read(c, addr, buf, n);
            }
            if (rc < 0)
                return rc;
        }
        nrt_sha256_add(&leaf, buf, n);
        i += n;
    }
    nrt_sha256_end(&leaf, digest);
    return memcmp(digest, p->leaves + index * NRT_SHORT, NRT_SHORT) == 0 ? NRT_OK : NRT_E_DIGEST;
}

/* Read back from flash: neither decoder nor page buffer has forgotten a bit, and no sector was left out. */
static int check_unit(const struct nrt_core *c, const struct nrt_plan *p, const struct nrt_member *r)
{
    struct nrt_span unit;
    uint32_t size = p->target.image_size;
    int rc = nrt_unit_span(c->layout, r->unit, &unit);
    uint32_t end = rc == NRT_OK && unit.base + unit.len < size ? unit.base + unit.len : size;
    for (uint32_t off = unit.base; rc == NRT_OK && off < end; off += c->layout->leaf)
        rc = check_leaf(c, p, r, off, c->layout->leaf < end - off ? c->layout->leaf : end - off);
    return rc;
}

int nrt_write_member(struct nrt_core *c, struct nrt_plan *p, const struct nrt_member *r)
{
    int rc = decode_unit(c, p, r);
    return rc == NRT_OK ? check_unit(c, p, r) : rc;
}
