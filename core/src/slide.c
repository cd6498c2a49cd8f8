/* slide.c - the rewrite of a plan that slides (docs/spec/delta.md 4, docs/spec/statelog.md 5): each unit is decoded into scratch
 * while the one ahead of it is still old, then that one is committed and copied. It must never commit a unit before the
 * log says where the next one lies: from then on scratch is the only place its bytes can come from. */
#include "medium.h"
#include "plan.h"
#include "statelog.h"

/* The unit at plan position k as it was proven, in its half of scratch. */
static int member_at(const struct nrt_core *c, const struct nrt_plan *p, uint32_t k, struct nrt_member *m)
{
    uint32_t unit;
    int rc = nrt_unpack_order(p->unpack, k, &unit);
    if (rc < 0 || unit >= p->n_units)
        return rc < 0 ? rc : NRT_E_DIGEST;
    uint32_t half = ((k + c->facts.installs) & 1u) * (p->ring / 2);
    *m = (struct nrt_member){(uint16_t)unit, (uint16_t)half, p->changed[unit]};
    return nrt_plan_whole(c);
}

static int decode(struct nrt_core *c, struct nrt_plan *p, uint32_t k, struct nrt_member *m)
{
    int rc = member_at(c, p, k, m);
    p->position = k;
    return rc == NRT_OK ? nrt_write_member(c, p, m) : rc;
}

static int decode_ahead(struct nrt_core *c, struct nrt_plan *p, uint32_t k, struct nrt_member *m)
{
    int rc = decode(c, p, k, m);
    return rc == NRT_OK ? nrt_log_hold(c, k, m) : rc;
}

int nrt_slide(struct nrt_core *c, struct nrt_plan *p)
{
    /* Copies, as in rewrite_from(): RAM may forget them during the very first decoding. */
    const uint32_t end = p->header.n_order;
    const uint32_t from = p->from;
    const struct nrt_member *held = nrt_held(c, from);
    struct nrt_member now = {0, 0, 0};
    struct nrt_member next = {0, 0, 0};
    int rc = NRT_OK;
    if (from >= end)
        return NRT_OK;
    if (held != NULL)
        now = *held;
    else
        rc = from == 0 ? decode(c, p, 0, &now) : NRT_E_STATE;   /* what it reads may be gone */
    for (uint32_t k = from; rc == NRT_OK && k < end; k++) {
        if (k + 1 < end)
            rc = decode_ahead(c, p, k + 1, &next);
        if (rc == NRT_OK)
            rc = nrt_log_commit(c, k, &now);
        if (rc < 0)
            return rc;
        rc = nrt_finish_commit(c);
        if (rc == NRT_E_FLASH)
            (void)nrt_log_broken(c, NRT_WHY_FLASH);
        now = next;
    }
    return rc;
}
