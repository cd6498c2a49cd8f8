/* no_saves.c - in place of saves.c: a file with saves is refused (NRT_E_FORMAT) before anything is erased. No server of ours has made
 * one since plans slide (decision 0250). */
#include "coder.h"
#include "plan.h"

int nrt_read_saves(struct nrt_reader *r, const struct nrt_header *h, struct nrt_save *saves)
{
    (void)r, (void)h, (void)saves;
    return NRT_E_FORMAT;
}

int nrt_check_saves(struct nrt_core *c, struct nrt_plan *p)
{
    struct nrt_scratch s;
    int rc = nrt_scratch_of(c->layout, &s);
    p->ring = s.count;
    return rc;
}

int nrt_saved_at(const struct nrt_core *c, const struct nrt_plan *p, uint32_t sector, uint32_t *addr)
{
    (void)c, (void)p, (void)sector, (void)addr;
    return NRT_E_GONE;
}

int nrt_make_saves(struct nrt_core *c, struct nrt_plan *p)
{
    (void)c, (void)p;
    return NRT_OK;
}
