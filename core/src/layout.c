/* layout.c - geometry: regions, spans, sectors, commit units (docs/spec/layout.md). Pure arithmetic over struct nrt_layout;
 * it must never touch flash. */
#include <string.h>

#include "layout.h"

uint32_t nrt_bank_size(const struct nrt_layout *l)
{
    uint32_t size = 0;
    for (uint32_t i = 0; i < l->n_bank; i++)
        size += l->bank[i].len;
    return size;
}

uint32_t nrt_leaf_count(uint32_t image_size, uint32_t leaf)
{
    return leaf == 0 ? 0 : image_size / leaf + (image_size % leaf != 0);
}

int nrt_sector_of(const struct nrt_layout *l, uint32_t addr, struct nrt_span *sector)
{
    for (uint32_t i = 0; i < l->n_regions; i++) {
        const struct nrt_region *r = &l->region[i];
        if (addr >= r->base && addr - r->base < r->size * r->count) {
            sector->base = r->base + (addr - r->base) / r->size * r->size;
            sector->len = r->size;
            return NRT_OK;
        }
    }
    return NRT_E_ARG;
}

int nrt_image_addr(const struct nrt_layout *l, uint32_t image_off, uint32_t *addr, uint32_t *run)
{
    struct nrt_span sector;
    for (uint32_t i = 0; i < l->n_bank; i++) {
        if (image_off < l->bank[i].len) {
            *addr = l->bank[i].base + image_off;
            int rc = nrt_sector_of(l, *addr, &sector);
            if (rc == NRT_OK)
                *run = sector.base + sector.len - *addr;
            return rc;
        }
        image_off -= l->bank[i].len;
    }
    return NRT_E_ARG;
}

/* ---- commit units -------------------------------------------------------------------------------------------------- */

/* The unit that starts at image offset `off`: whole groups until they fill whole sectors, or up to the end of the span. */
static int unit_at(const struct nrt_layout *l, uint32_t off, struct nrt_span *image, uint32_t *sectors)
{
    uint32_t base = 0;
    uint32_t i = 0;
    while (i < l->n_bank && off - base >= l->bank[i].len)
        base += l->bank[i++].len;
    if (i == l->n_bank || l->group == 0)
        return NRT_E_ARG;
    uint32_t end = base + l->bank[i].len;
    uint32_t at = off;
    *sectors = 0;
    do {
        uint32_t addr;
        uint32_t run;
        int rc = nrt_image_addr(l, at, &addr, &run);
        if (rc < 0)
            return rc;
        at += run;
        (*sectors)++;
    } while (at < end && (at - off) % l->group != 0);
    image->base = off;
    image->len = at - off;
    return NRT_OK;
}

uint32_t nrt_unit_count(const struct nrt_layout *l)
{
    struct nrt_span s = {0, 0};
    uint32_t n = 0;
    uint32_t sectors;
    for (uint32_t size = nrt_bank_size(l); s.base + s.len < size; n++)
        if (unit_at(l, s.base + s.len, &s, &sectors) < 0)
            return 0;
    return n;
}

uint32_t nrt_unit_most(const struct nrt_layout *l)
{
    struct nrt_span s = {0, 0};
    uint32_t most = 0;
    uint32_t sectors;
    for (uint32_t size = nrt_bank_size(l); s.base + s.len < size;) {
        if (unit_at(l, s.base + s.len, &s, &sectors) < 0)
            return 0;
        most = s.len > most ? s.len : most;
    }
    return most;
}

int nrt_unit_span(const struct nrt_layout *l, uint32_t u, struct nrt_span *image)
{
    struct nrt_span s = {0, 0};
    uint32_t sectors;
    do {
        int rc = unit_at(l, s.base + s.len, &s, &sectors);
        if (rc < 0)
            return rc;
    } while (u-- > 0);
    *image = s;
    return NRT_OK;
}

int nrt_unit_of(const struct nrt_layout *l, uint32_t image_off, uint32_t *unit, struct nrt_span *image)
{
    struct nrt_span s = {0, 0};
    uint32_t sectors;
    uint32_t u = 0;
    for (;; u++) {
        int rc = unit_at(l, s.base + s.len, &s, &sectors);
        if (rc < 0)
            return rc;
        if (image_off - s.base < s.len)
            break;
    }
    *unit = u;
    *image = s;
    return NRT_OK;
}

int nrt_unit_sector(const struct nrt_layout *l, const struct nrt_span *image, uint32_t i, struct nrt_span *part)
{
    uint32_t off = image->base;
    for (;;) {
        uint32_t addr;
        uint32_t run;
        if (off - image->base >= image->len)
            return NRT_E_ARG;
        int rc = nrt_image_addr(l, off, &addr, &run);
        if (rc < 0)
            return rc;
        if (i-- == 0) {
            part->base = off;
            part->len = run;
            return NRT_OK;
        }
        off += run;
    }
}

/* ---- scratch ------------------------------------------------------------------------------------------------------- */

/* Largest bank sector: what one slot of scratch holds. */
static uint32_t slot_size(const struct nrt_layout *l)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < l->n_bank; i++) {
        struct nrt_span s;
        for (uint32_t at = l->bank[i].base; at - l->bank[i].base < l->bank[i].len; at = s.base + s.len) {
            if (nrt_sector_of(l, at, &s) < 0)
                return 0;
            most = s.len > most ? s.len : most;
        }
    }
    return most;
}

int nrt_scratch_of(const struct nrt_layout *l, struct nrt_scratch *s)
{
    struct nrt_span sector;
    memset(s, 0, sizeof *s);
    if (l->scratch.len == 0 || nrt_sector_of(l, l->scratch.base, &sector) < 0)
        return NRT_E_SPACE;
    s->slot = slot_size(l);
    s->sector = sector.len;
    s->count = l->scratch.len / sector.len;
    s->per = s->slot == 0 ? 0 : sector.len / s->slot;
    return s->per == 0 ? NRT_E_SPACE : NRT_OK;
}

uint32_t nrt_most_sectors(const struct nrt_layout *l)
{
    uint32_t most = 0;
    struct nrt_span s = {0, 0};
    for (uint32_t size = nrt_bank_size(l); s.base + s.len < size;) {
        uint32_t sectors;
        if (unit_at(l, s.base + s.len, &s, &sectors) < 0 || sectors > NRT_UNIT_SECTORS)
            return NRT_UNIT_SECTORS + 1;
        most = sectors > most ? sectors : most;
    }
    return most;
}

uint32_t nrt_joint_most(const struct nrt_layout *l)
{
    struct nrt_scratch s;
    uint32_t most = nrt_most_sectors(l);
    if (most == 0 || most > NRT_UNIT_SECTORS || nrt_scratch_of(l, &s) < 0)
        return 1;
    uint32_t n = s.count / ((most + s.per - 1) / s.per);
    n = n < NRT_MAX_PARTS / most ? n : NRT_MAX_PARTS / most;
    n = n < NRT_MAX_JOINT ? n : NRT_MAX_JOINT;
    return n > 0 ? n : 1;
}
