/* encode_small.c - the walk over a group that mirrors unpack.c and coder_small.c. The model itself is shared, never
 * repeated here; what is decided here is only which of the ways to say a thing is the shortest. */
#include "encode_small.h"

#include <stdlib.h>
#include <string.h>

#include "encoder.h"
#include "writer.h"

#define GAP_GAIN 11         /* half bits: what a hit among literals saves, and what a copy from elsewhere costs */
#define FAR_COST 26
#define GAP_GAIN_LARGE 8    /* in profile 3, whose literals cost less */
#define FAR_COST_LARGE 44
#define PRIME_FROM 40       /* literals from which a group may be primed */

/* A writer that also counts what it writes. */
struct meter {
    struct nrt_writer writer;
    uint64_t *counts;
    const struct nrt_prices *prices;
    int (*code)(struct nrt_bits *b, uint32_t p1, int bit);
};

static int metered(struct nrt_bits *b, uint32_t p1, int bit)
{
    struct meter *m = (struct meter *)(void *)b;
    if (m->counts != NULL)
        *m->counts += nrt_price_of(m->prices, p1, bit);
    return m->code(b, p1, bit);
}

/* ---- opening --------------------------------------------------------------------------------------------------------- */

static void join_sections(struct nrt_encoder *e)
{
    struct nrt_predictor *p = &e->model->predictor;
    if (e->large == NULL || e->task.n_sections == 0)
        return;
    p->sections = &e->large->sections;
    e->large->sections.n = e->task.n_sections < NRT_MAX_SECTIONS ? e->task.n_sections : NRT_MAX_SECTIONS;
    for (uint32_t i = 0; i < p->sections->n; i++) {
        const uint32_t *s = &e->task.sections[5 * i];
        e->large->sections.at[i] = (struct nrt_section){s[0], s[1], s[2], s[3], s[4]};
    }
}

static void join_map(struct nrt_encoder *e)
{
    for (uint32_t i = 0; i < e->task.n_segments; i++) {
        e->segments[i].at = e->task.segments[3 * i];
        e->segments[i].from = e->task.segments[3 * i + 1];
        e->segments[i].len = e->task.segments[3 * i + 2];
    }
    if (e->tiny != NULL) {
        nrt_tiny_join(e);
        return;
    }
    struct nrt_predictor *p = &e->model->predictor;
    for (uint32_t i = 0; i < e->task.n_shifts && i < NRT_MAX_SHIFTS; i++) {
        e->model->shifts[i].from = e->task.shifts[2 * i];
        e->model->shifts[i].by = e->task.shifts[2 * i + 1];
    }
    p->slots = e->large != NULL ? NRT_LARGE_CACHE : NRT_CACHE_SLOTS;
    p->calls = e->large != NULL ? e->large->calls : e->model->calls;
    p->words = e->large != NULL ? e->large->words : e->model->words;
    p->isa = e->task.isa;
    p->address = e->task.address;
    p->also = e->task.also;
    join_sections(e);
    p->map.segments = e->segments;
    p->map.by_old = e->by_old;
    p->map.n_segments = e->task.n_segments;
    p->map.shifts = e->model->shifts;
    p->map.n_shifts = e->task.n_shifts < NRT_MAX_SHIFTS ? e->task.n_shifts : NRT_MAX_SHIFTS;
    p->map.old_size = e->task.old_size;
    nrt_map_sort(&p->map, e->by_old);
}

void nrt_encoder_close(struct nrt_encoder *e)
{
    if (e == NULL)
        return;
    if (e->large != NULL)
        free(e->large);
    else
        free(e->model);
    free(e->tiny);
    free(e->segments);
    free(e->by_old);
    free(e->items);
    nrt_find_close(e);
    free(e);
}

struct nrt_encoder *nrt_encoder_open(const struct nrt_task *task)
{
    struct nrt_encoder *e = calloc(1, sizeof *e);
    if (e == NULL)
        return NULL;
    e->task = *task;
    if (task->tiny) {
        e->tiny = calloc(1, sizeof *e->tiny);
    } else if (task->large) {
        e->large = calloc(1, sizeof *e->large);
        e->model = e->large != NULL ? &e->large->small : NULL;
    } else {
        e->model = calloc(1, sizeof *e->model);
    }
    e->voice = e->large != NULL ? &nrt_large_voice : &nrt_small_voice;
    e->gap_gain = e->large != NULL ? GAP_GAIN_LARGE : GAP_GAIN;
    e->far_cost = e->large != NULL ? FAR_COST_LARGE : FAR_COST;
    e->segments = calloc(task->n_segments + 1u, sizeof *e->segments);
    e->by_old = calloc(task->n_segments + 1u, sizeof *e->by_old);
    if ((e->model == NULL && e->tiny == NULL) || e->segments == NULL || e->by_old == NULL || nrt_find_open(e) < 0) {
        nrt_encoder_close(e);
        return NULL;
    }
    nrt_prices_open(&e->prices);
    join_map(e);
    return e;
}

/* ---- the control table ----------------------------------------------------------------------------------------------- */

static void tell_sections(struct nrt_small *m, struct nrt_bits *b)
{
    struct nrt_section last = {0, 0, 0, 0, 0};
    int fault = 0;
    (void)nrt_small_number(m, b, NRT_NUMBER_SECTION, m->predictor.sections->n, &fault);
    for (uint32_t i = 0; i < m->predictor.sections->n; i++) {
        const struct nrt_section *s = &m->predictor.sections->at[i];
        uint32_t step = s->from - last.from;
        (void)nrt_small_number(m, b, NRT_NUMBER_SECTION, step, &fault);
        (void)nrt_small_number(m, b, NRT_NUMBER_LIFT, s->kind, &fault);
        (void)nrt_small_number(m, b, NRT_NUMBER_SECTION, nrt_zigzag(s->at - last.at - step), &fault);
        (void)nrt_small_number(m, b, NRT_NUMBER_LIFT, nrt_zigzag(s->lift - last.lift), &fault);
        (void)nrt_small_number(m, b, NRT_NUMBER_LIFT, nrt_zigzag(s->lift_now - last.lift_now - (s->lift - last.lift)), &fault);
        last = *s;
    }
}

int64_t nrt_encoder_control(struct nrt_encoder *e, uint8_t *out, uint32_t cap)
{
    struct nrt_writer w;
    struct nrt_small *m = e->model;
    uint32_t end = 0;
    uint32_t diagonal = 0;
    uint32_t from = 0;
    int fault = 0;
    if (e->tiny != NULL)
        return nrt_tiny_control(e, out, cap);
    nrt_writer_open(&w, out, cap);
    nrt_small_reset(m);
    memset(m->diagonals, 0, sizeof m->diagonals);
    for (uint32_t i = 0; i < e->task.n_segments; i++) {
        const struct nrt_segment *s = &e->segments[i];
        (void)nrt_small_number(m, &w.bits, NRT_NUMBER_GAP, s->at - end, &fault);
        (void)nrt_small_number(m, &w.bits, NRT_NUMBER_LENGTH, s->len, &fault);
        (void)nrt_small_turn(m, &w.bits, nrt_zigzag(s->from - s->at - diagonal), &fault);
        end = s->at + s->len;
        diagonal = s->from - s->at;
    }
    (void)nrt_small_number(m, &w.bits, NRT_NUMBER_SHIFTS, m->predictor.map.n_shifts, &fault);
    for (uint32_t i = 0; i < m->predictor.map.n_shifts; i++) {
        (void)nrt_small_number(m, &w.bits, NRT_NUMBER_STEP, m->shifts[i].from - from, &fault);
        (void)nrt_small_number(m, &w.bits, NRT_NUMBER_BY, nrt_zigzag(m->shifts[i].by), &fault);
        from = m->shifts[i].from;
    }
    (void)nrt_small_number(m, &w.bits, NRT_NUMBER_ALSO, m->predictor.also, &fault);
    if (m->predictor.sections != NULL)
        tell_sections(m, &w.bits);
    return nrt_writer_close(&w);
}

/* ---- a group --------------------------------------------------------------------------------------------------------- */

static void account(struct meter *w, uint64_t *counts)
{
    w->counts = counts;
}

/* Of the next bytes of a copy, how many are as predicted in a row: a quiet stretch looks no further. */
static uint32_t hits_ahead(struct nrt_encoder *e, struct nrt_cursor c)
{
    uint8_t before[offsetof(struct nrt_small, flag_seen)];
    struct nrt_predictor predictor = e->model->predictor;
    uint8_t still[NRT_QUIET];
    uint32_t n = 0;
    uint32_t most = c.left < NRT_QUIET ? c.left : NRT_QUIET;
    memcpy(before, e->model, sizeof before);
    nrt_small_still(e->model, &c, still, most);
    memcpy(e->model, before, sizeof before);
    e->model->predictor = predictor;
    while (n < most && still[n] == e->task.new_image[c.at + n])
        n++;
    return n;
}

static void copy_bytes(struct nrt_encoder *e, struct meter *w, const struct nrt_segment *s, uint32_t at, uint32_t end)
{
    uint32_t from = s->from + (at - s->at);
    struct nrt_cursor c = {e->task.old_image + from, from, at, 0, end - at};
    nrt_small_here(e->model, s);
    for (uint32_t n; c.left > 0; c.at += n, c.from += n, c.old += n, c.done += n, c.left -= n) {
        n = e->task.quick ? nrt_small_quiet(e->model, &w->writer.bits, c.at, c.left, hits_ahead(e, c)) : 0;
        if (n > 0) {
            uint8_t still[NRT_QUIET];
            nrt_small_still(e->model, &c, still, n);
            continue;
        }
        n = 1;
        uint32_t run = e->model->run;
        uint64_t before = w->counts != NULL ? *w->counts : 0;
        (void)e->voice->copied(e->model, &w->writer.bits, &c, e->task.new_image[c.at]);
        if (e->spent != NULL && e->model->run <= run) {
            /* The flag of a miss is counted with the miss. */
            e->spent->misses += *w->counts - before;
            *w->counts = before;
            e->spent->missed++;
        }
    }
}

static void copy_back(struct nrt_encoder *e, struct meter *w, const struct nrt_segment *s)
{
    uint32_t distance = s->from;
    uint32_t len = s->len;
    (void)nrt_small_back(e->model, &w->writer.bits, &distance, &len);
    for (uint32_t i = 0; i < s->len; i++)
        nrt_small_remember(e->model, e->task.new_image[s->at + i]);
}

static void copy_among_literals(struct nrt_encoder *e, struct meter *w, const struct nrt_item *item)
{
    struct nrt_segment s = item->s;
    account(w, e->spent == NULL ? NULL : &e->spent->copies);
    if (e->task.old_size > 0)
        (void)nrt_small_item(e->model, &w->writer.bits, s.at, 1);
    if (e->task.window > 0)
        (void)nrt_small_which(e->model, &w->writer.bits, item->kind == NRT_BACK);
    if (item->kind == NRT_BACK) {
        copy_back(e, w, &s);
        return;
    }
    (void)nrt_small_far(e->model, &w->writer.bits, &s);
    account(w, e->spent == NULL ? NULL : &e->spent->flags);
    copy_bytes(e, w, &s, s.at, s.at + s.len);
}

static void literals(struct nrt_encoder *e, struct meter *w, uint32_t at, uint32_t end)
{
    account(w, e->spent == NULL ? NULL : &e->spent->literals);
    for (; at < end; at++) {
        if (e->task.old_size > 0)
            (void)nrt_small_item(e->model, &w->writer.bits, at, 0);
        (void)e->voice->literal(e->model, &w->writer.bits, at, e->task.new_image[at]);
        if (e->spent != NULL)
            e->spent->literal++;
    }
}

/* Bytes of [start, end) that no segment covers. */
static uint32_t uncovered(const struct nrt_encoder *e, uint32_t start, uint32_t end)
{
    uint32_t n = end - start;
    for (uint32_t i = 0; i < e->task.n_segments; i++) {
        const struct nrt_segment *s = &e->segments[i];
        uint32_t a = s->at > start ? s->at : start;
        uint32_t b = s->at + s->len < end ? s->at + s->len : end;
        if (a < b)
            n -= b - a;
    }
    return n;
}

static void begin(struct nrt_encoder *e, struct meter *w, uint32_t start, uint32_t end, int primed)
{
    if (e->large != NULL) {
        nrt_small_rest(e->model);
        return;
    }
    uint32_t stop = end - start < NRT_PRIME ? end : start + NRT_PRIME;
    if (e->task.flow != 0 && e->begun)
        nrt_small_rest(e->model);
    else
        nrt_small_reset(e->model);
    e->begun = 1;
    (void)w->writer.bits.code(&w->writer.bits, 0x8000u, primed);
    if (primed)
        nrt_small_prime(e->model, start, e->task.old_image + start,
                        (stop < e->task.old_size ? stop : e->task.old_size) - start);
}

void nrt_encoder_anew(struct nrt_encoder *e, uint32_t from, uint32_t stop)
{
    nrt_large_reset(e->large);
    nrt_large_teach(e->large, from, e->task.old_image + from, stop - from);
}

static int64_t code_group(struct nrt_encoder *e, uint32_t start, uint32_t end, int primed, uint8_t *out, uint32_t cap)
{
    struct meter w;
    nrt_writer_open(&w.writer, out, cap);
    w.code = w.writer.bits.code;
    w.counts = NULL;
    w.prices = &e->prices;
    w.writer.bits.code = metered;
    begin(e, &w, start, end, primed);
    for (uint32_t i = 0; i < e->n_items; i++) {
        const struct nrt_item *item = &e->items[i];
        uint32_t stop = item->s.at + item->s.len;
        if (item->kind == NRT_SEGMENT) {
            account(&w, e->spent != NULL ? &e->spent->flags : NULL);
            copy_bytes(e, &w, &e->segments[item->s.from], item->s.at, stop);
        } else if (item->kind == NRT_LITERALS) {
            literals(e, &w, item->s.at, stop);
        } else {
            copy_among_literals(e, &w, item);
        }
    }
    return nrt_writer_close(&w.writer);
}

/* One way of coding a group, and what it leaves behind. */
struct trial {
    int64_t used;
    struct nrt_small model;
    struct nrt_spent spent;
    uint8_t out[];
};

/* Both ways to begin, and the shorter one: what is taught is old, and may be worse than nothing. */
static int64_t shorter(struct nrt_encoder *e, uint32_t start, uint32_t end, uint8_t *out, uint32_t cap)
{
    struct nrt_spent *spent = e->spent;
    struct nrt_spent before = spent != NULL ? *spent : (struct nrt_spent){0};
    struct nrt_small model = *e->model;
    int begun = e->begun;
    struct trial *plain = malloc(sizeof *plain + cap);
    if (plain == NULL)
        return code_group(e, start, end, 1, out, cap);
    plain->used = code_group(e, start, end, 0, plain->out, cap);
    plain->model = *e->model;
    plain->spent = spent != NULL ? *spent : before;
    *e->model = model;
    e->begun = begun;
    if (spent != NULL)
        *spent = before;
    int64_t used = code_group(e, start, end, 1, out, cap);
    if (plain->used >= 0 && (used < 0 || plain->used < used)) {
        used = plain->used;
        memcpy(out, plain->out, (size_t)used);
        *e->model = plain->model;
        if (spent != NULL)
            *spent = plain->spent;
    }
    free(plain);
    return used;
}

void nrt_encoder_unit(struct nrt_encoder *e)
{
    e->begun = 0;
    e->floor = e->next_place;
}

/* Nothing of what a primed group is taught was left unknown by a cut. */
static int is_known(const struct nrt_encoder *e, uint32_t start, uint32_t end)
{
    uint32_t stop = end - start < NRT_PRIME ? end : start + NRT_PRIME;
    stop = stop < e->task.old_size ? stop : e->task.old_size;
    for (uint32_t i = start >> 6; e->gone != NULL && i <= (stop - 1) >> 6; i++)
        if (e->gone[i] == 2)
            return 0;
    return 1;
}

int64_t nrt_encoder_group(struct nrt_encoder *e, uint32_t start, uint32_t end, const uint8_t *gone, uint8_t *out,
                          uint32_t cap, struct nrt_spent *spent)
{
    int goes_on = e->large != NULL || (e->tiny == NULL && e->task.flow != 0 && e->begun);
    e->gone = gone;
    e->spent = spent;
    e->diagonal = goes_on ? e->model->diagonal : 0;
    e->back = goes_on ? e->model->back : 0;
    e->lag = start - e->next_place;
    if (e->task.window > 0)
        memcpy(e->made + e->next_place, e->task.new_image + start, end - start);
    e->next_place += end - start;
    if (nrt_choose(e, start, end) < 0)
        return -1;
    if (e->tiny != NULL)
        return nrt_tiny_group(e, out, cap);
    if (spent != NULL)
        spent->noise += e->noise;
    /* What is taught takes the processor as long as what is coded: not where it is to be quick. */
    if (e->large == NULL && !e->task.quick && e->noise == 0 && e->task.old_size > start && uncovered(e, start, end) > PRIME_FROM && is_known(e, start, end))
        return shorter(e, start, end, out, cap);
    return code_group(e, start, end, 0, out, cap);
}
