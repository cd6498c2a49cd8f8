/* old.c - the plan in RAM, and the only way to old bytes (docs/spec/layout.md 4). It knows which units are gone at the
 * position reached; it must never write flash. */
#include <string.h>

#include "medium.h"
#include "plan.h"

#define ALIGNED(n) (((n) + 7u) & ~(uint32_t)7u)
#define PLAN_ROOM 384u   /* the same on every machine, whatever its pointers are */
#define CHUNK 64u

_Static_assert(sizeof(struct nrt_plan) <= PLAN_ROOM, "PLAN_ROOM is too small");

static struct nrt_plan *plan_of(const struct nrt_core *c)
{
    return (struct nrt_plan *)c->plan;
}

uint32_t nrt_plan_room(const struct nrt_layout *l, uint32_t image_size)
{
    uint32_t units = nrt_unit_count(l);
    uint32_t leaves = nrt_leaf_count(image_size, l->leaf);
    return 8u + PLAN_ROOM + ALIGNED(leaves * NRT_SHORT) + ALIGNED(units * 4u) + ALIGNED(units * 2u);
}

/* ---- opening ------------------------------------------------------------------------------------------------------- */

static int lay_out(struct nrt_core *c, const struct nrt_target *t, struct nrt_ram ram)
{
    const struct nrt_layout *l = c->layout;
    uint32_t room = nrt_plan_room(l, t->image_size);
    uint32_t slack = (uint32_t)(-(uintptr_t)ram.mem & 7u);
    if (t->image_size == 0 || t->image_size > nrt_bank_size(l) || ram.len < room)
        return NRT_E_SPACE;
    uint8_t *at = ram.mem + slack;
    struct nrt_plan *p = (struct nrt_plan *)(void *)at;
    memset(p, 0, sizeof *p);
    p->target = *t;
    p->n_leaves = nrt_leaf_count(t->image_size, l->leaf);
    p->n_units = nrt_unit_count(l);
    p->leaves = at + PLAN_ROOM;
    p->changed = (uint32_t *)(void *)(p->leaves + ALIGNED(p->n_leaves * NRT_SHORT));
    p->place = (uint16_t *)(void *)((uint8_t *)p->changed + ALIGNED(p->n_units * 4u));
    p->workspace.mem = ram.mem + room;
    p->workspace.len = ram.len - room;
    memset(p->changed, 0, p->n_units * 4u);
    memset(p->place, 0xFF, p->n_units * 2u);
    c->plan = p;
    return NRT_OK;
}

static int take_order(struct nrt_core *c, struct nrt_plan *p)
{
    for (uint32_t k = 0; k < p->header.n_order; k++) {
        struct nrt_span image;
        uint32_t u;
        int rc = nrt_unpack_order(p->unpack, k, &u);
        if (rc < 0)
            return rc;
        if (u >= p->n_units || p->place[u] != NRT_NOT_PLANNED)
            return NRT_E_FORMAT;
        rc = nrt_unit_span(c->layout, u, &image);
        if (rc < 0 || image.base >= p->target.image_size)
            return NRT_E_FORMAT;
        p->place[u] = (uint16_t)k;
    }
    return NRT_OK;
}

/* What a cut left open is rewritten before anything else, so that never more than one sector is. */
static int take_torn(const struct nrt_core *c, struct nrt_plan *p)
{
    struct nrt_span unit;
    uint32_t u = 0;
    int rc = nrt_torn(c, &p->torn);
    if (rc < 0 || p->torn.len == 0)
        return rc;
    if (nrt_unit_of(c->layout, p->torn.base, &u, &unit) < 0 || p->place[u] != p->from || p->torn.base >= p->target.image_size)
        return NRT_E_FORMAT;
    return NRT_OK;
}

int nrt_plan_open(struct nrt_core *c, const struct nrt_file *f, const struct nrt_target *t, struct nrt_ram ram, uint32_t from)
{
    c->plan = NULL;
    int rc = lay_out(c, t, ram);
    if (rc < 0)
        return rc;
    struct nrt_plan *p = plan_of(c);
    rc = nrt_unpack_open(&p->unpack, c->layout, f, p->workspace);
    if (rc < 0)
        return rc;
    p->header = *nrt_unpack_info(p->unpack);
    p->lost = from != NRT_ON_HYBRID && c->facts.resume && c->facts.commit > c->facts.done ? c->log.last.unit : NRT_NO_UNIT;
    from = from == NRT_ON_HYBRID ? 0 : from;
    p->from = from;
    p->position = from;
    p->saved = from;
    if (p->header.new_size != t->image_size || p->header.old_size > nrt_bank_size(c->layout) || from > p->header.n_order)
        return NRT_E_FORMAT;
    if (from % p->header.joint != 0 && from != p->header.n_order)
        return NRT_E_FORMAT;   /* no commit ends there */
    rc = take_order(c, p);
    if (rc == NRT_OK)
        rc = take_torn(c, p);
    return rc < 0 || p->header.resume ? rc : nrt_check_saves(c, p);
}

/* ---- old bytes ------------------------------------------------------------------------------------------------------- */

static int unit_near(const struct nrt_layout *l, struct nrt_plan *p, uint32_t off)
{
    if (off - p->near.base < p->near.len)
        return NRT_OK;
    return nrt_unit_of(l, off, &p->near_unit, &p->near);
}

uint32_t nrt_plan_kept_from(const struct nrt_plan *p)
{
    if (p->header.slide != 0)
        return p->position > 0 ? p->position - 1u : 0;
    return p->position - p->position % p->header.joint;
}

int nrt_old(struct nrt_core *c, uint32_t image_off, uint8_t *buf, uint32_t len)
{
    struct nrt_plan *p = plan_of(c);
    if (p == NULL)
        return NRT_E_STATE;
    if (image_off > p->header.old_size || len > p->header.old_size - image_off)
        return NRT_E_GONE;
    while (len > 0) {
        struct nrt_span sector;
        uint32_t addr;
        uint32_t run;
        int rc = unit_near(c->layout, p, image_off);
        if (rc == NRT_OK)
            rc = nrt_image_addr(c->layout, image_off, &addr, &run);
        if (rc < 0)
            return rc;
        uint32_t place = p->place[p->near_unit];
        if (p->near_unit == p->lost || image_off - p->torn.base < p->torn.len)
            return NRT_E_GONE;
        if (place != NRT_NOT_PLANNED && place < nrt_plan_kept_from(p)) {
            if (nrt_sector_of(c->layout, addr, &sector) < 0)
                return NRT_E_ARG;
            uint32_t within = addr - sector.base;
            addr = sector.base;
            rc = nrt_saved_at(c, p, image_off - within, &addr);
            if (rc < 0)
                return rc;
            addr += within;
        }
        uint32_t n = run < len ? run : len;
        rc = nrt_flash_read(c, addr, buf, n);
        if (rc < 0)
            return rc;
        image_off += n;
        buf += n;
        len -= n;
    }
    return NRT_OK;
}

/* ---- what changes ---------------------------------------------------------------------------------------------------- */

/* 1 when the bank differs from `data`, or cannot be read. */
static int differs(const struct nrt_core *c, uint32_t addr, const uint8_t *data, uint32_t len)
{
    uint8_t have[CHUNK];
    for (uint32_t i = 0; i < len; i += CHUNK) {
        uint32_t n = len - i < CHUNK ? len - i : CHUNK;
        if (nrt_flash_read(c, addr + i, have, n) < 0 || memcmp(have, data + i, n) != 0)
            return 1;
    }
    return 0;
}

int nrt_plan_mark(struct nrt_core *c, uint32_t off, const uint8_t *data, uint32_t len)
{
    struct nrt_plan *p = plan_of(c);
    int rc = unit_near(c->layout, p, off);
    if (rc < 0)
        return rc;
    uint32_t *mask = &p->changed[p->near_unit];
    struct nrt_span part;
    for (uint32_t i = 0; len > 0; i++) {
        uint32_t addr;
        uint32_t run;
        if ((rc = nrt_unit_sector(c->layout, &p->near, i, &part)) < 0)
            return rc;
        if (off - part.base >= part.len)
            continue;
        if ((rc = nrt_image_addr(c->layout, off, &addr, &run)) < 0)
            return rc;
        uint32_t n = run < len ? run : len;
        int is_torn = off - p->torn.base < p->torn.len;   /* what it reads is no matter */
        if ((*mask & 1u << i) == 0 && (is_torn || differs(c, addr, data, n)))
            *mask |= 1u << i;
        off += n;
        data += n;
        len -= n;
    }
    return NRT_OK;
}

/* Scratch sectors that the units of plan positions k to `end` take at once; the changed sectors are added to n_changed. */
static int count_batch(struct nrt_plan *p, const struct nrt_scratch *s, uint32_t k, uint32_t end, uint32_t *erases)
{
    uint32_t sectors = 0;
    uint32_t changed = 0;
    for (; k < end; k++) {
        uint32_t unit;
        int rc = nrt_unpack_order(p->unpack, k, &unit);
        if (rc < 0)
            return rc;
        changed += nrt_ones(p->changed[unit]);
        sectors += (nrt_ones(p->changed[unit]) + s->per - 1) / s->per;
    }
    p->n_changed += changed;
    *erases += sectors;
    /* Two units lie in scratch at once where the plan slides: each has its half. */
    return sectors > (p->header.slide != 0 ? p->ring / 2 : p->ring) || changed > NRT_MAX_PARTS ? NRT_E_SPACE : NRT_OK;
}

int nrt_plan_budget(struct nrt_core *c)
{
    struct nrt_plan *p = plan_of(c);
    struct nrt_scratch s;
    uint32_t erases = p->header.n_saves;
    uint32_t step = p->header.joint;
    p->n_changed = 0;
    for (uint32_t u = 0; p->header.resume && u < p->n_units; u++)
        p->n_changed += nrt_ones(p->changed[u]);
    if (p->header.resume)
        return NRT_OK;
    int rc = nrt_scratch_of(c->layout, &s);
    for (uint32_t k = p->from; rc == NRT_OK && k < p->header.n_order; k += step)
        rc = count_batch(p, &s, k, step < p->header.n_order - k ? k + step : p->header.n_order, &erases);
    if (rc < 0)
        return rc;
    /* After a cut only the rest is rewritten: the whole was within the budget when the plan was taken. */
    return p->from == 0 && erases > p->n_changed && p->header.n_saves > 0 ? NRT_E_SPACE : NRT_OK;
}
