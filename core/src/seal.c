/* seal.c - a check over the plan in the lent RAM: what was proven is what is acted on. It knows which parts of a plan may not
 * change after the proof; it must never touch flash. Leaves need no seal: one that forgot a bit fits nothing. */
#include <stddef.h>

#include "plan.h"

static uint32_t check_of(const struct nrt_plan *p)
{
    uint32_t crc = nrt_crc32(0, (const uint8_t *)p, (uint32_t)offsetof(struct nrt_plan, position));
    /* The pointers below are worth following only where the figures above are true. */
    if (p->proven && crc != p->head)
        return ~p->seal;
    crc = nrt_crc32(crc, (const uint8_t *)p->changed, p->n_units * 4u);
    crc = nrt_crc32(crc, (const uint8_t *)p->place, p->n_units * 2u);
    for (uint32_t i = 0; i < p->header.n_saves; i++) {
        struct nrt_save save;
        if (nrt_unpack_save(p->unpack, i, &save) < 0)
            return ~p->seal;
        crc = nrt_crc32(crc, (const uint8_t *)&save, sizeof save);
    }
    for (uint32_t k = 0; k < p->header.n_order; k++) {
        uint32_t unit;
        if (nrt_unpack_order(p->unpack, k, &unit) < 0)
            return ~p->seal;
        crc = nrt_crc32(crc, (const uint8_t *)&unit, sizeof unit);
    }
    return crc;
}

void nrt_plan_seal(struct nrt_core *c)
{
    struct nrt_plan *p = c->plan;
    p->head = nrt_crc32(0, (const uint8_t *)p, (uint32_t)offsetof(struct nrt_plan, position));
    p->seal = check_of(p);
    p->proven = 1;
}

int nrt_plan_whole(const struct nrt_core *c)
{
    const struct nrt_plan *p = c->plan;
    return p->proven && check_of(p) == p->seal ? NRT_OK : NRT_E_DIGEST;
}
