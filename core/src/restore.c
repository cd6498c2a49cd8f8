/* restore.c - the restoration package on its way into the bank (docs/spec/restoration.md). It knows the order: header proven,
 * log written, leaf proven, unit opened, programmed, done, judged. It must never program a byte whose leaf is not proven. */
#include <string.h>

#include "medium.h"
#include "statelog.h"

/* Package (docs/spec/restoration.md): 16 bytes {magic 4, envelope length 2, zero 2, leaf 4, image size 4}, big-endian,
 * then envelope, leaf list, image. */
#define FIXED 16u
#define MAX_ENVELOPE 350u
static const uint8_t MAGIC[4] = {'N', 'R', 'P', 1};

enum { IDLE = 0, IN_FIXED, IN_HEADER, IN_BODY, WHOLE };

static uint32_t number(const uint8_t *p, uint32_t n)
{
    uint32_t value = 0;
    for (uint32_t i = 0; i < n; i++)
        value = (value << 8) | p[i];
    return value;
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* The wire writes only where no image can be booted, or where a plan is open. */
static int allowed(const struct nrt_facts *f)
{
    return f->restoring || f->broken || f->target.file_size != 0 || f->installed.size == 0;
}

/* The log says that exactly this upload was begun and not finished. */
static int is_open(const struct nrt_facts *f, const struct nrt_target *t)
{
    static const uint8_t none[NRT_SHORT] = {0};
    return f->restoring && memcmp(t->file, none, NRT_SHORT) != 0 && memcmp(f->target.file, t->file, NRT_SHORT) == 0 &&
           memcmp(f->target.envelope, t->envelope, NRT_SHORT) == 0 && f->target.file_size == t->file_size;
}

/* Nothing of this upload is kept; the next one begins at its first byte. */
static int refuse(struct nrt_restore *r, int result)
{
    r->phase = IDLE;
    r->total = 0;
    r->next = 0;
    return result;
}

int nrt_restore_begin(struct nrt_restore *r, struct nrt_core *c, const struct nrt_birth *b, struct nrt_ram ram,
                      const uint8_t upload[NRT_DIGEST], uint32_t total)
{
    memset(r, 0, sizeof *r);
    if (!allowed(&c->facts))
        return NRT_E_STATE;
    if (ram.len < FIXED)
        return NRT_E_SPACE;
    r->core = c;
    r->birth = b;
    r->ram = ram;
    r->total = total;
    memcpy(r->upload, upload, NRT_DIGEST);
    r->header = FIXED;
    r->phase = IN_FIXED;
    return NRT_OK;
}

/* ---- header -------------------------------------------------------------------------------------------------------- */

static int take_fixed(struct nrt_restore *r)
{
    const struct nrt_layout *l = r->core->layout;
    const uint8_t *p = r->ram.mem;
    uint32_t envelope = number(p + 4, 2);
    uint32_t leaf = number(p + 8, 4);
    uint32_t size = number(p + 12, 4);
    if (memcmp(p, MAGIC, 4) != 0 || envelope == 0 || envelope > MAX_ENVELOPE || number(p + 6, 2) != 0 || leaf != l->leaf ||
        size == 0)
        return NRT_E_FORMAT;
    if (size > nrt_bank_size(l))
        return NRT_E_SPACE;
    uint32_t list = nrt_leaf_count(size, leaf) * NRT_SHORT;
    r->header = FIXED + envelope + list;
    if (r->total < r->header || r->total - r->header != size)
        return NRT_E_FORMAT;
    if (r->ram.len < r->header || r->ram.len - list < leaf)
        return NRT_E_SPACE;
    r->target.image_size = size;
    r->phase = IN_HEADER;
    return NRT_MORE;
}

/* G1 and the leaf list against the envelope. Nothing is written. */
static int check_header(struct nrt_restore *r)
{
    struct nrt_core *c = r->core;
    struct nrt_envelope e;
    uint8_t leaves[NRT_DIGEST];
    uint32_t size = r->target.image_size;
    uint32_t list = nrt_leaf_count(size, c->layout->leaf) * NRT_SHORT;
    uint32_t envelope = r->header - FIXED - list;
    const uint8_t *at = r->ram.mem + FIXED;
    int rc = nrt_envelope_read(c->port, at, envelope, r->birth->release, r->birth->n_release, &e);
    if (rc == NRT_OK)
        rc = nrt_gate_envelope(&e, r->birth->vendor, r->birth->klass, &c->facts);
    if (rc != NRT_OK)
        return rc;
    if (e.image_size != size || e.leaf != c->layout->leaf)
        return NRT_E_FORMAT;
    nrt_sha256(at + envelope, list, leaves);
    if (memcmp(leaves, e.leaves, NRT_DIGEST) != 0)
        return NRT_E_DIGEST;
    nrt_envelope_target(&e, &r->target);
    memcpy(r->target.file, r->upload, NRT_SHORT);
    r->target.file_size = r->total;
    r->target.serial = 0;
    memmove(r->ram.mem, at + envelope, list);
    return NRT_OK;
}

/* ---- leaves -------------------------------------------------------------------------------------------------------- */

static uint8_t *leaf_buffer(const struct nrt_restore *r)
{
    return r->ram.mem + nrt_leaf_count(r->target.image_size, r->core->layout->leaf) * NRT_SHORT;
}

/* Whether the buffer, filled up to a whole leaf, is leaf `index` of the signed list. */
static int leaf_is(const struct nrt_restore *r, uint32_t index, uint32_t held)
{
    uint8_t *buffer = leaf_buffer(r);
    uint8_t digest[NRT_DIGEST];
    memset(buffer + held, 0xFF, r->core->layout->leaf - held);
    nrt_sha256(buffer, r->core->layout->leaf, digest);
    return memcmp(digest, r->ram.mem + index * NRT_SHORT, NRT_SHORT) == 0;
}

static int read_image(struct nrt_core *c, uint32_t off, uint8_t *out, uint32_t len)
{
    while (len) {
        uint32_t addr = 0;
        uint32_t run = 0;
        int rc = nrt_image_addr(c->layout, off, &addr, &run);
        run = least(run, len);
        if (rc == NRT_OK)
            rc = nrt_flash_read(c, addr, out, run);
        if (rc != NRT_OK)
            return rc;
        off += run;
        out += run;
        len -= run;
    }
    return NRT_OK;
}

/* How much of the image, from its start, the bank holds already: whole leaves of whole units that are DONE. */
static int units_held(struct nrt_restore *r, uint32_t done, uint32_t *held)
{
    uint32_t leaf = r->core->layout->leaf;
    uint32_t size = r->target.image_size;
    struct nrt_span unit = {0, 0};
    *held = 0;
    if (done == 0)
        return NRT_OK;
    int rc = nrt_unit_span(r->core->layout, done - 1u, &unit);
    if (rc != NRT_OK)
        return rc;
    uint32_t end = least(unit.base + unit.len, size);
    for (uint32_t off = 0; off < end; off += leaf) {
        uint32_t len = least(leaf, size - off);
        if (off + len > end)
            break; /* reaches into the next unit: it is sent again */
        if (read_image(r->core, off, leaf_buffer(r), len) != NRT_OK || !leaf_is(r, off / leaf, len))
            return NRT_E_DIGEST; /* a unit that was DONE has rotted */
        *held = off + len;
    }
    return NRT_OK;
}

/* ---- flash --------------------------------------------------------------------------------------------------------- */

/* Every sector of the unit that holds bytes of the image. */
static int erase_unit(struct nrt_core *c, uint32_t unit, uint32_t size)
{
    struct nrt_span span;
    int rc = nrt_unit_span(c->layout, unit, &span);
    for (uint32_t off = span.base; rc == NRT_OK && off < span.base + span.len && off < size;) {
        uint32_t addr = 0;
        uint32_t run = 0;
        struct nrt_span sector;
        rc = nrt_image_addr(c->layout, off, &addr, &run);
        if (rc == NRT_OK)
            rc = nrt_sector_of(c->layout, addr, &sector);
        if (rc == NRT_OK)
            rc = nrt_flash_erase(c, sector.base);
        off += run;
    }
    return rc;
}

static int program_page(struct nrt_core *c, uint32_t addr, const uint8_t *data, uint32_t len)
{
    uint32_t unit = c->layout->write_unit;
    uint32_t whole = (len + unit - 1u) / unit * unit;
    memset(c->page, c->layout->erased, whole);
    memcpy(c->page, data, len);
    return nrt_all_erased(c->layout, c->page, whole) ? NRT_OK : nrt_flash_program(c, addr, c->page, whole);
}

static int program_image(struct nrt_core *c, uint32_t off, const uint8_t *data, uint32_t len)
{
    while (len) {
        uint32_t addr = 0;
        uint32_t run = 0;
        int rc = nrt_image_addr(c->layout, off, &addr, &run);
        run = least(least(run, len), c->layout->page - addr % c->layout->page);
        if (rc == NRT_OK)
            rc = program_page(c, addr, data, run);
        if (rc != NRT_OK)
            return rc;
        off += run;
        data += run;
        len -= run;
    }
    return NRT_OK;
}

/* Writes a proven leaf into the units it lies in: OPEN before a unit's erase, DONE behind its last byte. */
static int write_leaf(struct nrt_restore *r, uint32_t off, uint32_t len)
{
    struct nrt_core *c = r->core;
    uint32_t end = off + len;
    while (off < end) {
        uint32_t unit = c->facts.done;
        struct nrt_span span;
        int rc = nrt_unit_span(c->layout, unit, &span);
        if (rc != NRT_OK)
            return rc;
        uint32_t stop = least(span.base + span.len, r->target.image_size);
        uint32_t from = off < span.base ? span.base : off; /* below it: a unit that is DONE */
        uint32_t to = least(stop, end);
        if (from >= to)
            return NRT_OK;
        if (r->unit != unit + 1u) {
            rc = nrt_log_commit(c, unit, &(struct nrt_member){(uint16_t)unit, 0, 1});
            if (rc == NRT_OK)
                rc = erase_unit(c, unit, r->target.image_size);
            if (rc != NRT_OK)
                return rc;
            r->unit = unit + 1u;
        }
        rc = program_image(c, from, leaf_buffer(r) + (from - (end - len)), to - from);
        if (rc == NRT_OK && to == stop)
            rc = nrt_log_done(c, 1);
        if (rc != NRT_OK)
            return rc;
        off = to;
    }
    return NRT_OK;
}

/* ---- the course of an upload --------------------------------------------------------------------------------------- */

static int judge(struct nrt_restore *r)
{
    int rc = nrt_judge(r->core);
    if (rc == NRT_OK)
        r->phase = WHOLE;
    return rc;
}

/* R0 for a rewrite in resume mode that this restoration takes the place of. */
static int erase_torn(struct nrt_core *c)
{
    struct nrt_span torn;
    uint32_t addr = 0;
    uint32_t run = 0;
    int rc = nrt_torn(c, &torn);
    if (rc != NRT_OK || torn.len == 0)
        return rc;
    rc = nrt_image_addr(c->layout, torn.base, &addr, &run);
    return rc == NRT_OK ? nrt_flash_erase(c, addr) : rc;
}

/* A restoration begins anew: the log says so before the bank is touched. */
static int note_begin(struct nrt_restore *r)
{
    struct nrt_core *c = r->core;
    struct nrt_span span;
    uint32_t last = 0;
    int rc = nrt_unit_of(c->layout, r->target.image_size - 1u, &last, &span);
    if (rc == NRT_OK)
        rc = c->log.mounted ? nrt_log_settle(c) : nrt_log_create(c); /* lost with the log: the floor */
    /* R0: the unit a cut left open is erased again before the log forgets that it was open. */
    if (rc == NRT_OK && c->facts.restoring && c->facts.commit > c->facts.done)
        rc = erase_unit(c, c->facts.commit - 1u, nrt_bank_size(c->layout));
    if (rc == NRT_OK)
        rc = erase_torn(c);
    return rc == NRT_OK ? nrt_log_plan(c, &r->target, last + 1u, NRT_PLAN_RESTORING) : rc;
}

/* The first flash this upload writes: everything before it was checking. */
static int open_restoration(struct nrt_restore *r)
{
    struct nrt_core *c = r->core;
    uint32_t held = 0;
    if (!allowed(&c->facts))
        return NRT_E_STATE; /* since the first byte of this upload the bank has become whole in another way */
    if (!is_open(&c->facts, &r->target) || units_held(r, c->facts.done, &held) != NRT_OK) {
        int rc = note_begin(r);
        if (rc != NRT_OK)
            return rc;
        held = 0;
    }
    r->next = r->header + held;
    r->unit = 0;
    r->fill = 0;
    r->phase = IN_BODY;
    return r->next == r->total ? judge(r) : NRT_MORE;
}

static int take_header(struct nrt_restore *r, const uint8_t *data, uint32_t len)
{
    uint32_t n = least(len, r->header - r->next);
    memcpy(r->ram.mem + r->next, data, n);
    r->next += n;
    if (r->next < r->header)
        return NRT_MORE;
    if (r->phase == IN_FIXED)
        return take_fixed(r);
    int rc = check_header(r);
    return rc == NRT_OK ? open_restoration(r) : rc;
}

static int take_body(struct nrt_restore *r, const uint8_t *data, uint32_t len)
{
    uint32_t leaf = r->core->layout->leaf;
    uint32_t off = r->next - r->header - r->fill; /* of the leaf that is being filled */
    uint32_t whole = least(leaf, r->target.image_size - off);
    uint32_t n = least(len, whole - r->fill);
    memcpy(leaf_buffer(r) + r->fill, data, n);
    r->fill += n;
    r->next += n;
    if (r->fill < whole)
        return NRT_MORE;
    r->fill = 0;
    if (!leaf_is(r, off / leaf, whole)) {
        r->next -= whole; /* not a byte of it was written; it is wanted again */
        return NRT_E_DIGEST;
    }
    int rc = write_leaf(r, off, whole);
    if (rc != NRT_OK)
        return refuse(r, rc);
    return r->next == r->total ? judge(r) : NRT_MORE;
}

int nrt_restore_take(struct nrt_restore *r, const uint8_t *data, uint32_t len)
{
    if (r->phase == WHOLE)
        return NRT_OK;
    if (r->phase == IDLE)
        return NRT_E_STATE;
    if (len > r->total - r->next)
        return refuse(r, NRT_E_ARG);
    uint32_t start = r->next;
    int rc = NRT_MORE;
    /* `next` may jump ahead over what the bank holds: the rest of these bytes is then passed over. */
    while (rc == NRT_MORE && r->next < start + len) {
        uint32_t at = r->next - start;
        if (r->phase == IN_BODY) {
            rc = take_body(r, data + at, len - at);
        } else {
            rc = take_header(r, data + at, len - at);
            if (rc < 0)
                return refuse(r, rc);
        }
    }
    return rc;
}
