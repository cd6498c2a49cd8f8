/* small.c - the model of profile 2 (docs/spec/delta.md 8): contexts and slots for flags, misses, literals and numbers. It
 * knows the group's last bytes, the predicted field and the old bytes of the copy under way; it never reads flash. */
#include "small.h"

#include <string.h>

#include "mixer.h"

/* ---- slots ----------------------------------------------------------------------------------------------------------- */

/* Of bytes and numbers: 13 bits of P(1) over 3 bits of how often it was seen. Of flags: 16 bits, seen apart. */
#define FRESH (4096u << 3)

static void learn(uint16_t *slot, int bit)
{
    static const uint8_t rate[8] = {128, 85, 60, 44, 34, 28, 24, 22};
    uint32_t p = *slot >> 3;
    uint32_t seen = *slot & 7u;
    if (bit != 0)
        p += ((8191u - p) * rate[seen]) >> 8;
    else
        p -= (p * rate[seen]) >> 8;
    *slot = (uint16_t)(p << 3 | (seen < 7 ? seen + 1 : 7));
}

static uint32_t chance(uint16_t slot)
{
    return (slot & 0xFFF8u) | 4u;
}

static int code_slot(struct nrt_bits *b, uint16_t *slot, int bit)
{
    bit = b->code(b, chance(*slot), bit);
    learn(slot, bit);
    return bit;
}

static void learn_flag(uint16_t *p, uint8_t *seen, int bit)
{
    /* 65536 / (seen + 2) */
    static const uint16_t rate[21] = {32768, 21845, 16384, 13107, 10923, 9362, 8192, 7282, 6554, 5958, 5461,
                                      5041,  4681,  4369,  4096,  3855,  3641, 3449, 3277, 3121, 2979};
    if (bit != 0)
        *p = (uint16_t)(*p + (((65535u - *p) * rate[*seen]) >> 16));
    else
        *p = (uint16_t)(*p - ((*p * (uint32_t)rate[*seen]) >> 16));
    if (*seen < 20)
        (*seen)++;
}

/* What slots and weights are at first: where they stand, how many, and what the first of each `n` and the others are. */
struct first {
    uint16_t at, count, n, first, others;
};

#define FIRST(member, n, first, others) {offsetof(struct nrt_small, member), sizeof ((struct nrt_small *)0)->member, n, first, others}

static const struct first firsts[] = {
    FIRST(flag, 1, 32768, 0),
    FIRST(miss0, 1, FRESH, 0),
    FIRST(literal0, 1, FRESH, 0),
    FIRST(pool, 1, FRESH, 0),
    FIRST(number, 1, FRESH, 0),
    FIRST(item, 1, 500u << 3, 0),
    FIRST(flag_weight, NRT_FLAG_TABLES + 1, 24000, 8000),
    FIRST(miss_weight, NRT_POOL_TABLES + 1, 4000, 11000),
    FIRST(literal_weight, NRT_POOL_TABLES, 8000, 16000),
};

static void begin(uint8_t *m, const struct first *f)
{
    uint32_t wide = f->n > 1 ? sizeof(int32_t) : sizeof(uint16_t);
    uint32_t k = 0;
    for (uint32_t i = 0; i < f->count; i += wide) {
        uint16_t value = k == 0 ? f->first : f->others;
        if (wide == sizeof(int32_t))
            *(int32_t *)(void *)(m + f->at + i) = value;
        else
            *(uint16_t *)(void *)(m + f->at + i) = value;
        k = k + 1u < f->n ? k + 1u : 0;
    }
}

void nrt_small_reset(struct nrt_small *m)
{
    /* A miss right after a miss is likely, one after a long quiet is not. */
    static const uint16_t flag0[16] = {26000, 12000, 2250, 1125, 562, 281, 140, 70, 35, 17, 17, 17, 17, 17, 17, 17};
    memset(m, 0, offsetof(struct nrt_small, predictor));
    nrt_small_rest(m);
    memset(m->flag0_seen, 4, sizeof m->flag0_seen);
    for (uint32_t i = 0; i < 256; i++)
        m->flag0[i] = flag0[i >> 4];
    for (uint32_t i = 0; i < sizeof firsts / sizeof *firsts; i++)
        begin((uint8_t *)m, &firsts[i]);
    m->run = 8;
}

void nrt_small_rest(struct nrt_small *m)
{
    memset(&m->predictor.map.here, 0, sizeof m->predictor.map.here);
    memset(m->predictor.uppers, 0, sizeof m->predictor.uppers);
    m->guess.length = 0;
}

void nrt_small_here(struct nrt_small *m, const struct nrt_segment *s)
{
    m->predictor.map.here = *s;
    m->diagonal = s->from - s->at;
    m->guess.length = 0;
    m->fine = 0;
}

/* ---- one byte -------------------------------------------------------------------------------------------------------- */

/* Tables of a byte's eight decisions: a direct one and hashed ones, all of slots. */
struct eight {
    uint16_t *direct;
    uint16_t (*hashed)[NRT_POOL_SLOTS];
    uint32_t n;                              /* hashed ones */
    uint32_t context[NRT_POOL_TABLES];
    int32_t *weights;                        /* of the lowest bit; those of bit i follow at i * (n + 1) */
};

static uint8_t code_byte(struct nrt_bits *b, const struct eight *t, uint8_t byte)
{
    struct nrt_opinion o[NRT_OPINIONS];
    uint16_t *slot[NRT_OPINIONS];
    uint32_t node = 1;
    for (uint32_t i = 8; i-- > 0;) {
        slot[0] = &t->direct[node];
        for (uint32_t k = 0; k < t->n; k++)
            slot[k + 1] = &t->hashed[k][nrt_hash(t->context[k], node | k << 10) % NRT_POOL_SLOTS];
        for (uint32_t k = 0; k <= t->n; k++) {
            if (k > 0 && (*slot[k] & 7u) == 0)
                *slot[k] = *slot[0] & 0xFFF8u;   /* never seen: it thinks what the first one thinks */
            o[k].p = chance(*slot[k]);
            o[k].seen = *slot[k] & 7u;
        }
        int bit = nrt_mix(b, t->weights + i * (t->n + 1), o, t->n + 1, byte >> i & 1);
        for (uint32_t k = 0; k <= t->n; k++)
            learn(slot[k], bit);
        node = node * 2 + (uint32_t)bit;
    }
    return (uint8_t)node;
}

void nrt_small_remember(struct nrt_small *m, uint8_t byte)
{
    m->last[2] = m->last[1];
    m->last[1] = m->last[0];
    m->last[0] = byte;
}

uint8_t nrt_small_literal(struct nrt_small *m, struct nrt_bits *b, uint32_t at, uint8_t byte)
{
    uint32_t odd = at & 1u;
    uint32_t a = m->last[0];
    uint32_t two = a | (uint32_t)m->last[1] << 8;
    struct eight t = {m->literal0 + 256 * odd, m->pool, 4,
                      {a | odd << 8, two | 1u << 16, two | (uint32_t)m->last[2] << 16 | 1u << 24,
                       m->last[1] | odd << 8 | 1u << 17, 0},
                      m->literal_weight[8 * odd]};
    byte = code_byte(b, &t, byte);
    nrt_small_remember(m, byte);
    m->history <<= 1;
    m->run = 0;
    return byte;
}

/* ---- copied bytes ---------------------------------------------------------------------------------------------------- */

uint32_t nrt_small_grade(uint32_t run)
{
    static const uint8_t low[8] = {0, 1, 2, 3, 4, 4, 5, 5};
    uint32_t g = 6;
    if (run < 8)
        return low[run];
    for (run >>= 4; run != 0 && g < 13; run >>= 1)
        g++;
    return g;
}

static void foresee(struct nrt_small *m, const struct nrt_cursor *c)
{
    if (m->guess.length == 0) {
        nrt_predict(&m->predictor, c->old, c->from, c->at, c->left, &m->guess);
        m->guess_done = 0;
    }
}

struct nrt_view nrt_small_look(struct nrt_small *m, const struct nrt_cursor *c)
{
    struct nrt_view v;
    foresee(m, c);
    int guessed = m->guess.length > 0;
    uint32_t next = c->left > 1 ? c->old[1] : 0;
    v.odd = c->at & 1u;
    v.kind = guessed ? m->guess.kind : (uint32_t)NRT_PLAIN;
    v.guess = guessed ? m->guess.byte[m->guess_done] : c->old[0];
    v.inside = guessed && m->guess_done > 0;
    v.place = v.kind << 2 | (guessed ? m->guess_done & 3u : v.odd);
    v.before = c->done > 0 ? c->old[-1] : 0;
    v.half = (c->from & 1u) != 0 ? v.before | v.guess << 8 : v.guess | next << 8;
    return v;
}

const uint8_t nrt_small_class[NRT_GUESSES] = {0, 1, 2, 3, 3, 2, 4, 2, 5, 6, 6, 6, 6, 5, 7, 7};

static int code_flag(struct nrt_small *m, struct nrt_bits *b, const struct nrt_cursor *c, const struct nrt_view *v, int missed)
{
    struct nrt_opinion o[NRT_OPINIONS];
    uint32_t h = m->history;
    uint32_t since = m->run < 31 ? m->run : 31;
    uint32_t next = c->left > 1 ? c->old[1] : 0;
    uint32_t first = nrt_small_grade(m->run) << 4 | (uint32_t)nrt_small_class[v->kind] << 1 | v->inside;
    uint32_t slot[NRT_FLAG_TABLES];
    slot[0] = nrt_hash(v->guess | v->place << 8, h & 15u) % NRT_FLAG_SLOTS;
    slot[1] = nrt_hash(v->before | v->guess << 8 | next << 16, v->place) % NRT_FLAG_SLOTS;
    slot[2] = nrt_hash(h & 0xFFFu, (c->at & 3u) | (v->kind == NRT_PLAIN ? 4u : 0u) | 1u << 8) % NRT_FLAG_SLOTS;
    slot[3] = nrt_hash(m->grown | since << 8, v->place | 2u << 10) % NRT_FLAG_SLOTS;
    o[0].p = m->flag0[first];
    o[0].seen = m->flag0_seen[first];
    for (uint32_t k = 0; k < NRT_FLAG_TABLES; k++) {
        if (m->flag_seen[k][slot[k]] == 0)
            m->flag[k][slot[k]] = m->flag0[first];
        o[k + 1].p = m->flag[k][slot[k]];
        o[k + 1].seen = m->flag_seen[k][slot[k]];
    }
    uint32_t set = (uint32_t)nrt_small_class[v->kind] << 2 | (h & 1u) << 1 | v->inside;
    missed = nrt_mix(b, m->flag_weight[set], o, NRT_FLAG_TABLES + 1, missed);
    learn_flag(&m->flag0[first], &m->flag0_seen[first], missed);
    for (uint32_t k = 0; k < NRT_FLAG_TABLES; k++)
        learn_flag(&m->flag[k][slot[k]], &m->flag_seen[k][slot[k]], missed);
    return missed;
}

static uint8_t code_miss(struct nrt_small *m, struct nrt_bits *b, const struct nrt_cursor *c, const struct nrt_view *v, uint8_t byte)
{
    uint32_t expected = (v->guess + m->grown) & 255u;
    uint32_t changed = v->odd != 0 && m->last[0] != v->before;
    struct eight t = {m->miss0, m->pool, 5,
                      {v->guess | v->place << 8, expected | v->place << 8 | 1u << 16, m->last[0] | v->odd << 8 | 1u << 17,
                       v->place | (c->at & 3u) << 8 | 1u << 18, v->half | v->odd << 16 | changed << 17 | 1u << 19},
                      m->miss_weight[m->guess.length > 0 ? 8 : 0]};
    return code_byte(b, &t, byte);
}

void nrt_small_field(struct nrt_small *m, uint32_t at, uint8_t byte)
{
    if (m->guess.length == 0)
        return;
    m->guess.byte[m->guess_done++] = byte;
    if (m->guess_done == m->guess.length) {
        nrt_predict_learn(&m->predictor, &m->guess, at + 1u - m->guess.length, m->guess.byte);
        m->guess.length = 0;
    }
}

/* A copied byte is known. */
static void settle(struct nrt_small *m, uint32_t at, uint8_t byte, int missed)
{
    m->run = missed != 0 ? 0 : m->run + 1u;
    m->history = m->history << 1 | (uint32_t)missed;
    nrt_small_remember(m, byte);
    nrt_small_field(m, at, byte);
}

uint8_t nrt_small_copied(struct nrt_small *m, struct nrt_bits *b, const struct nrt_cursor *c, uint8_t byte)
{
    struct nrt_view v = nrt_small_look(m, c);
    int missed = code_flag(m, b, c, &v, byte != v.guess);
    if (missed != 0) {
        byte = code_miss(m, b, c, &v, byte);
        m->grown = (uint8_t)(byte - v.guess);
        m->fine = 0;
    } else {
        byte = (uint8_t)v.guess;
    }
    settle(m, c->at, byte, missed);
    return byte;
}

/* ---- quiet stretches (profile 5) ---------------------------------------------------------------------------------- */

#define QUIET_FROM 8u     /* hits in a row before it is asked */

uint32_t nrt_small_quiet(struct nrt_small *m, struct nrt_bits *b, uint32_t at, uint32_t left, uint32_t hits)
{
    uint32_t n = left < NRT_QUIET ? left : NRT_QUIET;
    if (m->run < QUIET_FROM || at < m->fine)
        return 0;
    /* Of the slots of numbers those that no number has. */
    if (code_slot(b, &m->number[0][64u + 4u * (nrt_small_grade(m->run) - 6u)], hits >= n))
        return n;
    m->fine = at + n;
    return 0;
}

void nrt_small_still(struct nrt_small *m, const struct nrt_cursor *c, uint8_t *out, uint32_t n)
{
    struct nrt_cursor s = *c;
    for (; n > 0; n--, s.old++, s.from++, s.at++, s.left--) {
        foresee(m, &s);
        *out = m->guess.length > 0 ? m->guess.byte[m->guess_done] : s.old[0];
        settle(m, s.at, *out++, 0);
    }
}

/* ---- items and numbers ----------------------------------------------------------------------------------------------- */

int nrt_small_item(struct nrt_small *m, struct nrt_bits *b, uint32_t at, int copy)
{
    copy = code_slot(b, &m->item[m->far | (at & 1u) << 1], copy);
    m->far = (uint8_t)copy;
    return copy;
}

uint32_t nrt_code_number(struct nrt_bits *b, nrt_one *one, uint16_t *lengths, uint16_t *tops, uint32_t value, int *fault)
{
    uint32_t length = nrt_length_of(value);
    uint32_t node = 1;
    uint32_t out = 1;
    for (uint32_t i = 6; i-- > 0;)
        node = node * 2 + (uint32_t)one(b, &lengths[node], (int)(length >> i & 1));
    length = node - 64;
    if (length > 32)
        *fault = NRT_E_FORMAT;
    if (length == 0 || length > 32)
        return 0;
    for (uint32_t i = length - 1; i-- > 0;) {
        /* The two bits below the leading one are modelled, the rest is as it comes. */
        int bit = value >> i & 1;
        bit = out < 4 ? one(b, &tops[length * 4 + out], bit) : b->code(b, 0x8000u, bit);
        out = out << 1 | (uint32_t)bit;
    }
    return out;
}

static uint32_t code_number(struct nrt_bits *b, uint16_t *slots, uint32_t value, int *fault)
{
    return nrt_code_number(b, code_slot, slots, slots + 60, value, fault);
}

/* Slot 0 is no node of a number. */
int nrt_small_which(struct nrt_small *m, struct nrt_bits *b, int back)
{
    return code_slot(b, &m->number[1][0], back);
}

int nrt_small_back(struct nrt_small *m, struct nrt_bits *b, uint32_t *distance, uint32_t *len)
{
    int fault = NRT_OK;
    uint32_t half = code_number(b, m->number[0], *distance == m->back ? 0 : (*distance + 1u) >> 1, &fault);
    if (half != 0)
        m->back = (uint16_t)(2u * half - (uint32_t)code_slot(b, &m->number[0][0], (int)(*distance & 1u)));
    *distance = m->back;
    *len = code_number(b, m->number[1], *len - 1u, &fault) + 1u;
    return fault;
}

int nrt_small_far(struct nrt_small *m, struct nrt_bits *b, struct nrt_segment *s)
{
    int fault = NRT_OK;
    uint32_t turn = code_number(b, m->number[0], nrt_zigzag(s->from - s->at - m->diagonal), &fault);
    s->from = s->at + m->diagonal + nrt_unzigzag(turn);
    s->len = code_number(b, m->number[1], s->len - 1u, &fault) + 1u;
    return fault;
}

uint32_t nrt_small_number(struct nrt_small *m, struct nrt_bits *b, uint32_t field, uint32_t value, int *fault)
{
    return code_number(b, m->pool[field >> 1] + 256 * (field & 1u), value, fault);
}

uint32_t nrt_small_turn(struct nrt_small *m, struct nrt_bits *b, uint32_t turn, int *fault)
{
    uint32_t next = m->diagonals[0] + nrt_unzigzag(turn);
    uint32_t k = 0;
    while (k < 4 && m->diagonals[k] != next)
        k++;
    k = nrt_small_number(m, b, NRT_NUMBER_TURN + 1, k, fault);
    if (k < 4)
        next = m->diagonals[k];
    else
        next = m->diagonals[0] + nrt_unzigzag(nrt_small_number(m, b, NRT_NUMBER_TURN, turn, fault));
    turn = nrt_zigzag(next - m->diagonals[0]);
    for (k = k < 4 ? k : 3; k > 0; k--)
        m->diagonals[k] = m->diagonals[k - 1];
    m->diagonals[0] = next;
    return turn;
}

static int keep(struct nrt_bits *b, uint32_t p1, int bit)
{
    (void)b;
    (void)p1;
    return bit;
}

void nrt_small_prime(struct nrt_small *m, uint32_t at, const uint8_t *old, uint32_t n)
{
    struct nrt_bits taught = {keep};
    for (uint32_t i = 0; i < n; i++)
        (void)nrt_small_literal(m, &taught, at + i, old[i]);
    m->history = 0;
    m->run = 8;
}

const struct nrt_voice nrt_small_voice = {nrt_small_copied, nrt_small_literal};
