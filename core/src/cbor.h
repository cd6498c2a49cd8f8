/* cbor.h - a cursor over strict CBOR: deterministic encoding only (RFC 8949 4.2.1). Internal. */
#ifndef NRT_CBOR_H
#define NRT_CBOR_H

#include <stdint.h>

enum nrt_major { NRT_UINT = 0, NRT_NINT = 1, NRT_BYTES = 2, NRT_TEXT = 3, NRT_ARRAY = 4, NRT_MAP = 5, NRT_TAG = 6 };

#define NRT_CBOR_DEPTH 8 /* deepest nesting that nrt_cbor_skip() follows */

/* Bytes still to be read. Every function gives NRT_OK or NRT_E_FORMAT; after a failure the cursor is of no more use. */
struct nrt_cbor {
    const uint8_t *at;
    uint32_t left;
};

/* A piece of the input. */
struct nrt_view {
    const uint8_t *at;
    uint32_t len;
};

/* Proven by Frama-C (tests/prove): over readable bytes, whatever they are, no function reads outside them or writes anything
 * but what it is given, each ends, and the cursor goes forward alone, by what was read. The lines between the words of a
 * contract below are what its prover is told; they are no code. */
/*@ predicate readable(uint8_t *at, integer n) = n == 0 || \valid_read(at + (0 .. n - 1));
    predicate within(struct nrt_cbor now, struct nrt_cbor was) =
        now.left <= was.left && now.at == was.at + (was.left - now.left);
    predicate ahead(struct nrt_cbor now, struct nrt_cbor was) = now.left < was.left && within(now, was);
*/

/* A head of exactly this major type; its argument in shortest form, at most 32 bits. */
/*@ requires \valid(c) && readable(c->at, c->left);
    requires \separated(c, c->at + (0 .. c->left - 1));
    requires \valid(argument) && \separated(argument, c, c->at + (0 .. c->left - 1));
    assigns *c, *argument;
    ensures \result == 0 || \result == -2;
    ensures within(*c, \old(*c));
    ensures \result == 0 ==> ahead(*c, \old(*c));
*/
int nrt_cbor_head(struct nrt_cbor *c, int major, uint32_t *argument);
/* As above, and the argument is this one. */
/*@ requires \valid(c) && readable(c->at, c->left);
    requires \separated(c, c->at + (0 .. c->left - 1));
    assigns *c;
    ensures \result == 0 || \result == -2;
    ensures within(*c, \old(*c));
    ensures \result == 0 ==> ahead(*c, \old(*c));
*/
int nrt_cbor_expect(struct nrt_cbor *c, int major, uint32_t argument);
/* The major type of the next item, -1 at the end. */
/*@ requires \valid_read(c) && readable(c->at, c->left);
    assigns \nothing;
    ensures -1 <= \result <= 7;
    ensures c->left == 0 ==> \result == -1;
*/
int nrt_cbor_peek(const struct nrt_cbor *c);
/* A byte or text string. */
/*@ requires \valid(c) && readable(c->at, c->left);
    requires \separated(c, c->at + (0 .. c->left - 1));
    requires \valid(v) && \separated(v, c, c->at + (0 .. c->left - 1));
    assigns *c, *v;
    ensures \result == 0 || \result == -2;
    ensures within(*c, \old(*c));
    ensures \result == 0 ==> ahead(*c, \old(*c)) && v->len < \old(c->left) - c->left && v->at + v->len == c->at;
    ensures \result == 0 ==> readable(v->at, v->len);
*/
int nrt_cbor_string(struct nrt_cbor *c, int major, struct nrt_view *v);
/* A byte string of exactly len bytes, copied. */
/*@ requires \valid(c) && readable(c->at, c->left);
    requires \separated(c, c->at + (0 .. c->left - 1));
    requires \valid(out + (0 .. len - 1));
    requires \separated(out + (0 .. len - 1), c, c->at + (0 .. c->left - 1));
    assigns *c, out[0 .. len - 1];
    ensures \result == 0 || \result == -2;
    ensures within(*c, \old(*c));
    ensures \result == 0 ==> ahead(*c, \old(*c));
*/
int nrt_cbor_octets(struct nrt_cbor *c, uint8_t *out, uint32_t len);
/* Integer keys of a map, up to 15 bits and a sign, in order. `*last` starts as the view {0, 0}; each key must follow it. */
/*@ requires \valid(c) && readable(c->at, c->left);
    requires \separated(c, c->at + (0 .. c->left - 1));
    requires \valid(last) && \valid(key) && readable(last->at, last->len);
    requires \separated(last, key, c, c->at + (0 .. c->left - 1));
    requires \separated(last, last->at + (0 .. last->len - 1));
    requires \separated(c, last->at + (0 .. last->len - 1));
    requires \separated(key, last->at + (0 .. last->len - 1));
    assigns *c, *last, *key;
    ensures \result == 0 || \result == -2;
    ensures within(*c, \old(*c));
    ensures \result == 0 ==> ahead(*c, \old(*c)) && -0x8000 <= *key <= 0x7FFF;
    ensures \result == 0 ==> last->at == \old(c->at) && last->len == \old(c->left) - c->left;
*/
int nrt_cbor_key(struct nrt_cbor *c, struct nrt_view *last, int *key);
/* One item of any kind but floats, simple values other than false, true and null, and tags. Keys of maps are sorted and
 * unique. `*v` (may be 0) is where it lies. */
/*@ requires \valid(c) && readable(c->at, c->left);
    requires \separated(c, c->at + (0 .. c->left - 1));
    requires v == \null || (\valid(v) && \separated(v, c, c->at + (0 .. c->left - 1)));
    assigns *c, *v;
    ensures \result == 0 || \result == -2;
    ensures within(*c, \old(*c));
    ensures \result == 0 ==> ahead(*c, \old(*c));
*/
int nrt_cbor_skip(struct nrt_cbor *c, struct nrt_view *v);
/* The end of the input. */
/*@ requires \valid_read(c);
    assigns \nothing;
    ensures \result == (c->left == 0 ? 0 : -2);
*/
int nrt_cbor_end(const struct nrt_cbor *c);
/* A cursor over a view. */
/*@ assigns \nothing;
    ensures \result.at == v.at && \result.left == v.len;
*/
struct nrt_cbor nrt_cbor_in(struct nrt_view v);

#endif
