/* cbor.c - the strict cursor of cbor.h. It knows how CBOR is written when there is one way only; it must never accept a
 * second spelling of anything. */
#include "cbor.h"

#include <string.h>

#include "nrt.h"

#define SIMPLE 7

struct nrt_cbor nrt_cbor_in(struct nrt_view v)
{
    struct nrt_cbor c = {v.at, v.len};

    return c;
}

int nrt_cbor_peek(const struct nrt_cbor *c) { return c->left > 0 ? c->at[0] >> 5 : -1; }

int nrt_cbor_end(const struct nrt_cbor *c) { return c->left == 0 ? NRT_OK : NRT_E_FORMAT; }

/*@ requires \valid(c) && n <= c->left;
    assigns *c;
    ensures c->at == \old(c->at) + n && c->left == \old(c->left) - n;
*/
static void advance(struct nrt_cbor *c, uint32_t n)
{
    c->at += n;
    c->left -= n;
}

int nrt_cbor_head(struct nrt_cbor *c, int major, uint32_t *argument)
{
    uint32_t info, i, bytes, value = 0;

    if (c->left == 0 || c->at[0] >> 5 != major) {
        return NRT_E_FORMAT;
    }
    info = c->at[0] & 31u;
    if (info > 26) {
        return NRT_E_FORMAT; /* 64 bits, reserved, indefinite */
    }
    bytes = info < 24 ? 0 : 1u << (info - 24);
    /*@ assert info == 24 ==> bytes == 1; */
    /*@ assert info == 25 ==> bytes == 2; */
    /*@ assert info == 26 ==> bytes == 4; */
    if (c->left < 1 + bytes) {
        return NRT_E_FORMAT;
    }
    /*@ loop invariant 0 <= i <= bytes;
        loop assigns i, value;
        loop variant bytes - i; */
    for (i = 0; i < bytes; i++) {
        value = value << 8 | c->at[1 + i];
    }
    if ((bytes == 1 && value < 24) || (bytes == 2 && value <= 0xFF) || (bytes == 4 && value <= 0xFFFF)) {
        return NRT_E_FORMAT; /* not the shortest form */
    }
    *argument = bytes > 0 ? value : info;
    advance(c, 1 + bytes);
    return NRT_OK;
}

int nrt_cbor_expect(struct nrt_cbor *c, int major, uint32_t argument)
{
    uint32_t value;

    if (nrt_cbor_head(c, major, &value) != NRT_OK || value != argument) {
        return NRT_E_FORMAT;
    }
    return NRT_OK;
}

int nrt_cbor_string(struct nrt_cbor *c, int major, struct nrt_view *v)
{
    uint32_t len;

    if (nrt_cbor_head(c, major, &len) != NRT_OK || len > c->left) {
        return NRT_E_FORMAT;
    }
    v->at = c->at;
    v->len = len;
    advance(c, len);
    return NRT_OK;
}

int nrt_cbor_octets(struct nrt_cbor *c, uint8_t *out, uint32_t len)
{
    struct nrt_view v;

    if (nrt_cbor_string(c, NRT_BYTES, &v) != NRT_OK || v.len != len) {
        return NRT_E_FORMAT;
    }
    memcpy(out, v.at, len);
    return NRT_OK;
}

/* 1 when key b may follow key a: bytewise lexicographic order of their encodings, nothing twice. */
/*@ requires readable(a.at, a.len) && readable(b.at, b.len);
    assigns \nothing;
    ensures \result == 0 || \result == 1;
*/
static int follows(struct nrt_view a, struct nrt_view b)
{
    uint32_t n = a.len < b.len ? a.len : b.len;
    int order = n > 0 ? memcmp(a.at, b.at, n) : 0;

    return order < 0 || (order == 0 && a.len < b.len);
}

int nrt_cbor_key(struct nrt_cbor *c, struct nrt_view *last, int *key)
{
    struct nrt_view now = {c->at, 0};
    int major = nrt_cbor_peek(c);
    uint32_t value;

    if ((major != NRT_UINT && major != NRT_NINT) || nrt_cbor_head(c, major, &value) != NRT_OK || value > 0x7FFF) {
        return NRT_E_FORMAT;
    }
    now.len = (uint32_t)(c->at - now.at);
    if (!follows(*last, now)) {
        return NRT_E_FORMAT;
    }
    *last = now;
    *key = major == NRT_UINT ? (int)value : -1 - (int)value;
    return NRT_OK;
}

/* An open array or map. `left` counts items, keys and values alike. */
struct open {
    uint32_t left;
    int map;
    const uint8_t *began;  /* the key that is being read */
    struct nrt_view last;  /* the key before */
};

/*@ predicate told(struct open o, uint8_t *at) = o.left > 0 && readable(o.last.at, o.last.len) &&
        o.began == at - (at - o.began) && 0 <= at - o.began && readable(o.began, at - o.began);
    lemma further{L}: \forall struct open o, uint8_t *at, integer n;
        told(o, at) && n >= 0 && readable(at, n) ==> told(o, at + n);
*/

/*@ requires \valid(c) && readable(c->at, c->left);
    requires \valid(inside) && \valid(map);
    requires \separated(c, inside, map, c->at + (0 .. c->left - 1));
    assigns *c, *inside, *map;
    ensures \result == 0 || \result == -2;
    ensures within(*c, \old(*c));
    ensures \result == 0 ==> ahead(*c, \old(*c));
*/
/* Reads one head; strings are taken whole. *inside is the number of items that follow within it, 0 when it is complete. */
static int head(struct nrt_cbor *c, uint32_t *inside, int *map)
{
    int major = nrt_cbor_peek(c);
    struct nrt_view v;

    *inside = 0;
    *map = major == NRT_MAP;
    switch (major) {
    case NRT_UINT:
    case NRT_NINT:
        return nrt_cbor_head(c, major, &v.len);
    case NRT_BYTES:
    case NRT_TEXT:
        return nrt_cbor_string(c, major, &v);
    case NRT_ARRAY:
    case NRT_MAP:
        if (nrt_cbor_head(c, major, inside) != NRT_OK || *inside > c->left) {
            return NRT_E_FORMAT; /* every item takes a byte: this also keeps the count small */
        }
        *inside *= major == NRT_MAP ? 2 : 1;
        return NRT_OK;
    case SIMPLE:
        if (nrt_cbor_head(c, SIMPLE, &v.len) != NRT_OK || v.len < 20 || v.len > 22) {
            return NRT_E_FORMAT; /* false, true, null */
        }
        return NRT_OK;
    default:
        return NRT_E_FORMAT;
    }
}

/* An item ended at c->at: counts it, and closes what it completes. */
/*@ requires 0 <= depth <= 8 && \valid(stack + (0 .. 7));
    requires \forall integer k; 0 <= k < depth ==> told(stack[k], at);
    assigns stack[0 .. 7];
    ensures -1 <= \result <= depth;
    ensures \forall integer k; 0 <= k < \result - 1 ==> stack[k] == \old(stack[k]);
    ensures \result > 0 ==> stack[\result - 1].began == at && readable(stack[\result - 1].last.at, stack[\result - 1].last.len);
    ensures \result > 0 ==> stack[\result - 1].left > 0;
*/
static int close(struct open *stack, int depth, const uint8_t *at)
{
    /*@ loop invariant 0 <= depth <= \at(depth, Pre);
        loop invariant \forall integer k; 0 <= k < depth ==> stack[k] == \at(stack[k], Pre);
        loop assigns depth, stack[0 .. 7];
        loop variant depth; */
    while (depth > 0) {
        struct open *o = &stack[depth - 1];

        if (o->map && o->left % 2 == 0) { /* it was a key */
            struct nrt_view now = {o->began, (uint32_t)(at - o->began)};

            if (!follows(o->last, now)) {
                return -1;
            }
            o->last = now;
        }
        if (--o->left > 0) {
            o->began = at;
            return depth;
        }
        depth--;
    }
    return 0;
}

int nrt_cbor_skip(struct nrt_cbor *c, struct nrt_view *v)
{
    struct open stack[NRT_CBOR_DEPTH];
    const uint8_t *start = c->at;
    int depth = 0;

    /*@ loop invariant 0 <= depth <= 8 && within(*c, \at(*c, Pre)) && readable(c->at, c->left);
        loop invariant \forall integer k; 0 <= k < depth ==> told(stack[k], c->at);
        loop assigns *c, depth, stack[0 .. 7];
        loop variant c->left; */
    do {
        uint32_t inside;
        int map;

        if (head(c, &inside, &map) != NRT_OK) {
            return NRT_E_FORMAT;
        }
        /*@ assert \forall integer k; 0 <= k < depth ==>
                told(stack[k], \at(c->at, LoopCurrent) + (\at(c->left, LoopCurrent) - c->left)); */
        /*@ assert \forall integer k; 0 <= k < depth ==> told(stack[k], c->at); */
        if (inside == 0) {
            depth = close(stack, depth, c->at);
            if (depth < 0) {
                return NRT_E_FORMAT;
            }
        } else if (depth == NRT_CBOR_DEPTH) {
            return NRT_E_FORMAT;
        } else {
            struct open within = {inside, map, c->at, {c->at, 0}};

            stack[depth++] = within;
        }
    } while (depth > 0);
    if (v != 0) {
        v->at = start;
        v->len = (uint32_t)(c->at - start);
    }
    return NRT_OK;
}

/*@ requires readable(data, len);
    assigns \nothing;
    ensures \result == 0 || \result == -2;
*/
int nrt_cbor_strict(const uint8_t *data, uint32_t len)
{
    struct nrt_cbor c = {data, len};

    return nrt_cbor_skip(&c, 0) == NRT_OK ? nrt_cbor_end(&c) : NRT_E_FORMAT;
}
