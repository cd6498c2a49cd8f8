/* cose.c - COSE_Sign1, strictly. It knows headers and what exactly is signed; it must never hold cryptography (that is
 * the port's) and never decide what a payload means. */
#include "cose.h"

#include <string.h>

#define SIGN1 18
#define ES256_LABEL 6 /* -7 as the argument of a negative integer */
#define EDDSA_LABEL 7 /* -8 */

/* The protected header is exactly {1: -7} or {1: -8}: what is not known to the verifier is not signed for it. */
/*@ requires readable(header.at, header.len) && \valid(alg);
    requires \separated(alg, header.at + (0 .. header.len - 1));
    assigns *alg;
    ensures \result == 0 || \result == -2;
    ensures \result == 0 ==> *alg == 1 || *alg == 2;
*/
static int read_header(struct nrt_view header, int *alg)
{
    struct nrt_cbor c = nrt_cbor_in(header);
    uint32_t label;

    if (nrt_cbor_expect(&c, NRT_MAP, 1) != NRT_OK || nrt_cbor_expect(&c, NRT_UINT, 1) != NRT_OK ||
        nrt_cbor_head(&c, NRT_NINT, &label) != NRT_OK || nrt_cbor_end(&c) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    if (label != ES256_LABEL && label != EDDSA_LABEL) {
        return NRT_E_FORMAT;
    }
    *alg = label == ES256_LABEL ? NRT_ES256 : NRT_ED25519;
    return NRT_OK;
}

int nrt_cose_read(struct nrt_cbor *c, struct nrt_cose *out)
{
    struct nrt_view signature;

    if (nrt_cbor_expect(c, NRT_TAG, SIGN1) != NRT_OK || nrt_cbor_expect(c, NRT_ARRAY, 4) != NRT_OK ||
        nrt_cbor_string(c, NRT_BYTES, &out->header) != NRT_OK || read_header(out->header, &out->alg) != NRT_OK ||
        nrt_cbor_expect(c, NRT_MAP, 0) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    out->detached = nrt_cbor_peek(c) != NRT_BYTES;
    out->payload.at = c->at;
    out->payload.len = 0;
    if (out->detached ? nrt_cbor_expect(c, 7, 22) != NRT_OK /* null */
                      : nrt_cbor_string(c, NRT_BYTES, &out->payload) != NRT_OK) {
        return NRT_E_FORMAT;
    }
    if (nrt_cbor_string(c, NRT_BYTES, &signature) != NRT_OK || signature.len != 64) {
        return NRT_E_FORMAT;
    }
    out->signature = signature.at;
    return NRT_OK;
}

/*@ requires v.len <= NRT_MAX_SIGNED && readable(v.at, v.len) && \valid(to + (0 .. v.len + 1));
    requires \separated(to + (0 .. v.len + 1), v.at + (0 .. v.len - 1));
    assigns to[0 .. v.len + 1];
    ensures v.len <= \result <= v.len + 2;
*/
static uint32_t put_string(uint8_t *to, struct nrt_view v)
{
    uint32_t n = 0;

    if (v.len < 24) {
        to[n++] = (uint8_t)(0x40u | v.len);
    } else {
        to[n++] = 0x58;
        to[n++] = (uint8_t)v.len;
    }
    memcpy(to + n, v.at, v.len);
    return n + v.len;
}

/* Sig_structure of RFC 9052 4.4: ["Signature1", protected header, external data h'', payload]. */
/*@ requires header.len <= 8 && payload.len <= NRT_MAX_SIGNED;
    requires readable(header.at, header.len) && readable(payload.at, payload.len);
    requires \valid(to + (0 .. NRT_MAX_SIGNED + 31));
    requires \separated(to + (0 .. NRT_MAX_SIGNED + 31), header.at + (0 .. header.len - 1));
    requires \separated(to + (0 .. NRT_MAX_SIGNED + 31), payload.at + (0 .. payload.len - 1));
    assigns to[0 .. NRT_MAX_SIGNED + 31];
    ensures \result <= NRT_MAX_SIGNED + 32;
*/
static uint32_t put_signed(uint8_t *to, struct nrt_view header, struct nrt_view payload)
{
    static const uint8_t begin[] = {0x84, 0x6A, 'S', 'i', 'g', 'n', 'a', 't', 'u', 'r', 'e', '1'};
    uint32_t n = sizeof begin;

    memcpy(to, begin, sizeof begin);
    n += put_string(to + n, header);
    to[n++] = 0x40;
    return n + put_string(to + n, payload);
}

int nrt_cose_verify(const struct nrt_port *p, const struct nrt_cose *s, struct nrt_view payload,
                    const struct nrt_key *keys, uint32_t n)
{
    uint8_t message[NRT_MAX_SIGNED + 32];
    uint32_t i, len;

    if (payload.len > NRT_MAX_SIGNED || s->header.len > 8) {
        return NRT_E_FORMAT;
    }
    len = put_signed(message, s->header, payload);
    for (i = 0; i < n; i++) {
        if (keys[i].alg == s->alg && keys[i].len == (s->alg == NRT_ES256 ? 65u : 32u) &&
            p->verify(p->ctx, s->alg, keys[i].key, keys[i].len, message, len, s->signature) == NRT_OK) {
            return NRT_OK;
        }
    }
    return NRT_E_TRUST;
}
