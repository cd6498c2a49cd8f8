/* encode_tiny.c - the encoder's half of profile 4, host code: what was chosen for a group, said as units.c and coder_tiny.c
 * hear it. The model is that of core/src/tiny.c, never repeated here. */
#include "encoder.h"
#include "writer.h"

void nrt_tiny_join(struct nrt_encoder *e)
{
    struct nrt_tiny *m = e->tiny;
    uint32_t n = e->task.n_shifts < NRT_TINY_SHIFTS ? e->task.n_shifts : NRT_TINY_SHIFTS;
    for (uint32_t i = 0; i < n; i++)
        m->shifts[i] = (struct nrt_shift){e->task.shifts[2 * i], e->task.shifts[2 * i + 1]};
    m->isa = e->task.isa;
    m->address = e->task.address;
    m->also = e->task.also;
    m->map = (struct nrt_map){e->segments, e->by_old, e->task.n_segments, m->shifts, n, e->task.old_size, {0, 0, 0}};
    nrt_map_sort(&m->map, e->by_old);
}

int64_t nrt_tiny_control(struct nrt_encoder *e, uint8_t *out, uint32_t cap)
{
    struct nrt_tiny *m = e->tiny;
    struct nrt_writer w;
    uint32_t end = 0;
    uint32_t from = 0;
    int fault = 0;
    nrt_writer_open(&w, out, cap);
    nrt_tiny_reset(m);
    for (uint32_t i = 0; i < e->task.n_segments; i++) {
        const struct nrt_segment *s = &e->segments[i];
        (void)nrt_tiny_number(m, &w.bits, NRT_NUMBER_GAP, s->at - end, &fault);
        (void)nrt_tiny_number(m, &w.bits, NRT_NUMBER_LENGTH, s->len, &fault);
        (void)nrt_tiny_number(m, &w.bits, NRT_NUMBER_TURN, nrt_zigzag(s->from - s->at - m->diagonal), &fault);
        m->diagonal = s->from - s->at;
        end = s->at + s->len;
    }
    (void)nrt_tiny_number(m, &w.bits, NRT_NUMBER_SHIFTS, m->map.n_shifts, &fault);
    for (uint32_t i = 0; i < m->map.n_shifts; i++) {
        (void)nrt_tiny_number(m, &w.bits, NRT_NUMBER_STEP, m->shifts[i].from - from, &fault);
        (void)nrt_tiny_number(m, &w.bits, NRT_NUMBER_BY, nrt_zigzag(m->shifts[i].by), &fault);
        from = m->shifts[i].from;
    }
    (void)nrt_tiny_number(m, &w.bits, NRT_NUMBER_ALSO, m->also, &fault);
    return nrt_writer_close(&w);
}

static void copy_bytes(struct nrt_encoder *e, struct nrt_writer *w, const struct nrt_segment *s, uint32_t at, uint32_t end)
{
    uint32_t from = s->from + (at - s->at);
    nrt_tiny_here(e->tiny, s);
    for (; at < end; at++, from++) {
        struct nrt_spot c = {e->task.old_image + from, from, at, end - at};
        (void)nrt_tiny_copied(e->tiny, &w->bits, &c, e->task.new_image[at]);
    }
}

/* Literals are items of one byte each, copies among them are told as such; segments are known. */
static void code_item(struct nrt_encoder *e, struct nrt_writer *w, const struct nrt_item *item)
{
    uint32_t end = item->s.at + item->s.len;
    int is_copy = item->kind == NRT_FAR;
    if (item->kind == NRT_SEGMENT) {
        copy_bytes(e, w, &e->segments[item->s.from], item->s.at, end);
        return;
    }
    for (uint32_t at = item->s.at; at < end; at = is_copy ? end : at + 1) {
        struct nrt_segment s = item->s;
        if (e->task.old_size > 0)
            (void)nrt_tiny_item(e->tiny, &w->bits, at, is_copy);
        if (is_copy) {
            (void)nrt_tiny_far(e->tiny, &w->bits, &s);
            copy_bytes(e, w, &s, at, end);
        } else {
            (void)nrt_tiny_literal(e->tiny, &w->bits, at, e->task.new_image[at]);
        }
    }
}

int64_t nrt_tiny_group(struct nrt_encoder *e, uint8_t *out, uint32_t cap)
{
    struct nrt_writer w;
    nrt_writer_open(&w, out, cap);
    nrt_tiny_reset(e->tiny);
    for (uint32_t i = 0; i < e->n_items; i++)
        code_item(e, &w, &e->items[i]);
    return nrt_writer_close(&w);
}
