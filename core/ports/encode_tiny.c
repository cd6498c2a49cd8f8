/* encode_tiny.c - the encoder's half of profile 4, host code: the walk over a group that mirrors units.c and coder_tiny.c. The
 * model is that of core/src/tiny.c, never repeated here; what is decided here is which literals are copies. */
#include "encoder.h"
#include "writer.h"

#define LAZY 8   /* how much better the next place must be */

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
    e->diagonal = &m->diagonal;
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

static void literals(struct nrt_encoder *e, struct nrt_writer *w, uint32_t at, uint32_t end)
{
    while (at < end) {
        struct nrt_segment s = {at, 0, 0};
        struct nrt_segment later;
        int gain = e->task.old_size > 0 ? nrt_find_copy(e, at, end, &s) : 0;
        if (gain > 0 && at + 1 < end && nrt_find_copy(e, at + 1, end, &later) > gain + LAZY)
            gain = 0;
        if (e->task.old_size > 0)
            (void)nrt_tiny_item(e->tiny, &w->bits, at, gain > 0);
        if (gain > 0) {
            (void)nrt_tiny_far(e->tiny, &w->bits, &s);
            copy_bytes(e, w, &s, at, at + s.len);
            at += s.len;
        } else {
            (void)nrt_tiny_literal(e->tiny, &w->bits, at, e->task.new_image[at]);
            at++;
        }
    }
}

int64_t nrt_tiny_group(struct nrt_encoder *e, uint32_t start, uint32_t end, uint8_t *out, uint32_t cap)
{
    struct nrt_writer w;
    uint32_t i = 0;
    nrt_writer_open(&w, out, cap);
    nrt_tiny_reset(e->tiny);
    while (i < e->task.n_segments && e->segments[i].at + e->segments[i].len <= start)
        i++;
    for (uint32_t at = start; at < end;) {
        const struct nrt_segment *s = i < e->task.n_segments ? &e->segments[i] : NULL;
        uint32_t stop = end;
        if (s != NULL && s->len == 0) {
            i++;   /* it only tells the map something */
            continue;
        }
        if (s != NULL && s->at <= at) {
            stop = s->at + s->len < end ? s->at + s->len : end;
            copy_bytes(e, &w, s, at, stop);
            i++;
        } else {
            stop = s != NULL && s->at < end ? s->at : end;
            literals(e, &w, at, stop);
        }
        at = stop;
    }
    return nrt_writer_close(&w);
}
