/* saves.c - old sectors that a plan keeps in scratch beyond their unit's commit (docs/spec/delta.md 5): what a file says of them, where
 * they lie, and how they get there. It must never save a sector once its unit may be gone. Where no file has saves,
 * core/lean/no_saves.c is linked instead. */
#include "coder.h"
#include "medium.h"
#include "plan.h"

int nrt_read_saves(struct nrt_reader *r, const struct nrt_header *h, struct nrt_save *saves)
{
    uint32_t before = 0;
    uint32_t i;
    for (i = 0; i < h->n_saves; i++) {
        uint32_t step, off;
        int rc = nrt_reader_varint(r, &step);
        if (rc == NRT_OK)
            rc = nrt_reader_varint(r, &off);
        if (rc < 0)
            return rc;
        if (step >= h->n_order - before || off >= h->old_size)
            return NRT_E_BOUND;
        before += step;
        if (saves != NULL) {
            saves[i].before = before;
            saves[i].image_off = off;
        }
    }
    return NRT_OK;
}

int nrt_check_saves(struct nrt_core *c, struct nrt_plan *p)
{
    struct nrt_scratch s;
    int rc = nrt_scratch_of(c->layout, &s);
    if (rc < 0)
        return rc;
    if (p->header.n_saves >= s.count)
        return NRT_E_SPACE;
    p->ring = s.count - p->header.n_saves;
    for (uint32_t i = 0; i < p->header.n_saves; i++) {
        struct nrt_save save;
        struct nrt_span unit;
        struct nrt_span part = {0, 0};
        uint32_t u;
        if ((rc = nrt_unpack_save(p->unpack, i, &save)) < 0)
            return rc;
        if (nrt_unit_of(c->layout, save.image_off, &u, &unit) < 0 || p->place[u] == NRT_NOT_PLANNED ||
            save.before > p->place[u] || save.before >= p->header.n_order)
            return NRT_E_FORMAT;
        for (uint32_t j = 0; part.base != save.image_off || part.len == 0; j++)
            if (nrt_unit_sector(c->layout, &unit, j, &part) < 0)
                return NRT_E_FORMAT;
    }
    return NRT_OK;
}

int nrt_saved_at(const struct nrt_core *c, const struct nrt_plan *p, uint32_t sector, uint32_t *addr)
{
    struct nrt_scratch s;
    if (nrt_scratch_of(c->layout, &s) < 0)
        return NRT_E_GONE;
    for (uint32_t i = 0; i < p->header.n_saves; i++) {
        struct nrt_save save;
        if (nrt_unpack_save(p->unpack, i, &save) == NRT_OK && save.image_off == sector && save.before <= p->position) {
            if (save.before < p->saved)
                *addr = c->layout->scratch.base + (p->ring + i) * s.sector;
            return NRT_OK;
        }
    }
    return NRT_E_GONE;
}

int nrt_make_saves(struct nrt_core *c, struct nrt_plan *p)
{
    struct nrt_scratch s;
    int rc = nrt_scratch_of(c->layout, &s);
    for (uint32_t i = 0; rc == NRT_OK && i < p->header.n_saves; i++) {
        struct nrt_save save;
        uint32_t from;
        uint32_t run;
        rc = nrt_unpack_save(p->unpack, i, &save);
        if (rc < 0 || save.before != p->position)
            continue;
        rc = nrt_plan_whole(c);
        uint32_t to = c->layout->scratch.base + (p->ring + i) * s.sector;
        if (rc == NRT_OK)
            rc = nrt_image_addr(c->layout, save.image_off, &from, &run);
        if (rc == NRT_OK)
            rc = nrt_flash_erase(c, to);
        if (rc == NRT_OK)
            rc = nrt_flash_copy(c, from, to, run);
    }
    p->saved = p->position + 1;
    return rc;
}
