/* tiny.c - the model of profile 4 (docs/spec/delta.md 12): one chain of contexts a bit, from coarse to fine, each trusted as far
 * as it has seen something. It knows the group's last bytes and the old bytes of the copy under way; it never reads flash. */
#include "tiny.h"

#include <string.h>

/* ---- bits ------------------------------------------------------------------------------------------------------------ */

static uint32_t step(uint32_t p, uint32_t to, uint32_t rate)
{
    return p + (uint32_t)(((int32_t)to - (int32_t)p) * (int32_t)rate / 65536);
}

/* One bit: `n` contexts from coarse to fine; the first one begins with `first` of 65536. */
static int code_bit(struct nrt_tiny *m, struct nrt_bits *b, const uint32_t *slots, uint32_t n, uint32_t first, int bit)
{
    /* 65536 / (seen + 1.5), halved where it is not exact in 15 bits */
    static const uint16_t rate[16] = {32767, 26214, 18725, 14564, 11916, 10082, 8738, 7710, 6899, 6242, 5699, 5243, 4855, 4520, 4228, 3972};
    uint32_t p = first;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = slots[k];
        if (m->seen[i] == 0)
            m->p[i] = (uint16_t)p;
        p = k == 0 ? m->p[i] : step(p, m->p[i], 15360u + 1024u * m->seen[i]);
    }
    bit = b->code(b, p < 24u ? 24u : p > 65512u ? 65512u : p, bit);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = slots[k];
        m->p[i] = (uint16_t)step(m->p[i], bit != 0 ? 65535u : 0, rate[m->seen[i]]);
        m->seen[i] = (uint8_t)(m->seen[i] + (m->seen[i] < 15));
    }
    return bit;
}

/* A bit of a byte or a number: its contexts share one table. */
static int code_node(struct nrt_tiny *m, struct nrt_bits *b, const uint32_t *contexts, uint32_t n, uint32_t node, int bit)
{
    uint32_t slots[3];
    for (uint32_t k = 0; k < n; k++)
        slots[k] = 3 * NRT_TINY_FLAGS + nrt_hash(contexts[k], node | k << 10) % NRT_TINY_POOL;
    return code_bit(m, b, slots, n, 32768, bit);
}

static uint8_t code_byte(struct nrt_tiny *m, struct nrt_bits *b, const uint32_t *contexts, uint8_t byte)
{
    uint32_t node = 1;
    for (uint32_t i = 8; i-- > 0;)
        node = node * 2 + (uint32_t)code_node(m, b, contexts, 3, node, byte >> i & 1);
    m->last = m->last << 8 | (node & 255u);
    return (uint8_t)node;
}

void nrt_tiny_reset(struct nrt_tiny *m)
{
    memset(m, 0, offsetof(struct nrt_tiny, isa));
    memset(&m->map.here, 0, sizeof m->map.here);
    memset(m->pairs, 0, sizeof *m - offsetof(struct nrt_tiny, pairs));
    m->run = 8;
}

uint8_t nrt_tiny_literal(struct nrt_tiny *m, struct nrt_bits *b, uint32_t at, uint8_t byte)
{
    uint32_t odd = at & 1u;
    uint32_t contexts[3] = {odd | 1u << 16, (m->last & 0xFFu) | odd << 8 | 2u << 16, (m->last & 0xFF00u) | odd | 3u << 16};
    m->history <<= 1;
    m->run = 0;
    return code_byte(m, b, contexts, byte);
}

/* ---- fields ---------------------------------------------------------------------------------------------------------- */

static struct nrt_pairing *pairing(struct nrt_tiny *m, uint32_t key)
{
    return &m->pairs[nrt_hash(key, 77) % NRT_TINY_PAIRS];
}

/* A branch with a long reach, or a word that points into the image or that the shifts speak of. Its kind: 0 outside all that is
 * known, 1 in a gap of the map, 2 covered by it, 3 seen before; for words 4 more. */
static void predict(struct nrt_tiny *m, const struct nrt_tongue *t, const struct nrt_spot *c)
{
    uint32_t base = 0;
    uint32_t now = 0;
    uint32_t places = c->from | c->at;
    if (c->left < 4 || (places & (t->step - 1u)) != 0)
        return;
    int word = t->call(c->old, c->left, c->from, &m->key) != 4;
    if (word) {
        if ((places & 3u) != 0)
            return;
        m->key = nrt_get32(c->old);
        base = m->key - m->address < m->map.old_size || m->also == 0 ? m->address : m->also;
        base += m->key & t->odd;
    }
    uint32_t kind = 0;
    if (m->key - base < m->map.old_size)
        kind = nrt_map_to(&m->map, m->key - base, &now) == NRT_FOUND_COVERED ? 2 : 1;
    now += base;
    if (kind == 0 && word) {
        if (!nrt_map_word(&m->map, m->key, &now))
            return;
        kind = now != 0;
        now += m->key;
    } else if (kind == 0) {
        now = m->key - c->from + c->at;
    }
    const struct nrt_pairing *seen = pairing(m, m->key);
    if (seen->key != 0 && seen->key == m->key + 1u) {
        now = seen->value;
        kind = 3;
    }
    if (word)
        nrt_put32(m->field, now);
    else
        t->aim(c->old, c->at, now, m->field);
    m->kind = (uint8_t)(kind | (uint32_t)word << 2);
    m->length = 4;
    m->field_at = c->at;
}

/* The field turned out to be what `m->field` holds now. */
static void learn_field(struct nrt_tiny *m, const struct nrt_tongue *t)
{
    uint32_t now = nrt_get32(m->field);
    if (m->kind >= 4 || t->call(m->field, 4, m->field_at, &now) == 4)
        *pairing(m, m->key) = (struct nrt_pairing){m->key + 1u, now};
}

/* ---- copied bytes ---------------------------------------------------------------------------------------------------- */

void nrt_tiny_here(struct nrt_tiny *m, const struct nrt_segment *s)
{
    m->map.here = *s;
    m->diagonal = s->from - s->at;
    m->length = 0;
}

uint8_t nrt_tiny_copied(struct nrt_tiny *m, struct nrt_bits *b, const struct nrt_spot *c, uint8_t byte)
{
    const struct nrt_tongue *t = nrt_tongue(m->isa);
    if (m->length == 0) {
        m->kind = 0;
        m->done = 0;
        if (t != NULL)
            predict(m, t, c);
    }
    uint32_t guess = m->length != 0 ? m->field[m->done] : c->old[0];
    uint32_t place = m->length != 0 ? (uint32_t)m->kind << 2 | m->done : c->at & 1u;
    uint32_t grade = nrt_length_of(m->run);
    grade = grade < 7 ? grade : 7;
    uint32_t slots[3] = {grade << 4 | (uint32_t)m->kind << 1 | (m->done != 0),
                         NRT_TINY_FLAGS + nrt_hash(guess | place << 8, m->history & 15u) % NRT_TINY_FLAGS,
                         2 * NRT_TINY_FLAGS + nrt_hash(m->history & 0xFFu, place) % NRT_TINY_FLAGS};
    int missed = code_bit(m, b, slots, 3, 24000u >> grade, byte != guess);
    m->history = m->history << 1 | (uint32_t)missed;
    m->run++;
    if (missed != 0) {
        uint32_t contexts[3] = {place | 4u << 16, ((guess + m->grown) & 255u) | place << 8 | 5u << 16,
                                guess | place << 8 | 6u << 16};
        byte = code_byte(m, b, contexts, byte);
        m->grown = (uint8_t)(byte - guess);
        m->run = 0;
    } else {
        byte = (uint8_t)guess;
        m->last = m->last << 8 | guess;
    }
    if (m->length != 0) {
        m->field[m->done++] = byte;
        if (m->done == 4) {
            learn_field(m, t);
            m->length = 0;
        }
    }
    return byte;
}

/* ---- numbers --------------------------------------------------------------------------------------------------------- */

uint32_t nrt_tiny_number(struct nrt_tiny *m, struct nrt_bits *b, uint32_t field, uint32_t value, int *fault)
{
    uint32_t context[1] = {field | 7u << 16};
    uint32_t length = nrt_length_of(value);
    uint32_t node = 1;
    uint32_t out = 1;
    for (uint32_t i = 6; i-- > 0;)
        node = node * 2 + (uint32_t)code_node(m, b, context, 1, node, length >> i & 1);
    length = node - 64;
    if (length > 32)
        *fault = NRT_E_FORMAT;
    if (length == 0 || length > 32)
        return 0;
    for (uint32_t i = length - 1; i-- > 0;) {
        /* The two bits below the leading one are modelled, the rest is as it comes. */
        int bit = value >> i & 1;
        bit = out < 4 ? code_node(m, b, context, 1, length << 2 | out | 256u, bit) : b->code(b, 0x8000u, bit);
        out = out << 1 | (uint32_t)bit;
    }
    return out;
}

int nrt_tiny_item(struct nrt_tiny *m, struct nrt_bits *b, uint32_t at, int copy)
{
    uint32_t context[1] = {8u << 16};
    copy = code_node(m, b, context, 1, m->far | (at & 1u) << 1, copy);
    m->far = (uint32_t)copy;
    return copy;
}

int nrt_tiny_far(struct nrt_tiny *m, struct nrt_bits *b, struct nrt_segment *s)
{
    int fault = NRT_OK;
    uint32_t turn = nrt_tiny_number(m, b, NRT_NUMBER_TURN, nrt_zigzag(s->from - s->at - m->diagonal), &fault);
    s->from = s->at + m->diagonal + nrt_unzigzag(turn);
    s->len = nrt_tiny_number(m, b, NRT_NUMBER_LENGTH, s->len - 1u, &fault) + 1u;
    return fault;
}
