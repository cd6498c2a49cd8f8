/* unpack.c - the update-file container (docs/spec/delta.md): header, order of commit units, saves, control table, frames.
 * It knows what every field may be and refuses the rest before a byte is decoded; it must never touch flash, and it reaches
 * old bytes only through its coders, which have nothing but nrt_old(). */
#include <string.h>

#include "coder.h"
#include "large.h"
#include "tiny.h"

#define FLAG_ADDRESS 0x01u
#define FLAG_SAVES 0x02u
#define FLAG_APART 0x04u
#define FLAG_JOINT 0x08u
#define FLAG_FLOW 0x10u
#define FLAG_RESUME 0x20u
#define FLAG_HYBRID 0x40u
#define FLAG_SLIDE 0x80u
#define WINDOWED (1u << NRT_PROFILE_SMALL | 1u << NRT_PROFILE_QUICK)

#define ALIGN 8u
#define ALIGNED(n) (((n) + (ALIGN - 1u)) & ~(uint32_t)(ALIGN - 1u))
/* The same figures on every machine, whatever its pointers are: the server computes with them too. */
#define STATE_ROOM 896u

_Static_assert(sizeof(struct nrt_unpack) <= STATE_ROOM, "STATE_ROOM is too small");
_Static_assert(sizeof(struct nrt_simple) <= NRT_MODEL_ROOM, "NRT_MODEL_ROOM is too small");
_Static_assert(sizeof(struct nrt_small) <= NRT_SMALL_ROOM, "NRT_SMALL_ROOM is too small");
_Static_assert(sizeof(struct nrt_large) <= NRT_LARGE_ROOM, "NRT_LARGE_ROOM is too small");
_Static_assert(sizeof(struct nrt_tiny) <= NRT_TINY_ROOM, "NRT_TINY_ROOM is too small");
_Static_assert(sizeof(struct nrt_segment) == 12 && sizeof(struct nrt_save) == 8, "tables are packed");

uint32_t nrt_profiles(void)
{
    uint32_t all = 0;
    for (uint32_t i = 0; i < NRT_PROFILES; i++)
        all |= (uint32_t)(nrt_coder_of(i) != NULL) << i;
    return all;
}

static uint32_t workspace_of(const struct nrt_header *h)
{
    uint32_t n = ALIGN + STATE_ROOM + ALIGNED(h->n_segments * 12u) + ALIGNED(h->n_saves * 8u) + ALIGNED(h->n_order * 2u) + ALIGNED(h->room);
    n += ALIGNED(nrt_coder_of(h->profile)->room + h->window);
    return h->profile >= NRT_PROFILE_SMALL ? n + ALIGNED(h->n_segments * 2u) : n;
}

/* ---- the header ---------------------------------------------------------------------------------------------------- */

static int read_bytes(struct nrt_reader *r, uint8_t *out, uint32_t len)
{
    while (len-- > 0) {
        int rc = nrt_reader_byte(r, out++);
        if (rc < 0)
            return rc;
    }
    return NRT_OK;
}

/* The layout's first unit is group << shift; 7 says nothing about it (units of several sizes). */
static int units_are(const struct nrt_layout *l, uint32_t group, uint32_t shift)
{
    struct nrt_span span;
    return shift == 7 || (nrt_unit_span(l, 0, &span) == NRT_OK && span.len == group << shift);
}

/* How the rewrite goes, and what it begins on. */
static int read_mode(const struct nrt_layout *l, uint32_t flags, struct nrt_header *h)
{
    h->apart = (flags & FLAG_APART) != 0;
    h->flow = NRT_HAS_FLOW && (flags & FLAG_FLOW) != 0;
    h->resume = (flags & FLAG_RESUME) != 0;
    h->hybrid = (flags & FLAG_HYBRID) != 0;
    h->slide = (flags & FLAG_SLIDE) != 0;
    h->joint = 1;
    h->room = h->resume ? nrt_unit_most(l) : 0;
    if (h->slide && (flags & (FLAG_SAVES | FLAG_APART | FLAG_JOINT | FLAG_RESUME | FLAG_HYBRID)) != 0)
        return NRT_E_FORMAT;
    int whole = (flags & (FLAG_SAVES | FLAG_APART)) == 0;
    return (h->resume && (!whole || (flags & FLAG_JOINT) != 0 || !l->resume)) || (h->hybrid && (!whole || h->flow)) ? NRT_E_FORMAT : NRT_OK;
}

/* The instruction set is linked here, or none is asked for; sections are profile 3's. */
static int isa_fits(const struct nrt_header *h)
{
    if (h->profile < NRT_PROFILE_SMALL || (h->sections != 0 && h->profile != NRT_PROFILE_LARGE))
        return h->isa == NRT_ISA_NONE && h->sections == 0;
    return h->isa == NRT_ISA_NONE || nrt_tongue(h->isa) != NULL;
}

/* Magic, profile, flags, address, sizes, CRC, group: everything before the order. */
static int read_fixed(const struct nrt_layout *l, struct nrt_reader *r, struct nrt_header *h, uint32_t *flags)
{
    uint8_t b[6];
    uint32_t room = nrt_bank_size(l);
    int rc = read_bytes(r, b, 6);
    if (rc < 0)
        return rc;
    if (memcmp(b, "NRU\1", 4) != 0)
        return NRT_E_FORMAT;
    h->profile = b[4] & 0x0Fu;
    h->isa = b[4] >> 4 & 7u;
    h->sections = b[4] >> 7;
    *flags = b[5];
    if (nrt_coder_of(h->profile) == NULL || !isa_fits(h))
        return NRT_E_FORMAT;
    if (h->profile == NRT_PROFILE_TINY && (*flags & (FLAG_FLOW | FLAG_SAVES)) != 0)
        return NRT_E_FORMAT;
    if ((rc = read_mode(l, *flags, h)) < 0 || ((*flags & FLAG_ADDRESS) != 0 && (rc = nrt_reader_varint(r, &h->address)) < 0))
        return rc;
    if (NRT_HAS_FLOW && h->flow != 0 && (rc = nrt_reader_varint(r, &h->window)) < 0)
        return rc;
    if (NRT_HAS_FLOW && h->window > ((WINDOWED >> h->profile & 1u) != 0 ? NRT_MAX_WINDOW : 0))
        return NRT_E_FORMAT;
    if ((rc = nrt_reader_varint(r, &h->old_size)) < 0 || (rc = nrt_reader_varint(r, &h->new_size)) < 0)
        return rc;
    if (h->old_size != 0 && (rc = read_bytes(r, b, 2)) < 0)
        return rc;
    h->base = h->old_size != 0 ? (uint32_t)b[0] | (uint32_t)b[1] << 8 : 0;
    if (NRT_HAS_FLOW && h->flow != 0 && (h->profile < NRT_PROFILE_SMALL || (h->profile == NRT_PROFILE_LARGE && h->apart == 0 && h->old_size != 0)))
        return NRT_E_FORMAT;
    if ((rc = read_bytes(r, b, 5)) < 0)
        return rc;
    h->crc = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    if (h->new_size == 0 || (b[4] & 31u) < 6 || (b[4] & 31u) > 24)
        return NRT_E_FORMAT;
    h->group = (uint32_t)1 << (b[4] & 31u);
    if (h->new_size > room || h->old_size > room)
        return NRT_E_SPACE;
    return h->group == l->group && units_are(l, h->group, b[4] >> 5) ? NRT_OK : NRT_E_FORMAT;
}

/* Runs of neighbouring units, up or down. `order` may be NULL: then the runs are only checked. */
static int read_order(const struct nrt_layout *l, struct nrt_reader *r, const struct nrt_header *h, uint16_t *order)
{
    uint32_t units = nrt_unit_count(l);
    uint32_t n = 0;
    while (n < h->n_order) {
        uint32_t first, run, count, last;
        struct nrt_span span;
        int rc = nrt_reader_varint(r, &first);
        if (rc == NRT_OK)
            rc = nrt_reader_varint(r, &run);
        if (rc < 0)
            return rc;
        count = (run >> 1) + 1;
        if (count > h->n_order - n || first >= units || (count == 1 && (run & 1) != 0))
            return NRT_E_BOUND;
        if ((run & 1) != 0 ? count > first + 1 : count > units - first)
            return NRT_E_BOUND;
        last = (run & 1) != 0 ? first : first + count - 1;
        if (nrt_unit_span(l, last, &span) < 0 || span.base >= h->new_size)
            return NRT_E_BOUND;   /* the highest of the run has no byte of the new image */
        for (; count > 0; count--, n++) {
            if (order != NULL)
                order[n] = (uint16_t)first;
            first = (run & 1) != 0 ? first - 1 : first + 1;
        }
    }
    return NRT_OK;
}

/* Everything up to the control table; with NULL tables the same checks, nothing kept. */
static int read_head(const struct nrt_layout *l, struct nrt_reader *r, struct nrt_header *h, struct nrt_unpack *into)
{
    uint32_t flags;
    uint32_t length = 0;
    int rc;
    memset(h, 0, sizeof *h);
    if ((rc = read_fixed(l, r, h, &flags)) < 0 || (rc = nrt_reader_varint(r, &h->n_order)) < 0)
        return rc;
    if (h->n_order > nrt_unit_count(l) || h->n_order > NRT_MAX_ORDER)
        return NRT_E_BOUND;
    if ((rc = read_order(l, r, h, into != NULL ? into->order : NULL)) < 0)
        return rc;
    if ((flags & FLAG_JOINT) != 0) {
        if ((rc = nrt_reader_varint(r, &h->joint)) < 0)
            return rc;
        /* What is saved before a unit of several is nothing anybody has asked for. */
        if (h->joint < 2 || h->joint > NRT_MAX_JOINT || h->apart || (flags & FLAG_SAVES) != 0)
            return NRT_E_BOUND;
    }
    if (NRT_HAS_SAVES && (flags & FLAG_SAVES) != 0) {
        if ((rc = nrt_reader_varint(r, &h->n_saves)) < 0)
            return rc;
        if (h->n_saves == 0 || h->n_saves > NRT_MAX_SAVES)
            return NRT_E_BOUND;
        if ((rc = nrt_read_saves(r, h, into != NULL ? into->saves : NULL)) < 0)
            return rc;
    }
    if ((rc = nrt_reader_varint(r, &h->n_segments)) < 0)
        return rc;
    if (h->n_segments > (h->profile == NRT_PROFILE_LARGE ? NRT_LARGE_SEGMENTS : NRT_MAX_SEGMENTS) || (h->n_segments > 0 && h->old_size == 0))
        return NRT_E_BOUND;
    if (h->n_segments > 0 && (rc = nrt_reader_varint(r, &length)) < 0)
        return rc;
    h->control = nrt_reader_at(r);
    if (length > r->end - h->control)
        return NRT_E_FORMAT;
    h->body = h->control + length;
    h->workspace = workspace_of(h);
    return NRT_OK;
}

int nrt_unpack_header(const struct nrt_layout *l, const struct nrt_file *f, struct nrt_header *out)
{
    struct nrt_reader r;
    nrt_reader_set(&r, f, 0, f->size);
    return read_head(l, &r, out, NULL);
}

/* ---- opening ------------------------------------------------------------------------------------------------------- */

static uint8_t *carve(struct nrt_ram *ram, uint32_t len)
{
    uint8_t *start = ram->mem;
    ram->mem += ALIGNED(len);
    ram->len -= ALIGNED(len);
    return start;
}

static int read_segment(struct nrt_unpack *u, const struct nrt_segment *last, struct nrt_segment *s)
{
    const struct nrt_coder *coder = nrt_coder_of(u->head.profile);
    uint32_t gap, turn;
    uint64_t at, from;
    int rc = coder->number(u, NRT_FIELD_GAP, &gap);
    if (rc == NRT_OK)
        rc = coder->number(u, NRT_FIELD_LENGTH, &s->len);
    if (rc == NRT_OK)
        rc = coder->number(u, NRT_FIELD_FROM, &turn);
    if (rc < 0)
        return rc;
    at = (uint64_t)last->at + last->len + gap;
    from = (uint64_t)last->from + last->len + gap;
    /* Zigzag; unsigned arithmetic wraps below zero and the bound catches it. */
    from += (turn & 1) != 0 ? ~(uint64_t)(turn >> 1) : (uint64_t)(turn >> 1);
    if ((s->len == 0 && u->head.profile < NRT_PROFILE_SMALL) || at + s->len > u->head.new_size || from > u->head.old_size || from + s->len > u->head.old_size)
        return NRT_E_BOUND;
    s->at = (uint32_t)at;
    s->from = (uint32_t)from;
    return NRT_OK;
}

static int read_control(struct nrt_unpack *u)
{
    const struct nrt_coder *coder = nrt_coder_of(u->head.profile);
    struct nrt_segment last = {0, 0, 0};
    uint32_t i;
    int rc;
    if (u->head.n_segments == 0)
        return NRT_OK;
    nrt_reader_set(&u->reader, u->file, u->head.control, u->head.body);
    if ((rc = coder->begin(u)) < 0)
        return rc;
    for (i = 0; i < u->head.n_segments; i++) {
        if ((rc = read_segment(u, &last, &u->segments[i])) < 0)
            return rc;
        last = u->segments[i];
    }
    if (coder->rest != NULL && (rc = coder->rest(u)) < 0)
        return rc;
    return coder->end(u);
}

/* No unit twice. Quadratic in the number of units: at most 8 million plain steps for 4,096 units, 2,000 for 64. */
static int check_order(const struct nrt_unpack *u)
{
    uint32_t i, j;
    for (i = 1; i < u->head.n_order; i++)
        for (j = 0; j < i; j++)
            if (u->order[i] == u->order[j])
                return NRT_E_FORMAT;
    return NRT_OK;
}

static void take_model(struct nrt_unpack *u, const struct nrt_header *h, struct nrt_ram *room)
{
    uint8_t *model = carve(room, nrt_coder_of(h->profile)->room + h->window);
    if (h->profile == 1)
        u->model = (struct nrt_simple *)(void *)model;
    if (h->profile >= NRT_PROFILE_SMALL) {
        if (h->profile == NRT_PROFILE_TINY)
            u->tiny = (struct nrt_tiny *)(void *)model;
        else
            u->small = (struct nrt_small *)(void *)model;
        u->window = h->window != 0 ? model + NRT_SMALL_ROOM : NULL;
        u->by_old = (uint16_t *)(void *)carve(room, h->n_segments * 2u);
    }
}

int nrt_unpack_open(struct nrt_unpack **out, const struct nrt_layout *l, const struct nrt_file *f, struct nrt_ram workspace)
{
    struct nrt_header h;
    struct nrt_unpack *u;
    uint32_t lead = (uint32_t)(0u - (uintptr_t)workspace.mem) & (ALIGN - 1u);
    int rc = nrt_unpack_header(l, f, &h);
    if (rc < 0)
        return rc;
    if (workspace.len < h.workspace)
        return NRT_E_SPACE;
    workspace.mem += lead;
    u = (struct nrt_unpack *)(void *)carve(&workspace, STATE_ROOM);
    memset(u, 0, sizeof *u);
    u->segments = (struct nrt_segment *)(void *)carve(&workspace, h.n_segments * 12u);
    u->saves = (struct nrt_save *)(void *)carve(&workspace, h.n_saves * 8u);
    u->order = (uint16_t *)(void *)carve(&workspace, h.n_order * 2u);
    u->layout = l;
    u->file = f;
    u->fresh = 1;
    u->flowed = NRT_AFRESH;
    take_model(u, &h, &workspace);
    u->room = h.room != 0 ? carve(&workspace, h.room) : NULL;
    nrt_reader_set(&u->reader, f, 0, f->size);
    if ((rc = read_head(l, &u->reader, &u->head, u)) < 0)
        return rc;
    /* The tables are as long as the first reading said: a file that changes between two reads is refused. */
    if (memcmp(&h, &u->head, sizeof h) != 0)
        return NRT_E_READ;
    if (nrt_coder_of(h.profile)->open != NULL)
        nrt_coder_of(h.profile)->open(u);
    u->frame = h.body;
    if ((rc = check_order(u)) < 0 || (rc = read_control(u)) < 0 || (rc = nrt_unpack_seek(u, h.n_order)) < 0)
        return rc;
    if (u->frame != f->size)
        return NRT_E_FORMAT;   /* bytes after the last frame */
    *out = u;
    return nrt_unpack_seek(u, 0);
}

const struct nrt_header *nrt_unpack_info(const struct nrt_unpack *u)
{
    return &u->head;
}

int nrt_unpack_order(const struct nrt_unpack *u, uint32_t k, uint32_t *unit)
{
    if (k >= u->head.n_order)
        return NRT_E_ARG;
    *unit = u->order[k];
    return NRT_OK;
}

uint8_t *nrt_unpack_room(const struct nrt_unpack *u)
{
    return u->room;
}

int nrt_unpack_save(const struct nrt_unpack *u, uint32_t i, struct nrt_save *out)
{
    if (i >= u->head.n_saves)
        return NRT_E_ARG;
    *out = u->saves[i];
    return NRT_OK;
}
