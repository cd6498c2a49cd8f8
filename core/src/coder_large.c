/* coder_large.c - profile 3: that of coder_small.c with the model of large.c, which goes on from group to group: through the
 * whole file where the old image stays, through one commit unit in place. It reads old bytes through nrt_old() alone. */
#include <string.h>

#include "coder.h"
#include "large.h"

static struct nrt_large *model_of(struct nrt_unpack *u)
{
    return (struct nrt_large *)(void *)u->small;
}

static void large_open(struct nrt_unpack *u)
{
    struct nrt_large *m = model_of(u);
    struct nrt_predictor *p = &u->small->predictor;
    nrt_small_coder_open(u);
    m->next = 0;
    u->voice = &nrt_large_voice;
    p->slots = NRT_LARGE_CACHE;
    p->calls = m->calls;
    p->words = m->words;
}

/* Where the frame that is entered begins, its length included: lengths are as short as can be. */
static uint32_t frame_start(const struct nrt_unpack *u)
{
    uint32_t at = nrt_reader_at(&u->reader);
    uint32_t n = 1;
    for (uint32_t length = u->reader.end - at; length > 0x7Fu; length >>= 7)
        n++;
    return at - n;
}

static int large_begin(struct nrt_unpack *u)
{
    struct nrt_large *m = model_of(u);
    if (nrt_reader_at(&u->reader) == u->head.control) {
        nrt_large_reset(m);
        m->next = 0;
    }
    m->begun = frame_start(u);
    nrt_range_open(&u->range, &u->reader);
    return u->range.fault;
}

static int teach(struct nrt_unpack *u, uint32_t from, uint32_t stop)
{
    if (stop > u->head.old_size)
        stop = u->head.old_size;
    while (from < stop) {
        uint32_t n = stop - from < NRT_UNPACK_CHUNK ? stop - from : NRT_UNPACK_CHUNK;
        int rc = nrt_old(u->core, from, u->old, n);
        if (rc < 0)
            return rc;
        nrt_large_teach(model_of(u), from, u->old, n);
        from += n;
    }
    return NRT_OK;
}

static int large_start(struct nrt_unpack *u, uint32_t end)
{
    struct nrt_large *m = model_of(u);
    struct nrt_span own;
    int rc = nrt_unit_span(u->layout, u->order[u->k], &own);
    (void)end;
    if (rc < 0)
        return rc;
    if (u->head.apart != 0 || u->head.flow != 0 ? m->begun != u->head.body : u->at != own.base) {
        /* The model goes on only where it has just been. */
        nrt_small_rest(u->small);
        return m->begun == m->next ? NRT_OK : NRT_E_STATE;
    }
    nrt_large_reset(m);
    return u->head.apart != 0 ? teach(u, 0, NRT_LARGE_TAUGHT) : teach(u, own.base, own.base + own.len);
}

static int large_end(struct nrt_unpack *u)
{
    int rc = nrt_range_close(&u->range);
    model_of(u)->next = rc == NRT_OK ? u->reader.end : 0;
    return rc;
}

static uint32_t signed_step(struct nrt_unpack *u, uint32_t field, int *fault)
{
    uint32_t z = nrt_small_number(u->small, &u->range.bits, field, 0, fault);
    return (z & 1u) != 0 ? ~(z >> 1) : z >> 1;
}

/* After what profile 2 lists: the sections, ascending in the old image. */
static int large_rest(struct nrt_unpack *u)
{
    struct nrt_sections *sections = &model_of(u)->sections;
    struct nrt_section last = {0, 0, 0, 0, 0};
    int fault = NRT_OK;
    int rc = nrt_small_coder_rest(u);
    if (rc < 0 || u->head.sections == 0)
        return rc;
    uint32_t n = nrt_small_number(u->small, &u->range.bits, NRT_NUMBER_SECTION, 0, &fault);
    if (n > NRT_MAX_SECTIONS)
        return NRT_E_BOUND;
    for (uint32_t i = 0; i < n; i++) {
        struct nrt_section *s = &sections->at[i];
        uint32_t step = nrt_small_number(u->small, &u->range.bits, NRT_NUMBER_SECTION, 0, &fault);
        s->kind = nrt_small_number(u->small, &u->range.bits, NRT_NUMBER_LIFT, 0, &fault);
        s->from = last.from + step;
        s->at = last.at + step + signed_step(u, NRT_NUMBER_SECTION, &fault);
        s->lift = last.lift + signed_step(u, NRT_NUMBER_LIFT, &fault);
        s->lift_now = last.lift_now + s->lift - last.lift + signed_step(u, NRT_NUMBER_LIFT, &fault);
        if (step > u->head.old_size - last.from || s->kind % NRT_SECTION_APART >= NRT_SECTION_KINDS || s->kind >= 2 * NRT_SECTION_APART)
            return NRT_E_BOUND;
        last = *s;
    }
    sections->n = n;
    u->small->predictor.sections = sections;
    return u->range.fault < 0 ? u->range.fault : fault;
}

const struct nrt_coder nrt_coder_large = {large_begin,
                                          nrt_small_coder_copy,
                                          nrt_small_coder_literal,
                                          large_end,
                                          nrt_small_coder_number,
                                          large_start,
                                          large_rest,
                                          large_open,
                                          NRT_LARGE_ROOM};
