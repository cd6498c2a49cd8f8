/* reach.c - where a plan keeps what says how far it goes: for tests, which must not know the layout of a struct by heart. */
#include <stddef.h>

#include "host.h"
#include "plan.h"

struct nrt_reach nrt_plan_reach(void)
{
    return (struct nrt_reach){
        .n_order = offsetof(struct nrt_plan, header.n_order),
        .from = offsetof(struct nrt_plan, from),
        .joint = offsetof(struct nrt_plan, header.joint),
        .slide = offsetof(struct nrt_plan, header.slide),
        .resume = offsetof(struct nrt_plan, header.resume),
        .n_saves = offsetof(struct nrt_plan, header.n_saves),
    };
}
