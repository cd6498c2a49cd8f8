/* sight.c - what prediction makes of two images before anything is coded: images to be compared again, bytes it would miss, functions and
 * the calls to them. The decoder's own prediction does the work; here it is only asked. */
#include "sight.h"

#include <stdlib.h>
#include <string.h>

#include "halves.h"
#include "sections.h"

struct nrt_sight {
    struct nrt_task task;
    struct nrt_predictor p;
    struct nrt_segment *segments;
    uint16_t *by_old;
    struct nrt_shift shifts[NRT_MAX_SHIFTS];
    struct nrt_sections sections;
    struct nrt_pairing calls[NRT_CACHE_SLOTS];
    struct nrt_pairing words[NRT_CACHE_SLOTS];
};

static void join(struct nrt_sight *s)
{
    const struct nrt_task *t = &s->task;
    struct nrt_predictor *p = &s->p;
    for (uint32_t i = 0; i < t->n_segments; i++)
        s->segments[i] = (struct nrt_segment){t->segments[3 * i], t->segments[3 * i + 1], t->segments[3 * i + 2]};
    p->map.n_shifts = t->n_shifts < NRT_MAX_SHIFTS ? t->n_shifts : NRT_MAX_SHIFTS;
    for (uint32_t i = 0; i < p->map.n_shifts; i++)
        s->shifts[i] = (struct nrt_shift){t->shifts[2 * i], t->shifts[2 * i + 1]};
    s->sections.n = t->n_sections < NRT_MAX_SECTIONS ? t->n_sections : NRT_MAX_SECTIONS;
    for (uint32_t i = 0; i < s->sections.n; i++) {
        const uint32_t *v = &t->sections[5 * i];
        s->sections.at[i] = (struct nrt_section){v[0], v[1], v[2], v[3], v[4]};
    }
    p->sections = s->sections.n > 0 ? &s->sections : NULL;
    p->isa = t->isa;
    p->address = t->address;
    p->also = t->also;
    p->slots = NRT_CACHE_SLOTS;
    p->calls = s->calls;
    p->words = s->words;
    p->map.segments = s->segments;
    p->map.by_old = s->by_old;
    p->map.n_segments = t->n_segments;
    p->map.shifts = s->shifts;
    p->map.old_size = t->old_size;
    nrt_map_sort(&p->map, s->by_old);
}

struct nrt_sight *nrt_sight_open(const struct nrt_task *task)
{
    struct nrt_sight *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->task = *task;
    s->segments = calloc(task->n_segments + 1u, sizeof *s->segments);
    s->by_old = calloc(task->n_segments + 1u, sizeof *s->by_old);
    if (s->segments == NULL || s->by_old == NULL) {
        nrt_sight_close(s);
        return NULL;
    }
    join(s);
    return s;
}

void nrt_sight_close(struct nrt_sight *s)
{
    if (s == NULL)
        return;
    free(s->segments);
    free(s->by_old);
    free(s);
}

/* ---- images to be compared again ------------------------------------------------------------------------------------- */

/* Instruction set or kind of data at an offset of one of the images, and what lifts it to an address. */
static uint32_t kind_at(const struct nrt_sight *s, uint32_t at, int is_old, uint32_t *lift)
{
    uint32_t kind = s->p.isa;
    *lift = 0;
    for (uint32_t i = 0; i < s->sections.n; i++) {
        const struct nrt_section *c = &s->sections.at[i];
        if (at < (is_old ? c->from : c->at))
            break;
        *lift = is_old ? c->lift : c->lift_now;
        kind = c->kind % NRT_SECTION_APART;
    }
    return kind;
}

/* The new address of what one of the images names; 0: nothing is known of it. */
static int named(const struct nrt_sight *s, int is_old, uint32_t lift, uint32_t target, uint32_t *now)
{
    *now = target;
    return is_old ? nrt_moved(&s->p, target, now) : target - lift < s->task.new_size;
}

/* As if it stood at offset 0: the same target looks the same everywhere. Its length, 0 where nothing was rewritten. */
static uint32_t rewritten(const struct nrt_sight *s, const struct nrt_tongue *t, const struct nrt_site *site, int is_old, uint8_t *out)
{
    uint32_t lift = site->at;
    uint32_t target;
    uint32_t now;
    struct nrt_half h;
    uint32_t length = t->call(site->old, site->left, site->from, &target);
    if (length != 0) {
        if (!named(s, is_old, lift, target, &now) && t->strict != 0)
            return 0;
        t->aim(site->old, 0, now, out);
        return length;
    }
    if (t->halves == NULL || site->left < 4 || !t->halves->upper(site->old, site->from, &h) || h.absolute != 0)
        return 0;
    if (!named(s, is_old, lift, nrt_halves_target(t->halves, site, &h), &now))
        return 0;
    return t->halves->set_upper(site->old, 0, now, out) ? 4 : 0;
}

static void normal_words(const struct nrt_sight *s, const uint8_t *image, uint32_t size, uint8_t *out)
{
    const struct nrt_tongue *t = nrt_tongue(s->p.isa);
    for (uint32_t at = 0; at + 4 <= size; at += 4) {
        uint32_t word = nrt_get32(image + at);
        uint32_t lift;
        uint32_t now;
        if (s->sections.n > 0) {
            if (kind_at(s, at, 1, &lift) == NRT_SECTION_WORDS && nrt_moved(&s->p, word, &now))
                nrt_put32(out + at, now);
        } else if (t != NULL && word - s->p.address < s->task.old_size && memcmp(image + at, out + at, 4) == 0) {
            uint32_t odd = word & t->odd;
            (void)nrt_map_to(&s->p.map, word - s->p.address - odd, &now);
            nrt_put32(out + at, now + s->p.address + odd);
        }
    }
}

void nrt_sight_normal(struct nrt_sight *s, int is_old, uint8_t *out)
{
    const uint8_t *image = is_old ? s->task.old_image : s->task.new_image;
    uint32_t size = is_old ? s->task.old_size : s->task.new_size;
    memcpy(out, image, size);
    for (uint32_t at = 0; at + 4 <= size;) {
        uint32_t lift;
        const struct nrt_tongue *t = nrt_tongue(kind_at(s, at, is_old, &lift));
        uint32_t length = 0;
        if (t != NULL && (at & (t->step - 1u)) == 0) {
            struct nrt_site site = {image + at, at + lift, lift, size - at};
            length = rewritten(s, t, &site, is_old, out + at);
        }
        if (length == 0)
            length = t == NULL ? 4u - (at & 3u) : t->halves != NULL && (at & (t->step - 1u)) == 0 ? t->halves->length(image + at) : 1u;
        at += length;
    }
    if (is_old)
        normal_words(s, image, size, out);
}

/* ---- a trial --------------------------------------------------------------------------------------------------------- */

uint64_t nrt_sight_missed(struct nrt_sight *s)
{
    uint64_t missed = 0;
    memset(s->calls, 0, sizeof s->calls);
    memset(s->words, 0, sizeof s->words);
    for (uint32_t i = 0; i < s->task.n_segments; i++) {
        const struct nrt_segment *c = &s->segments[i];
        s->p.map.here = *c;
        for (uint32_t k = 0; k < c->len;) {
            struct nrt_guess f;
            const uint8_t *fresh = s->task.new_image + c->at + k;
            const uint8_t *old = s->task.old_image + c->from + k;
            nrt_predict(&s->p, old, c->from + k, c->at + k, c->len - k, &f);
            for (uint32_t j = 0; j < f.length; j++)
                missed += fresh[j] != f.byte[j];
            if (f.length == 0)
                missed += *fresh != *old;
            else
                nrt_predict_learn(&s->p, &f, c->at + k, fresh);
            k += f.length != 0 ? f.length : 1u;
        }
    }
    memset(&s->p.map.here, 0, sizeof s->p.map.here);
    return missed;
}

/* ---- functions ------------------------------------------------------------------------------------------------------- */

/* Thumb: PUSH with LR; ARM: STMFD with LR; AArch64: STP x29, x30 or PACIASP; RV32: the stack grows; x86-64: ENDBR64, PUSH rbp; MOV. */
static int begins(uint32_t isa, const uint8_t *p)
{
    uint32_t w = nrt_get32(p);
    switch (isa) {
    case NRT_ISA_THUMB:
        return (w & 0xFF00u) == 0xB500u || (w & 0xFFFFu) == 0xE92Du;
    case NRT_ISA_ARM:
        return (w & 0xFFFF4000u) == 0xE92D4000u;
    case NRT_ISA_A64:
        return (w & 0xFFC07FFFu) == 0xA9807BFDu || w == 0xD503233Fu || w == 0xD503245Fu;
    case NRT_ISA_RV32:
        return (w & 0xFF83u) == 0x1101u || (w & 0xFF83u) == 0x7101u || (w & 0x800FFFFFu) == 0x80010113u;
    case NRT_ISA_X86:
        return w == 0xFA1E0FF3u || w == 0xE5894855u;
    default:
        return 0;
    }
}

uint32_t nrt_sight_starts(uint32_t isa, const uint8_t *image, uint32_t size, uint32_t *out, uint32_t room)
{
    const struct nrt_tongue *t = nrt_tongue(isa);
    uint32_t n = 0;
    for (uint32_t at = 0; t != NULL && at + 4 <= size && n < room; at += t->step)
        if (begins(isa, image + at))
            out[n++] = at;
    return n;
}

static int among(const uint32_t *starts, uint32_t n, uint32_t offset)
{
    uint32_t low = 0;
    uint32_t high = n;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (starts[mid] < offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n && starts[low] == offset;
}

uint32_t nrt_sight_calls(uint32_t isa, const uint8_t *image, uint32_t size, const uint32_t *starts, uint32_t n)
{
    const struct nrt_tongue *t = nrt_tongue(isa);
    uint32_t count = 0;
    for (uint32_t at = 0; t != NULL && at + 8 <= size; at += t->step) {
        struct nrt_site site = {image + at, at, at, size - at};
        struct nrt_half h;
        uint32_t target = at;
        if (t->call(image + at, size - at, at, &target) == 0 && t->halves != NULL && t->halves->upper(image + at, at, &h) && h.absolute == 0)
            target = nrt_halves_target(t->halves, &site, &h);
        if (target != at && among(starts, n, target))
            count++;
    }
    return count;
}
