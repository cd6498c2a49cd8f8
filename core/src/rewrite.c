/* rewrite.c - the rewrite itself, in scratch mode (docs/spec/statelog.md 6): decode a whole commit unit into scratch, check
 * its leaves, COMMIT, erase and program its sectors from scratch, DONE. It must never erase what the log has not committed,
 * and never trust RAM for anything a cut may need. */
#include <string.h>

#include "medium.h"
#include "plan.h"
#include "statelog.h"

/* Takes a unit's decoded bytes: leaves are compared with those the rehearsal proved, changed sectors go to scratch. */
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
    struct nrt_sha256 leaf;
};

static uint32_t ones(uint32_t mask)
{
    uint32_t n = 0;
    for (; mask != 0; mask &= mask - 1)
        n++;
    return n;
}

/* Flash address of the i-th slot of a run of scratch sectors. */
static uint32_t slot_addr(const struct nrt_layout *l, const struct nrt_scratch *s, uint32_t first, uint32_t i)
{
    return l->scratch.base + (first + i / s->per) * s->sector + i % s->per * s->slot;
}

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
    return nrt_flash_program(c, slot_addr(l, &scratch, s->first, s->slot) + at, c->page, whole);
}

static int close_leaf(struct spill *s)
{
    const struct nrt_layout *l = s->core->layout;
    static const uint8_t pad = 0xFF;
    uint8_t digest[NRT_DIGEST];
    uint32_t index = (s->off - 1) / l->leaf;
    for (uint32_t i = s->off; i % l->leaf != 0; i++)
        nrt_sha256_add(&s->leaf, &pad, 1);
    nrt_sha256_end(&s->leaf, digest);
    nrt_sha256_init(&s->leaf);
    return memcmp(digest, s->plan->leaves + index * NRT_SHORT, NRT_SHORT) == 0 ? NRT_OK : NRT_E_DIGEST;
}

/* Bytes that end at the next page, sector or leaf boundary, whichever comes first. */
static uint32_t stretch(const struct spill *s, uint32_t len)
{
    const struct nrt_layout *l = s->core->layout;
    uint32_t within = s->off - s->part.base;
    uint32_t n = l->page - within % l->page;
    uint32_t leaf = l->leaf - s->off % l->leaf;
    n = n < leaf ? n : leaf;
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
    nrt_sha256_add(&s->leaf, data, n);
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
    if (rc == NRT_OK && (s->off % l->leaf == 0 || last))
        rc = close_leaf(s);
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

/* Redo log of one unit: everything its sectors will hold lies in scratch, checked. */
static int decode_unit(struct nrt_core *c, struct nrt_plan *p, uint32_t u, uint32_t first)
{
    struct spill s;
    struct nrt_scratch scratch;
    memset(&s, 0, sizeof s);
    s.core = c;
    s.plan = p;
    s.first = first;
    s.mask = p->changed[u];
    int rc = nrt_scratch_of(c->layout, &scratch);
    if (rc == NRT_OK)
        rc = nrt_unit_span(c->layout, u, &s.unit);
    if (rc == NRT_OK)
        rc = nrt_unit_sector(c->layout, &s.unit, 0, &s.part);
    for (uint32_t i = 0; rc == NRT_OK && i * scratch.per < ones(s.mask); i++)
        rc = nrt_flash_erase(c, slot_addr(c->layout, &scratch, first, i * scratch.per));
    if (rc < 0)
        return rc;
    s.off = s.unit.base;
    nrt_sha256_init(&s.leaf);
    struct nrt_sink sink = {&s, spill_put};
    rc = nrt_unpack_unit(p->unpack, c, p->position, sink);
    if (rc < 0)
        return rc;
    uint32_t end = s.unit.base + s.unit.len;
    return s.off == (end < p->target.image_size ? end : p->target.image_size) ? NRT_OK : NRT_E_FORMAT;
}

static int make_saves(struct nrt_core *c, struct nrt_plan *p)
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
        uint32_t to = c->layout->scratch.base + (p->ring + i) * s.sector;
        rc = nrt_image_addr(c->layout, save.image_off, &from, &run);
        if (rc == NRT_OK)
            rc = nrt_flash_erase(c, to);
        if (rc == NRT_OK)
            rc = nrt_flash_copy(c, from, to, run);
    }
    p->saved = p->position + 1;
    return rc;
}

/* ---- commit and copy ------------------------------------------------------------------------------------------------- */

static int copy_part(struct nrt_core *c, const struct nrt_span *part, uint32_t from)
{
    uint32_t size = c->facts.target.image_size;
    uint32_t len = part->base + part->len <= size ? part->len : size - part->base;
    uint32_t addr;
    uint32_t run;
    int rc = nrt_image_addr(c->layout, part->base, &addr, &run);
    if (rc == NRT_OK)
        rc = nrt_flash_erase(c, addr);
    return rc == NRT_OK ? nrt_flash_copy(c, from, addr, len) : rc;
}

int nrt_finish_unit(struct nrt_core *c)
{
    struct nrt_scratch s;
    struct nrt_span unit;
    struct nrt_span part;
    uint32_t slot = 0;
    int rc = nrt_scratch_of(c->layout, &s);
    if (rc == NRT_OK)
        rc = nrt_unit_span(c->layout, c->log.unit, &unit);
    for (uint32_t i = 0; rc == NRT_OK && slot < ones(c->log.mask); i++) {
        rc = nrt_unit_sector(c->layout, &unit, i, &part);
        if (rc < 0 || (c->log.mask & 1u << i) == 0)
            continue;
        if (slot++ < c->log.parts)
            continue;
        rc = copy_part(c, &part, slot_addr(c->layout, &s, c->log.first, slot - 1));
        if (rc == NRT_OK)
            rc = nrt_log_done(c, slot);
    }
    return rc;
}

/* Scratch sector where the next unit's redo log begins: after the last one, so that all wear alike. */
static uint32_t next_first(const struct nrt_core *c, const struct nrt_plan *p, const struct nrt_scratch *s, uint32_t sectors)
{
    uint32_t first = c->facts.installs % p->ring;
    if (c->facts.commit > 0)
        first = c->log.first + (ones(c->log.mask) + s->per - 1) / s->per;
    return first + sectors <= p->ring ? first : 0;
}

static int rewrite_unit(struct nrt_core *c, struct nrt_plan *p, uint32_t k)
{
    struct nrt_scratch s;
    uint32_t u;
    p->position = k;
    int rc = make_saves(c, p);
    if (rc == NRT_OK)
        rc = nrt_scratch_of(c->layout, &s);
    if (rc == NRT_OK)
        rc = nrt_unpack_order(p->unpack, k, &u);
    if (rc < 0 || p->changed[u] == 0)
        return rc;
    uint32_t first = next_first(c, p, &s, (ones(p->changed[u]) + s.per - 1) / s.per);
    rc = decode_unit(c, p, u, first);
    if (rc == NRT_OK)
        rc = nrt_log_commit(c, k, u, first, p->changed[u]);
    if (rc < 0)
        return rc;
    rc = nrt_finish_unit(c);
    if (rc == NRT_E_FLASH)
        (void)nrt_log_broken(c, NRT_WHY_FLASH);
    return rc;
}

static int rewrite_from(struct nrt_core *c, struct nrt_plan *p)
{
    int rc = NRT_OK;
    for (uint32_t k = p->from; rc == NRT_OK && k < p->header.n_order; k++)
        rc = rewrite_unit(c, p, k);
    c->plan = NULL;
    return rc == NRT_OK ? nrt_judge(c) : rc;
}

/* Positions up to and including the last that changes a sector. */
static uint32_t last_change(const struct nrt_plan *p)
{
    uint32_t units = 0;
    for (uint32_t u = 0; u < p->n_units; u++)
        if (p->place[u] != NRT_NOT_PLANNED && p->changed[u] != 0 && p->place[u] + 1u > units)
            units = p->place[u] + 1u;
    return units;
}

static int is_proven(const struct nrt_core *c, const struct nrt_target *t, uint32_t from)
{
    const struct nrt_plan *p = c->plan;
    return p != NULL && p->proven && p->from == from && memcmp(&p->target, t, sizeof *t) == 0;
}

int nrt_rewrite(struct nrt_core *c, const struct nrt_file *f, const struct nrt_target *t, struct nrt_ram ram)
{
    (void)f;
    (void)ram;
    if (!is_proven(c, t, 0) || c->facts.commit != 0)
        return NRT_E_STATE;
    struct nrt_plan *p = c->plan;
    int rc = c->port->ready == NULL ? NRT_OK : c->port->ready(c->port->ctx);
    if (rc == NRT_OK)
        rc = nrt_log_plan(c, t, last_change(p), 0);
    return rc == NRT_OK ? rewrite_from(c, p) : rc;
}

int nrt_resume(struct nrt_core *c, const struct nrt_file *f, struct nrt_ram ram)
{
    struct nrt_target target = c->facts.target;
    if (c->facts.restoring || c->facts.commit == 0 || c->facts.commit != c->facts.done)
        return NRT_E_STATE;
    int rc = nrt_rehearse(c, f, &target, ram, c->facts.done);
    if (rc == NRT_OK && c->port->ready != NULL)
        rc = c->port->ready(c->port->ctx);
    if (rc == NRT_OK)
        rc = nrt_log_settle(c);
    return rc == NRT_OK ? rewrite_from(c, c->plan) : rc;
}
