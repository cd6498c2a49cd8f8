/* need.c - how much RAM an update takes, the one answer for server and terminal (docs/spec/need.md). It knows sizes only. */
#include "plan.h"

#define NEVER 0xFFFFFFFFu

uint32_t nrt_need(const struct nrt_layout *l, uint32_t image_size, uint32_t file_size, uint32_t workspace, int staged_in_ram)
{
    uint64_t n;
    if (nrt_layout_check(l) < 0 || image_size == 0 || image_size > nrt_bank_size(l) || (l->scratch.len == 0 && !l->resume))
        return NEVER;
    n = (uint64_t)nrt_plan_room(l, image_size) + workspace;
    if (staged_in_ram != 0)
        n += (uint64_t)file_size + nrt_parity_size(file_size);
    return n < NEVER ? (uint32_t)n : NEVER;
}
