/* rewrite.c - the rewrite itself, in scratch mode (docs/spec/statelog.md 5; resume mode: direct.c): decode whole commit units into scratch, check
 * their leaves, COMMIT, erase and program their sectors from scratch, DONE. It must never erase what the log has not committed,
 * never trust RAM for anything a cut may need, and never act on a figure of the plan that is not as it was proven. */
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

/* One unit's redo log is a struct nrt_member: taken out of the plan once, checked, and acted on as it was then. */

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
        rc = nrt_flash_erase(c, slot_addr(c->layout, &scratch, r->first, i * scratch.per));
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
    *addr = slot_addr(c->layout, &s, r->first, nrt_ones(r->mask & ((1u << i) - 1u))) + (off - part.base);
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
    if (rc == NRT_OK)
        rc = nrt_flash_copy(c, from, addr, len);
    return rc == NRT_OK ? nrt_flash_same(c, from, addr, len) : rc;
}

/* Once more where it fails: the write page may have forgotten a bit. What fails twice is the flash. */
static int renew_part(struct nrt_core *c, const struct nrt_span *part, uint32_t from)
{
    int rc = copy_part(c, part, from);
    return rc == NRT_E_FLASH ? copy_part(c, part, from) : rc;
}

/* The sectors of one unit; `slot` counts those of the whole commit. */
static int finish_member(struct nrt_core *c, const struct nrt_scratch *s, const struct nrt_member *m, uint32_t *slot)
{
    struct nrt_span unit;
    struct nrt_span part;
    uint32_t mine = 0;
    int rc = nrt_unit_span(c->layout, m->unit, &unit);
    for (uint32_t i = 0; rc == NRT_OK && mine < nrt_ones(m->mask); i++) {
        rc = nrt_unit_sector(c->layout, &unit, i, &part);
        if (rc < 0 || (m->mask & 1u << i) == 0)
            continue;
        mine++;
        if ((*slot)++ < c->log.parts)
            continue;
        rc = renew_part(c, &part, slot_addr(c->layout, s, m->first, mine - 1));
        if (rc == NRT_OK)
            rc = nrt_log_done(c, *slot);
    }
    return rc;
}

int nrt_finish_commit(struct nrt_core *c)
{
    struct nrt_scratch s;
    uint32_t slot = 0;
    int rc = nrt_scratch_of(c->layout, &s);
    for (uint32_t i = 0; rc == NRT_OK && i < nrt_members(c); i++)
        rc = finish_member(c, &s, nrt_member(c, i), &slot);
    /* A commit that changes nothing is done all the same. */
    return rc == NRT_OK && slot == 0 ? nrt_log_done(c, 0) : rc;
}

static uint32_t sectors_of(const struct nrt_scratch *s, uint32_t mask)
{
    return (nrt_ones(mask) + s->per - 1) / s->per;
}

/* Scratch sector where the next redo log begins: after the last one, so that all wear alike. */
static uint32_t next_first(const struct nrt_core *c, const struct nrt_plan *p, const struct nrt_scratch *s, uint32_t sectors)
{
    uint32_t first = c->facts.installs % p->ring;
    if (c->facts.commit > 0)
        first = c->log.last.first + sectors_of(s, c->log.last.mask);
    return first + sectors <= p->ring ? first : 0;
}

/* Units that are committed at once: those of plan positions k to `end` that change. */
struct batch {
    uint32_t n;
    uint32_t at[NRT_MAX_JOINT];            /* plan position */
    struct nrt_member member[NRT_MAX_JOINT];
};

/* What the plan says about these units, as it was proven. */
static int take_batch(struct nrt_core *c, const struct nrt_plan *p, uint32_t k, uint32_t end, struct batch *b)
{
    struct nrt_scratch s;
    uint32_t sectors = 0;
    int rc = nrt_scratch_of(c->layout, &s);
    b->n = 0;
    for (; rc == NRT_OK && k < end; k++) {
        uint32_t unit;
        rc = nrt_unpack_order(p->unpack, k, &unit);
        if (rc < 0 || unit >= p->n_units)
            return rc < 0 ? rc : NRT_E_DIGEST;
        if (p->changed[unit] == 0)
            continue;
        b->at[b->n] = k;
        b->member[b->n++] = (struct nrt_member){(uint16_t)unit, (uint16_t)sectors, p->changed[unit]};
        sectors += sectors_of(&s, p->changed[unit]);
    }
    uint32_t first = rc == NRT_OK ? next_first(c, p, &s, sectors) : 0;
    for (uint32_t i = 0; i < b->n; i++)
        b->member[i].first = (uint16_t)(b->member[i].first + first);
    return rc == NRT_OK ? nrt_plan_whole(c) : rc;
}

/* From here on what lies in scratch is the truth: all of these units, or none. */
static int commit(struct nrt_core *c, const struct batch *b, uint32_t end)
{
    int rc = NRT_OK;
    for (uint32_t i = 0; rc == NRT_OK && i + 1 < b->n; i++)
        rc = nrt_log_join(c, end - 1, &b->member[i]);
    return rc == NRT_OK ? nrt_log_commit(c, end - 1, &b->member[b->n - 1]) : rc;
}

static int rewrite_units(struct nrt_core *c, struct nrt_plan *p, uint32_t k, uint32_t end)
{
    struct batch b;
    p->position = k;
    int rc = make_saves(c, p);
    if (rc == NRT_OK)
        rc = take_batch(c, p, k, end, &b);
    if (rc < 0 || b.n == 0)
        return rc;
    for (uint32_t i = 0; rc == NRT_OK && i < b.n; i++) {
        p->position = b.at[i];
        rc = nrt_write_member(c, p, &b.member[i]);
    }
    if (rc == NRT_OK)
        rc = commit(c, &b, end);
    if (rc < 0)
        return rc;
    rc = nrt_finish_commit(c);
    if (rc == NRT_E_FLASH)
        (void)nrt_log_broken(c, NRT_WHY_FLASH);
    return rc;
}

static int rewrite_from(struct nrt_core *c, struct nrt_plan *p)
{
    /* Copies: where RAM forgets how far the plan goes, it would end early, and what is left half-done be judged as a bad bank. */
    const uint32_t end = p->header.n_order;
    const uint32_t step = p->header.joint;
    const uint32_t direct = p->header.resume;
    uint32_t k = p->from;
    int rc = nrt_plan_whole(c);
    if (rc == NRT_OK && p->header.slide != 0) {
        rc = nrt_slide(c, p);
        k = end;
    }
    for (; rc == NRT_OK && k < end; k += step)
        rc = direct ? nrt_rewrite_direct(c, p, k) : rewrite_units(c, p, k, step < end - k ? k + step : end);
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
        rc = nrt_log_plan(c, t, last_change(p), p->header.resume ? NRT_PLAN_RESUME : 0u);
    if (rc == NRT_OK)
        rc = rewrite_from(c, p);
    if (rc < 0 && c->facts.commit == 0)
        nrt_drop_plan(c);
    return rc;
}

int nrt_resume(struct nrt_core *c, const struct nrt_file *f, struct nrt_ram ram)
{
    struct nrt_target target = c->facts.target;
    int open = c->facts.commit > c->facts.done;
    if (c->facts.restoring || (c->facts.commit == 0 && !c->facts.hybrid) || (open && !c->facts.resume))
        return NRT_E_STATE;
    int rc = nrt_rehearse(c, f, &target, ram, open ? c->facts.commit - 1 : c->facts.done);
    if (rc == NRT_OK && c->port->ready != NULL)
        rc = c->port->ready(c->port->ctx);
    if (rc == NRT_OK)
        rc = nrt_log_settle(c);
    return rc == NRT_OK ? rewrite_from(c, c->plan) : rc;
}

int nrt_rescue(struct nrt_core *c, const struct nrt_file *f, const struct nrt_target *t, struct nrt_ram ram)
{
    const struct nrt_facts *facts = &c->facts;
    int began = facts->target.file_size != 0 && !facts->restoring && (facts->commit != 0 || facts->hybrid);
    if (!began || (facts->commit > facts->done && !facts->resume))
        return NRT_E_STATE;
    int rc = nrt_rehearse(c, f, t, ram, NRT_ON_HYBRID);
    if (rc == NRT_OK && c->port->ready != NULL)
        rc = c->port->ready(c->port->ctx);
    if (rc < 0)
        return rc;
    struct nrt_plan *p = c->plan;
    rc = nrt_log_plan(c, t, last_change(p), NRT_PLAN_HYBRID | (p->header.resume ? NRT_PLAN_RESUME : 0u));
    return rc == NRT_OK ? rewrite_from(c, p) : rc;
}
