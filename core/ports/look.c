/* look.c - what a chip holds, seen from outside: for the enumerator, which believes nobody. It must never write. */
#include <string.h>

#include "norstate.h"

#define LOOK 256u   /* bytes compared at once */

int nrt_bank_is(const struct nrt_nor *n, const uint8_t *image, uint32_t size)
{
    const struct nrt_layout *l = &n->layout;
    uint32_t at = 0;
    for (uint32_t i = 0; i < l->n_bank && at < size; i++) {
        uint32_t len = l->bank[i].len < size - at ? l->bank[i].len : size - at;
        if (memcmp(n->mem + (l->bank[i].base - n->base), image + at, len) != 0)
            return 0;
        for (uint32_t u = 0; n->ecc && u < len; u++)
            if (n->mark[(l->bank[i].base - n->base + u) / l->write_unit] & NOR_TORN)
                return 0;
        at += len;
    }
    return 1;
}

static int is_ours(const struct nrt_layout *l, uint32_t addr)
{
    int ours = addr - l->scratch.base < l->scratch.len || addr - l->log[0].base < l->log[0].len ||
               addr - l->log[1].base < l->log[1].len;
    for (uint32_t i = 0; i < l->n_bank; i++)
        ours |= addr - l->bank[i].base < l->bank[i].len;
    return ours;
}

int nrt_foreign_kept(const struct nrt_nor *n, const uint8_t *foreign)
{
    for (uint32_t off = 0; off < n->size; off += LOOK) {
        uint32_t len = n->size - off < LOOK ? n->size - off : LOOK;
        if (memcmp(n->mem + off, foreign + off, len) == 0)
            continue;
        for (uint32_t i = off; i < off + len; i++)
            if (n->mem[i] != foreign[i] && !is_ours(&n->layout, i + n->base))
                return 0;
    }
    return 1;
}
