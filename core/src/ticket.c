/* ticket.c - the transfer ticket (docs/spec/ticket.md). It knows its bytes; it must never decide whether it is for this
 * terminal (gate.c). A ticket saves air time and is never a condition of safety. */
#include <string.h>

#include "cbor.h"
#include "cose.h"
#include "nrt.h"

enum { DEVICE = 1, NONCE, SERIAL, KIND, ENVELOPE, FILE_DIGEST, FILE_SIZE, BASE, BLOCKS, KEY_LIST };

/*@ requires \valid(c) && readable(c->at, c->left) && \valid(t);
    requires \separated(t, c, c->at + (0 .. c->left - 1));
    assigns *c, *t;
    ensures \result == 0 || \result == -2;
    ensures within(*c, \old(*c));
    ensures \result == 0 ==> 1 <= key <= 10;
*/
static int read_field(struct nrt_cbor *c, int key, struct nrt_ticket *t)
{
    switch (key) {
    case DEVICE:
        return nrt_cbor_octets(c, t->device, sizeof t->device);
    case NONCE:
        return nrt_cbor_octets(c, t->nonce, sizeof t->nonce);
    case SERIAL:
        return nrt_cbor_head(c, NRT_UINT, &t->serial);
    case KIND:
        return nrt_cbor_head(c, NRT_UINT, &t->kind);
    case ENVELOPE:
        return nrt_cbor_octets(c, t->envelope, sizeof t->envelope);
    case FILE_DIGEST:
        return nrt_cbor_octets(c, t->file, sizeof t->file);
    case FILE_SIZE:
        return nrt_cbor_head(c, NRT_UINT, &t->file_size);
    case BASE:
        return nrt_cbor_octets(c, t->base, sizeof t->base);
    case BLOCKS:
        return nrt_cbor_octets(c, t->blocks, sizeof t->blocks);
    case KEY_LIST:
        return nrt_cbor_head(c, NRT_UINT, &t->key_list);
    default:
        return NRT_E_FORMAT;
    }
}

/* All ten fields, or nine without a base: that is a full image. */
static int read_fields(struct nrt_view payload, struct nrt_ticket *t)
{
    struct nrt_cbor c = nrt_cbor_in(payload);
    struct nrt_view last = {0, 0};
    uint32_t pairs, i;
    int key, seen = 0;

    if (nrt_cbor_head(&c, NRT_MAP, &pairs) != NRT_OK || pairs > 10) {
        return NRT_E_FORMAT;
    }
    for (i = 0; i < pairs; i++) {
        if (nrt_cbor_key(&c, &last, &key) != NRT_OK || read_field(&c, key, t) != NRT_OK) {
            return NRT_E_FORMAT;
        }
        seen |= 1 << key;
    }
    if (seen != (t->kind == NRT_KIND_FULL ? 0x6FE : 0x7FE) || t->kind < NRT_KIND_DELTA || t->kind > NRT_KIND_RESUME) {
        return NRT_E_FORMAT;
    }
    return t->serial > 0 && t->file_size > 0 ? nrt_cbor_end(&c) : NRT_E_FORMAT;
}

int nrt_ticket_read(const struct nrt_port *p, const uint8_t *msg, uint32_t len, const struct nrt_key *keys, uint32_t n,
                    struct nrt_ticket *out)
{
    struct nrt_cbor c = {msg, len};
    struct nrt_cose signature;
    int r = NRT_E_FORMAT;

    memset(out, 0, sizeof *out);
    if (len <= NRT_MAX_TICKET && nrt_cose_read(&c, &signature) == NRT_OK && nrt_cbor_end(&c) == NRT_OK &&
        !signature.detached) {
        r = nrt_cose_verify(p, &signature, signature.payload, keys, n);
    }
    if (r == NRT_OK) {
        r = read_fields(signature.payload, out);
    }
    if (r != NRT_OK) {
        memset(out, 0, sizeof *out);
    }
    return r;
}
