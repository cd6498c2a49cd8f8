/* pending.c - stands in for geometry and plan until layout.c and plan.c exist, so that the extension loads: refuses
 * everything. Weak: the real functions win. To be deleted with their arrival. */
#include "plan.h"

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

__attribute__((weak)) int nrt_layout_check(const struct nrt_layout *l)
{
    (void)l;
    return NRT_E_STATE;
}

__attribute__((weak)) int nrt_image_addr(const struct nrt_layout *l, uint32_t image_off, uint32_t *addr, uint32_t *run)
{
    (void)l;
    (void)image_off;
    (void)addr;
    (void)run;
    return NRT_E_STATE;
}

__attribute__((weak)) int nrt_plan_open(struct nrt_core *c, const struct nrt_file *f, const struct nrt_target *t, struct nrt_ram ram, uint32_t from)
{
    (void)c;
    (void)f;
    (void)t;
    (void)ram;
    (void)from;
    return NRT_E_STATE;
}

__attribute__((weak)) int nrt_plan_mark(struct nrt_core *c, uint32_t off, const uint8_t *data, uint32_t len)
{
    (void)c;
    (void)off;
    (void)data;
    (void)len;
    return NRT_E_STATE;
}

__attribute__((weak)) int nrt_plan_budget(struct nrt_core *c)
{
    (void)c;
    return NRT_E_STATE;
}

__attribute__((weak)) uint32_t nrt_plan_room(const struct nrt_layout *l, uint32_t image_size)
{
    (void)l;
    (void)image_size;
    return 0;
}
