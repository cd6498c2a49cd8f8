/* direct.c - one commit unit rewritten in resume mode (docs/spec/statelog.md 6): decoded into RAM, its leaves checked, COMMIT,
 * then for each sector erase, program from RAM, DONE. It knows that a cut loses what RAM held: it must never erase a second
 * sector before the first is DONE, and never erase a sector twice but the one a cut left open. */
#include <string.h>

#include "medium.h"
#include "plan.h"
#include "statelog.h"

#define CHUNK 64u

/* Takes a unit's decoded bytes. */
struct fill {
    uint8_t *room;
    uint32_t len;
    uint32_t end;   /* bytes of the unit that lie inside the image */
};

static int fill_put(void *ctx, const uint8_t *data, uint32_t len)
{
    struct fill *f = ctx;
    if (len > f->end - f->len)
        return NRT_E_BOUND;
    memcpy(f->room + f->len, data, len);
    f->len += len;
    return NRT_OK;
}

/* Bytes of [base, base + len) inside the new image. */
static uint32_t inside(const struct nrt_plan *p, uint32_t base, uint32_t len)
{
    uint32_t size = p->target.image_size;
    return base >= size ? 0 : len < size - base ? len : size - base;
}

/* ---- in RAM ---------------------------------------------------------------------------------------------------------- */

static int decode(struct nrt_core *c, struct nrt_plan *p, const struct nrt_span *unit, uint8_t *room)
{
    struct fill f = {room, 0, inside(p, unit->base, unit->len)};
    struct nrt_sink sink = {&f, fill_put};
    int rc = nrt_unpack_unit(p->unpack, c, p->position, sink);
    return rc < 0 ? rc : f.len == f.end ? NRT_OK : NRT_E_FORMAT;
}

/* `n` bytes at image offset `off`, from RAM or as the bank holds them. */
static int look(const struct nrt_core *c, const uint8_t *ram, uint32_t off, uint8_t *buf, uint32_t *n)
{
    uint32_t addr;
    uint32_t run;
    if (ram != NULL) {
        memcpy(buf, ram, *n);
        return NRT_OK;
    }
    int rc = nrt_image_addr(c->layout, off, &addr, &run);
    *n = *n < run ? *n : run;
    return rc == NRT_OK ? nrt_flash_read(c, addr, buf, *n) : rc;
}

/* The unit's leaves against the proven ones: as they lie in `room`, or, with NULL, in the bank. */
static int check(const struct nrt_core *c, const struct nrt_plan *p, const struct nrt_span *unit, const uint8_t *room)
{
    uint32_t leaf = c->layout->leaf;
    uint32_t end = inside(p, unit->base, unit->len);
    for (uint32_t at = 0; at < end; at += leaf) {
        struct nrt_sha256 sha;
        uint8_t digest[NRT_DIGEST];
        nrt_sha256_init(&sha);
        for (uint32_t i = 0; i < leaf;) {
            uint8_t buf[CHUNK];
            uint32_t n = CHUNK < leaf - i ? CHUNK : leaf - i;
            memset(buf, 0xFF, sizeof buf);
            if (at + i < end) {
                n = n < end - at - i ? n : end - at - i;
                int rc = look(c, room == NULL ? NULL : room + at + i, unit->base + at + i, buf, &n);
                if (rc < 0)
                    return rc;
            }
            nrt_sha256_add(&sha, buf, n);
            i += n;
        }
        nrt_sha256_end(&sha, digest);
        if (memcmp(digest, p->leaves + (unit->base + at) / leaf * NRT_SHORT, NRT_SHORT) != 0)
            return NRT_E_DIGEST;
    }
    return NRT_OK;
}

/* ---- in flash -------------------------------------------------------------------------------------------------------- */

static int program(struct nrt_core *c, uint32_t to, const uint8_t *from, uint32_t len)
{
    const struct nrt_layout *l = c->layout;
    for (uint32_t i = 0; i < len; i += l->page) {
        uint32_t n = len - i < l->page ? len - i : l->page;
        uint32_t whole = (n + l->write_unit - 1) / l->write_unit * l->write_unit;
        if (nrt_all_erased(l, from + i, n))
            continue;
        memcpy(c->page, from + i, n);
        memset(c->page + n, l->erased, whole - n);
        int rc = nrt_flash_program(c, to + i, c->page, whole);
        if (rc < 0)
            return rc;
    }
    return NRT_OK;
}

static int is_there(const struct nrt_core *c, uint32_t addr, const uint8_t *data, uint32_t len)
{
    uint8_t buf[CHUNK];
    for (uint32_t i = 0; i < len; i += CHUNK) {
        uint32_t n = len - i < CHUNK ? len - i : CHUNK;
        int rc = nrt_flash_read(c, addr + i, buf, n);
        if (rc < 0)
            return rc;
        if (memcmp(buf, data + i, n) != 0)
            return NRT_E_FLASH;
    }
    return NRT_OK;
}

static int put_part(struct nrt_core *c, uint32_t addr, const uint8_t *data, uint32_t len)
{
    int rc = nrt_flash_erase(c, addr);
    if (rc == NRT_OK)
        rc = program(c, addr, data, len);
    return rc == NRT_OK ? is_there(c, addr, data, len) : rc;
}

/* Once more where it fails: the write page may have forgotten a bit. What fails twice is the flash. */
static int renew_part(struct nrt_core *c, const struct nrt_plan *p, const struct nrt_span *part, const uint8_t *data)
{
    uint32_t addr;
    uint32_t run;
    int rc = nrt_image_addr(c->layout, part->base, &addr, &run);
    if (rc < 0)
        return rc;
    uint32_t len = inside(p, part->base, part->len);
    rc = put_part(c, addr, data, len);
    return rc == NRT_E_FLASH ? put_part(c, addr, data, len) : rc;
}

/* One sector at a time; before the last is DONE the whole unit is read back as it was proven. */
static int put_unit(struct nrt_core *c, const struct nrt_plan *p, const struct nrt_member *m, const struct nrt_span *unit,
                    const uint8_t *room)
{
    int rc = NRT_OK;
    for (uint32_t n = 0, i = nrt_member_sector(m, 0); rc == NRT_OK && i < NRT_UNIT_SECTORS; n++) {
        struct nrt_span part;
        rc = nrt_unit_sector(c->layout, unit, i, &part);
        if (rc == NRT_OK)
            rc = renew_part(c, p, &part, room + (part.base - unit->base));
        i = nrt_member_sector(m, n + 1);
        if (rc == NRT_OK && i == NRT_UNIT_SECTORS)
            rc = check(c, p, unit, NULL);
        if (rc == NRT_OK)
            rc = nrt_log_done(c, n + 1);
    }
    if (rc == NRT_E_FLASH)
        (void)nrt_log_broken(c, NRT_WHY_FLASH);
    return rc;
}

/* The index of the sector that a cut left open, where it lies in this unit; else 0. */
static uint16_t first_of(const struct nrt_core *c, uint32_t unit)
{
    uint8_t sector;
    return nrt_torn_at(c, &sector) == unit ? sector : 0;
}

int nrt_rewrite_direct(struct nrt_core *c, struct nrt_plan *p, uint32_t k)
{
    struct nrt_span unit;
    uint8_t *room = nrt_unpack_room(p->unpack);
    uint32_t u;
    p->position = k;
    int rc = nrt_unpack_order(p->unpack, k, &u);
    if (rc < 0 || u >= p->n_units)
        return rc < 0 ? rc : NRT_E_DIGEST;
    struct nrt_member m = {(uint16_t)u, first_of(c, u), p->changed[u]};
    rc = nrt_plan_whole(c);
    if (rc < 0 || m.mask == 0)
        return rc;
    rc = nrt_unit_span(c->layout, u, &unit);
    if (rc == NRT_OK)
        rc = decode(c, p, &unit, room);
    if (rc == NRT_OK)
        rc = check(c, p, &unit, room);
    if (rc == NRT_OK)
        rc = nrt_log_commit(c, k, &m);
    return rc == NRT_OK ? put_unit(c, p, &m, &unit, room) : rc;
}
