/* encode_find.c - where the small encoder finds copies: in the old image, and in what was made before. It knows what a copy
 * gains and costs; it must never write, nor find what the decoder could not read by then. */
#include "encoder.h"

#define CHAIN 256           /* candidates looked at for one place */
#define GAP_MISS 16         /* half bits: what a miss in a copy costs, and a copy from here */
#define HERE_COST 16
#define BACK_COST 16        /* half bits of a copy of what was made before, its numbers' low bits left out */

/* ---- copies among literals ------------------------------------------------------------------------------------------- */

static int readable(const struct nrt_encoder *e, uint32_t from, uint32_t len)
{
    if (e->gone == NULL)
        return 1;
    for (uint32_t i = from >> 6; len > 0 && i <= (from + len - 1) >> 6; i++)
        if (e->gone[i] != 0)
            return 0;
    return 1;
}

/* The best length of a copy from `from` to `at`, and what it gains. */
static int worth(const struct nrt_encoder *e, uint32_t at, uint32_t from, uint32_t room, uint32_t *len)
{
    int best = 0;
    int gain = 0;
    *len = 0;
    for (uint32_t i = 0; i < room && from + i < e->task.old_size; i++) {
        gain += e->task.old_image[from + i] == e->task.new_image[at + i] ? e->gap_gain : -GAP_MISS;
        if (gain > best) {
            best = gain;
            *len = i + 1;
        }
        if (gain < best - 60)
            break;
    }
    return *len > 0 && readable(e, from, *len) ? best : 0;
}

int nrt_find_copy(const struct nrt_encoder *e, uint32_t at, uint32_t end, struct nrt_segment *s)
{
    uint32_t room = end - at;
    uint32_t near = at + *e->diagonal;
    uint32_t len;
    int best = 0;
    int tried = 0;
    if (room < 3 || at + 4 > e->task.new_size)
        return 0;
    if (near < e->task.old_size) {
        int gain = worth(e, at, near, room, &len) - HERE_COST;
        if (gain > best) {
            best = gain;
            *s = (struct nrt_segment){at, near, len};
        }
    }
    if (room < 4 || e->task.old_size < 4)
        return best;
    for (uint32_t p = e->head[nrt_hash4(e->task.new_image + at)]; p != NRT_NOWHERE && tried < CHAIN; p = e->next[p], tried++) {
        int gain = worth(e, at, p, room, &len) - e->far_cost - 2 * (int)nrt_length_of(nrt_zigzag(p - at - *e->diagonal));
        if (len > 15)
            gain -= 4;
        if (gain > best) {
            best = gain;
            *s = (struct nrt_segment){at, p, len};
        }
    }
    return best;
}

/* ---- copies of what was made before ---------------------------------------------------------------------------------- */

static uint32_t hash3(const uint8_t *p)
{
    return ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16) * 2654435761u >> 16;
}

/* Half bits that a copy from `distance` back gains; its length in *len. */
static int worth_back(const struct nrt_encoder *e, uint32_t place, uint32_t distance, uint32_t room, uint32_t *len)
{
    uint32_t n = 0;
    while (n < room && e->made[place + n] == e->made[place - distance + n])
        n++;
    *len = n;
    int cost = BACK_COST + 2 * (int)nrt_length_of(n) + (distance == e->model->back ? 0 : 4 + 2 * (int)nrt_length_of(distance >> 1));
    return (int)n * e->gap_gain - cost;
}

int nrt_find_back(struct nrt_encoder *e, uint32_t at, uint32_t end, uint32_t *distance, uint32_t *len)
{
    uint32_t place = at - e->lag;
    uint32_t room = end - at;
    uint32_t n;
    int best = 0;
    int tried = 0;
    if (e->task.window == 0 || room < 2)
        return 0;
    for (; e->indexed < place; e->indexed++) {
        uint32_t h = hash3(e->made + e->indexed);
        e->made_next[e->indexed] = e->made_head[h];
        e->made_head[h] = e->indexed;
    }
    if (e->model->back != 0 && e->model->back <= place - e->floor) {
        best = worth_back(e, place, e->model->back, room, len);
        *distance = e->model->back;
    }
    if (best < 0)
        best = 0;
    for (uint32_t p = room < 3 ? NRT_NOWHERE : e->made_head[hash3(e->made + place)]; p != NRT_NOWHERE && tried < CHAIN; p = e->made_next[p]) {
        if (p >= place)
            continue;   /* of another try at this group */
        if (place - p > e->task.window || p < e->floor)
            break;
        tried++;
        int gain = worth_back(e, place, place - p, room, &n);
        if (gain > best) {
            best = gain;
            *len = n;
            *distance = place - p;
        }
    }
    return best;
}
