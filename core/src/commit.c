/* commit.c - what scratch holds goes to the bank: R2, and the end of every commit (docs/spec/statelog.md 5). It needs the log
 * and the flash alone, so that a power-up without file or plan can finish what another began. It must never look at a plan. */
#include "medium.h"
#include "statelog.h"

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
        rc = renew_part(c, &part, nrt_scratch_addr(c->layout, s, m->first, mine - 1));
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
