/* encode_find.c - where the small encoder finds copies: in the old image, and in what was made before. It knows what a copy
 * gains and costs; it must never write, nor find what the decoder could not read by then. */
#include <stdlib.h>
#include <string.h>

#include "encoder.h"
#include "numbers.h"

#define CHAIN 256           /* candidates looked at for one place */
#define GAP_MISS 16         /* half bits: what a miss in a copy costs, and a copy from here */
#define HERE_COST 16
#define BACK_COST 16        /* half bits of a copy of what was made before, its numbers' low bits left out */
#define HOPELESS 60         /* a copy that has lost so much since its best length ends there */
#define ENOUGH 1024u        /* bytes of a copy: nothing better is looked for */
#define WORD 8u             /* bytes compared at once */

/* ---- the index of old bytes ------------------------------------------------------------------------------------------ */

static uint32_t hash4(const struct nrt_encoder *e, const uint8_t *p)
{
    return nrt_get32(p) * 2654435761u >> e->head_shift;
}

int nrt_find_open(struct nrt_encoder *e)
{
    uint32_t heads = NRT_HEADS;
    for (e->head_shift = 16; heads < e->task.old_size && e->head_shift > 10; e->head_shift--)
        heads *= 2;
    e->head = malloc(heads * sizeof *e->head);
    e->next = malloc((e->task.old_size + 1u) * sizeof *e->next);
    e->made = calloc(e->task.window > 0 ? e->task.new_size + 4u : 1u, 1);
    e->made_head = malloc(NRT_HEADS * sizeof *e->made_head);
    e->made_next = malloc(NRT_MADE * sizeof *e->made_next);
    if (e->head == NULL || e->next == NULL || e->made == NULL || e->made_head == NULL || e->made_next == NULL)
        return -1;
    memset(e->made_head, 0xFF, NRT_HEADS * sizeof *e->made_head);
    memset(e->head, 0xFF, heads * sizeof *e->head);
    for (uint32_t i = 0; i + 4 <= e->task.old_size; i++) {
        uint32_t h = hash4(e, e->task.old_image + i);
        e->next[i] = e->head[h];
        e->head[h] = i;
    }
    return 0;
}

void nrt_find_close(struct nrt_encoder *e)
{
    free(e->head);
    free(e->next);
    free(e->made);
    free(e->made_head);
    free(e->made_next);
}

/* ---- copies among literals ------------------------------------------------------------------------------------------- */

static int is_gone(const struct nrt_encoder *e, uint32_t from)
{
    return e->gone != NULL && e->gone[from >> 6] != 0;
}

/* The best length of a copy from `from` to `at` that can be read, and what it gains. */
static int worth(const struct nrt_encoder *e, uint32_t at, uint32_t from, uint32_t room, uint32_t *len)
{
    const uint8_t *old = e->task.old_image + from;
    const uint8_t *fresh = e->task.new_image + at;
    int best = 0;
    int gain = 0;
    uint32_t i = 0;
    *len = 0;
    if (room > e->task.old_size - from)
        room = e->task.old_size - from;
    while (i < room) {
        uint32_t end = ((from + i) | 63u) + 1u - from;   /* of the stretch that one mark speaks for */
        if (is_gone(e, from + i))
            break;
        end = end < room ? end : room;
        for (; i + WORD <= end && memcmp(old + i, fresh + i, WORD) == 0; i += WORD)
            gain += (int)WORD * e->gap_gain;
        if (gain > best) {
            best = gain;
            *len = i;
        }
        for (; i < end; i++) {
            gain += old[i] == fresh[i] ? e->gap_gain : -GAP_MISS;
            if (gain > best) {
                best = gain;
                *len = i + 1;
            }
            if (gain < best - HOPELESS)
                return best;
        }
    }
    return best;
}

int nrt_find_copy(const struct nrt_encoder *e, uint32_t at, uint32_t end, struct nrt_segment *s)
{
    uint32_t room = end - at;
    uint32_t near = at + e->diagonal;
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
    const uint8_t *want = e->task.new_image + at;
    for (uint32_t p = e->head[hash4(e, want)]; p != NRT_NOWHERE && tried < CHAIN; p = e->next[p]) {
        if (memcmp(e->task.old_image + p, want, 4) != 0)
            continue;
        tried++;
        int gain = worth(e, at, p, room, &len) - e->far_cost - 2 * (int)nrt_length_of(nrt_zigzag(p - at - e->diagonal));
        if (len > 15)
            gain -= 4;
        if (gain > best) {
            best = gain;
            *s = (struct nrt_segment){at, p, len};
            if (len >= ENOUGH)
                break;
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
    int cost = BACK_COST + 2 * (int)nrt_length_of(n) + (distance == e->back ? 0 : 4 + 2 * (int)nrt_length_of(distance >> 1));
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
        e->made_next[e->indexed % NRT_MADE] = e->made_head[h];
        e->made_head[h] = e->indexed;
    }
    if (e->back != 0 && e->back <= place - e->floor) {
        best = worth_back(e, place, e->back, room, len);
        *distance = e->back;
    }
    if (best < 0)
        best = 0;
    uint32_t p = room < 3 ? NRT_NOWHERE : e->made_head[hash3(e->made + place)];
    for (; p != NRT_NOWHERE && tried < CHAIN && p >= e->floor && place - p <= e->task.window; p = e->made_next[p % NRT_MADE]) {
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
