/* no_resume.c - in place of direct.c and hybrid.c where a model has scratch: nothing is rewritten from RAM, so that no sector is ever
 * open without a copy, and no file made for what a cut left of one is taken. */
#include "plan.h"

int nrt_torn(const struct nrt_core *c, struct nrt_span *image)
{
    (void)c;
    *image = (struct nrt_span){0, 0};
    return NRT_OK;
}

int nrt_rewrite_direct(struct nrt_core *c, struct nrt_plan *p, uint32_t k)
{
    (void)c, (void)p, (void)k;
    return NRT_E_FORMAT;
}

int nrt_hybrid_tag(struct nrt_core *c, uint32_t *tag)
{
    (void)c, (void)tag;
    return NRT_E_BASE;
}

int nrt_hybrid_digest(struct nrt_core *c, uint8_t out[NRT_SHORT])
{
    (void)c, (void)out;
    return NRT_E_STATE;
}
