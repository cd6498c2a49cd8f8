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

/* A head of exactly this major type; its argument in shortest form, at most 32 bits. */
int nrt_cbor_head(struct nrt_cbor *c, int major, uint32_t *argument);
/* As above, and the argument is this one. */
int nrt_cbor_expect(struct nrt_cbor *c, int major, uint32_t argument);
/* The major type of the next item, -1 at the end. */
int nrt_cbor_peek(const struct nrt_cbor *c);
/* A byte or text string. */
int nrt_cbor_string(struct nrt_cbor *c, int major, struct nrt_view *v);
/* A byte string of exactly len bytes, copied. */
int nrt_cbor_octets(struct nrt_cbor *c, uint8_t *out, uint32_t len);
/* Integer keys of a map, up to 15 bits and a sign, in order. `*last` starts as the view {0, 0}; each key must follow it. */
int nrt_cbor_key(struct nrt_cbor *c, struct nrt_view *last, int *key);
/* One item of any kind but floats, simple values other than false, true and null, and tags. Keys of maps are sorted and
 * unique. `*v` (may be 0) is where it lies. */
int nrt_cbor_skip(struct nrt_cbor *c, struct nrt_view *v);
/* The end of the input. */
int nrt_cbor_end(const struct nrt_cbor *c);
/* A cursor over a view. */
struct nrt_cbor nrt_cbor_in(struct nrt_view v);

#endif
