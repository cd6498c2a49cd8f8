/* coder_simple.c - profile 1: approximate copies and literals through the range coder, and the model both sides share. It
 * knows the last bytes of the group and the old byte under the cursor, nothing else; every old byte comes from nrt_old(). */
#include <string.h>

#include "coder.h"

/* ---- probabilities ------------------------------------------------------------------------------------------------- */

/* A counter is 12 bits of P(1) over 4 bits of how often it was seen: it learns fast when young (docs/spec/delta.md 7). */
static const uint8_t rate[16] = {128, 96, 70, 54, 44, 37, 32, 28, 25, 22, 20, 18, 16, 15, 14, 13};

static uint32_t seen(uint16_t counter)
{
    return counter & 15u;
}

static uint16_t learn(uint16_t counter, int bit)
{
    uint32_t p = counter >> 4;
    uint32_t n = counter & 15u;
    if (bit != 0)
        p += ((4095u - p) * rate[n]) >> 8;
    else
        p -= (p * rate[n]) >> 8;
    return (uint16_t)(p << 4 | (n < 15u ? n + 1u : 15u));
}

/* Two opinions on one bit: the finer one counts as it gains experience. */
static int code_two(struct nrt_bits *b, uint16_t *coarse, uint16_t *fine, int bit)
{
    uint32_t pc = *coarse >> 4;
    uint32_t pf = *fine >> 4;
    uint32_t n = seen(*fine);
    uint32_t p = n == 0 ? pc * 4u : n < 3 ? pc * 2u + pf * 2u : pc + pf * 3u;
    bit = b->code(b, p * 4u + 8u, bit);
    *coarse = learn(*coarse, bit);
    *fine = learn(*fine, bit);
    return bit;
}

static int code_flag(struct nrt_bits *b, struct nrt_flag *f, int bit)
{
    uint32_t p = ((uint32_t)f->fast + f->slow) >> 1;
    bit = b->code(b, p < 8u ? 8u : p, bit);
    if (bit != 0) {
        f->fast = (uint16_t)(f->fast + ((65535u - f->fast) >> 4));
        f->slow = (uint16_t)(f->slow + ((65535u - f->slow) >> 7));
    } else {
        f->fast = (uint16_t)(f->fast - (f->fast >> 4));
        f->slow = (uint16_t)(f->slow - (f->slow >> 7));
    }
    return bit;
}

static int code_one(struct nrt_bits *b, uint16_t *counter, int bit)
{
    bit = b->code(b, (uint32_t)(*counter >> 4) * 16u + 8u, bit);
    *counter = learn(*counter, bit);
    return bit;
}

/* ---- the model ----------------------------------------------------------------------------------------------------- */

static void fill(uint16_t *counters, uint32_t n)
{
    while (n-- > 0)
        *counters++ = 2048u << 4;
}

void nrt_simple_reset(struct nrt_simple *m)
{
    uint32_t i;
    memset(m, 0, sizeof *m);
    for (i = 0; i < NRT_FLAG_CONTEXTS; i++) {
        /* A miss among misses is likely from the start, a miss after a long quiet is not. */
        uint16_t p = (uint16_t)(0x3000u >> (i >> 3));
        m->flag[i].fast = p;
        m->flag[i].slow = p;
    }
    fill(m->literal0, 256);
    fill(m->literal1, NRT_LITERAL_SLOTS);
    fill(m->miss0, 256);
    fill(m->miss1, NRT_MISS_SLOTS);
    m->since = 8;
}

static uint8_t code_byte(struct nrt_bits *b, uint16_t *coarse, uint16_t *fine, uint32_t salt, uint8_t byte)
{
    uint32_t node = 1;
    uint32_t mask = salt & 0xFFFFu;   /* slots - 1 */
    uint32_t hash = salt >> 16;
    int i;
    for (i = 7; i >= 0; i--) {
        uint32_t slot = (hash * 0x3D4Du + node * 0x9E5u + (hash ^ node)) & mask;
        node = node * 2u + (uint32_t)code_two(b, &coarse[node], &fine[slot], (byte >> i) & 1);
    }
    return (uint8_t)node;
}

static void remember(struct nrt_simple *m, uint8_t byte)
{
    m->before = m->last;
    m->last = byte;
}

static uint32_t quiet(uint32_t since)
{
    static const uint8_t grade[16] = {0, 1, 2, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5};
    if (since < 16)
        return grade[since];
    return since < 64 ? 6 : 7;
}

uint8_t nrt_simple_copied(struct nrt_simple *m, struct nrt_bits *b, uint32_t at, uint8_t old, uint8_t byte)
{
    uint32_t context = quiet(m->since) << 3 | (at & 3u) << 1 | ((m->misses & 0x1Eu) != 0);
    int missed = code_flag(b, &m->flag[context], byte != old);
    if (missed != 0) {
        byte = (uint8_t)(old + code_byte(b, m->miss0, m->miss1, (uint32_t)m->shift << 16 | (NRT_MISS_SLOTS - 1),
                                         (uint8_t)(byte - old)));
        m->shift = (uint8_t)(byte - old);
        m->since = 0;
    } else {
        byte = old;
        m->since++;
    }
    m->misses = (m->misses << 1 | (uint32_t)missed) & 0xFFu;
    remember(m, byte);
    return byte;
}

uint8_t nrt_simple_literal(struct nrt_simple *m, struct nrt_bits *b, uint8_t byte)
{
    byte = code_byte(b, m->literal0, m->literal1, (uint32_t)m->last << 16 | (NRT_LITERAL_SLOTS - 1), byte);
    remember(m, byte);
    return byte;
}

uint32_t nrt_simple_number(struct nrt_simple *m, struct nrt_bits *b, int field, uint32_t value, int *fault)
{
    uint16_t *lengths = &m->literal0[(uint32_t)field * 64u];
    return nrt_code_number(b, code_one, lengths, &m->literal1[(uint32_t)field * 256u], value, fault);
}

/* ---- the profile --------------------------------------------------------------------------------------------------- */

static int simple_begin(struct nrt_unpack *u)
{
    nrt_simple_reset(u->model);
    nrt_range_open(&u->range, &u->reader);
    return u->range.fault;
}

static int simple_copy(struct nrt_unpack *u, uint32_t from, uint32_t len)
{
    while (len > 0) {
        uint32_t n = len < NRT_UNPACK_CHUNK ? len : NRT_UNPACK_CHUNK;
        uint32_t i;
        int rc = nrt_old(u->core, from, u->old, n);
        for (i = 0; rc == NRT_OK && i < n; i++) {
            rc = nrt_unpack_put(u, nrt_simple_copied(u->model, &u->range.bits, u->at, u->old[i], 0));
            if (rc == NRT_OK)
                rc = u->range.fault;
        }
        if (rc < 0)
            return rc;
        from += n;
        len -= n;
    }
    return NRT_OK;
}

static int simple_literal(struct nrt_unpack *u, uint32_t len)
{
    while (len-- > 0) {
        int rc = nrt_unpack_put(u, nrt_simple_literal(u->model, &u->range.bits, 0));
        if (rc == NRT_OK)
            rc = u->range.fault;
        if (rc < 0)
            return rc;
    }
    return NRT_OK;
}

static int simple_end(struct nrt_unpack *u)
{
    return nrt_range_close(&u->range);
}

static int simple_number(struct nrt_unpack *u, int field, uint32_t *value)
{
    int fault = NRT_OK;
    *value = nrt_simple_number(u->model, &u->range.bits, field, 0, &fault);
    return u->range.fault < 0 ? u->range.fault : fault;
}

const struct nrt_coder nrt_coder_simple = {simple_begin, simple_copy, simple_literal, simple_end, simple_number,
                                           NULL, NULL, NULL, NRT_MODEL_ROOM};
