/* large.c - the model of profile 3 (docs/spec/delta.md 11): what small.c knows, and the order of bytes in all that was written
 * or taught before. It never reads flash. */
#include "large.h"

#include <string.h>

#include "large_mix.h"
#include "mixer.h"

#define LIMIT_FLAG 255u
#define LIMIT_BYTE 127u
#define MATCH_LEAST 4u
#define BYTES 11u     /* contexts of every byte */
#define MISSES 8u     /* and those of a miss */
#define FLAGS 14u
#define SAID (1u + BYTES + MISSES + 2u)   /* opinions on a bit of a byte */

static void learn(struct nrt_slot *s, int bit, uint32_t limit)
{
    uint32_t rate = 131072u / (2u * s->seen + 3u);
    if (bit != 0)
        s->p = (uint16_t)(s->p + (((65535u - s->p) * rate) >> 16));
    else
        s->p = (uint16_t)(s->p - ((s->p * rate) >> 16));
    if (s->seen < limit)
        s->seen++;
}

/* The slot of a context: one of two neighbours, the less seen one if neither is its own. */
static struct nrt_slot *find(struct nrt_slot *slots, uint32_t n, uint32_t hash)
{
    uint8_t check = (uint8_t)(hash & 255u);
    uint32_t i = (uint32_t)(((uint64_t)hash * n) >> 32);
    struct nrt_slot *s = &slots[i];
    struct nrt_slot *t = &slots[i ^ 1u];
    if (s->check == check && s->seen != 0)
        return s;
    if (t->check == check && t->seen != 0)
        return t;
    if (t->seen < s->seen)
        s = t;
    s->p = 32768;
    s->seen = 0;
    s->check = check;
    return s;
}

void nrt_large_reset(struct nrt_large *m)
{
    size_t keep = offsetof(struct nrt_large, recent);
    nrt_small_reset(&m->small);
    memset(m->calls, 0, sizeof m->calls);
    memset(m->words, 0, sizeof m->words);
    memset((uint8_t *)m + keep, 0, sizeof *m - keep);
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t grade = i >> 4;
        m->flag0[i].p = (uint16_t)(grade == 0 ? 26000u : grade == 1 ? 12000u : 9000u >> (grade > 9 ? 9 : grade));
        m->flag0[i].seen = 4;
        for (uint32_t k = 0; k < 3; k++)
            m->plain[k][i].p = 32768;
        m->matches[i >> 7][i & 63u].p = 32768;
    }
    nrt_mixing_reset(&m->flag_mix, FLAGS + 1, 22000, 5000);
    nrt_mixing_reset(&m->byte_mix, SAID, 8000, 12000);
}

/* ---- what was written before ----------------------------------------------------------------------------------------- */

static uint32_t head_of(const struct nrt_large *m)
{
    return nrt_hash(m->recent[0], 5) & (NRT_LARGE_HEADS - 1u);
}

static uint8_t past(const struct nrt_large *m, uint32_t i)
{
    return m->past[i & (NRT_LARGE_PAST - 1u)];
}

/* Looks for the place whose last bytes are those before this byte. */
static void seek(struct nrt_large *m)
{
    uint32_t p = m->twin;
    uint32_t n = 0;
    if (m->matched > 0 || p == 0 || m->count - p >= NRT_LARGE_PAST - 64u)
        return;
    while (n < 32 && n < p && past(m, p - 1u - n) == past(m, m->count - 1u - n))
        n++;
    if (n >= MATCH_LEAST) {
        m->match = p;
        m->matched = n;
    }
}

static void remember(struct nrt_large *m, uint32_t at, uint8_t byte)
{
    if (m->matched > 0 && past(m, m->match) == byte) {
        m->match++;
        m->matched += m->matched < 63;
    } else {
        m->matched = 0;
    }
    m->past[m->count & (NRT_LARGE_PAST - 1u)] = byte;
    m->count++;
    m->recent[1] = m->recent[1] << 8 | m->recent[0] >> 24;
    m->recent[0] = m->recent[0] << 8 | byte;
    if ((at & 1u) != 0)
        m->opcodes = m->opcodes << 8 | byte;
    m->word = (byte | 32u) >= 'a' && (byte | 32u) <= 'z' ? nrt_hash(m->word, byte) : 0;
    uint32_t *head = &m->heads[head_of(m)];
    m->twin = *head;
    *head = m->count;
    m->small.last[2] = m->small.last[1];
    m->small.last[1] = m->small.last[0];
    m->small.last[0] = byte;
}

/* ---- one byte -------------------------------------------------------------------------------------------------------- */

struct eight {
    struct nrt_slot *direct;
    uint32_t n;
    uint32_t mode;                          /* 0 literal, 1 miss, 2 miss inside a field */
    uint32_t context[BYTES + MISSES];
};

static void orders(const struct nrt_large *m, uint32_t at, struct eight *t)
{
    uint32_t r = m->recent[0];
    uint32_t odd = at & 1u;
    uint32_t *c = t->context;
    c[0] = nrt_hash(r & 0xFFu, 0x100u | odd);
    c[1] = nrt_hash(r & 0xFFFFu, 0x200u | odd);
    c[2] = nrt_hash(r & 0xFFFFFFu, 0x300u | odd);
    c[3] = nrt_hash(r, 0x400u);
    c[4] = nrt_hash(r, nrt_hash(m->recent[1] & 0xFFFFu, 0x500u));
    c[5] = nrt_hash(r & 0xFF00u, 0x600u | odd);
    c[6] = nrt_hash(r & 0xFFFF00u, 0x700u | odd);
    c[7] = nrt_hash(r & 0xFF000000u, 0x800u | (at & 3u));
    c[8] = nrt_hash(odd != 0 ? (m->opcodes & 0xFFFFu) | r << 24 : m->opcodes & 0xFFFFFFu, 0x900u | odd);
    c[9] = nrt_hash(odd != 0 ? (m->opcodes & 0xFFu) | r << 24 : m->opcodes & 0xFFFFu, 0xA00u | odd);
    c[10] = nrt_hash(m->word, 0xB00u | (m->word == 0 ? r & 0xFFu : 0));
}

/* What the match says about the bit below node, if it agrees so far. */
struct hope {
    struct nrt_slot *slot;   /* NULL: nothing */
    uint32_t bit;
};

static struct hope hope_of(struct nrt_large *m, const struct eight *t, uint32_t node, uint32_t i, struct nrt_say *say)
{
    struct hope h = {NULL, 0};
    uint32_t byte = past(m, m->match) | 256u;
    int32_t *x = &say->x[SAID - 2u];
    x[0] = x[1] = 0;
    if (m->matched == 0 || byte >> (i + 1u) != node)
        return h;
    h.bit = byte >> i & 1u;
    h.slot = &m->matches[t->mode != 0][m->matched];
    x[0] = nrt_opinion(h.slot->p, h.slot->seen);
    x[0] = h.bit != 0 ? x[0] : -x[0];
    x[1] = h.bit != 0 ? 256 : -256;
    return h;
}

/* By which contexts the bit is weighed and corrected; `known` of the long orders were seen before. */
static void choose(const struct nrt_large *m, const struct eight *t, uint32_t node, uint32_t known, int hoped, struct nrt_say *say)
{
    uint32_t length = !hoped ? 0 : m->matched < 8 ? 1 : m->matched < 24 ? 2 : 3;
    say->set[0] = t->mode * 20u + known * 4u + length;
    say->set[1] = (t->mode != 0 ? 256u : 0u) + node;
    say->fix[0] = t->mode << 8 | node;
    say->fix[1] = nrt_hash(m->recent[0] & 0xFFu, node | t->mode << 8) & 1023u;
}

static int code_bit(struct nrt_large *m, struct nrt_bits *b, const struct eight *t, uint32_t node, uint32_t i, int bit)
{
    struct nrt_slot *slot[1 + BYTES + MISSES];
    struct nrt_say say;
    uint32_t known = 0;
    say.n = SAID;
    memset(say.x, 0, sizeof say.x);
    slot[0] = &t->direct[node];
    say.x[0] = nrt_opinion(slot[0]->p, slot[0]->seen);
    for (uint32_t k = 1; k <= t->n; k++) {
        slot[k] = find(m->pool, NRT_LARGE_POOL, nrt_hash(t->context[k - 1], node));
        say.x[k] = nrt_opinion(slot[k]->p, slot[k]->seen);
        known += k >= 2 && k <= 5 && slot[k]->seen > 0;
    }
    struct hope hope = hope_of(m, t, node, i, &say);
    choose(m, t, node, known, hope.slot != NULL, &say);
    bit = nrt_mix_large(b, &m->byte_mix, &say, bit);
    for (uint32_t k = 0; k <= t->n; k++)
        learn(slot[k], bit, LIMIT_BYTE);
    if (hope.slot != NULL)
        learn(hope.slot, (uint32_t)bit == hope.bit, LIMIT_FLAG);
    return bit;
}

static uint8_t code_byte(struct nrt_large *m, struct nrt_bits *b, const struct eight *t, uint8_t byte)
{
    uint32_t node = 1;
    seek(m);
    for (uint32_t i = 8; i-- > 0;)
        node = node * 2 + (uint32_t)code_bit(m, b, t, node, i, byte >> i & 1);
    return (uint8_t)node;
}

static uint8_t literal(struct nrt_small *s, struct nrt_bits *b, uint32_t at, uint8_t byte)
{
    struct nrt_large *m = (struct nrt_large *)(void *)s;
    struct eight t;
    t.direct = m->plain[0];
    t.mode = 0;
    t.n = BYTES;
    orders(m, at, &t);
    byte = code_byte(m, b, &t, byte);
    remember(m, at, byte);
    s->history <<= 1;
    s->run = 0;
    return byte;
}

/* The tables learn without the mixing. */
void nrt_large_teach(struct nrt_large *m, uint32_t at, const uint8_t *old, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct eight t;
        uint32_t node = 1;
        orders(m, at + i, &t);
        for (uint32_t k = 8; k-- > 0;) {
            int bit = old[i] >> k & 1;
            learn(&m->plain[0][node], bit, LIMIT_BYTE);
            for (uint32_t j = 0; j < BYTES; j++)
                learn(find(m->pool, NRT_LARGE_POOL, nrt_hash(t.context[j], node)), bit, LIMIT_BYTE);
            node = node * 2 + (uint32_t)bit;
        }
        remember(m, at + i, old[i]);
    }
}

/* ---- copied bytes ---------------------------------------------------------------------------------------------------- */

static uint32_t bits_in(uint32_t v)
{
    uint32_t n = 0;
    for (; v != 0; v >>= 1)
        n++;
    return n;
}

/* Contexts of "missed": what was predicted, how it went lately, what stands around it. */
static void flag_contexts(const struct nrt_large *m, const struct nrt_cursor *c, const struct nrt_view *v, uint32_t x[FLAGS])
{
    const struct nrt_small *s = &m->small;
    uint32_t h = s->history;
    uint32_t since = s->run < 31 ? s->run : 31;
    uint32_t after = c->left > 1 ? c->old[1] : 0;
    uint32_t far = bits_in(s->run);
    uint32_t key = s->guess.length > 0 ? s->guess.key : 0;
    uint32_t edge = bits_in(c->done < c->left ? c->done : c->left);
    x[0] = nrt_hash(v->guess | v->place << 8, h & 15u);
    x[1] = nrt_hash(v->before | v->guess << 8 | after << 16, v->place | 0x100u);
    x[2] = nrt_hash(h & 0xFFFu, (c->at & 3u) | (v->kind == NRT_PLAIN ? 4u : 0u) | 0x200u);
    x[3] = nrt_hash(s->grown | since << 8, v->place | 0x300u);
    x[4] = nrt_hash(v->half | v->odd << 16, v->place | 0x400u);
    x[5] = nrt_hash(far | edge << 8, v->kind | 0x500u);
    x[6] = nrt_hash(far | bits_in(m->longer) << 8, v->place | 0x600u);
    x[7] = nrt_hash(h & 0xFFFFFu, v->place | 0x700u);
    x[8] = nrt_hash(key, v->place | 0x800u);
    x[9] = nrt_hash(v->half >> 8 | (m->opcodes & 0xFFu) << 8, v->place | (h & 3u) << 12 | 0x900u);
    x[10] = nrt_hash(m->missed_kind | (uint32_t)s->grown << 8, v->kind | far << 8 | 0xA000u);
    x[11] = nrt_hash(s->last[0] | v->before << 8, v->place | (h & 1u) << 12 | 0xB00u);
    x[12] = nrt_hash(s->last[0] | (uint32_t)s->last[1] << 8 | v->guess << 16, v->place | 0xC00u);
    x[13] = nrt_hash(m->recent[0], v->guess | v->place << 8 | 0xD0000u);
}

static int code_flag(struct nrt_large *m, struct nrt_bits *b, const struct nrt_cursor *c, const struct nrt_view *v, int missed)
{
    struct nrt_slot *slot[1 + FLAGS];
    struct nrt_say say;
    uint32_t x[FLAGS];
    uint32_t h = m->small.history;
    uint32_t class = nrt_small_class[v->kind];
    uint32_t grade = nrt_small_grade(m->small.run);
    flag_contexts(m, c, v, x);
    slot[0] = &m->flag0[grade << 4 | class << 1 | v->inside];
    say.n = FLAGS + 1;
    say.x[0] = nrt_stretch(slot[0]->p);
    for (uint32_t k = 1; k <= FLAGS; k++) {
        slot[k] = find(m->flags, NRT_LARGE_FLAGS, x[k - 1]);
        if (slot[k]->seen == 0)
            slot[k]->p = slot[0]->p;
        say.x[k] = nrt_lean(slot[k]->p, say.x[0], slot[k]->seen);
    }
    say.set[0] = class << 2 | (h & 1u) << 1 | v->inside;
    say.set[1] = grade << 2 | (c->at & 3u);
    say.fix[0] = grade << 4 | class << 1 | v->inside;
    say.fix[1] = v->place << 4 | (h & 15u);
    missed = nrt_mix_large(b, &m->flag_mix, &say, missed);
    for (uint32_t k = 0; k <= FLAGS; k++)
        learn(slot[k], missed, LIMIT_FLAG);
    return missed;
}

static uint8_t code_miss(struct nrt_large *m, struct nrt_bits *b, const struct nrt_cursor *c, const struct nrt_view *v, uint8_t byte)
{
    struct nrt_small *s = &m->small;
    uint32_t expected = (v->guess + s->grown) & 255u;
    uint32_t changed = v->odd != 0 && s->last[0] != v->before;
    struct eight t;
    uint32_t *x = t.context + BYTES;
    t.mode = s->guess.length > 0 ? 2 : 1;
    t.direct = m->plain[t.mode];
    t.n = BYTES + MISSES;
    orders(m, c->at, &t);
    x[0] = nrt_hash(v->guess | v->place << 8, 0x1000u);
    x[1] = nrt_hash(expected | v->place << 8, 0x1100u);
    x[2] = nrt_hash(s->last[0] | v->odd << 8, 0x1200u);
    x[3] = nrt_hash(v->place | (c->at & 3u) << 8, 0x1300u);
    x[4] = nrt_hash(v->half | v->odd << 16 | changed << 17, 0x1400u);
    x[5] = nrt_hash(v->guess | v->before << 8 | (uint32_t)s->last[0] << 16, 0x1500u | v->place << 16);
    x[6] = nrt_hash(v->guess, 0x1600u);
    x[7] = nrt_hash(s->guess.length > 0 ? s->guess.key : v->half, 0x1700u | v->place << 16);
    return code_byte(m, b, &t, byte);
}

static uint8_t copied(struct nrt_small *s, struct nrt_bits *b, const struct nrt_cursor *c, uint8_t byte)
{
    struct nrt_large *m = (struct nrt_large *)(void *)s;
    struct nrt_view v = nrt_small_look(s, c);
    int missed = code_flag(m, b, c, &v, byte != v.guess);
    if (missed != 0) {
        byte = code_miss(m, b, c, &v, byte);
        s->grown = (uint8_t)(byte - v.guess);
        m->longer = s->run;
        m->missed_kind = v.kind;
        s->run = 0;
    } else {
        byte = (uint8_t)v.guess;
        s->run++;
    }
    s->history = s->history << 1 | (uint32_t)missed;
    remember(m, c->at, byte);
    nrt_small_field(s, c->at, byte);
    return byte;
}

const struct nrt_voice nrt_large_voice = {copied, literal};
