/* pending.c - stands in for geometry and nrt_old() until layout.c and old.c exist, so that the extension loads: refuses
 * everything. Weak: the real functions win. To be deleted with their arrival. */
#include "nrt.h"

__attribute__((weak)) uint32_t nrt_bank_size(const struct nrt_layout *l)
{
    (void)l;
    return 0;
}

__attribute__((weak)) uint32_t nrt_unit_count(const struct nrt_layout *l)
{
    (void)l;
    return 0;
}

__attribute__((weak)) int nrt_unit_span(const struct nrt_layout *l, uint32_t u, struct nrt_span *image)
{
    (void)l;
    (void)u;
    (void)image;
    return NRT_E_ARG;
}

__attribute__((weak)) int nrt_old(struct nrt_core *c, uint32_t image_off, uint8_t *buf, uint32_t len)
{
    (void)c;
    (void)image_off;
    (void)buf;
    (void)len;
    return NRT_E_GONE;
}

__attribute__((weak)) int nrt_sector_of(const struct nrt_layout *l, uint32_t addr, struct nrt_span *sector)
{
    (void)l;
    (void)addr;
    (void)sector;
    return NRT_E_ARG;
}
